// Models in GGUF files, versions 2 and 3, read. A file is
//   magic "GGUF", u32 version, u64 count of tensors, u64 count of metadata entries
//   each entry: a key (string), u32 type, a value; a string is u64 bytes and those bytes; an array is u32
//     type of the elements, u64 count, and those elements
//   each tensor: name, u32 dimensions (at most 4), u64 of each, innermost first, u32 type, u64 offset
//   the data, at the next multiple of the alignment ("general.alignment", 32 where nothing is said); offsets
//     count from here and are multiples of the alignment
// All numbers are little-endian. Facts: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/ggml_types.hpp"
#include "merit/io/gguf_value.hpp"
#include "merit/io/mapped_tensor.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {
class GgufCursor;
}  // namespace detail

/// What a GGUF file says about one tensor.
struct GgufTensor {
  std::string name;
  const GgmlType* type = nullptr;
  std::vector<Index> shape;  ///< row-major, as everywhere in merit: the file's dimensions backwards
  Index elements = 0;        ///< the product of the shape
  Index begin = 0;           ///< first byte, counted from the beginning of the file
  Index end = 0;             ///< one past the last byte
};

/// What a GGUF file says before its numbers: metadata, and the names, types and shapes of tensors; of a file that is
/// there, or of one that is yet to be written. Errors are DataError and name the file and the key or tensor.
class GgufHead {
 public:
  virtual ~GgufHead() = default;

  const std::filesystem::path& path() const { return path_; }

  // --- metadata ---

  using Metadata = std::map<std::string, GgufValue, std::less<>>;
  const Metadata& metadata() const { return metadata_; }

  /// The value under `key`, or null.
  const GgufValue* find(std::string_view key) const {
    const auto entry = metadata_.find(key);
    return entry == metadata_.end() ? nullptr : &entry->second;
  }

  /// The value under `key` if there is one. T is bool, an integer, float, double, std::string, or a
  /// std::vector of these. Throws DataError when the value is not that or does not fit: integers of every
  /// width are taken for an integer, also for a float or double, and nothing else is converted.
  template <class T>
  std::optional<T> optional(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    T result{};
    if (!std::visit([&](const auto& held) { return detail::convert_gguf(held, result); }, value->held)) {
      fail(concat("metadata ", detail::quote(key), ": expected ", detail::gguf_expectation<T>(), ", found ",
                  detail::describe(*value)));
    }
    return result;
  }

  /// The value under `key`, which must be there. Errors as optional().
  template <class T>
  T require(std::string_view key) const {
    std::optional<T> value = optional<T>(key);
    if (!value) fail(concat("the metadata has no ", detail::quote(key)));
    return *std::move(value);
  }

  // --- tensors ---

  /// All tensors in the order of the file's list.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  /// The tensor called `name`, or null.
  const GgufTensor* find_tensor(std::string_view name) const {
    const auto entry = by_name_.find(std::string(name));
    return entry == by_name_.end() ? nullptr : &tensors_[entry->second];
  }

  /// The tensor called `name`; DataError when there is none.
  const GgufTensor& tensor(std::string_view name) const;

  /// The numbers of a tensor, as many as `out` has (UsageError otherwise).
  virtual void read_numbers(std::string_view name, VectorView<float> out) const = 0;

 protected:
  explicit GgufHead(const std::filesystem::path& path) : path_(path) {}
  GgufHead(const GgufHead&) = default;
  GgufHead(GgufHead&&) = default;
  GgufHead& operator=(const GgufHead&) = default;
  GgufHead& operator=(GgufHead&&) = default;

  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail(const GgufTensor& tensor, const std::string& what) const;

  /// False where there is one of that name already.
  bool add_tensor(GgufTensor tensor);

  Metadata metadata_;
  std::vector<GgufTensor> tensors_;

 private:
  std::filesystem::path path_;
  std::unordered_map<std::string, Index> by_name_;
};

/// One GGUF file, opened for reading. Header, metadata and the places of all tensors are checked on opening;
/// tensors are read one by one when asked for, dequantised. Errors are DataError (the bytes are not what the
/// format says) and IoError (the system refused), each naming the file and the key or tensor.
class GgufFile final : public GgufHead {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  Index version() const { return version_; }
  Index alignment() const { return alignment_; }

