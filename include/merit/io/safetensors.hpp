// Weights in files: the safetensors format, one file or shards with an index. write_safetensors.hpp writes
// it. Format: https://github.com/huggingface/safetensors#format. A file is
//   8 bytes   N, the length of the header, little-endian
//   N bytes   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …}
//   the rest  the data; offsets count from here and cover it without holes or overlaps
// A sharded checkpoint adds `model.safetensors.index.json`, which maps each tensor to its shard.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/mapped_tensor.hpp"
#include "merit/io/sharded_weights.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The longest header a reader accepts; the format's own limit.
inline constexpr Index safetensors_header_limit = 100'000'000;

}  // namespace detail

/// One safetensors file, opened for reading. The whole header is checked on opening; tensors are read one by
/// one when asked for. Errors are DataError (the bytes are not what the format says) and IoError (the system
/// refused), each naming the file and the tensor.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path) : file_(path) { parse_header(); }

  const std::filesystem::path& path() const { return file_.path(); }

  /// All tensors in the order of their bytes, also those whose type is not read.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// The strings under "__metadata__".
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// Names of the tensors whose type is not read. Having them is no error, reading one is.
  std::vector<std::string> skipped() const;

  /// The tensor called `name`, or null.
  const TensorInfo* find(std::string_view name) const {
    const auto entry = by_name_.find(std::string(name));
    return entry == by_name_.end() ? nullptr : &tensors_[entry->second];
  }

  /// The tensor called `name`; DataError when there is none.
  const TensorInfo& at(std::string_view name) const;

  /// Reads a tensor into `out`, row-major, converted to T. `out` has the tensor's number of elements
  /// (UsageError otherwise). With NonFinite::reject an infinity or NaN, also one that arises because an F64
  /// does not fit a float, is a DataError that names the tensor and the element.
  template <class T>
  void read(std::string_view name, VectorView<T> out, NonFinite non_finite = NonFinite::reject) const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
    const TensorInfo& tensor = at(name);
    if (!tensor.dtype) {
      fail(tensor, concat("has the type ", tensor.dtype_name, ", expected one of F64, F32, F16, BF16"));
    }
    if (tensor.elements != out.size) {
      throw UsageError(concat(path().string(), ": tensor ", detail::quote(name), " has ", tensor.elements,
                              " elements, the place to read it into has ", out.size));
    }
    const Index size = size_of(*tensor.dtype);
    std::vector<std::byte> block(std::min(out.size, detail::conversion_block) * size);
    for (Index done = 0; done < out.size;) {
      const Index count = std::min(out.size - done, detail::conversion_block);
      file_.read_at(tensor.begin + done * size, block.data(), count * size);
      detail::decode(*tensor.dtype, block.data(), out.data + done, count);
      if (non_finite == NonFinite::reject) {
        const Index bad = detail::first_non_finite(out.data + done, count);
        if (bad < count) {
          fail(tensor, concat("element ", done + bad, " is ", out[done + bad], ", expected a finite number"));
        }
      }
      done += count;
    }
  }

  /// The tensor in the file's own memory, mapped, its numbers checked as by read(). Nothing where it is not
  /// aligned to its elements, has none, or has a type that is not read. For one thread at a time.
  std::optional<StoredTensor> stored(std::string_view name) const;

 private:
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail(const TensorInfo& tensor, const std::string& what) const;

  void parse_header();

  TensorInfo parse_tensor(const std::string& name, const Json& entry, Index data) const;

  /// Sorts the tensors by their bytes and checks that they cover the data exactly once.
  void check_layout(Index data);

  InputFile file_;
  mutable detail::MappedTensors mapped_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, Index> by_name_;
  std::map<std::string, std::string> metadata_;
};

/// A checkpoint's weights: `STEM.safetensors`, or else the shards that `STEM.safetensors.index.json` names.
class SafetensorsDirectory : public ShardedWeights<SafetensorsFile> {
 public:
  explicit SafetensorsDirectory(const std::filesystem::path& directory, std::string_view stem = "model");
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/safetensors_body.hpp"
#endif
