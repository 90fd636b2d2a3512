// The language model's own logits of a few named tokens, read where something is to be judged.
#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/fwd.hpp"
#include "merit/head/rows.hpp"
#include "merit/nn/concatenate.hpp"
#include "merit/nn/linear.hpp"

namespace merit::inline MERIT_ABI {

/// The logits of `tokens`, which with two of them are the classes bad and good: Math-Shepherd's − and + (Wang
/// et al. 2024), with steps ending in a token of their own; Qwen's `<extra_0>`. It has no parameters: it
/// reads the backbone's unembedding.
template <ScoreMeaning Meaning, Index Count>
struct TokenLogitHead {
  static_assert(Count >= 1, "merit: TokenLogitHead has no tokens: expected at least 1.");

  std::array<Token, Count> tokens{};  // worst class first

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = Meaning;
  static constexpr Index width = Count;
  static constexpr bool reads_unembedding = true;
  static constexpr std::string_view name() { return "token_logits"; }
  void validate() const {}
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    append_rows<meaning>(sequence, out);
  }

  friend bool operator==(const TokenLogitHead&, const TokenLogitHead&) = default;
};

template <ScoreMeaning Meaning, Index Count>
template <class B>
class TokenLogitHead<Meaning, Count>::Bound {
 public:
  Bound(const TokenLogitHead& head, Index, Parameters<B>&, Unembedding unembedding)
      : tokens_(head.tokens), unembedding_(std::move(unembedding)) {}
  Index outputs() const { return Count; }
  /// (R, d) → (R, Count)
  Var forward(Tape<B>& tape, Var hidden) {
    const ParameterSlice table = unembedding_();  // (V, d)
    Var logits;
    for (const Token token : tokens_) {
      if (token >= table.rows) {
        throw ConfigError(
            detail::concat("token_logits: token ", token, " is outside the vocabulary of ", table.rows));
      }
      const Var logit = linear(tape, hidden, table.row(token));
      logits = logits.present() ? concatenate(tape, logits, logit) : logit;
    }
    return logits;
  }

 private:
  std::array<Token, Count> tokens_;
  Unembedding unembedding_;
};

}  // namespace merit::inline MERIT_ABI
