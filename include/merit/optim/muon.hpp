// Muon (Jordan et al. 2024): a matrix moves by its momentum with all singular values made about 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/optim/adamw.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// As PyTorch computes it, in the type of the parameters (PyTorch: in bfloat16). For each matrix (M, N)
/// inside a layer (ParameterSpec::hidden), from gradient g and momentum m that starts at 0:
///   m = momentum · m + (1 − momentum) · g
///   O = newton_schulz(momentum · m + (1 − momentum) · g)
///   w = w − rate · (s · O + weight_decay · w)
/// with s = 0.2 · √max(M, N), by which O is as large as an update of AdamW, so that both have one rate (Liu
/// et al. 2025; PyTorch's "match_rms_adamw"), or with original_rate s = √max(1, M/N) (Jordan's, PyTorch's
/// usual).
///
/// newton_schulz(X) is five steps X = a·X + (b·A + c·A·A)·X, A = X·Xᵀ, from X / ‖X‖.
///
/// Vectors, embeddings and heads are AdamW's, as in both publications: Muon is for maps between hidden rows.
struct Muon {
  double momentum = 0.95;
  bool original_rate = false;
  double weight_decay = 0.1;
  AdamW rest = {.beta2 = 0.95, .weight_decay = 0.1};

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "muon"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"momentum", &Muon::momentum, below(0, 1), "what the mean of gradients keeps in a step"});
    visit(Field{"original_rate", &Muon::original_rate, any_value(),
                "the rate is scaled by the root of rows per column instead of to AdamW's size"});
    visit(Field{"weight_decay", &Muon::weight_decay, at_least(0),
                "share of a weight, not of norms and biases, times the rate, that a step takes off"});
    visit(Field{"rest", &Muon::rest, any_value(), "of vectors, embeddings and heads"});
  }

  /// How much O is stretched for a matrix of this shape.
  double rate_scale(Index rows, Index cols) const {
    const auto m = static_cast<double>(rows), n = static_cast<double>(cols);
    return original_rate ? std::sqrt(std::max(1.0, m / n)) : 0.2 * std::sqrt(std::max(m, n));
  }
  friend bool operator==(const Muon&, const Muon&) = default;
};

/// Keeps a number for each element of a matrix inside a layer, and two for each other element. An update
/// works in the gradients' own memory and in room for the largest such matrix and two of its Gram matrices.
template <class B>
class Muon::Bound final : public BoundOptimizer<B> {
 public:
  Bound(const Muon& settings, Parameters<B>& parameters, const OptimizerShard& shard)
      : BoundOptimizer<B>(parameters, shard),
        settings_(settings),
        kept_(parameters.handle(), layout(parameters, shard, tensors_, largest_, smaller_side_)),
        room_(parameters.handle(), largest_),
        gram_(parameters.handle(), smaller_side_ * smaller_side_),
        polynomial_(parameters.handle(), smaller_side_ * smaller_side_) {
    validate(settings);
  }

  std::vector<OptimizerTensor<B>> state() override {
    std::vector<OptimizerTensor<B>> list;
    for (const Tensor& tensor : tensors_) {
      const ParameterSpec& spec = this->parameters().spec(tensor.number);
      if (spec.hidden) {
        list.push_back({"momentum." + spec.name, spec.shape, first_of(tensor)});
      } else {
        list.push_back({"first_moment." + spec.name, spec.shape, first_of(tensor)});
        list.push_back({"second_moment." + spec.name, spec.shape, second_of(tensor)});
      }
    }
    return list;
  }

 private:
  using Matrix = typename BackendTypes<B>::StatMatrix;
  using Vector = typename BackendTypes<B>::StatVector;

  struct Tensor {
    Index number, count;
    Index begin;  // of the momentum, or of the first moments, which the second follow
  };

