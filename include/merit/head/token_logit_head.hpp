// The language model's own logits of a few named tokens, read where something is to be judged.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/fwd.hpp"
#include "merit/head/head.hpp"
#include "merit/head/token_logits.hpp"
#include "merit/nn/concatenate.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The logits of `tokens`, which with two of them are the classes bad and good: Math-Shepherd's − and + (Wang
/// et al. 2024), with steps ending in a token of their own; the no and yes of a reranker. It has no
/// parameters: it reads the backbone's unembedding.
///
/// With Count 0 (AnswerLogitHead) there are one or two tokens, decided at run time: a published reward may be
/// one token's logit.
template <ScoreMeaning Meaning, Index Count>
struct TokenLogitHead {
  std::conditional_t<Count == 0, std::vector<Token>, std::array<Token, Count>> tokens{};  // worst class first

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = Meaning;
  static constexpr Index width = Count;
  static constexpr bool reads_unembedding = true;
  static constexpr std::string_view name() {
    return Meaning == ScoreMeaning::per_completion ? "answer_logits" : "token_logits";
  }

  /// One number for a completion: the token's logit, or of two tokens the log-odds of the second.
  double merge(std::span<const double> logits) const
      requires(Meaning == ScoreMeaning::per_completion && Count <= 2) {
    return logits.size() == 1 ? logits[0] : logits[1] - logits[0];
  }

  template <class Visit>
  static void fields(const Visit& visit) {
    constexpr ValueRange range = Count == 0 ? any_value().counted(1, 2) : any_value().counted(Count, Count);
    visit(Field{"tokens", &TokenLogitHead::tokens, range,
                "one, whose logit is the score, or bad and good, or more classes from worst to best", "",
                FieldUse::required});
  }

  friend bool operator==(const TokenLogitHead&, const TokenLogitHead&) = default;
};

template <ScoreMeaning Meaning, Index Count>
template <class B>
class TokenLogitHead<Meaning, Count>::Bound {
 public:
  Bound(const TokenLogitHead& head, Index, Parameters<B>&, Unembedding unembedding)
      : tokens_(head.tokens), unembedding_(std::move(unembedding)) {}
  Index outputs() const { return tokens_.size(); }
  /// (R, d) → (R, tokens)
  Var forward(Tape<B>& tape, Var hidden) {
    const ParameterSlice table = unembedding_.table();  // (V, d)
    Var logits;
    for (const Token token : tokens_) {
      if (token >= table.rows) {
        throw ConfigError(concat(name(), ": token ", token, " is outside the vocabulary of ", table.rows));
      }
      const Var logit = token_logits(tape, hidden, unembedding_, table.row(token));
      logits = logits.present() ? concatenate(tape, logits, logit) : logit;
    }
    return logits;
  }

 private:
  decltype(TokenLogitHead::tokens) tokens_;
  Unembedding unembedding_;
};

}  // namespace MERIT_ABI
}  // namespace merit