  /// The keys in the order of the file, and the bytes of the entry of each: key, type and value.
  const std::vector<std::string>& keys() const { return keys_; }
  std::string entry_bytes(std::string_view key) const;

  /// A tensor in the file's own memory, mapped, checked as by read(). Nothing where its type is not read, or it
  /// is not aligned to its elements or has none. For one thread at a time.
  std::optional<StoredTensor> stored(std::string_view name) const;

  /// `rows` rows of it, in another order: row i is the file's row order(i). A row is as long as the last dimension; of
  /// a vector it is one number. Memory of its own, and the file's is not mapped for it.
  std::optional<StoredTensor> stored_rows(std::string_view name, Index rows,
                                          const std::function<Index(Index)>& order) const;

  /// The bytes of a tensor as they are stored, whatever its type, unchecked.
  std::vector<std::byte> tensor_bytes(std::string_view name) const;

  void read_numbers(std::string_view name, VectorView<float> out) const override { read(name, out); }

  /// Reads a tensor into `out`, row-major, dequantised to float and converted to T. `out` has the tensor's
  /// number of elements (UsageError otherwise). DataError for a type that is not read, and with
  /// NonFinite::reject for an infinity or NaN, which names the tensor and the element.
  template <class T>
  void read(std::string_view name, VectorView<T> out, NonFinite non_finite = NonFinite::reject) const {
    const GgufTensor& tensor = this->tensor(name);
    if (tensor.elements != out.size) {
      throw UsageError(concat(path().string(), ": tensor ", detail::quote(name), " has ", tensor.elements,
                              " elements, the place to read it into has ", out.size));
    }
    read_elements(tensor, 0, out, non_finite);
  }

  /// The same of rows from row `first` on, as many as fill `out`; a row is as long as the last dimension.
  template <class T>
  void read_rows(std::string_view name, Index first, VectorView<T> out) const {
    const GgufTensor& tensor = this->tensor(name);
    const Index begin = first * (tensor.shape.empty() ? 1 : tensor.shape.back());
    if (begin > tensor.elements || out.size > tensor.elements - begin) {
      throw UsageError(concat(path().string(), ": tensor ", detail::quote(name), " has ", tensor.elements,
                              " elements, ", out.size, " are to be read from ", begin, " on"));
    }
    read_elements(tensor, begin, out, NonFinite::reject);
  }

 private:
  /// `begin` is the first element of a block.
  template <class T>
  void read_elements(const GgufTensor& tensor, Index begin, VectorView<T> out, NonFinite non_finite) const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
    const GgmlType& type = *tensor.type;
    const std::optional<Dtype> dtype = type.dtype();
    if (!dtype) {
      fail(tensor, concat("has the type ", type.name, ", which is not read, expected one of ",
                          detail::readable_ggml_types()));
    }
    // All blocks divide this, so every part begins with a whole one.
    constexpr Index part = detail::conversion_block;
    std::vector<std::byte> bytes(std::min(out.size, part) / type.block_elements * type.block_bytes);
    for (Index done = 0; done < out.size;) {
      const Index count = std::min(out.size - done, part);
      const Index size = count / type.block_elements * type.block_bytes;
      file_.read_at(tensor.begin + (begin + done) / type.block_elements * type.block_bytes, bytes.data(),
                    size);
      detail::decode(*dtype, bytes.data(), out.data + done, count);
      if (non_finite == NonFinite::reject) {
        const Index bad = detail::first_non_finite(out.data + done, count);
        if (bad < count) fail_non_finite(tensor, begin + done + bad, static_cast<double>(out[done + bad]));
      }
      done += count;
    }
  }

  [[noreturn]] void fail_non_finite(const GgufTensor& tensor, Index element, double number) const;

  void parse(detail::GgufCursor& cursor);

  /// One tensor with `begin` and `end` still counted from the beginning of the data.
  GgufTensor parse_tensor(detail::GgufCursor& cursor) const;

  /// Checks that the tensors lie in the data and not on each other, and counts their places from the
  /// beginning of the file. `header_end`: one past the last byte of the list of tensors.
  void place_tensors(Index header_end);

  InputFile file_;
  mutable detail::MappedTensors mapped_;
  Index version_ = 0;
  Index alignment_ = 32;
  std::vector<std::string> keys_;
  std::vector<Index> entry_ends_;  // the first begins behind the file's head, of 24 bytes
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/gguf_body.hpp"
#endif
