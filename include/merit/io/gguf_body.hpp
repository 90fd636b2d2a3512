// The bodies of gguf.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/buffer.hpp"
#include "merit/core/error.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/ggml_types.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/gguf_value.hpp"
#include "merit/io/mapped_tensor.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/utf8.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Walks over the head of a GGUF file through a small buffer, so that a file of any size costs the memory of
/// what it says and no more. Nothing is asked of the system before it is known to lie inside the file.
class GgufCursor {
 public:
  explicit GgufCursor(const InputFile& file) : file_(file) {}

  Index at() const { return at_; }
  Index remaining() const { return file_.size() - at_; }

  /// What is being read, for errors: "metadata entry 3".
  void enter(const char* part, Index number) {
    part_ = part;
    number_ = number;
  }

  template <class T>
  T number() {
    T value;
    read(&value, sizeof value);
    return value;
  }

  std::string string() {
    const auto length = number<std::uint64_t>();
    if (length > remaining()) {
      fail(concat("a string of ", length, " bytes begins at byte ", at_, ", but only ", remaining(),
                  " bytes follow"));
    }
    std::string text(static_cast<Index>(length), '\0');
    read(text.data(), text.size());
    return text;
  }

  /// A count of things of at least `bytes` each that must still fit into the file.
  Index count(const char* of, Index bytes) {
    const auto value = number<std::uint64_t>();
    if (value > remaining() / bytes) {
      fail(concat("says ", value, " ", of, ", but only ", remaining(), " bytes follow"));
    }
    return static_cast<Index>(value);
  }

  [[noreturn]] void fail(const std::string& what) const {
    std::string where = file_.path().string() + ": ";
    if (part_ != nullptr) where += concat(part_, " ", number_, ": ");
    throw DataError(where + what);
  }

 private:
  void read(void* out, Index bytes) {
    if (bytes > remaining()) {
      fail(concat("truncated: ", bytes, " bytes are expected at byte ", at_, ", but the file has only ",
                  file_.size()));
    }
    auto* to = static_cast<char*>(out);
    while (bytes > 0) {
      if (at_ == end_) {
        begin_ = at_;
        end_ = at_ + std::min(buffer_.size(), remaining());
        file_.read_at(begin_, buffer_.data(), end_ - begin_);
      }
      const Index part = std::min(bytes, end_ - at_);
      std::memcpy(to, buffer_.data() + (at_ - begin_), part);
      to += part;
      at_ += part;
      bytes -= part;
    }
  }

  const InputFile& file_;
  const char* part_ = nullptr;
  Index number_ = 0;
  std::vector<char> buffer_ = std::vector<char>(65536);
  Index at_ = 0;
  Index begin_ = 0, end_ = 0;  // of the bytes in the buffer
};

/// Arrays may lie this deep in each other.
inline constexpr Index gguf_depth_limit = 8;

inline bool read_gguf_bool(GgufCursor& cursor) {
  const auto byte = cursor.number<std::uint8_t>();
  if (byte > 1) cursor.fail(concat("a truth value is ", +byte, ", expected 0 or 1"));
  return byte != 0;
}

inline GgufValue read_gguf_array(GgufCursor& cursor, Index depth);

/// A single value of type `type`.
inline GgufValue read_gguf_value(GgufCursor& cursor, std::uint32_t type, Index depth = 0) {
  switch (static_cast<GgufType>(type)) {
    case GgufType::u8: return {std::uint64_t{cursor.number<std::uint8_t>()}};
    case GgufType::u16: return {std::uint64_t{cursor.number<std::uint16_t>()}};
    case GgufType::u32: return {std::uint64_t{cursor.number<std::uint32_t>()}};
    case GgufType::u64: return {cursor.number<std::uint64_t>()};
    case GgufType::i8: return {std::int64_t{cursor.number<std::int8_t>()}};
    case GgufType::i16: return {std::int64_t{cursor.number<std::int16_t>()}};
    case GgufType::i32: return {std::int64_t{cursor.number<std::int32_t>()}};
    case GgufType::i64: return {cursor.number<std::int64_t>()};
    case GgufType::f32: return {cursor.number<float>()};
    case GgufType::f64: return {cursor.number<double>()};
    case GgufType::boolean: return {read_gguf_bool(cursor)};
    case GgufType::string: return {cursor.string()};
    case GgufType::array: return read_gguf_array(cursor, depth + 1);
  }
  cursor.fail(concat("a value has the unknown type ", type));
}

