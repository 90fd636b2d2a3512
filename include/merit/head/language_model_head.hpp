// The logits of the next token, to train a language model beside a reward.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "merit/head/head.hpp"
#include "merit/head/token_logits.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Logits over the vocabulary at the token before each token of the answer, from the backbone's unembedding;
/// no parameters of its own. Trained by LanguageModelLoss, which computes them a chunk of rows at a time.
struct LanguageModelHead {
  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::next_token;
  static constexpr Index width = 0;  // the vocabulary
  static constexpr bool reads_unembedding = true;
  static constexpr std::string_view name() { return "language_model"; }

  friend bool operator==(const LanguageModelHead&, const LanguageModelHead&) = default;
};

template <class B>
class LanguageModelHead::Bound {
 public:
  Bound(const LanguageModelHead&, Index, Parameters<B>&, Unembedding unembedding)
      : unembedding_(std::move(unembedding)) {}
  const Unembedding& unembedding() const { return unembedding_; }
  /// V, once the parameters are allocated.
  Index outputs() const { return unembedding_.table().rows; }
  /// (R, d) → (R, V)
  Var forward(Tape<B>& tape, Var hidden) {
    return token_logits(tape, hidden, unembedding_, unembedding_.table());
  }

 private:
  Unembedding unembedding_;
};

}  // namespace MERIT_ABI
}  // namespace merit
