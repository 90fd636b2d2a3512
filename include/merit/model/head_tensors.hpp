// The tensors of a published checkpoint that belong to a head, found by their names.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/tensor_prefixes.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What is known of a tensor before it is read.
struct PublishedTensor {
  std::string name;
  std::vector<Index> shape;
};

/// All tensors of a source of weights.
inline std::vector<PublishedTensor> tensors_of(const WeightSource& weights) {
  std::vector<PublishedTensor> tensors;
  for (const std::string& name : weights.names()) tensors.push_back({name, weights.find(name)->shape});
  return tensors;
}

namespace detail {

/// The published names of a linear head, and of the layers 0 and 2 of one with two. The order is that of
/// choice: what scores completions or steps comes before values of states.
inline constexpr std::string_view head_stems[] = {"score",           "classifier.out_proj", "classifier",
                                                  "regression_head", "score_head",          "rm_head",
                                                  "reward_head",     "regression_layer",    "v_head.summary",
                                                  "v_head",          "value_head.summary",  "value_head"};

/// Whether a tensor is the weight or the bias of a linear head or of a layer of one, "score.weight" or "score.0.bias".
inline bool is_head_layer(std::string_view name) {
  for (const std::string_view stem : head_stems) {
    if (!name.starts_with(stem)) continue;
    std::string_view rest = name.substr(stem.size());
    if (rest.starts_with(".0.") || rest.starts_with(".2.")) rest.remove_prefix(2);
    if (rest == ".weight" || rest == ".bias") return true;
  }
  return false;
}

/// Whether a tensor is of a layer of a head with several: "score.0.weight" and the like.
inline bool is_deep_head(std::string_view name) {
  for (const std::string_view stem : head_stems) {
    if (!name.starts_with(stem)) continue;
    const std::string_view rest = name.substr(stem.size());
    if (rest.size() > 1 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9') return true;
  }
  return false;
}

/// A name without what wrappers put before it.
inline std::string_view bare_name(std::string_view name) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view prefix : {"module.", "pretrained_model."}) {
      if (!name.starts_with(prefix)) continue;
      name.remove_prefix(prefix.size());
      again = true;
    }
  }
  return name;
}

/// Whether a tensor is of a backbone, or a language model's unembedding.
inline bool is_backbone_tensor(std::string_view name) {
  name = bare_name(name);
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view prefix : backbone_prefixes) {
      if (!name.starts_with(prefix)) continue;
      name.remove_prefix(prefix.size());
      again = true;
    }
  }
  for (const std::string_view part : {"embed_tokens.",
                                      "layers.",
                                      "norm.",
                                      "wte.",
                                      "wpe.",
                                      "h.",
                                      "ln_f.",
                                      "lm_head.",
                                      "rotary_emb.",
                                      "tok_embeddings.",
                                      "output.",
                                      "embeddings.",
                                      "embeddings_project.",
                                      "encoder.",
                                      "layer.",
                                      "pooler.",
                                      "pre_classifier.",
                                      "classifier.dense.",
                                      "head.dense.",
                                      "head.norm.",
                                      "final_norm.",
                                      "embed_in.",
                                      "final_layer_norm.",
                                      "embed_out.",
                                      "predictions.",
                                      "cls.predictions.",
                                      "generator_predictions.",
                                      "vocab_"}) {
    if (name.starts_with(part)) return true;
  }
  return false;
}

/// The tensors that are not of the backbone.
class HeadTensors {
 public:
  HeadTensors(std::span<const PublishedTensor> tensors, std::string where) : where_(std::move(where)) {
    for (const PublishedTensor& tensor : tensors) {
      if (is_backbone_tensor(tensor.name)) continue;
      const auto [at, added] = by_name_.emplace(std::string(bare_name(tensor.name)), &tensor);
      if (!added) {
        throw DataError(concat(where_, ": the tensors ", quote(at->second->name), " and ", quote(tensor.name),
                               " have one name, expected one of them"));
      }
    }
  }

  bool empty() const { return by_name_.empty(); }
  const std::string& where() const { return where_; }

  /// Whether a name says that it belongs to a head, be it one that is not known.
  bool name_a_head() const {
    for (const auto& [name, tensor] : by_name_) {
      for (const std::string_view word :
           {"head", "score", "reward", "regress", "classif", "value", "gating"}) {
        if (name.find(word) != std::string::npos) return true;
      }
    }
    return false;
  }

  /// The tensor of that name, or null.
  const PublishedTensor* find(const std::string& name) const {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second;
  }

  /// The tensor of that name, which has `rank` dimensions, none of them 0.
  const PublishedTensor& require(const std::string& name, Index rank) const {
    const PublishedTensor* tensor = find(name);
    if (tensor == nullptr) {
      throw DataError(concat(where_, ": the head has no tensor ", quote(name), "; it has ", seen()));
    }
    const bool empty = std::find(tensor->shape.begin(), tensor->shape.end(), Index{0}) != tensor->shape.end();
    if (tensor->shape.size() != rank || empty) {
      throw DataError(concat(where_, ": tensor ", quote(tensor->name), " of the head has shape ",
                             shape_text(tensor->shape), ", expected ", rank,
                             rank == 1 ? " dimension" : " dimensions", ", none of them 0"));
    }
    return *tensor;
  }

  /// The numbers N of all "PREFIXN.weight", ascending.
  std::vector<Index> layers(std::string_view prefix) const {
    std::vector<Index> numbers;
    for (const auto& [name, tensor] : by_name_) {
      if (!name.starts_with(prefix) || !name.ends_with(".weight")) continue;
      const char* const begin = name.data() + prefix.size();
      const char* const end = name.data() + (name.size() - std::string_view(".weight").size());
      Index number = 0;
      const auto [at, error] = std::from_chars(begin, std::max(begin, end), number);
      if (error == std::errc{} && at == end) numbers.push_back(number);
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  /// "score.weight [1, 16], …", eight at most.
  std::string seen() const {
    std::string text;
    Index count = 0;
    for (const auto& [name, tensor] : by_name_) {
      if (++count > 8) return text + concat(" and ", by_name_.size() - 8, " more");
      text += concat(text.empty() ? "" : ", ", quote(tensor->name), " ", shape_text(tensor->shape));
    }
    return text.empty() ? "none" : text;
  }

 private:
  std::string where_;
  std::map<std::string, const PublishedTensor*> by_name_;
};

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
