// The weights in a GGUF file under the names and in the layouts that Hugging Face gives them.
//
// llama.cpp renames tensors and, for some, moves numbers: in files of the architecture "llama" the rows of
// each head's queries and keys are interleaved (row i of the first half, row i of the second, …), because its
// rotary embedding turns neighbours; in files of "gpt2" the matrices that transformers stores as (in, out)
// are stored as (out, in). Both are undone here.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/weight_files.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

struct GgufName {
  std::string_view ours, published;
};

/// Parts of layer N: "blk.N." before ours, "model.layers.N." before the published name.
inline constexpr GgufName gguf_llama_parts[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};
/// The same with "transformer.h.N.".
inline constexpr GgufName gguf_gpt2_parts[] = {
    {"attn_norm", "ln_1"}, {"attn_qkv", "attn.c_attn"}, {"attn_output", "attn.c_proj"},
    {"ffn_norm", "ln_2"},  {"ffn_up", "mlp.c_fc"},      {"ffn_down", "mlp.c_proj"},
};
/// What lies outside the layers.
inline constexpr GgufName gguf_llama_tops[] = {{"token_embd", "model.embed_tokens"},
                                               {"output_norm", "model.norm"},
                                               {"output", "lm_head"},
                                               {"cls.output", "score"}};
inline constexpr GgufName gguf_gpt2_tops[] = {{"token_embd", "transformer.wte"},
                                              {"position_embd", "transformer.wpe"},
                                              {"output_norm", "transformer.ln_f"},
                                              {"output", "lm_head"},
                                              {"cls.output", "score"}};

template <Index N>
std::string_view gguf_lookup(const GgufName (&names)[N], std::string_view ours) {
  for (const GgufName& name : names) {
    if (name.ours == ours) return name.published;
  }
  return {};
}

/// The published name of a tensor; its own where it has none.
inline std::string gguf_published_name(std::string_view name, bool gpt2) {
  const auto dot = name.rfind('.');
  if (dot == name.npos) return std::string(name);
  const std::string_view stem = name.substr(0, dot);
  const std::string_view ending = name.substr(dot);  // ".weight" or ".bias"
  const std::string_view top = gpt2 ? gguf_lookup(gguf_gpt2_tops, stem) : gguf_lookup(gguf_llama_tops, stem);
  if (!top.empty()) return concat(top, ending);
  constexpr std::string_view block = "blk.";
  const auto end = stem.find('.', block.size());
  if (!stem.starts_with(block) || end == stem.npos) return std::string(name);
  const std::string_view layer = stem.substr(block.size(), end - block.size());
  const std::string_view part = stem.substr(end + 1);
  const std::string_view published =
      gpt2 ? gguf_lookup(gguf_gpt2_parts, part) : gguf_lookup(gguf_llama_parts, part);
  if (published.empty()) return std::string(name);
  return concat(gpt2 ? "transformer.h." : "model.layers.", layer, ".", published, ending);
}

/// The inverse: the name in a GGUF file of a published one, which may lack its prefix; its own where it has none.
inline std::string gguf_name(const std::string& published, bool gpt2) {
  const std::string_view prefix = gpt2 ? "transformer." : "model.";
  const std::string name = published.starts_with("h.") || published.starts_with("w") ||
                                   published.starts_with("layers.") ||
                                   published.starts_with("embed_tokens.") || published.starts_with("norm.") ||
                                   published.starts_with("ln_f.")
                               ? concat(prefix, published)
                               : published;
  const auto dot = name.rfind('.');
  if (dot == name.npos) return published;
  const std::string_view stem = std::string_view(name).substr(0, dot),
                         ending = std::string_view(name).substr(dot);
  const auto ours = [&](const auto& names, std::string_view part) -> std::string_view {
    for (const GgufName& one : names) {
      if (one.published == part) return one.ours;
    }
    return {};
  };
  const std::string_view top = gpt2 ? ours(gguf_gpt2_tops, stem) : ours(gguf_llama_tops, stem);
  if (!top.empty()) return concat(top, ending);
  const std::string_view layers = gpt2 ? "transformer.h." : "model.layers.";
  const auto end = stem.starts_with(layers) ? stem.find('.', layers.size()) : stem.npos;
  if (end == stem.npos) return published;
  const std::string_view layer = stem.substr(layers.size(), end - layers.size()), part = stem.substr(end + 1);
  const std::string_view name_of_part = gpt2 ? ours(gguf_gpt2_parts, part) : ours(gguf_llama_parts, part);
  if (name_of_part.empty()) return published;
  return concat("blk.", layer, ".", name_of_part, ending);
}

/// Where row `row` of a matrix lies in a file that interleaves the rows of each of `heads` heads.
inline Index interleaved_row(Index row, Index rows, Index heads) {
  const Index head = rows / heads, half = head / 2, within = row % head;
  return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}

/// Undoes the interleaving of the rows of `heads` heads in a matrix (rows, columns).
template <class T>
void deinterleave_rows(VectorView<T> matrix, Index rows, Index heads) {
  const Index columns = matrix.size / rows;
  const std::vector<T> before(matrix.data, matrix.data + matrix.size);
  for (Index i = 0; i < rows; ++i) {
    std::copy_n(before.data() + interleaved_row(i, rows, heads) * columns, columns,
                matrix.data + i * columns);
  }
}

