// Weights as torch.save writes a state dict: `pytorch_model.bin`, one file or shards with an index. No code in
// it is run (pickle.hpp); what is no plain tensor is refused by name. Two forms are read:
//   since PyTorch 1.6   a zip archive: NAME/data.pkl, a pickle of the dict; NAME/data/KEY, the numbers of each
//                       storage, which a tensor names by its key
//   before              one after another the pickles of a magic number, of 1001, of facts of the system, of the
//                       dict, of the list of keys; then for each key u64 count and the numbers
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
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
#include "merit/io/mapped_tensor.hpp"
#include "merit/io/sharded_weights.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {
class Pickle;
struct PickleValue;
struct TorchStorages;
}  // namespace detail

/// One such file, opened for reading: all is checked but the numbers, which are read when they are asked for.
/// Errors are DataError (the bytes are not what the format says, or say more than tensors) and IoError (the
/// system refused), each naming the file and the tensor.
class TorchFile {
 public:
  explicit TorchFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }

  /// All tensors in the order of the dict. Tensors may share their numbers.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// The tensor called `name`, or null.
  const TensorInfo* find(std::string_view name) const {
    const auto entry = by_name_.find(std::string(name));
    return entry == by_name_.end() ? nullptr : &tensors_[entry->second];
  }

  /// Reads a tensor into `out`, row-major whatever its strides, converted to T. Errors as of
  /// SafetensorsFile::read.
  template <class T>
  void read(std::string_view name, VectorView<T> out, NonFinite non_finite = NonFinite::reject) const {
    const TensorInfo& tensor = readable(name, out.size);
    const std::byte* const data = memory_.get() + tensor.begin;
    const Dtype dtype = *tensor.dtype;
    const std::vector<Index>& strides = strides_[by_name_.at(tensor.name)];
    if (strides.empty()) {
      detail::decode(dtype, data, out.data, out.size);
    } else {
      std::vector<Index> at(strides.size());
      Index place = 0;
      for (Index i = 0; i < out.size; ++i) {
        detail::decode(dtype, data + place * size_of(dtype), out.data + i, 1);
        for (Index d = at.size(); d-- > 0;) {  // the next element, its last index first
          place += strides[d];
          if (++at[d] < tensor.shape[d]) break;
          place -= at[d] * strides[d];
          at[d] = 0;
        }
      }
    }
    if (non_finite == NonFinite::allow) return;
    const Index bad = detail::first_non_finite(out.data, out.size);
    if (bad < out.size) fail_non_finite(tensor, bad, static_cast<double>(out[bad]));
  }

  /// The tensor in the file's own memory, mapped, its numbers checked as by read(). Nothing where it is not
  /// row-major or not aligned to its elements, has none, or has a type that is not read.
  std::optional<StoredTensor> stored(std::string_view name) const;

 private:
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail(std::string_view tensor, const std::string& what) const;
  [[noreturn]] void fail_non_finite(const TensorInfo& tensor, Index element, double number) const;
  const TensorInfo& readable(std::string_view name, Index size) const;

  void parse_zip(std::string_view bytes);
  void parse_legacy(std::string_view bytes);
  void parse_tensors(const detail::Pickle& pickle, const detail::TorchStorages& storages);
  void parse_tensor(const std::string& name, const detail::Pickle& pickle, const detail::PickleValue& value,
                    const detail::TorchStorages& storages);

  InputFile file_;
  std::shared_ptr<const std::byte> memory_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::vector<Index>> strides_;  // of each tensor, in elements; empty: row-major
  std::unordered_map<std::string, Index> by_name_;
};

/// `pytorch_model.bin`, or the shards that `pytorch_model.bin.index.json` names.
class TorchDirectory : public ShardedWeights<TorchFile> {
 public:
  explicit TorchDirectory(const std::filesystem::path& directory);
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/torch_file_body.hpp"
#endif
