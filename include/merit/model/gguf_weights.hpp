// The weights in a GGUF file under the names and in the layouts that Hugging Face gives them: what gguf_layouts.hpp says
// that llama.cpp moves is put back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/gguf_layouts.hpp"
#include "merit/model/head_files.hpp"
#include "merit/model/weight_files.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

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
  /// Throws ConfigError for an architecture that merit does not compute, DataError where tensors are not of the shapes
  /// that the metadata say, and as GgufFile.
  explicit GgufWeights(const std::filesystem::path& path) : file_(path) {
    const Json config = gguf_config_json(file_);  // checks the architecture
    layout_ = detail::find_gguf_layout(file_.require<std::string>("general.architecture"));
    const auto count = [&](const char* field) {
      return config.contains(field) ? config.at(field).get<Index>() : 0;
    };
    sizes_ = {count("num_attention_heads"), count("num_key_value_heads"), count("num_experts")};
    for (const GgufTensor& tensor : file_.tensors()) {
      if (tensor.name.starts_with("rope_f")) continue;  // is in the configuration
      const std::string published = detail::gguf_published_name(*layout_, tensor.name);
      const auto part = detail::layer_name(tensor.name, "blk.");
      if (part && !detail::gguf_expert(part->part).empty()) {
        add_experts(tensor, published);
      } else if (!(part && layout_->architecture == "internlm2" &&
                   (part->part == "attn_k" || part->part == "attn_v"))) {
        add(tensor, published, tensor.shape);
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
    if (found == entries_.end()) return std::nullopt;
    const Entry& entry = found->second;
    if (entry.transposed || entry.adds_one || entry.place.tensors.size() > 1) return std::nullopt;
    const std::string& in_file = entry.place.tensors.front();
    if (entry.place.order) {
      return file_.stored_rows(in_file, entry.rows, [&](Index row) { return entry.place.order(row).row; });
    }
    std::optional<StoredTensor> tensor = file_.stored(in_file);
    if (tensor && entry.place.first != 0) {
      tensor->data = static_cast<const std::byte*>(tensor->data) +
                     entry.place.first * ((entry.info.end - entry.info.begin) / entry.rows);
    }
    return tensor;
  }

 private:
  struct Entry {
    TensorInfo info;  // as published
    detail::GgufPlace place;
    Index rows = 1;
    bool transposed = false, adds_one = false;
  };

  /// A tensor of the file, or a part of it, as one published.
  void add(const GgufTensor& tensor, const std::string& published, std::vector<Index> shape) {
    const std::string where = path().string();
    Entry entry;
    TensorInfo& info = entry.info;
    info.name = published;
    info.dtype_name = tensor.type->name;
    info.dtype = tensor.type->dtype();
    info.begin = tensor.begin;
    if (layout_->architecture == "internlm2" && published.find(".attention.wqkv.") != published.npos) {
      for (const char* part : {"attn_k", "attn_v"}) {
        std::string other = tensor.name;
        other.replace(other.find("attn_q"), 6, part);
        const GgufTensor& joined = file_.tensor(other);
        if (shape.empty() || joined.shape.size() != shape.size() ||
            (shape.size() > 1 && joined.shape.back() != shape.back())) {
          throw DataError(concat(where, ": tensor ", detail::quote(other), " has shape ",
                                 detail::shape_text(joined.shape), ", expected it to be joined to ",
                                 detail::quote(tensor.name), " of shape ", detail::shape_text(tensor.shape)));
        }
        shape[0] += joined.shape[0];
        if (joined.type != tensor.type) {  // of several types, as numbers
          info.dtype_name = "F32";
          info.dtype = Dtype::f32;
        }
      }
    }
    info.shape = shape;
    info.elements = detail::element_count(shape).value_or(0);
    info.end =
        info.begin + (info.dtype ? stored_bytes(*info.dtype, info.elements) : tensor.end - tensor.begin);
    entry.rows = shape.size() > 1 ? info.elements / std::max<Index>(shape.back(), 1) : info.elements;
    entry.place = detail::gguf_place(*layout_, sizes_, published, entry.rows, where);
    entry.adds_one = layout_->norms_add_one && published.ends_with("norm.weight");
    if (layout_->transposed && shape.size() == 2 && published.find(".c_") != published.npos) {
      entry.transposed = true;
      std::swap(info.shape[0], info.shape[1]);
    }
    if (entry.place.tensors.size() > 1) check_joined(entry);
    if (!entries_.emplace(published, std::move(entry)).second) {
      throw DataError(
          concat(where, ": two tensors are ", detail::quote(tensor.name), " under its published name"));
    }
  }

  /// The rows of InternLM2's three tensors are those that heads of one width have.
  void check_joined(const Entry& entry) const {
    const Index width = entry.rows / (sizes_.heads + 2 * sizes_.kv_heads);
    for (Index i = 0; i < 3; ++i) {
      const GgufTensor& part = file_.tensor(entry.place.tensors[i]);
      const Index heads = i == 0 ? sizes_.heads : sizes_.kv_heads;
      if (part.shape[0] == heads * width) continue;
      throw DataError(concat(path().string(), ": tensor ", detail::quote(part.name), " has ", part.shape[0],
                             " rows, expected ", heads * width, ", those of ", heads, " heads"));
    }
  }

  /// Each matrix of a tensor (experts, rows, columns).
  void add_experts(const GgufTensor& tensor, const std::string& published) {
    if (tensor.shape.size() != 3 || tensor.shape[0] != sizes_.experts) {
      throw DataError(concat(path().string(), ": tensor ", detail::quote(tensor.name), " has shape ",
                             detail::shape_text(tensor.shape), ", expected three dimensions, the first of ",
                             sizes_.experts, " experts"));
    }
    constexpr std::string_view first = ".experts.0.";
    for (Index i = 0; i < sizes_.experts; ++i) {
      std::string name = published;
      name.replace(name.find(first), first.size(), concat(".experts.", i, "."));
      add(tensor, name, {tensor.shape[1], tensor.shape[2]});
    }
  }

  template <class T>
  void read_as(std::string_view name, VectorView<T> out) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
      throw DataError(concat(path().string(), ": there is no tensor ", detail::quote(name)));
    }
    const Entry& entry = found->second;
    if (entry.info.elements != out.size) {
      throw UsageError(concat(path().string(), ": tensor ", detail::quote(name), " has ", entry.info.elements,
                              " elements, the place to read it into has ", out.size));
    }
    const std::vector<std::string>& tensors = entry.place.tensors;
    if (!entry.place.order) {
      file_.read_rows(tensors.front(), entry.place.first, out);
    } else if (entry.rows != 0) {
      const Index columns = out.size / entry.rows;
      std::vector<std::vector<T>> parts;
      for (const std::string& part : tensors) {
        parts.emplace_back(file_.tensor(part).elements);
        file_.read(part, VectorView<T>(parts.back()));
      }
      for (Index i = 0; i < entry.rows; ++i) {
        const auto [tensor, row] = entry.place.order(i);
        std::copy_n(parts[tensor].data() + row * columns, columns, out.data + i * columns);
      }
    }
    if (entry.adds_one) {
      for (Index i = 0; i < out.size; ++i) out.data[i] -= 1;
    }
    if (entry.transposed && out.size != 0) {
      detail::transpose_in_place(out, entry.info.shape[1], entry.info.shape[0]);
    }
  }

  GgufFile file_;
  const detail::GgufLayout* layout_ = nullptr;
  detail::GgufSizes sizes_;
  std::map<std::string, Entry, std::less<>> entries_;
};

