// RMSNorm and LayerNorm. The backward keeps one or two numbers a row, not the normalised values.
#pragma once

#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The same memory as rows of `width` elements.
template <class Matrix>
Matrix reshape(const Matrix& matrix, Index width) {
  return {matrix.data, matrix.rows * matrix.cols / width, width};
}

template <class B>
struct RmsNormNode {
  Var x;
  Var out;
  ParameterSlice weight;                     // (width)
  typename Tape<B>::Types::StatVector rstd;  // one a normalised row

  void backward(Tape<B>& tape) const {
    Parameters<B>& parameters = tape.parameters();
    const Index width = weight.cols;
    typename Tape<B>::Types::StatVector dweight;
    if (parameters.trainable(weight)) dweight = parameters.gradient_to_add(weight).flat();
    typename Tape<B>::Types::Matrix dx;
    Write write = Write::assign;
    if (tape.needs_gradient(x)) {
      const auto target = tape.gradient_target(x);
      dx = reshape(target.view, width);
      write = target.write;
    }
    B::rms_norm_backward(tape.handle(), {.dy = reshape(tape.gradient(out), width),
                                         .x = reshape(tape.value(x), width),
                                         .weight = parameters.value_vector(weight),
                                         .rstd = rstd,
                                         .write = write,
                                         .dx = dx,
                                         .dweight = dweight});
  }
};

template <class B>
struct LayerNormNode {
  Var x;
  Var out;
  ParameterSlice weight;
  ParameterSlice bias;
  typename Tape<B>::Types::StatVector stats;  // (2M): means, then reciprocal deviations

  void backward(Tape<B>& tape) const {
    Parameters<B>& parameters = tape.parameters();
    typename Tape<B>::Types::StatVector dweight;
    typename Tape<B>::Types::StatVector dbias;
    if (parameters.trainable(weight)) dweight = parameters.gradient_to_add(weight).flat();
    if (parameters.trainable(bias)) dbias = parameters.gradient_to_add(bias).flat();
    typename Tape<B>::Types::Matrix dx;
    Write write = Write::assign;
    if (tape.needs_gradient(x)) {
      const auto target = tape.gradient_target(x);
      dx = target.view;
      write = target.write;
    }
    B::layer_norm_backward(tape.handle(), {.dy = tape.gradient(out),
                                           .x = tape.value(x),
                                           .weight = parameters.value_vector(weight),
                                           .stats = stats,
                                           .write = write,
                                           .dx = dx,
                                           .dweight = dweight,
                                           .dbias = dbias});
  }
};

}  // namespace detail

/// Root-mean-square norm (Zhang & Sennrich 2019) of x (M, G·width), each run of `width` = the weight's size
/// by itself: G = 1 for a whole row, G = heads for the per-head norm of queries and keys (Qwen3).
template <class B>
Var rms_norm(Tape<B>& tape, Var x, const ParameterSlice& weight, double epsilon) {
  const Index width = weight.size();
  detail::check_extent("rms_norm", "the remainder of the input's width by the weight's size",
                       tape.cols(x) % width, 0);
  Parameters<B>& parameters = tape.parameters();
  const Var out =
      tape.make(tape.rows(x), tape.cols(x), tape.needs_gradient(x) || parameters.trainable(weight));
  const auto rstd = tape.keep(tape.rows(x) * tape.cols(x) / width);
  B::rms_norm(tape.handle(), {.x = detail::reshape(tape.value(x), width),
                              .weight = parameters.value_vector(weight),
                              .epsilon = epsilon,
                              .y = detail::reshape(tape.value(out), width),
                              .rstd = rstd});
  tape.record(out, detail::RmsNormNode<B>{x, out, weight, rstd});
  return out;
}

/// Layer norm (Ba et al. 2016) of each row of x (M, d) with weight and bias (d).
template <class B>
Var layer_norm(Tape<B>& tape, Var x, const ParameterSlice& weight, const ParameterSlice& bias,
               double epsilon) {
  detail::check_extent("layer_norm", "the input's width", tape.cols(x), weight.size());
  Parameters<B>& parameters = tape.parameters();
  const bool needs = tape.needs_gradient(x) || parameters.trainable(weight) || parameters.trainable(bias);
  const Var out = tape.make(tape.rows(x), tape.cols(x), needs);
  const auto stats = tape.keep(2 * tape.rows(x));
  B::layer_norm(tape.handle(), {.x = tape.value(x),
                                .weight = parameters.value_vector(weight),
                                .bias = parameters.value_vector(bias),
                                .epsilon = epsilon,
                                .y = tape.value(out),
                                .stats = stats});
  tape.record(out, detail::LayerNormNode<B>{x, out, weight, bias, stats});
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
