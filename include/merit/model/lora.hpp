// What an adapter is to be: the numbers of LoRA (Hu et al. 2021), which maps have one, and what else is trained.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/field.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Which biases are trained: none, all of the model's, or those of the maps that have an adapter.
enum class LoraBias : std::uint8_t { none, all, lora_only };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<LoraBias>{"none", "all", "lora_only"};

/// An adapter's settings. The head is trained and saved with it in any case.
struct Lora {
  Index rank = 8;
  double alpha = 16;
  double dropout = 0;
  bool rank_stabilised = false;
  bool dora = false;
  LoraBias bias = LoraBias::none;

  /// The maps by name as PEFT matches `target_modules`: each of them is a whole name or what a name ends with behind a
  /// dot. Without any: every linear map inside a layer, PEFT's "all-linear".
  std::vector<std::string> targets = {};
  std::string pattern = {};  // the regular expression that `targets` are of, by expand_pattern(); empty: none
  /// Ranks and alphas of maps that have others, by names as in `targets`: of several that fit, the first in order.
  std::map<std::string, Index> rank_pattern = {};
  std::map<std::string, double> alpha_pattern = {};
  std::vector<std::string> also_trained =
      {};                 // modules trained and saved whole, by what their names end with
  std::string base = {};  // where the base model is, for who opens the adapter

  static constexpr std::string_view name() { return "lora"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"rank", &Lora::rank, between(1, 65536), "rank of an adapter's matrices", "--lora-rank"});
    visit(Field{"alpha", &Lora::alpha, above(0), "an adapter's path counts alpha / rank", "--lora-alpha"});
    visit(Field{"dropout", &Lora::dropout, below(0, 1),
                "share of its input that a path does not see in training", "--lora-dropout"});
    visit(Field{"rank_stabilised",
                &Lora::rank_stabilised,
                {},
                "alpha / sqrt(rank) instead (Kalajdzievski 2023)",
                "--lora-rank-stabilised"});
    visit(Field{"dora",
                &Lora::dora,
                {},
                "each output has a trained magnitude (DoRA, Liu et al. 2024)",
                "--lora-dora"});
    visit(Field{"bias", &Lora::bias, {}, "biases that are trained too", "--lora-bias"});
  }

  /// The rank of the path of the map called `module`, and by how much it counts.
  Index rank_of(std::string_view module) const;
  double scale_of(std::string_view module) const;
  /// Whether the map called `module` has an adapter.
  bool is_target(std::string_view module) const;
  /// Throws ConfigError beside what the fields say.
  void validate() const;

  friend bool operator==(const Lora&, const Lora&) = default;
};

/// An adapter of a model that may have several.
struct Adapter {
  std::string name = "default";
  Lora lora = {};

  friend bool operator==(const Adapter&, const Adapter&) = default;
};

namespace detail {

/// Whether `module` is `name`, or ends with it behind a dot.
inline bool ends_as(std::string_view module, std::string_view name) {
  return module.ends_with(name) &&
         (module.size() == name.size() || module[module.size() - name.size() - 1] == '.');
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/lora_body.hpp"
#endif
