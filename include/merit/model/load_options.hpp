// What is asked of loading, what it reports, and the names under which parameters are found in a file.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/computed_tensor.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct LoadOptions {
  bool allow_missing_head = false;    // a language model without one, or with another kind: it stays as it is
  bool allow_other_settings = false;  // the saved head or backbone may have others than the model
  std::filesystem::path base = {};    // of an adapter; empty: where it says itself
  std::string published_head = {};    // the kind of head in the file, where no card of ours says it
  /// Of a head that is published otherwise than we write it: our parameter's name, and the tensor that is it.
  std::vector<std::pair<std::string, std::string>> names = {};
  std::vector<ComputedTensor> computed = {};  // its parameters that several tensors make
  /// How many bytes of memory the weights may take, those that stay in the file's own memory among them; nothing:
  /// what is free. More is an error before any is read.
  std::optional<Index> memory_limit = {};
  /// Called with the bytes of the file read so far and in all: before the first tensor and after each.
  std::function<void(Index bytes_done, Index bytes_total)> on_progress = {};
};

/// The bytes that weights take in memory.
struct WeightMemory {
  Index mapped = 0;  // of what is held as the file stores it, mostly in the file's own memory
  Index owned = 0;   // of what is read into numbers

  Index total() const { return mapped + owned; }
};

/// What loading did not do, and what it takes.
struct LoadReport {
  WeightMemory memory;

  /// Parameters that were not in the file: they stay as they were, or have their initial values where the
  /// model was made with Initial::from_file.
  std::vector<std::string> fresh;
  std::string other_head;               // the kind of head in the file, where it is not the model's
  std::vector<std::string> skipped;     // tensors known not to be needed: an unembedding, masks, frequencies
  std::vector<std::string> unexpected;  // tensors nobody asked for: worth a warning
};

namespace detail {

inline bool is_head_parameter(std::string_view name) {
  return name.starts_with("score.") || name.starts_with("value_head.") ||
         name.starts_with("regression_layer.") || name.starts_with("gating.");
}

/// The names under which others publish the tensor that we call `name`, ours first.
std::vector<std::string> published_names(const std::string& name);

/// What InternLM2's own code calls a tensor of the Llama family; the same where it has no other name.
std::string name_in_internlm2(std::string name);

/// The tensor that `options` says is our parameter `name`; empty: it says nothing of it.
std::string published_as(const LoadOptions& options, const std::string& name);

inline const ComputedTensor* computed_for(const LoadOptions& options, const std::string& name) {
  for (const ComputedTensor& one : options.computed) {
    if (one.parameter == name) return &one;
  }
  return nullptr;
}

/// How many bytes a tensor has in the file. Throws DataError when it is not there.
Index bytes_of(const WeightSource& file, const std::string& name);

/// The values of a parameter, `count` of them, from the tensors that make it.
std::vector<double> compute(const WeightSource& file, const ComputedTensor& computed, Index count);

/// Throws ConfigError where weights take more than `limit`, or than there is memory where nothing is said.
void check_weight_memory(const std::filesystem::path& path, const WeightMemory& memory,
                         const std::optional<Index>& limit);

/// Tensors of published checkpoints that a reward model does not read, and nothing is lost.
inline bool is_known_extra(std::string_view name) {
  for (const std::string_view ending :
       {"lm_head.weight", "embed_out.weight", ".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
        ".attention.bias", ".attention.masked_bias", "position_ids", "pooler.dense.weight",
        "pooler.dense.bias"}) {
    if (name.ends_with(ending)) return true;
  }
  // What encoders are trained with before they are classifiers.
  for (const std::string_view head : {"cls.predictions.", "cls.seq_relationship.", "lm_head.", "predictions.",
                                      "lm_predictions.", "mask_predictions.", "discriminator_predictions.",
                                      "generator_predictions.", "generator_lm_head.", "vocab_"}) {
    if (name.starts_with(head)) return true;
  }
  return false;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/load_options_body.hpp"
#endif
