// Adapters of linear maps, as the parameters know them: which tensors make the second path of which map, and which of
// several adapters is in use. What the path computes is in nn/low_rank.hpp.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What DoRA keeps of a map between steps, on the host: lengths of the rows of W + scale · B·A, one an output.
struct RowNorms {
  Index sets = 0, updates = 0;  // of the parameters when it was computed (LowRankMaps)
  Index weight_sets = 0;
  std::vector<double> weight_squares;  // of the rows of W alone, which is frozen
  std::vector<double> norms;
};

/// A second path of a linear map W (out, in): x·Wᵀ + scale · (x·Aᵀ)·Bᵀ (LoRA, Hu et al. 2021). With a magnitude each
/// output j is magnitude[j] · the sum / norm of row j of W + scale · B·A (DoRA, Liu et al. 2024). All three are tensors by
/// their numbers.
struct LowRankPath {
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  std::uint32_t a = none;          // (r, in)
  std::uint32_t b = none;          // (out, r)
  std::uint32_t magnitude = none;  // (out)
  double scale = 1;
  double dropout = 0;        // the share of x that A does not see while the model is trained
  std::uint64_t stream = 0;  // tells the map's dropout from that of others
  mutable RowNorms norms = {};

  bool has_magnitude() const { return magnitude != none; }
};

/// The paths of a model's maps in each of its adapters, of which at most one is in use.
class LowRankMaps {
 public:
  static constexpr Index no_adapter = ~Index{0};

  /// Gives the map that is tensor `weight` a path in an adapter; the first is 0.
  void attach(Index adapter, std::uint32_t weight, const LowRankPath& path) {
    if (adapter >= adapters_.size()) adapters_.resize(adapter + 1);
    adapters_[adapter].insert_or_assign(weight, path);
  }
  /// From now on maps have the paths of this adapter, or none.
  void use_adapter(Index adapter) {
    if (adapter != no_adapter && adapter >= adapters_.size())
      throw UsageError(concat("there is no adapter ", adapter, " of ", adapters_.size()));
    in_use_ = adapter;
  }
  Index adapter_in_use() const { return in_use_; }
  Index adapter_count() const { return adapters_.size(); }

  /// The path of the map that is tensor `weight` in the adapter in use; null: it has none.
  const LowRankPath* path_of(std::uint32_t weight) const {
    if (in_use_ == no_adapter) return nullptr;
    const auto found = adapters_[in_use_].find(weight);
    return found == adapters_[in_use_].end() ? nullptr : &found->second;
  }
  /// All of an adapter, by the maps' tensors.
  const std::unordered_map<std::uint32_t, LowRankPath>& paths(Index adapter) const {
    return adapters_[adapter];
  }

  /// The adapter that is merged into the weights, of which they then hold the sum; or none. Merged, it is not in use.
  Index merged_adapter() const { return merged_; }
  void set_merged(Index adapter) {
    merged_ = adapter;
    in_use_ = no_adapter;
  }

  /// What dropout depends on beside the tokens: the run's seed, and the step, which next_dropout_step() counts.
  void set_dropout_place(std::uint64_t seed, std::uint64_t step) {
    dropout_seed_ = seed, dropout_step_ = step;
  }
  void next_dropout_step() { ++dropout_step_; }
  std::uint64_t dropout_seed() const { return dropout_seed_; }
  std::uint64_t dropout_step() const { return dropout_step_; }
  /// Whether a path of the adapter in use drops anything.
  bool has_dropout() const {
    if (in_use_ == no_adapter) return false;
    for (const auto& entry : adapters_[in_use_]) {
      if (entry.second.dropout > 0) return true;
    }
    return false;
  }

  /// How often tensors were given values, and how often trained ones may have moved: what was computed of them holds as long
  /// as both stay.
  Index sets() const { return sets_; }
  Index updates() const { return updates_; }

 protected:
  Index sets_ = 0, updates_ = 0;

 private:
  std::vector<std::unordered_map<std::uint32_t, LowRankPath>> adapters_;
  Index in_use_ = no_adapter, merged_ = no_adapter;
  std::uint64_t dropout_seed_ = 0, dropout_step_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
