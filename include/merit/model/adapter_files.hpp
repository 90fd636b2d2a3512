// Adapters on disk, as PEFT writes and reads them: adapter_config.json, and adapter_model.safetensors with what differs from
// the base model, which lies elsewhere.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/adapter.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/lora.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Whether a folder holds an adapter.
bool is_adapter(const std::filesystem::path& place);

/// What adapter_config.json says, with `targets` that have tensors beside it. Throws DataError for another method than
/// LoRA, and for an option that would change numbers and is not computed, by its name.
Lora read_lora(const std::filesystem::path& folder);

/// `targets` become the maps among `maps` whose whole names `pattern` matches, a regular expression as ECMAScript writes it.
/// Throws ConfigError where it is none, or matches none of them.
void expand_pattern(Lora& lora, std::span<const std::string> maps);

/// Where the weights beside an adapter are: `given`; else what its configuration names, as it stands or as seen from the
/// adapter's folder. Of a folder without an adapter itself. Throws IoError where there is no such place.
std::filesystem::path base_of(const std::filesystem::path& place, const std::filesystem::path& given = {});

/// An adapter's settings as a card names them, and as adapter_config.json does.
Json lora_json(const Lora& lora);
Json peft_config(const Lora& lora, std::string_view class_ending, bool fan_in_fan_out,
                 const std::set<std::string>& modules_to_save);

/// config.json of an adapter's base as a model of the adapter's task has it.
Json with_task_of_adapter(Json config, const std::filesystem::path& folder);

/// The tensors of an adapter under the names of its model's parameters, in front of those of its base. An adapter with a
/// head of its own has none of its base's, nor a bias of that.
class AdapterWeights final : public WeightSource {
 public:
  /// Throws DataError for a tensor that is none of an adapter of linear maps.
  AdapterWeights(const std::filesystem::path& folder, std::unique_ptr<WeightSource> base);

  const std::filesystem::path& path() const override { return file_.path(); }
  std::vector<std::string> names() const override;
  const TensorInfo* find(std::string_view name) const override;
  void read(std::string_view name, VectorView<float> out) const override { read_either(name, out); }
  void read(std::string_view name, VectorView<double> out) const override { read_either(name, out); }
  std::optional<StoredTensor> stored(std::string_view name) const override;
  std::vector<std::string> unindexed() const override {
    return base_ ? base_->unindexed() : std::vector<std::string>();
  }

  /// Whether the adapter itself has a tensor.
  bool is_own(std::string_view name) const { return own_.contains(std::string(name)); }
  /// Whether a tensor of the base is not of the model: that of a head in whose place the adapter has its own.
  bool hides(std::string_view name) const {
    return has_head_ && !is_own(name) && detail::is_head_layer(name);
  }
  /// The names of its own tensors, sorted.
  std::vector<std::string> own_names() const;

 private:
  struct Own {
    TensorInfo info;  // with the name of the parameter
    std::string name_in_file;
  };

  template <class T>
  void read_either(std::string_view name, VectorView<T> out) const {
    const auto own = own_.find(std::string(name));
    if (own != own_.end()) return file_.read(own->second.name_in_file, out);
    if (!base_) throw UsageError(concat(path().string(), ": there is no tensor ", name));
    base_->read(name, out);
  }

  SafetensorsFile file_;
  std::map<std::string, Own> own_;
  bool has_head_ = false;               // the weight of one
  std::unique_ptr<WeightSource> base_;  // null: the adapter alone
};

namespace detail {

/// The weights of an adapter's base, which is at `base` or where the adapter says. Throws DataError where that is an adapter.
std::unique_ptr<WeightSource> open_base(const std::filesystem::path& folder,
                                        const std::filesystem::path& base);

}  // namespace detail

/// The weights of an adapter's base with the adapter merged into them: W + scale · B·A, with DoRA its rows at their
/// magnitudes, computed in double; and what else the adapter holds in the place of the base's.
class MergedWeights final : public WeightSource {
 public:
  /// `in_out`: maps whose names have ".c_" lie as (in, out), as GPT-2's. Throws DataError for a map that the base has not, or
  /// has in another shape, and IoError where the base is not there.
  MergedWeights(const std::filesystem::path& folder, const std::filesystem::path& base, bool in_out);

  const std::filesystem::path& path() const override { return adapter_.path(); }
  std::vector<std::string> names() const override;
  const TensorInfo* find(std::string_view name) const override;
  void read(std::string_view name, VectorView<float> out) const override;
  void read(std::string_view name, VectorView<double> out) const override;
  std::optional<StoredTensor> stored(std::string_view name) const override;
  std::vector<std::string> unindexed() const override { return base_->unindexed(); }

 private:
  struct Map {
    std::string module;  // in the adapter
    TensorInfo info;     // of the base's tensor, where it is of a quantised type as numbers
    bool in_out = false;
  };
  template <class T>
  void read_merged(std::string_view name, VectorView<T> out) const;
  /// The base's tensor of a name in the adapter, which may have what all begin with where the other has not; empty: none.
  std::string name_in_base(const std::string& name) const;

  Lora lora_;
  AdapterWeights adapter_;
  std::unique_ptr<WeightSource> base_;
  std::map<std::string, Map, std::less<>> maps_;  // by the base's names
  std::map<std::string, std::string, std::less<>>
      replaced_;  // tensors in the adapter, by the names in the result
};

/// The weights of an adapter and of its base, which is at `base` or, where that is empty, where the adapter says.
std::unique_ptr<WeightSource> open_adapter(const std::filesystem::path& folder,
                                           const std::filesystem::path& base);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/adapter_files_body.hpp"
#include "merit/model/merged_weights_body.hpp"
#endif
