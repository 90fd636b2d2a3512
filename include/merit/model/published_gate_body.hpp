// The bodies of published_gate.hpp.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/model/computed_tensor.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/published_gate.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE void require_extent(const HeadTensors& tensors, const PublishedTensor& tensor, Index dimension,
                                 Index expected, std::string_view what) {
  if (tensor.shape[dimension] == expected) return;
  throw DataError(concat(tensors.where(), ": tensor ", quote(tensor.name), " of the head has shape ",
                         shape_text(tensor.shape), ", expected ", expected, " in dimension ", dimension, ", ",
                         what));
}

/// The layers of "gating.layers.N", a batch norm with the linear layer behind it.
inline std::vector<GateLayer> gate_layers(const HeadTensors& tensors, Index hidden_width) {
  std::vector<GateLayer> layers;
  GateLayer next;
  Index width = hidden_width;
  for (const Index number : tensors.layers("gating.layers.")) {
    const std::string name = "gating.layers." + std::to_string(number);
    if (tensors.find(name + ".running_mean") != nullptr) {
      if (!next.norm.empty() || layers.empty()) {
        throw DataError(concat(tensors.where(), ": the gate's layer ", quote(name),
                               " is a batch norm, expected it behind a linear layer"));
      }
      for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
        next.norm.push_back(&tensors.require(name + part, 1));
        require_extent(tensors, *next.norm.back(), 0, width, "the width of the layer before it");
      }
      continue;
    }
    next.weight = &tensors.require(name + ".weight", 2);
    require_extent(tensors, *next.weight, 1, width, "the width of what comes in");
    width = next.weight->shape[0];
    if (tensors.find(name + ".bias") != nullptr) {
      next.bias = &tensors.require(name + ".bias", 1);
      require_extent(tensors, *next.bias, 0, width, "the layer's own width");
    }
    layers.push_back(std::exchange(next, {}));
  }
  if (layers.empty() || !next.norm.empty()) {
    throw DataError(
        concat(tensors.where(), ": the gate ends in no linear layer; the head has ", tensors.seen()));
  }
  return layers;
}

/// What a batch norm does to each of its inputs: (factors, shifts), from weight, bias, mean, variance.
inline std::pair<std::vector<double>, std::vector<double>> norm_as_affine(
    std::span<const std::vector<double>> norm) {
  std::pair<std::vector<double>, std::vector<double>> result;
  for (Index i = 0; i < norm[0].size(); ++i) {
    const double factor = norm[0][i] / std::sqrt(norm[3][i] + batch_norm_epsilon);
    result.first.push_back(factor);
    result.second.push_back(norm[1][i] - factor * norm[2][i]);
  }
  return result;
}

/// Our layer's weight and bias from the tensors of a published one.
inline void add_gate_layer(const GateLayer& layer, Index number, std::vector<ComputedTensor>& out) {
  const std::string name = "gating.layers." + std::to_string(number);
  std::vector<std::string> norm;
  for (const PublishedTensor* tensor : layer.norm) norm.push_back(tensor->name);
  const Index rows = layer.weight->shape[0];
  const bool has_bias = layer.bias != nullptr;

  std::vector<std::string> of_weight{layer.weight->name};
  of_weight.insert(of_weight.end(), norm.begin(), norm.end());
  out.push_back({name + ".weight", of_weight, [](std::span<const std::vector<double>> in) {
                   std::vector<double> values = in[0];
                   if (in.size() == 1) return values;
                   const auto factors = norm_as_affine(in.subspan(1)).first;
                   for (Index i = 0; i < values.size(); ++i) values[i] *= factors[i % factors.size()];
                   return values;
                 }});

  std::vector<std::string> of_bias;
  if (has_bias) of_bias.push_back(layer.bias->name);
  if (!norm.empty()) {
    of_bias.push_back(layer.weight->name);
    of_bias.insert(of_bias.end(), norm.begin(), norm.end());
  }
  out.push_back({name + ".bias", of_bias, [rows, has_bias](std::span<const std::vector<double>> in) {
                   std::vector<double> values(rows);
                   if (has_bias) values = in[0];
                   const auto rest = in.subspan(has_bias ? 1 : 0);
                   if (rest.empty()) return values;
                   const auto shifts = norm_as_affine(rest.subspan(1)).second;
                   for (Index i = 0; i < rest[0].size(); ++i) {
                     values[i / shifts.size()] += rest[0][i] * shifts[i % shifts.size()];
                   }
                   return values;
                 }});
}

/// The ratings' weights: score = Σ_j gate_j · Σ_i mean over quantiles of rating_i · transform_ij, times the
/// gate's factor.
inline std::vector<double> rating_weights(std::span<const std::vector<double>> in, Index attributes,
                                          Index quantiles, bool has_transform, bool has_factor) {
  const std::vector<double>& weight = in[0];  // (attributes · quantiles, d)
  const Index width = weight.size() / (attributes * quantiles);
  const double factor = (has_factor ? in[in.size() - 1][0] : 1.0) / static_cast<double>(quantiles);
  std::vector<double> values(attributes * width);
  for (Index i = 0; i < attributes; ++i) {
    for (Index q = 0; q < quantiles; ++q) {
      const double* row = weight.data() + (i * quantiles + q) * width;
      for (Index j = 0; j < attributes; ++j) {
        const double share = factor * (has_transform ? in[1][i * attributes + j] : (i == j ? 1.0 : 0.0));
        if (share == 0) continue;
        for (Index k = 0; k < width; ++k) values[j * width + k] += share * row[k];
      }
    }
  }
  return values;
}

