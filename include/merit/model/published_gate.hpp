// Heads of several ratings with a gate, as ArmoRM, QRM and LDL-Reward publish them, to a GatedRegressionHead.
//
// What is linear behind the ratings is put into their weights: the mean of an attribute's quantiles, the
// matrix that mixes the attributes, the gate's factor. A batch norm inside the gate is put into the layer
// behind it. So the head computes the published score with fewer parts.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/model/computed_tensor.hpp"
#include "merit/model/head_tensors.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

inline constexpr double batch_norm_epsilon = 1e-5;  // PyTorch's, which no published config changes

/// A layer of the gate as it lies in the file.
struct GateLayer {
  const PublishedTensor* weight = nullptr;   // (out, in)
  const PublishedTensor* bias = nullptr;     // (out), or none
  std::vector<const PublishedTensor*> norm;  // weight, bias, mean, variance of what comes in; empty: none
};

void require_extent(const HeadTensors& tensors, const PublishedTensor& tensor, Index dimension,
                    Index expected, std::string_view what);

/// ArmoRM's head, of `regression_layer` and `gating`, and how its parameters are made.
GatedRegressionHead gated_head(const HeadTensors& tensors, Index hidden_width, Index quantiles,
                               double temperature, std::vector<ComputedTensor>& computed);

/// The published names of LDL-Reward's two networks, before their layers.
inline constexpr std::string_view binned_ratings_stem = "regression_layer.network.";
inline constexpr std::string_view binned_gate_stem = "gating_layer.network.";

/// LDL-Reward's head, of two networks with LeakyReLU between layers, and names for loading. How many bins a
/// rating has, which the published class fixes at 10, follows from the outputs of both.
GatedRegressionHead binned_head(const HeadTensors& tensors, Index hidden_width, double temperature,
                                bool gate_softmax, std::vector<std::pair<std::string, std::string>>& names);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/published_gate_body.hpp"
#endif
