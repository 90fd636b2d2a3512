// out = x · Wᵀ (+ bias) (+ residual), and its gradients: one product forward, two backward; where the map has an adapter,
// also its second path (low_rank.hpp).
#pragma once

#include "merit/nn/check.hpp"
#include "merit/nn/layout.hpp"
#include "merit/nn/low_rank.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

template <class B>
struct LinearNode {
  Var x;         // (M, in)
  Var residual;  // (M, out), or none
  Var out;       // (M, out)
  ParameterSlice weight;
  ParameterSlice bias;
  Layout layout;
  Var inner;   // (M, R) what the second paths have between A and B, or none
  Var normed;  // (M, out) both paths over their norms, of maps with magnitudes, or none

  void backward(Tape<B>& tape) const {
    auto& h = tape.handle();
    Parameters<B>& parameters = tape.parameters();
    if (residual.present()) tape.check_lent(residual);  // and no more: its gradient is this very block
    typename Tape<B>::Types::ConstMatrix g = tape.gradient(out);
    if (parameters.trainable(bias)) {
      const auto target = parameters.gradient_target(bias);
      B::column_sum(h, g, target.write, target.view.flat());
    }
    if (normed.present()) g = before_magnitudes(tape, weight, layout, normed, g);
    if (parameters.trainable(weight)) {
      const auto target = parameters.gradient_target(weight);
      if (layout == Layout::out_in) {
        B::weight_gradient(h, g, tape.value(x), target.write, target.view);
      } else {
        B::weight_gradient(h, tape.value(x), g, target.write, target.view);
      }
    }
    if (tape.needs_gradient(x)) {
      const auto target = tape.gradient_target(x);
      parameters.for_each_part(weight, [&](const typename Tape<B>::Types::Weight& part, Index begin) {
        const bool straight = layout == Layout::out_in;
        B::linear(h, {.x = straight ? g.col_block(begin, part.rows) : g,
                      .weight = part,
                      .transpose = straight ? Transpose::no : Transpose::yes,
                      .write = begin == 0 ? target.write : Write::add,
                      .out = target.view});
      });
    }
    if (inner.present()) second_paths_backward(tape, x, weight, layout, inner, g);
  }
};

}  // namespace detail

/// x (M, in) → (M, out). With `residual` (M, out) the result is residual + x·Wᵀ and both share one gradient,
/// so the residual must not be read again afterwards.
template <class B>
Var linear(Tape<B>& tape, Var x, const ParameterSlice& weight, const ParameterSlice& bias = {},
           Var residual = {}, Layout layout = Layout::out_in) {
  const Index in = layout == Layout::out_in ? weight.cols : weight.rows;
  const Index out_width = layout == Layout::out_in ? weight.rows : weight.cols;
  detail::check_extent("linear", "the input's width", tape.cols(x), in);
  if (bias.present()) detail::check_extent("linear", "the bias's size", bias.size(), out_width);
  if (residual.present()) {
    if (residual.id == x.id) {
      throw UsageError(
          "linear: the residual is the input itself, expected another variable: they share one gradient");
    }
    detail::check_extent("linear", "the residual's rows", tape.rows(residual), tape.rows(x));
    detail::check_extent("linear", "the residual's width", tape.cols(residual), out_width);
  }
  Parameters<B>& parameters = tape.parameters();
  const bool adapted = detail::has_paths(parameters, weight);
  const bool scaled = adapted && detail::has_magnitudes(parameters, weight);
  const bool needs = tape.needs_gradient(x) || tape.needs_gradient(residual) ||
                     parameters.trainable(weight) || parameters.trainable(bias) ||
                     (adapted && detail::trains_paths(parameters, weight));
  const Var out = tape.make(tape.rows(x), out_width, needs);
  typename Tape<B>::Types::ConstStatVector bias_value, no_bias;
  if (bias.present()) bias_value = parameters.value_vector(bias);
  typename Tape<B>::Types::ConstMatrix residual_value, no_residual;
  if (residual.present()) residual_value = tape.value(residual);
  const bool straight = layout == Layout::out_in;
  if (!straight && weight.count > 1) {
    throw UsageError("linear: several tensors stored (in, out) are no matrix by rows, expected one");
  }
  parameters.for_each_part(weight, [&](const typename Tape<B>::Types::Weight& part, Index begin) {
    const Index width = straight ? part.rows : out_width;
    B::linear(
        tape.handle(),
        {.x = tape.value(x),
         .weight = part,
         .transpose = straight ? Transpose::yes : Transpose::no,
         .write = Write::assign,
         .out = tape.value(out).col_block(begin, width),
         .bias = bias.present() && !scaled ? bias_value.subview(begin, width) : no_bias,
         .residual = residual.present() && !scaled ? residual_value.col_block(begin, width) : no_residual});
  });
  Var inner, normed;
  if (adapted) {
    if (straight && weight.size() != detail::size_of_all(parameters, weight)) {
      throw UsageError(concat("linear: parameter '", parameters.spec(weight.first).name,
                              "' has an adapter, expected all of its rows and not a part"));
    }
    inner = detail::add_second_paths(tape, x, weight, layout, out);
  }
  if (scaled) normed = detail::apply_magnitudes(tape, weight, layout, out, bias_value, residual_value);
  if (residual.present()) tape.share_gradient(out, residual);
  tape.record(out, detail::LinearNode<B>{x, residual, out, weight, bias, layout, inner, normed});
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