MERIT_INLINE GatedRegressionHead gated_head(const HeadTensors& tensors, Index hidden_width, Index quantiles,
                                            double temperature, std::vector<ComputedTensor>& computed) {
  const PublishedTensor& ratings = tensors.require("regression_layer.weight", 2);
  require_extent(tensors, ratings, 1, hidden_width, "the width of a hidden row");
  const std::vector<GateLayer> layers = gate_layers(tensors, hidden_width);
  GatedRegressionHead head{.attributes = layers.back().weight->shape[0], .temperature = temperature};
  if (checked_product(head.attributes, quantiles) != ratings.shape[0]) {
    throw DataError(concat(tensors.where(), ": tensor ", quote(ratings.name), " has ", ratings.shape[0],
                           " rows, expected ", quantiles, " for each of the gate's ", head.attributes,
                           " attributes"));
  }
  std::vector<std::string> sources{ratings.name};
  const bool has_transform = tensors.find("reward_transform_matrix") != nullptr;
  if (has_transform) {
    const PublishedTensor& transform = tensors.require("reward_transform_matrix", 2);
    for (const Index dimension : {Index{0}, Index{1}}) {
      require_extent(tensors, transform, dimension, head.attributes, "the number of attributes");
    }
    sources.push_back(transform.name);
  }
  const bool has_factor = tensors.find("gating.logit_scale") != nullptr;
  if (has_factor) {
    const PublishedTensor& factor = tensors.require("gating.logit_scale", 1);
    require_extent(tensors, factor, 0, 1, "one number");
    sources.push_back(factor.name);
  }
  computed.push_back({"regression_layer.weight", sources,
                      [=, attributes = head.attributes](std::span<const std::vector<double>> in) {
                        return rating_weights(in, attributes, quantiles, has_transform, has_factor);
                      }});
  for (Index i = 0; i < layers.size(); ++i) {
    if (i + 1 < layers.size()) head.gate_widths.push_back(layers[i].weight->shape[0]);
    add_gate_layer(layers[i], i, computed);
  }
  return head;
}

/// The widths of a network's layers, each with a bias, whose parameters are ours(i); the last are its outputs.
template <class Ours>
std::vector<Index> network_widths(const HeadTensors& tensors, std::string_view stem, Index width,
                                  const Ours& ours, std::vector<std::pair<std::string, std::string>>& names) {
  std::vector<Index> widths;
  for (const Index number : tensors.layers(stem)) {
    const std::string published = concat(stem, number), name = ours(widths.size());
    const PublishedTensor& weight = tensors.require(published + ".weight", 2);
    require_extent(tensors, weight, 1, width, "the width of what comes in");
    width = weight.shape[0];
    const PublishedTensor& bias = tensors.require(published + ".bias", 1);
    require_extent(tensors, bias, 0, width, "the layer's own width");
    names.emplace_back(name + ".weight", weight.name);
    names.emplace_back(name + ".bias", bias.name);
    widths.push_back(width);
  }
  if (widths.empty()) {
    throw DataError(concat(tensors.where(), ": the head has no layers ", quote(concat(stem, "N.weight")),
                           "; it has ", tensors.seen()));
  }
  return widths;
}

MERIT_INLINE GatedRegressionHead binned_head(const HeadTensors& tensors, Index hidden_width,
                                             double temperature, bool gate_softmax,
                                             std::vector<std::pair<std::string, std::string>>& names) {
  GatedRegressionHead head{.temperature = temperature,
                           .activation = ActivationFunction::leaky_relu,
                           .gate_softmax = gate_softmax,
                           .gate_at_end = true};
  head.rating_widths = network_widths(
      tensors, binned_ratings_stem, hidden_width,
      [](Index i) { return concat("regression_layer.network.", 2 * i); }, names);
  head.gate_widths = network_widths(
      tensors, binned_gate_stem, hidden_width, [](Index i) { return concat("gating.layers.", i); }, names);
  const auto take_last = [](std::vector<Index>& widths) {
    const Index last = widths.back();
    widths.pop_back();
    return last;
  };
  const Index outputs = take_last(head.rating_widths);
  head.attributes = take_last(head.gate_widths);
  head.bins = outputs / head.attributes;
  if (head.rating_widths.empty()) {
    throw DataError(concat(tensors.where(), ": the ratings have one layer, expected two or more in ",
                           quote(binned_ratings_stem), "; the head has ", tensors.seen()));
  }
  if (outputs % head.attributes != 0 || head.bins < 2) {
    throw DataError(concat(tensors.where(), ": the ratings have ", outputs,
                           " outputs, expected at least two bins for each of the gate's ", head.attributes,
                           " attributes"));
  }
  return head;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