  /// Lists the shard's tensors; how many numbers are kept of them together.
  static Index layout(const Parameters<B>& parameters, const OptimizerShard& shard,
                      std::vector<Tensor>& tensors, Index& largest, Index& smaller_side) {
    Index size = 0;
    for (const Index i : detail::tensors_of(parameters, shard)) {
      const ParameterSpec& spec = parameters.spec(i);
      const Tensor tensor{i, parameters.element_count(i), size};
      tensors.push_back(tensor);
      size += (spec.hidden ? 1 : 2) * tensor.count;
      if (!spec.hidden) continue;
      largest = std::max(largest, tensor.count);
      smaller_side = std::max(smaller_side, std::min(spec.shape[0], spec.shape[1]));
    }
    return size;
  }
  Vector first_of(const Tensor& tensor) { return kept_.part(tensor.begin, tensor.count); }
  Vector second_of(const Tensor& tensor) { return kept_.part(tensor.begin + tensor.count, tensor.count); }

  void move(double learning_rate, double gradient_scale) override {
    Parameters<B>& parameters = this->parameters();
    for (const Tensor& tensor : tensors_) {
      const ParameterSpec& spec = parameters.spec(tensor.number);
      const Index begin = parameters.offset(tensor.number);
      const Vector values = parameters.values().subview(begin, tensor.count);
      const Vector gradients = parameters.gradients().subview(begin, tensor.count);
      if (!spec.hidden) {
        const double decay = spec.decay ? settings_.rest.weight_decay : 0;
        B::adamw(parameters.handle(),
                 {.parameters = values,
                  .gradients = gradients,
                  .first = first_of(tensor),
                  .second = second_of(tensor),
                  .step = settings_.rest.step(this->steps(), learning_rate, gradient_scale, decay)});
        continue;
      }
      const double mu = settings_.momentum;
      const Vector direction = room_.part(0, tensor.count);
      MomentumStep look;  // the gradient once more beside the momentum it is in: Nesterov's
      look.gradient_scale = gradient_scale;
      look.momentum_weight = mu * mu;
      look.gradient_weight = 1 - mu * mu;
      look.keep = mu;
      look.add = 1 - mu;
      look.keep_out = 0;
      look.rate = -1;
      B::momentum(parameters.handle(),
                  {.gradients = gradients, .momentum = first_of(tensor), .out = direction, .step = look});
      const Index rows = spec.shape[0], cols = spec.shape[1];
      MomentumStep step;
      step.keep_out = 1 - learning_rate * (spec.decay ? settings_.weight_decay : 0);
      step.rate = learning_rate * settings_.rate_scale(rows, cols);
      const Matrix orthogonal = newton_schulz({direction.data, rows, cols}, {gradients.data, rows, cols});
      B::momentum(parameters.handle(), {.gradients = orthogonal.flat(), .out = values, .step = step});
    }
  }

  /// Overwrites both `x` and `other`; returns the one that holds the result. Of a matrix that is higher than
  /// wide A = XᵀX stands on the right: the same result by a smaller A.
  Matrix newton_schulz(Matrix x, Matrix other) {
    constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
    constexpr int rounds = 5;
    typename B::Handle& handle = this->parameters().handle();
    const double norm = std::sqrt(B::sum_of_squares(handle, x.flat()));
    MomentumStep shrink;
    shrink.keep_out = 0;
    shrink.rate = -1 / std::max(norm, 1e-7);
    B::momentum(handle, {.gradients = x.flat(), .out = other.flat(), .step = shrink});
    std::swap(x, other);

    const bool high = x.rows > x.cols;
    const Index side = std::min(x.rows, x.cols);
    const Matrix gram{gram_.part(0, side * side).data, side, side};
    const Matrix polynomial{polynomial_.part(0, side * side).data, side, side};
    for (int round = 0; round < rounds; ++round) {
      B::product(handle, {.a = x,
                          .transpose_a = high ? Transpose::yes : Transpose::no,
                          .b = x,
                          .transpose_b = high ? Transpose::no : Transpose::yes,
                          .out = gram});
      B::product(handle, {.a = gram, .b = gram, .scale = c, .c = gram, .c_scale = b, .out = polynomial});
      B::product(
          handle,
          {.a = high ? x : polynomial, .b = high ? polynomial : x, .c = x, .c_scale = a, .out = other});
      std::swap(x, other);
    }
    return x;
  }

  Muon settings_;
  std::vector<Tensor> tensors_;
  Index largest_ = 0, smaller_side_ = 0;
  detail::StatBlock<B> kept_, room_, gram_, polynomial_;
};

}  // namespace MERIT_ABI
}  // namespace merit