// Of a folder that holds an adapter: adapter_files.hpp, which opens the base by open_weights() and so comes behind it.
bool is_adapter(const std::filesystem::path& place);
std::unique_ptr<WeightSource> open_adapter(const std::filesystem::path& folder,
                                           const std::filesystem::path& base);

/// The weights at `path`: a directory of safetensors, or else of pytorch_model.bin, and what lies beside them of
/// a head (head_files.hpp); a GGUF file, or a directory that holds one; or an adapter, whose base is at `base`,
/// or where the adapter says.
inline std::unique_ptr<WeightSource> open_weights(const std::filesystem::path& path,
                                                  const std::filesystem::path& base = {}) {
  if (is_adapter(path)) return open_adapter(path, base);
  check_weight_files(path);
  if (const auto gguf = find_gguf(path)) return std::make_unique<GgufWeights>(*gguf);
  std::unique_ptr<WeightSource> weights;
  if (!holds_safetensors(path) && holds_torch_file(path)) {
    weights = std::make_unique<TorchWeights>(path);
  } else {
    weights = std::make_unique<SafetensorsWeights>(path);
  }
  if (!WeightsWithHeadFiles::are_in(path)) return weights;
  return std::make_unique<WeightsWithHeadFiles>(std::move(weights), path);
}

}  // namespace MERIT_ABI
}  // namespace merit

#include "merit/model/adapter_files.hpp"
