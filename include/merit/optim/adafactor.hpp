// Adafactor (Shazeer & Stern 2018): AdamW's second moments of a matrix in a number for each row and each
// column, and no first moments, so that what it keeps is next to nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "merit/optim/optimizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// As PyTorch computes it, with its defaults. At step t, for each tensor of n elements:
///   share = t^beta2_decay                                  (1 − β₂ of the step)
///   r = r + share · (means of g² over rows − r),  c = c + share · (means over columns − c)
///   u = g / √(r·cᵀ / mean(r))                              (of a vector, with one moment for each element)
///   w = w − rate · weight_decay · w
///   w = w − min(rate, 1/√t) · max(epsilon2, ‖w‖/√n) · u / max(1, ‖u‖ / (clip·√n))
/// where ‖w‖ is that before decay. The rate is relative to a tensor's size; 0.01 is usual.
struct Adafactor {
  double beta2_decay = -0.8;
  double epsilon1 = 0;
  double epsilon2 = 1e-3;
  double clip = 1;
  double weight_decay = 0;

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "adafactor"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"beta2_decay", &Adafactor::beta2_decay, between(-1, 0),
                "power of the step that is the share of new squares in the moments"});
    visit(Field{"epsilon1", &Adafactor::epsilon1, at_least(0),
                "the least root of a second moment; 0: the precision of the numbers"});
    visit(Field{"epsilon2", &Adafactor::epsilon2, above(0),
                "the least size of a tensor that its step is relative to"});
    visit(Field{"clip", &Adafactor::clip, above(0), "the root mean square that an update may have",
                "--update-clip"});
    visit(Field{"weight_decay", &Adafactor::weight_decay, at_least(0),
                "share of a weight, not of norms and biases, times the rate, that a step takes off"});
  }
  friend bool operator==(const Adafactor&, const Adafactor&) = default;
};

/// Keeps a number for each row and each column of a matrix, and one for each element of a vector. An update
/// works in the gradients' own memory.
template <class B>
class Adafactor::Bound final : public BoundOptimizer<B> {
 public:
  using T = typename B::Stat;

  Bound(const Adafactor& settings, Parameters<B>& parameters, const OptimizerShard& shard)
      : BoundOptimizer<B>(parameters, shard),
        settings_(settings),
        moments_(parameters.handle(), layout(parameters, shard, tensors_)) {
    validate(settings);
  }

  std::vector<OptimizerTensor<B>> state() override {
    std::vector<OptimizerTensor<B>> list;
    for (const Tensor& tensor : tensors_) {
      const std::string& name = this->parameters().spec(tensor.number).name;
      if (tensor.is_matrix) list.push_back({"row_moment." + name, {tensor.rows}, rows_of(tensor)});
      list.push_back({(tensor.is_matrix ? "column_moment." : "second_moment.") + name,
                      {tensor.columns},
                      columns_of(tensor)});
    }
    return list;
  }

 private:
  struct Tensor {
    Index number;
    bool is_matrix;
    Index rows, columns;  // a vector is one row
    Index begin;          // of the rows' moments, which the columns' follow
  };

  /// Lists the shard's tensors; how many moments they have together.
  static Index layout(const Parameters<B>& parameters, const OptimizerShard& shard,
                      std::vector<Tensor>& tensors) {
    Index size = 0;
    for (const Index i : detail::tensors_of(parameters, shard)) {
      const std::vector<Index>& shape = parameters.spec(i).shape;
      const bool is_matrix = shape.size() == 2;
      const Tensor tensor{i, is_matrix, is_matrix ? shape[0] : 1, shape.back(), size};
      tensors.push_back(tensor);
      size += (is_matrix ? tensor.rows : 0) + tensor.columns;
    }
    return size;
  }
  typename BackendTypes<B>::StatVector rows_of(const Tensor& tensor) {
    return moments_.part(tensor.begin, tensor.rows);
  }
  typename BackendTypes<B>::StatVector columns_of(const Tensor& tensor) {
    return moments_.part(tensor.begin + (tensor.is_matrix ? tensor.rows : 0), tensor.columns);
  }

  void move(double learning_rate, double gradient_scale) override {
    Parameters<B>& parameters = this->parameters();
    const auto t = static_cast<double>(this->steps());
    AdafactorStep moments;
    moments.gradient_scale = gradient_scale;
    moments.share = std::pow(t, settings_.beta2_decay);
    moments.epsilon =
        settings_.epsilon1 > 0 ? settings_.epsilon1 : static_cast<double>(std::numeric_limits<T>::epsilon());
    for (const Tensor& tensor : tensors_) {
      const Index begin = parameters.offset(tensor.number);
      const Index count = parameters.element_count(tensor.number);
      const auto values = parameters.values().subview(begin, count);
      const auto direction = parameters.gradients().subview(begin, count);
      const auto size = [&](typename BackendTypes<B>::ConstStatVector v) {
        return std::sqrt(B::sum_of_squares(parameters.handle(), v) / static_cast<double>(count));
      };
      const double scale = std::max(settings_.epsilon2, size(values));
      B::adafactor(parameters.handle(),
                   {.gradients = {direction.data, tensor.rows, tensor.columns},
                    .rows = tensor.is_matrix ? rows_of(tensor) : typename BackendTypes<B>::StatVector{},
                    .columns = columns_of(tensor),
                    .step = moments});
      const double decay = parameters.spec(tensor.number).decay ? settings_.weight_decay : 0;
      MomentumStep step;
      step.keep_out = 1 - learning_rate * decay;
      step.rate =
          std::min(learning_rate, 1 / std::sqrt(t)) * scale / std::max(1.0, size(direction) / settings_.clip);
      B::momentum(parameters.handle(), {.gradients = direction, .out = values, .step = step});
    }
  }

  Adafactor settings_;
  std::vector<Tensor> tensors_;
  detail::StatBlock<B> moments_;
};

}  // namespace MERIT_ABI
}  // namespace merit