/// An array of `Stored` as the file has them, held as a vector of `Held`.
template <class Held, class Stored>
GgufValue read_gguf_numbers(GgufCursor& cursor) {
  std::vector<Held> items(cursor.count("elements of an array", sizeof(Stored)));
  for (Held& item : items) item = cursor.number<Stored>();
  return {std::move(items)};
}

inline GgufValue read_gguf_array(GgufCursor& cursor, Index depth) {
  const auto type = cursor.number<std::uint32_t>();
  switch (static_cast<GgufType>(type)) {
    case GgufType::u8: return read_gguf_numbers<std::uint64_t, std::uint8_t>(cursor);
    case GgufType::u16: return read_gguf_numbers<std::uint64_t, std::uint16_t>(cursor);
    case GgufType::u32: return read_gguf_numbers<std::uint64_t, std::uint32_t>(cursor);
    case GgufType::u64: return read_gguf_numbers<std::uint64_t, std::uint64_t>(cursor);
    case GgufType::i8: return read_gguf_numbers<std::int64_t, std::int8_t>(cursor);
    case GgufType::i16: return read_gguf_numbers<std::int64_t, std::int16_t>(cursor);
    case GgufType::i32: return read_gguf_numbers<std::int64_t, std::int32_t>(cursor);
    case GgufType::i64: return read_gguf_numbers<std::int64_t, std::int64_t>(cursor);
    case GgufType::f32: return read_gguf_numbers<float, float>(cursor);
    case GgufType::f64: return read_gguf_numbers<double, double>(cursor);
    case GgufType::boolean: {
      std::vector<bool> items(cursor.count("elements of an array", 1));
      for (auto item : items) item = read_gguf_bool(cursor);
      return {std::move(items)};
    }
    case GgufType::string: {
      std::vector<std::string> items(cursor.count("strings of an array", 8));
      for (std::string& item : items) item = cursor.string();
      return {std::move(items)};
    }
    case GgufType::array: {
      if (depth == gguf_depth_limit) {
        cursor.fail(concat("arrays are nested deeper than ", gguf_depth_limit, " levels"));
      }
      std::vector<GgufValue> items(cursor.count("arrays of an array", 12));
      for (GgufValue& item : items) item = read_gguf_array(cursor, depth + 1);
      return {std::move(items)};
    }
  }
  cursor.fail(concat("an array has elements of the unknown type ", type));
}

}  // namespace detail

MERIT_INLINE GgufFile::GgufFile(const std::filesystem::path& path) : GgufHead(path), file_(path) {
  detail::GgufCursor cursor(file_);
  parse(cursor);
}

MERIT_INLINE std::string GgufFile::entry_bytes(std::string_view key) const {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  if (found == keys_.end()) fail(concat("the metadata has no ", detail::quote(key)));
  const auto i = static_cast<Index>(found - keys_.begin());
  const Index begin = i == 0 ? 24 : entry_ends_[i - 1];
  std::string bytes(entry_ends_[i] - begin, '\0');
  file_.read_at(begin, bytes.data(), bytes.size());
  return bytes;
}

MERIT_INLINE std::vector<std::byte> GgufFile::tensor_bytes(std::string_view name) const {
  const GgufTensor& tensor = this->tensor(name);
  std::vector<std::byte> bytes(tensor.end - tensor.begin);
  file_.read_at(tensor.begin, bytes.data(), bytes.size());
  return bytes;
}