/// (rows, columns) to (columns, rows), in tiles that fit the nearest cache.
template <class T>
void transpose_in_place(VectorView<T> matrix, Index rows, Index columns) {
  constexpr Index tile = 32;
  const std::vector<T> before(matrix.data, matrix.data + matrix.size);
  for (Index r0 = 0; r0 < rows; r0 += tile) {
    for (Index c0 = 0; c0 < columns; c0 += tile) {
      for (Index r = r0; r < std::min(r0 + tile, rows); ++r) {
        for (Index c = c0; c < std::min(c0 + tile, columns); ++c) {
          matrix.data[c * rows + r] = before[r * columns + c];
        }
      }
    }
  }
}

}  // namespace detail

/// A GGUF file as a source of weights.
class GgufWeights final : public WeightSource {
 public:
  /// Throws ConfigError for an architecture that merit does not compute, and as GgufFile.
  explicit GgufWeights(const std::filesystem::path& path) : file_(path) {
    // Checks the architecture, and that the numbers used below fit the tensors.
    const Json config = gguf_config_json(file_);
    const auto where = path.string();
    const bool gpt2 = require<std::string>(config, "model_type", where) == "gpt2";
    const bool interleaved = file_.require<std::string>("general.architecture") == "llama";
    for (const GgufTensor& tensor : file_.tensors()) {
      if (tensor.name == "rope_freqs.weight") continue;  // is in the configuration
      Entry entry;
      entry.stored = &tensor;
      entry.info.name = detail::gguf_published_name(tensor.name, gpt2);
      entry.info.dtype_name = tensor.type->name;
      entry.info.dtype = tensor.type->dtype();
      entry.info.shape = tensor.shape;
      entry.info.elements = tensor.elements;
      entry.info.begin = tensor.begin;
      entry.info.end = tensor.end;
      const std::string_view name = entry.info.name;
      if (interleaved && name.find(".q_proj.") != name.npos) {
        entry.heads = require<Index>(config, "num_attention_heads", where);
      } else if (interleaved && name.find(".k_proj.") != name.npos) {
        entry.heads = require<Index>(config, "num_key_value_heads", where);
      }
      const Index rows = tensor.shape.empty() ? 1 : tensor.shape[0];
      if (entry.heads != 0 && (rows % entry.heads != 0 || rows / entry.heads % 2 != 0)) {
        throw DataError(concat(where, ": tensor ", detail::quote(tensor.name), " has shape ",
                               detail::shape_text(tensor.shape), ", expected rows for ", entry.heads,
                               " heads of even width"));
      }
      if (gpt2 && tensor.shape.size() == 2 && name.find(".c_") != name.npos) {
        entry.transposed = true;
        std::swap(entry.info.shape[0], entry.info.shape[1]);
      }
      std::string key = entry.info.name;
      if (!entries_.emplace(std::move(key), std::move(entry)).second) {
        throw DataError(
            concat(where, ": two tensors are ", detail::quote(tensor.name), " under its published name"));
      }
    }
  }

  const GgufFile& file() const { return file_; }
  const std::filesystem::path& path() const override { return file_.path(); }

  std::vector<std::string> names() const override {
    std::vector<std::string> result;
    for (const auto& [name, entry] : entries_) result.push_back(name);
    return result;
  }

  const TensorInfo* find(std::string_view name) const override {
    const auto entry = entries_.find(name);
    return entry == entries_.end() ? nullptr : &entry->second.info;
  }

  void read(std::string_view name, VectorView<float> out) const override { read_as(name, out); }
  void read(std::string_view name, VectorView<double> out) const override { read_as(name, out); }
  std::optional<StoredTensor> stored(std::string_view name) const override {
    const auto found = entries_.find(name);
    if (found == entries_.end() || found->second.transposed) return std::nullopt;
    const Entry& entry = found->second;
    if (entry.heads == 0) return file_.stored(entry.stored->name);
    const Index rows = entry.stored->shape[0];
    return file_.stored_rows(entry.stored->name, rows,
                             [&](Index row) { return detail::interleaved_row(row, rows, entry.heads); });
  }

 private:
  struct Entry {
    TensorInfo info;  // as published
    const GgufTensor* stored = nullptr;
    Index heads = 0;  // whose rows are interleaved
    bool transposed = false;
  };

  template <class T>
  void read_as(std::string_view name, VectorView<T> out) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
      throw DataError(concat(path().string(), ": there is no tensor ", detail::quote(name)));
    }
    const Entry& entry = found->second;
    const GgufTensor& stored = *entry.stored;
    file_.read(stored.name, out);
    if (out.size == 0) return;
    if (entry.heads != 0) detail::deinterleave_rows(out, stored.shape[0], entry.heads);
    if (entry.transposed) detail::transpose_in_place(out, stored.shape[0], stored.shape[1]);
  }

  GgufFile file_;
  std::map<std::string, Entry, std::less<>> entries_;
};

/// Of a folder that holds an adapter, see adapter_files.hpp.
bool is_adapter(const std::filesystem::path& place);
std::unique_ptr<WeightSource> open_adapter(const std::filesystem::path& folder,
                                           const std::filesystem::path& base);

/// The weights at `path`: a directory of safetensors, or else of pytorch_model.bin; a GGUF file, or a directory that holds one; or an adapter, whose base
/// is at `base`, or where the adapter says.
inline std::unique_ptr<WeightSource> open_weights(const std::filesystem::path& path,
                                                  const std::filesystem::path& base = {}) {
  if (is_adapter(path)) return open_adapter(path, base);
  check_weight_files(path);
  if (const auto gguf = find_gguf(path)) return std::make_unique<GgufWeights>(*gguf);
  if (!holds_safetensors(path) && holds_torch_file(path)) return std::make_unique<TorchWeights>(path);
  return std::make_unique<SafetensorsWeights>(path);
}

}  // namespace MERIT_ABI
}  // namespace merit
