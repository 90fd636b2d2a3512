// Where a model's weights come from: one interface for every format.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/torch_file.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Named tensors of a checkpoint, under the names and in the shapes that Hugging Face gives them. Errors name
/// the file and the tensor.
class WeightSource {
 public:
  WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;
  virtual ~WeightSource() = default;

  /// The file, for errors.
  virtual const std::filesystem::path& path() const = 0;

  /// The names of all tensors, sorted.
  virtual std::vector<std::string> names() const = 0;

  /// The tensor called `name`, or null. Its bytes, end − begin, are those of the file.
  virtual const TensorInfo* find(std::string_view name) const = 0;

  /// Reads a tensor into `out`, row-major. `out` has the tensor's number of elements (UsageError otherwise);
  /// DataError when it has a type that is not read or holds an infinity or NaN, IoError from the system.
  virtual void read(std::string_view name, VectorView<float> out) const = 0;
  virtual void read(std::string_view name, VectorView<double> out) const = 0;

  /// A tensor as the file stores it, mapped into memory, its numbers checked as by read(). Nothing where they
  /// are not stored as Dtype says, not row-major under this name, or not aligned.
  virtual std::optional<StoredTensor> stored(std::string_view) const { return std::nullopt; }

  /// Tensors that lie in the files although no index names them, for a warning.
  virtual std::vector<std::string> unindexed() const { return {}; }
};

/// A directory of files of one format, as they are.
template <class Directory>
class DirectoryWeights final : public WeightSource {
 public:
  explicit DirectoryWeights(const std::filesystem::path& directory) : files_(directory) {}

  const std::filesystem::path& path() const override { return files_.path(); }
  std::vector<std::string> names() const override { return files_.names(); }
  const TensorInfo* find(std::string_view name) const override { return files_.find(name); }
  void read(std::string_view name, VectorView<float> out) const override { files_.read(name, out); }
  void read(std::string_view name, VectorView<double> out) const override { files_.read(name, out); }
  std::optional<StoredTensor> stored(std::string_view name) const override { return files_.stored(name); }
  std::vector<std::string> unindexed() const override { return files_.unindexed(); }

 private:
  Directory files_;
};
using SafetensorsWeights = DirectoryWeights<SafetensorsDirectory>;
using TorchWeights = DirectoryWeights<TorchDirectory>;

}  // namespace MERIT_ABI
}  // namespace merit