MERIT_INLINE std::optional<StoredTensor> GgufFile::stored(std::string_view name) const {
  const GgufTensor& tensor = this->tensor(name);
  const std::optional<Dtype> dtype = tensor.type->dtype();
  if (!dtype) return std::nullopt;
  return mapped_.at(file_, *dtype, tensor.begin, tensor.elements,
                    [&](Index element, double number) { fail_non_finite(tensor, element, number); });
}

MERIT_INLINE std::optional<StoredTensor> GgufFile::stored_rows(
    std::string_view name, Index rows, const std::function<Index(Index)>& order) const {
  const GgufTensor& tensor = this->tensor(name);
  const std::optional<Dtype> dtype = tensor.type->dtype();
  if (!dtype || tensor.elements == 0 || tensor.shape.empty()) return std::nullopt;
  const Index columns = tensor.shape.size() > 1 ? tensor.shape.back() : 1;
  const Index size = stored_bytes(*dtype, columns);
  const auto bytes = std::make_shared<Buffer<std::byte>>(rows * size);
  for (Index i = 0; i < rows; ++i)
    file_.read_at(tensor.begin + order(i) * size, bytes->data() + i * size, size);
  detail::require_finite(bytes->data(), *dtype, rows * columns, [&](Index element, double number) {
    fail_non_finite(tensor, order(element / columns) * columns + element % columns, number);
  });
  return StoredTensor{bytes->data(), *dtype, bytes};
}

[[noreturn]] MERIT_INLINE void GgufFile::fail_non_finite(const GgufTensor& tensor, Index element,
                                                         double number) const {
  fail(tensor, concat("element ", element, " is ", number, ", expected a finite number"));
}

MERIT_INLINE const GgufTensor& GgufHead::tensor(std::string_view name) const {
  const GgufTensor* found = find_tensor(name);
  if (found == nullptr) fail(concat("there is no tensor ", detail::quote(name)));
  return *found;
}

MERIT_INLINE bool GgufHead::add_tensor(GgufTensor tensor) {
  if (!by_name_.emplace(tensor.name, tensors_.size()).second) return false;
  tensors_.push_back(std::move(tensor));
  return true;
}

[[noreturn]] MERIT_INLINE void GgufHead::fail(const std::string& what) const {
  throw DataError(concat(path().string(), ": ", what));
}

[[noreturn]] MERIT_INLINE void GgufHead::fail(const GgufTensor& tensor, const std::string& what) const {
  fail(concat("tensor ", detail::quote(tensor.name), ": ", what));
}

MERIT_INLINE void GgufFile::parse(detail::GgufCursor& cursor) {
  if (file_.size() < 8) {
    fail(concat("not a GGUF file: ", file_.size(), " bytes, expected at least 24"));
  }
  const auto magic = cursor.number<std::array<char, 4>>();
  if (const std::string_view text(magic.data(), magic.size()); text != "GGUF") {
    fail(concat("not a GGUF file: it begins with ", detail::quote(text), ", expected \"GGUF\""));
  }
  const auto version = cursor.number<std::uint32_t>();
  if (version != 0 && version % 65536 == 0) fail("a big-endian GGUF file, expected a little-endian one");
  if (version != 2 && version != 3) {
    fail(concat("a GGUF file of version ", version, ", expected 2 or 3"));
  }
  version_ = version;
  const auto tensors = cursor.number<std::uint64_t>();
  const Index entries = cursor.count("metadata entries", 13);  // an empty key, a type, one byte
  if (tensors > cursor.remaining() / 24) {                     // an empty name, no dimensions
    fail(concat("says ", tensors, " tensors, but only ", cursor.remaining(), " bytes follow"));
  }
  for (Index i = 0; i < entries; ++i) {
    cursor.enter("metadata entry", i);
    std::string key = cursor.string();
    const auto type = cursor.number<std::uint32_t>();
    GgufValue value = detail::read_gguf_value(cursor, type);
    const auto [entry, fresh] = metadata_.emplace(std::move(key), std::move(value));
    keys_.push_back(entry->first);
    entry_ends_.push_back(cursor.at());
    if (!fresh) cursor.fail(concat("the key ", detail::quote(entry->first), " occurs twice"));
  }
  alignment_ = optional<std::uint32_t>("general.alignment").value_or(32);
  if (!std::has_single_bit(alignment_)) {
    fail(concat("metadata \"general.alignment\": expected a power of two, found ", alignment_));
  }
  tensors_.reserve(static_cast<Index>(tensors));
  for (Index i = 0; i < tensors; ++i) {
    cursor.enter("tensor", i);
    GgufTensor tensor = parse_tensor(cursor);
    const std::string name = tensor.name;
    if (!add_tensor(std::move(tensor))) {
      cursor.fail(concat("the name ", detail::quote(name), " is that of another before"));
    }
  }
  place_tensors(cursor.at());
}

