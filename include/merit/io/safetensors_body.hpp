// The bodies of safetensors.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/mapped_tensor.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Bits of one element of each type the format knows, 0 for a name it does not know.
inline Index safetensors_bits(std::string_view dtype) {
  struct Entry {
    std::string_view name;
    Index bits;
  };
  constexpr std::array<Entry, 20> entries{{{"F64", 64},    {"F32", 32},    {"F16", 16},    {"BF16", 16},
                                           {"I64", 64},    {"U64", 64},    {"I32", 32},    {"U32", 32},
                                           {"I16", 16},    {"U16", 16},    {"I8", 8},      {"U8", 8},
                                           {"BOOL", 8},    {"C64", 64},    {"F8_E4M3", 8}, {"F8_E5M2", 8},
                                           {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4}}};
  for (const Entry& entry : entries) {
    if (entry.name == dtype) return entry.bits;
  }
  return 0;
}

inline std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16}) {
    if (name_of(dtype) == name) return dtype;
  }
  return std::nullopt;
}

}  // namespace detail

MERIT_INLINE std::vector<std::string> SafetensorsFile::skipped() const {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors_) {
    if (!tensor.dtype) names.push_back(tensor.name);
  }
  return names;
}

MERIT_INLINE const TensorInfo& SafetensorsFile::at(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) fail(concat("there is no tensor ", detail::quote(name)));
  return *tensor;
}

MERIT_INLINE std::optional<StoredTensor> SafetensorsFile::stored(std::string_view name) const {
  const TensorInfo& tensor = at(name);
  if (!tensor.dtype) return std::nullopt;
  return mapped_.at(file_, *tensor.dtype, tensor.begin, tensor.elements, [&](Index element, double number) {
    fail(tensor, concat("element ", element, " is ", number, ", expected a finite number"));
  });
}

[[noreturn]] MERIT_INLINE void SafetensorsFile::fail(const std::string& what) const {
  throw DataError(concat(path().string(), ": ", what));
}

[[noreturn]] MERIT_INLINE void SafetensorsFile::fail(const TensorInfo& tensor,
                                                     const std::string& what) const {
  fail(concat("tensor ", detail::quote(tensor.name), ": ", what));
}

MERIT_INLINE void SafetensorsFile::parse_header() {
  constexpr Index prefix = 8;
  if (file_.size() < prefix) {
    fail(concat("not a safetensors file: ", file_.size(), " bytes, expected at least 8"));
  }
  std::uint64_t length = 0;
  file_.read_at(0, &length, prefix);
  if (length > detail::safetensors_header_limit) {
    fail(concat("not a safetensors file: the header length is ", length, ", expected at most ",
                detail::safetensors_header_limit));
  }
  if (length > file_.size() - prefix) {
    fail(concat("truncated: the header length is ", length, ", but only ", file_.size() - prefix,
                " bytes follow"));
  }
  std::string text(length, '\0');
  file_.read_at(prefix, text.data(), length);
  if (text.empty() || text.front() != '{') {
    fail(concat("not a safetensors file: the header must begin with '{', found ",
                text.empty() ? "nothing" : detail::quote(text.substr(0, 1))));
  }
  const Json header = parse_json(text, path().string() + ": header");
  const Index data = prefix + length;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      metadata_ = detail::JsonReader<std::map<std::string, std::string>>::read(entry, path().string(), name);
    } else {
      tensors_.push_back(parse_tensor(name, entry, data));
    }
  }
  check_layout(data);
  for (Index i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
}

MERIT_INLINE TensorInfo SafetensorsFile::parse_tensor(const std::string& name, const Json& entry,
                                                      Index data) const {
  TensorInfo tensor;
  tensor.name = name;
  const std::string where = concat(path().string(), ": tensor ", detail::quote(name));
  tensor.dtype_name = require<std::string>(entry, "dtype", where);
  tensor.dtype = detail::dtype_from_name(tensor.dtype_name);
  tensor.shape = require<std::vector<Index>>(entry, "shape", where);
  const auto offsets = require<std::vector<Index>>(entry, "data_offsets", where);

  const Index bits = detail::safetensors_bits(tensor.dtype_name);
  if (bits == 0) fail(tensor, concat("unknown dtype ", detail::quote(tensor.dtype_name)));
  const auto elements = detail::element_count(tensor.shape);
  const auto total_bits = elements ? checked_product(*elements, bits) : std::nullopt;
  if (!total_bits) fail(tensor, concat("the shape ", detail::shape_text(tensor.shape), " overflows"));
  if (*total_bits % 8 != 0) {
    fail(tensor, concat("the shape ", detail::shape_text(tensor.shape), " of ", tensor.dtype_name,
                        " does not fill whole bytes"));
  }
  tensor.elements = *elements;

  if (offsets.size() != 2) {
    fail(tensor, concat("data_offsets has ", offsets.size(), " numbers, expected 2"));
  }
  const Index available = file_.size() - data;
  if (offsets[0] > offsets[1]) {
    fail(tensor, concat("data_offsets [", offsets[0], ", ", offsets[1], "] run backwards"));
  }
  if (offsets[1] > available) {
    fail(tensor, concat("data_offsets end at byte ", offsets[1], ", but the file has only ", available,
                        " bytes of data"));
  }
  if (offsets[1] - offsets[0] != *total_bits / 8) {
    fail(tensor,
         concat("data_offsets span ", offsets[1] - offsets[0], " bytes, but the shape ",
                detail::shape_text(tensor.shape), " of ", tensor.dtype_name, " takes ", *total_bits / 8));
  }
  tensor.begin = data + offsets[0];
  tensor.end = data + offsets[1];
  return tensor;
}

MERIT_INLINE void SafetensorsFile::check_layout(Index data) {
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  Index covered = data;
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.begin != covered) {
      fail(tensor, concat("data_offsets begin at byte ", tensor.begin - data,
                          tensor.begin < covered ? ", which overlaps the tensor before, expected "
                                                 : ", which leaves a hole, expected ",
                          covered - data));
    }
    covered = tensor.end;
  }
  if (covered != file_.size()) {
    fail(concat("the tensors end at byte ", covered, ", but ", file_.size() - covered, " more bytes follow"));
  }
}

MERIT_INLINE SafetensorsDirectory::SafetensorsDirectory(const std::filesystem::path& directory,
                                                        std::string_view stem)
    : ShardedWeights(directory, concat(stem, ".safetensors"), concat(stem, ".safetensors.index.json")) {}

}  // namespace MERIT_ABI
}  // namespace merit
