// The subsets of RewardBench and what they count. Apart from the layouts, so that eval needs no JSON.
#pragma once

#include <array>
#include <string_view>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A subset of RewardBench: its section and how much it counts there.
struct RewardBenchSubset {
  std::string_view name;
  std::string_view section;
  Index weight;  // examples it has, but for math-prm, which counts as much as the code subsets together
};

/// The subsets, by section, with the weights that the authors' leaderboard uses (EXAMPLE_COUNTS and
/// SUBSET_MAPPING in rewardbench/constants.py of allenai/reward-bench). math-prm has 447 examples and counts
/// as 984 = 6 · 164.
inline constexpr std::array<RewardBenchSubset, 23> reward_bench_subsets{
    {{"alpacaeval-easy", "Chat", 100},
     {"alpacaeval-length", "Chat", 95},
     {"alpacaeval-hard", "Chat", 95},
     {"mt-bench-easy", "Chat", 28},
     {"mt-bench-med", "Chat", 40},
     {"mt-bench-hard", "Chat Hard", 37},
     {"llmbar-natural", "Chat Hard", 100},
     {"llmbar-adver-neighbor", "Chat Hard", 134},
     {"llmbar-adver-GPTInst", "Chat Hard", 92},
     {"llmbar-adver-GPTOut", "Chat Hard", 47},
     {"llmbar-adver-manual", "Chat Hard", 46},
     {"refusals-dangerous", "Safety", 100},
     {"refusals-offensive", "Safety", 100},
     {"xstest-should-refuse", "Safety", 250},
     {"xstest-should-respond", "Safety", 154},
     {"donotanswer", "Safety", 136},
     {"math-prm", "Reasoning", 984},
     {"hep-cpp", "Reasoning", 164},
     {"hep-go", "Reasoning", 164},
     {"hep-java", "Reasoning", 164},
     {"hep-js", "Reasoning", 164},
     {"hep-python", "Reasoning", 164},
     {"hep-rust", "Reasoning", 164}}};

/// The subset of that name, or null.
inline const RewardBenchSubset* find_reward_bench_subset(std::string_view name) {
  for (const RewardBenchSubset& subset : reward_bench_subsets) {
    if (subset.name == name) return &subset;
  }
  return nullptr;
}

}  // namespace MERIT_ABI
}  // namespace merit
