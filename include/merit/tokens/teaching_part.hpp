// Of examples that are to be judged, what a model learns from.
#pragma once

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/tokens/sequences.hpp"
#include "merit/tokens/tokenize_options.hpp"
#include "merit/tokens/tokenize_steps.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

// Each leaves of one example what teaches, and says whether anything does.

inline bool keep_what_teaches(PreferenceExample& example, const TokenizeOptions&) {
  return !all_equal(std::array<const Sequence*, 2>{&example.chosen, &example.rejected});
}
inline bool keep_what_teaches(RankingExample& example, const TokenizeOptions&) {
  std::erase_if(example.groups, [](const RankedGroup& group) {
    std::vector<const Sequence*> all;
    for (const Sequence& sequence : group.completions) all.push_back(&sequence);
    return all_equal(all);
  });
  return !example.groups.empty();
}
inline bool keep_what_teaches(OutcomeExample& example, const TokenizeOptions&) {
  const Sequence& sequence = example.sequence;
  return !sequence.cut || sequence.completion_begin < sequence.tokens.size();
}
inline bool keep_what_teaches(RolloutExample& example, const TokenizeOptions&) {
  const Sequence& sequence = example.sequence;
  return sequence.completion_begin < sequence.tokens.size() && sequence.tokens.size() > 1;
}
inline bool keep_what_teaches(StepsExample& example, const TokenizeOptions& options) {
  std::vector<std::optional<StepLabel>> all;
  const std::array<std::vector<std::optional<StepLabel>>*, 3> parts{&example.labels_before, &example.labels,
                                                                    &example.labels_behind};
  for (const auto* part : parts) all.insert(all.end(), part->begin(), part->end());
  limit_labels(all, options);
  auto next = all.begin();
  for (auto* part : parts) {
    const auto end = next + std::ssize(*part);
    part->assign(next, end);
    next = end;
  }
  return label_count(example.labels) > 0;
}

}  // namespace detail

/// Examples that were tokenized with options.to_judge and all labels of steps, as tokenize() gives them for
/// training with these options: without those that have nothing to teach.
template <class Example>
std::vector<Example> teaching_part(std::vector<Example> examples, const TokenizeOptions& options) {
  std::erase_if(examples, [&](Example& example) { return !detail::keep_what_teaches(example, options); });
  return examples;
}

}  // namespace MERIT_ABI
}  // namespace merit
