// One number for an answer, read at its last token: the head of a Bradley–Terry reward model.
#pragma once

#include <string_view>
#include <vector>

#include "merit/head/head.hpp"
#include "merit/nn/linear.hpp"

namespace merit::inline MERIT_ABI {

/// score = w · hidden of the last token (+ b). Stored as `score.weight` (1, d), as transformers'
/// …ForSequenceClassification with one label does.
struct ScalarHead {
  bool bias = false;  // `score.bias`; a constant changes no preference
  double init_deviation = 0.02;

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_completion;
  static constexpr std::string_view name() { return "scalar"; }
  void validate() const {}
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    out.push_back(sequence.length - 1);
  }

  friend bool operator==(const ScalarHead&, const ScalarHead&) = default;
};

template <class B>
class ScalarHead::Bound {
 public:
  Bound(const ScalarHead& settings, Index width, Parameters<B>& parameters)
      : settings_(settings), parameters_(&parameters) {
    weight_ = parameters.declare({"score.weight", {1, width}, Init::normal(settings.init_deviation)});
    if (settings.bias) bias_ = parameters.declare({"score.bias", {1}, Init::zeros(), false});
  }
  Index outputs() const { return 1; }
  /// (R, d) → (R, 1)
  Var forward(Tape<B>& tape, Var hidden) {
    return linear(tape, hidden, parameters_->slice(weight_),
                  settings_.bias ? parameters_->slice(bias_) : ParameterSlice{});
  }

 private:
  ScalarHead settings_;
  Parameters<B>* parameters_;
  std::uint32_t weight_ = 0;
  std::uint32_t bias_ = 0;
};

}  // namespace merit::inline MERIT_ABI
