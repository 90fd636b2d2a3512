// Cobbe et al.'s verifier head: one token's logit, stretched and moved.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/head/head.hpp"
#include "merit/head/token_logits.hpp"
#include "merit/nn/linear.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// score = gain · logit of a special token + bias, at each token of the answer: two parameters on top of the
/// language model's unembedding (Cobbe et al. 2021), with which it is trained jointly. Stored as `score.gain`
/// (1, 1) and `score.bias` (1).
struct LmGainBiasHead {
  Token token = 0;  // one that no text holds

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_token;
  static constexpr Index width = 1;
  static constexpr bool reads_unembedding = true;
  static constexpr std::string_view name() { return "lm_gain_bias"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"token", &LmGainBiasHead::token, any_value(), "the token whose logit is the score", "",
                FieldUse::required});
  }

  friend bool operator==(const LmGainBiasHead&, const LmGainBiasHead&) = default;
};

template <class B>
class LmGainBiasHead::Bound {
 public:
  Bound(const LmGainBiasHead& head, Index, Parameters<B>& parameters, Unembedding unembedding)
      : token_(head.token), parameters_(&parameters), unembedding_(std::move(unembedding)) {
    gain_ = parameters.declare({"score.gain", {1, 1}, Init::ones(), false});
    bias_ = parameters.declare({"score.bias", {1}, Init::zeros(), false});
  }
  Index outputs() const { return 1; }
  /// (R, d) → (R, 1)
  Var forward(Tape<B>& tape, Var hidden) {
    const ParameterSlice table = unembedding_.table();  // (V, d)
    if (token_ >= table.rows) {
      throw ConfigError(concat("lm_gain_bias: token ", token_, " is outside the vocabulary of ", table.rows));
    }
    const Var logit = token_logits(tape, hidden, unembedding_, table.row(token_));  // (R, 1)
    return linear(tape, logit, parameters_->slice(gain_), parameters_->slice(bias_));
  }

 private:
  Token token_;
  Parameters<B>* parameters_;
  Unembedding unembedding_;
  std::uint32_t gain_ = 0;
  std::uint32_t bias_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
