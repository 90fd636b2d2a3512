// Parts of a head that lie in files of their own beside a model's weights, as LDL-Reward is published.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/io/torch_file.hpp"
#include "merit/io/weight_source.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The weights of a folder, and the state dicts of NAME.pt beside them as the tensors NAME.…, which go before
/// tensors of that name in the folder's own weights: they are what the published class reads last.
class WeightsWithHeadFiles final : public WeightSource {
 public:
  /// The NAMEs that are known.
  static constexpr std::array<std::string_view, 2> parts{"regression_layer", "gating_layer"};

  static bool are_in(const std::filesystem::path& folder) {
    return std::any_of(parts.begin(), parts.end(),
                       [&](std::string_view part) { return file_exists(folder / concat(part, ".pt")); });
  }

  WeightsWithHeadFiles(std::unique_ptr<WeightSource> weights, const std::filesystem::path& folder)
      : weights_(std::move(weights)) {
    for (const std::string_view part : parts) {
      const std::filesystem::path file = folder / concat(part, ".pt");
      if (!file_exists(file)) continue;
      Part& one = parts_.emplace_back(concat(part, "."), TorchFile(file));
      for (const TensorInfo& tensor : one.file.tensors()) {
        TensorInfo& named = one.tensors.emplace_back(tensor);
        named.name = one.prefix + tensor.name;
      }
    }
  }

  const std::filesystem::path& path() const override { return weights_->path(); }

  std::vector<std::string> names() const override {
    std::vector<std::string> result = weights_->names();
    for (const Part& part : parts_) {
      for (const TensorInfo& tensor : part.tensors) result.push_back(tensor.name);
    }
    std::sort(result.begin(), result.end());
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
  }

  const TensorInfo* find(std::string_view name) const override {
    const auto [part, tensor] = find_part(name);
    return tensor != nullptr ? tensor : weights_->find(name);
  }

  void read(std::string_view name, VectorView<float> out) const override { read_as(name, out); }
  void read(std::string_view name, VectorView<double> out) const override { read_as(name, out); }

  std::optional<StoredTensor> stored(std::string_view name) const override {
    const auto [part, tensor] = find_part(name);
    return part != nullptr ? part->file.stored(name.substr(part->prefix.size())) : weights_->stored(name);
  }
  std::vector<std::string> unindexed() const override { return weights_->unindexed(); }

 private:
  struct Part {
    Part(std::string name, TorchFile dict) : prefix(std::move(name)), file(std::move(dict)) {}

    std::string prefix;
    TorchFile file;
    std::vector<TensorInfo> tensors = {};  // under their names here
  };

  std::pair<const Part*, const TensorInfo*> find_part(std::string_view name) const {
    for (const Part& part : parts_) {
      for (const TensorInfo& tensor : part.tensors) {
        if (tensor.name == name) return {&part, &tensor};
      }
    }
    return {nullptr, nullptr};
  }
  template <class T>
  void read_as(std::string_view name, VectorView<T> out) const {
    if (const Part* part = find_part(name).first) {
      part->file.read(name.substr(part->prefix.size()), out);
    } else {
      weights_->read(name, out);
    }
  }

  std::unique_ptr<WeightSource> weights_;
  std::vector<Part> parts_;
};

}  // namespace MERIT_ABI
}  // namespace merit