MERIT_INLINE GgufTensor GgufFile::parse_tensor(detail::GgufCursor& cursor) const {
  GgufTensor tensor;
  tensor.name = cursor.string();
  if (first_invalid_utf8(tensor.name) < tensor.name.size()) fail(tensor, "its name is not UTF-8");
  const auto dimensions = cursor.number<std::uint32_t>();
  if (dimensions > 4) fail(tensor, concat("has ", dimensions, " dimensions, expected at most 4"));
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    tensor.shape.insert(tensor.shape.begin(), cursor.number<std::uint64_t>());
  }
  const auto number = cursor.number<std::uint32_t>();
  tensor.type = find_ggml_type(number);
  if (tensor.type == nullptr) fail(tensor, concat("has the unknown type ", number));
  const auto offset = cursor.number<std::uint64_t>();
  const GgmlType& type = *tensor.type;

  const Index row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % type.block_elements != 0) {
    fail(tensor, concat("has rows of ", row, " elements, expected a multiple of ", type.block_elements,
                        ", the block of ", type.name));
  }
  const auto elements = detail::element_count(tensor.shape);
  const auto bytes =
      elements ? checked_product(*elements / type.block_elements, type.block_bytes) : std::nullopt;
  if (!bytes || offset > std::numeric_limits<Index>::max() - *bytes) {
    fail(tensor, concat("the shape ", detail::shape_text(tensor.shape), " at byte ", offset,
                        " of the data overflows"));
  }
  if (offset % alignment_ != 0) {
    fail(tensor, concat("begins at byte ", offset, " of the data, expected a multiple of ", alignment_,
                        ", the alignment"));
  }
  tensor.elements = *elements;
  tensor.begin = offset;
  tensor.end = offset + *bytes;
  return tensor;
}

MERIT_INLINE void GgufFile::place_tensors(Index header_end) {
  // A file without numbers may end before them: tensors of no elements lie at its end.
  const Index padding = (alignment_ - header_end % alignment_) % alignment_;
  const Index data = std::min(file_.size(), header_end + padding);
  const Index available = file_.size() - data;
  std::vector<const GgufTensor*> order;
  order.reserve(tensors_.size());
  for (const GgufTensor& tensor : tensors_) {
    if (tensor.end > available) {
      fail(tensor, concat("truncated: ends at byte ", tensor.end, " of the data, but the file has only ",
                          available, " bytes of it"));
    }
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const GgufTensor* a, const GgufTensor* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  for (Index i = 1; i < order.size(); ++i) {
    if (order[i]->begin < order[i - 1]->end) {
      fail(*order[i], concat("overlaps the tensor ", detail::quote(order[i - 1]->name)));
    }
  }
  for (GgufTensor& tensor : tensors_) {
    tensor.begin += data;
    tensor.end += data;
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
