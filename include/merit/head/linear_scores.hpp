// The body that most heads share: scores = hidden · Wᵀ (+ b).
#pragma once

#include <string>

#include "merit/core/field.hpp"
#include "merit/head/head.hpp"
#include "merit/nn/linear.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The settings that most heads have.
template <class Head>
constexpr auto bias_field(bool Head::*bias) {
  return Field{"bias", bias, {}, "scores have a constant, which changes no preference", "--head-bias"};
}
template <class Head>
constexpr auto init_deviation_field(double Head::*init_deviation) {
  return Field{
      "init_deviation", init_deviation, at_least(0), "standard deviation of the weights at the start", "",
      FieldUse::start};
}

template <class B>
class LinearScores {
 public:
  /// Declares NAME.weight (outputs, width) and, if asked for, NAME.bias (outputs).
  LinearScores(const std::string& name, Index outputs, Index width, bool bias, double init_deviation,
               Parameters<B>& parameters)
      : parameters_(&parameters), outputs_(outputs), has_bias_(bias) {
    weight_ = parameters.declare({name + ".weight", {outputs, width}, Init::normal(init_deviation)});
    if (bias) bias_ = parameters.declare({name + ".bias", {outputs}, Init::zeros(), false});
  }
  Index outputs() const { return outputs_; }
  /// (R, d) → (R, outputs)
  Var forward(Tape<B>& tape, Var hidden) {
    return linear(tape, hidden, parameters_->slice(weight_),
                  has_bias_ ? parameters_->slice(bias_) : ParameterSlice{});
  }

 private:
  Parameters<B>* parameters_;
  Index outputs_;
  bool has_bias_;
  std::uint32_t weight_ = 0;
  std::uint32_t bias_ = 0;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
