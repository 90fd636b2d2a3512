// Heads of several ratings with a gate, as ArmoRM and QRM publish them, to a GatedRegressionHead.
//
// What is linear behind the ratings is put into their weights: the mean of an attribute's quantiles, the
// matrix that mixes the attributes, the gate's factor. A batch norm inside the gate is put into the layer
// behind it. So the head computes the published score with fewer parts, and needs no more than two layers'
// worth of code.
#pragma once

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

/// The head of `regression_layer` and `gating`, and how its parameters are made.
GatedRegressionHead gated_head(const HeadTensors& tensors, Index hidden_width, Index quantiles,
                               double temperature, std::vector<ComputedTensor>& computed);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/published_gate_body.hpp"
#endif
