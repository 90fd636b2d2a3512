// The bodies of write_safetensors.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <variant>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/write_safetensors.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

inline Dtype stored_dtype(const TensorSource& tensor, const SafetensorsOptions& options) {
  const Dtype own = std::visit(
      [](const auto* data) { return dtype_of<std::remove_cvref_t<decltype(*data)>>(); }, tensor.data);
  return tensor.dtype.value_or(options.dtype.value_or(own));
}

inline Index stored_bytes(const TensorSource& tensor, const SafetensorsOptions& options) {
  const auto elements = element_count(tensor.shape);
  const auto bytes =
      elements ? checked_product(*elements, size_of(stored_dtype(tensor, options))) : std::nullopt;
  if (!bytes) {
    throw UsageError(
        concat("tensor ", quote(tensor.name), ": the shape ", shape_text(tensor.shape), " overflows"));
  }
  return *bytes;
}

inline void check_names(std::span<const TensorSource> tensors) {
  std::unordered_set<std::string_view> names;
  for (const TensorSource& tensor : tensors) {
    if (tensor.name == "__metadata__") throw UsageError("a tensor cannot be called \"__metadata__\"");
    if (!names.insert(tensor.name).second) {
      throw UsageError(concat("two tensors are called ", quote(tensor.name)));
    }
  }
}

/// Appends one tensor's numbers to `file`, a block at a time.
template <class T>
void write_numbers(AtomicFile& file, const std::filesystem::path& path, const TensorSource& tensor,
                   const T* data, Dtype dtype, NonFinite non_finite) {
  using Number = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const Index elements = *element_count(tensor.shape);
  const Index size = size_of(dtype);
  std::vector<std::byte> block(std::min(elements, conversion_block) * size);
  std::vector<Number> numbers(std::min(elements, conversion_block));
  std::vector<Number> back(non_finite == NonFinite::reject ? numbers.size() : 0);
  for (Index done = 0; done < elements;) {
    const Index count = std::min(elements - done, conversion_block);
    for (Index i = 0; i < count; ++i) numbers[i] = number<Number>(data[done + i]);
    encode(dtype, numbers.data(), block.data(), count);
    if (non_finite == NonFinite::reject) {
      decode(dtype, block.data(), back.data(), count);
      const Index bad = first_non_finite(back.data(), count);
      if (bad < count) {
        throw DataError(concat(path.string(), ": not written: tensor ", quote(tensor.name), ": element ",
                               done + bad, " is ", numbers[bad], ", which is not a finite ", name_of(dtype)));
      }
    }
    file.write(block.data(), count * size);
    done += count;
  }
}

}  // namespace detail

MERIT_INLINE void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                                    const SafetensorsOptions& options) {
  detail::check_names(tensors);
  // Wide types first keep every tensor aligned to its element, because the header is padded to 8 bytes.
  std::vector<const TensorSource*> order;
  for (const TensorSource& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [&](const TensorSource* a, const TensorSource* b) {
    return size_of(detail::stored_dtype(*a, options)) > size_of(detail::stored_dtype(*b, options));
  });

  std::map<std::string, std::string> metadata = options.metadata;
  metadata.emplace("format", "pt");
  std::string header = "{\"__metadata__\":";
  header += json_text(metadata, path.string(), -1);
  Index offset = 0;
  for (const TensorSource* tensor : order) {
    const Index end = offset + detail::stored_bytes(*tensor, options);
    if (end < offset) throw UsageError("the tensors together are larger than a file can be");
    const Json entry = {{"dtype", name_of(detail::stored_dtype(*tensor, options))},
                        {"shape", tensor->shape},
                        {"data_offsets", {offset, end}}};
    header.append(",").append(json_text(tensor->name, path.string(), -1)).append(":").append(entry.dump());
    offset = end;
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > detail::safetensors_header_limit) {
    throw UsageError(
        concat(path.string(), ": the header would be ", header.size(), " bytes, more than readers accept"));
  }

  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header);
  for (const TensorSource* tensor : order) {
    std::visit(
        [&](const auto* data) {
          detail::write_numbers(file, path, *tensor, data, detail::stored_dtype(*tensor, options),
                                options.non_finite);
        },
        tensor->data);
  }
  file.commit();
}

MERIT_INLINE void write_safetensors_directory(const std::filesystem::path& directory,
                                              std::span<const TensorSource> tensors,
                                              const SafetensorsOptions& options, std::string_view stem) {
  detail::check_names(tensors);
  struct Shard {
    Index begin = 0, end = 0;  // tensors
    Index bytes = 0;
  };
  std::vector<Shard> shards(1);
  Index total = 0;
  for (Index i = 0; i < tensors.size(); ++i) {
    const Index bytes = detail::stored_bytes(tensors[i], options);
    // Written without a sum that could overflow.
    if (shards.back().end > shards.back().begin &&
        (bytes > options.max_shard_bytes || shards.back().bytes > options.max_shard_bytes - bytes)) {
      shards.push_back({i, i, 0});
    }
    shards.back().end = i + 1;
    shards.back().bytes += bytes;
    total += bytes;
  }

  const std::filesystem::path single = directory / concat(stem, ".safetensors");
  const std::filesystem::path index = directory / concat(stem, ".safetensors.index.json");
  // A reader prefers the single file, so the one that is not written now must not stay from earlier.
  if (shards.size() == 1) {
    write_safetensors(single, tensors, options);
    detail::remove_file(index);
    return;
  }
  Json weight_map = Json::object();
  for (Index s = 0; s < shards.size(); ++s) {
    std::array<char, 64> number{};
    std::snprintf(number.data(), number.size(), "-%05zu-of-%05zu.safetensors", s + 1, shards.size());
    const std::string name = concat(stem, number.data());
    const auto part = tensors.subspan(shards[s].begin, shards[s].end - shards[s].begin);
    write_safetensors(directory / name, part, options);
    for (const TensorSource& tensor : part) weight_map[tensor.name] = name;
  }
  write_json(index, {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}});
  detail::remove_file(single);
}

}  // namespace MERIT_ABI
}  // namespace merit
