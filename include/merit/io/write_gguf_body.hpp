// The bodies of write_gguf.hpp.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/ggml_types.hpp"
#include "merit/io/gguf_value.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/write_gguf.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The little-endian bytes of a number.
template <class T>
std::string gguf_number(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
inline std::string gguf_text(std::string_view text) {
  return gguf_number(std::uint64_t{text.size()}) + std::string(text);
}

inline const GgmlType& ggml_type_of(Dtype dtype) {
  for (const GgmlType& type : ggml_types) {
    if (type.dtype() == dtype) return type;
  }
  throw UsageError(concat("a GGUF file has no type ", name_of(dtype)));
}

}  // namespace detail

MERIT_INLINE GgufMetadata& GgufMetadata::entry(std::string_view key, detail::GgufType type,
                                               std::string_view bytes, GgufValue value) {
  bytes_ +=
      detail::gguf_text(key) + detail::gguf_number(static_cast<std::uint32_t>(type)) + std::string(bytes);
  values_.insert_or_assign(std::string(key), std::move(value));
  ++count_;
  return *this;
}
MERIT_INLINE GgufMetadata& GgufMetadata::array(std::string_view key, detail::GgufType type, Index count,
                                               std::string_view bytes, GgufValue value) {
  const std::string head =
      detail::gguf_number(static_cast<std::uint32_t>(type)) + detail::gguf_number(std::uint64_t{count});
  return entry(key, detail::GgufType::array, head + std::string(bytes), std::move(value));
}
MERIT_INLINE GgufMetadata& GgufMetadata::text(std::string_view key, std::string_view value) {
  return entry(key, detail::GgufType::string, detail::gguf_text(value), {std::string(value)});
}
MERIT_INLINE GgufMetadata& GgufMetadata::number(std::string_view key, std::uint32_t value) {
  return entry(key, detail::GgufType::u32, detail::gguf_number(value), {std::uint64_t{value}});
}
MERIT_INLINE GgufMetadata& GgufMetadata::real(std::string_view key, float value) {
  return entry(key, detail::GgufType::f32, detail::gguf_number(value), {value});
}
MERIT_INLINE GgufMetadata& GgufMetadata::truth(std::string_view key, bool value) {
  return entry(key, detail::GgufType::boolean, std::string(1, value ? '\1' : '\0'), {value});
}
MERIT_INLINE GgufMetadata& GgufMetadata::texts(std::string_view key, std::span<const std::string> values) {
  std::string bytes;
  for (const std::string& value : values) bytes += detail::gguf_text(value);
  return array(key, detail::GgufType::string, values.size(), bytes,
               {std::vector<std::string>(values.begin(), values.end())});
}
MERIT_INLINE GgufMetadata& GgufMetadata::truths(std::string_view key, const std::vector<bool>& values) {
  std::string bytes;
  for (const bool value : values) bytes += value ? '\1' : '\0';
  return array(key, detail::GgufType::boolean, values.size(), bytes, {values});
}
MERIT_INLINE GgufMetadata& GgufMetadata::reals(std::string_view key, std::span<const float> values) {
  std::string bytes;
  for (const float value : values) bytes += detail::gguf_number(value);
  return array(key, detail::GgufType::f32, values.size(), bytes,
               {std::vector<float>(values.begin(), values.end())});
}
MERIT_INLINE GgufMetadata& GgufMetadata::integers(std::string_view key,
                                                  std::span<const std::int32_t> values) {
  std::string bytes;
  for (const std::int32_t value : values) bytes += detail::gguf_number(value);
  return array(key, detail::GgufType::i32, values.size(), bytes,
               {std::vector<std::int64_t>(values.begin(), values.end())});
}
MERIT_INLINE GgufMetadata& GgufMetadata::raw(std::string_view bytes) {
  bytes_ += bytes;
  ++count_;
  return *this;
}

MERIT_INLINE PlannedGguf::PlannedGguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                                      std::span<const GgufTensorSource> tensors)
    : GgufHead(path), sources_(tensors) {
  metadata_ = metadata.values();
  for (const GgufTensorSource& source : tensors) {
    const auto elements = detail::element_count(source.shape);
    if (!elements) throw UsageError(concat("tensor ", detail::quote(source.name), ": its shape overflows"));
    GgufTensor tensor{source.name, &detail::ggml_type_of(source.dtype), source.shape, *elements};
    tensor.end = stored_bytes(source.dtype, *elements);
    if (!add_tensor(std::move(tensor))) fail(concat("two tensors are ", detail::quote(source.name)));
  }
}

MERIT_INLINE void PlannedGguf::read_numbers(std::string_view name, VectorView<float> out) const {
  const GgufTensor& tensor = this->tensor(name);
  if (tensor.elements != out.size) {
    throw UsageError(
        concat("tensor ", detail::quote(name), " has ", tensor.elements, " elements, not ", out.size));
  }
  const GgufTensorSource& source = sources_[static_cast<Index>(&tensor - tensors_.data())];
  detail::decode(source.dtype, source.bytes().data(), out.data, out.size);
}

MERIT_INLINE void write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                             std::span<const GgufTensorSource> tensors, Index data_alignment) {
  const auto padding = [&](Index size) {
    return std::string((data_alignment - size % data_alignment) % data_alignment, '\0');
  };
  std::string head = "GGUF" + detail::gguf_number(std::uint32_t{3}) +
                     detail::gguf_number(std::uint64_t{tensors.size()}) +
                     detail::gguf_number(std::uint64_t{metadata.count()}) + metadata.bytes();
  std::vector<Index> sizes;
  Index offset = 0;
  for (const GgufTensorSource& tensor : tensors) {
    head +=
        detail::gguf_text(tensor.name) + detail::gguf_number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (Index d = tensor.shape.size(); d-- > 0;) head += detail::gguf_number(std::uint64_t{tensor.shape[d]});
    head += detail::gguf_number(detail::ggml_type_of(tensor.dtype).number) +
            detail::gguf_number(std::uint64_t{offset});
    const auto elements = detail::element_count(tensor.shape);
    if (!elements) throw UsageError(concat("tensor ", detail::quote(tensor.name), ": its shape overflows"));
    sizes.push_back(stored_bytes(tensor.dtype, *elements));
    offset += sizes.back() + padding(sizes.back()).size();
  }
  AtomicFile file(path);
  file.write(head + padding(head.size()));
  for (Index i = 0; i < tensors.size(); ++i) {
    const std::vector<std::byte> bytes = tensors[i].bytes();
    if (bytes.size() != sizes[i]) {
      throw UsageError(concat("tensor ", detail::quote(tensors[i].name), " gave ", bytes.size(),
                              " bytes, expected ", sizes[i]));
    }
    file.write(bytes.data(), bytes.size());
    file.write(padding(bytes.size()));
  }
  file.commit();
}

}  // namespace MERIT_ABI
}  // namespace merit
