// The turns of one conversation, ranked one by one, as one example, so that they become one tree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The tokens that all completions of the first group have as their prompt.
inline std::span<const Token> prompt_of(const RankingExample& example) {
  if (example.groups.empty() || example.groups[0].completions.empty()) return {};
  const std::vector<Sequence>& completions = example.groups[0].completions;
  Index size = std::numeric_limits<Index>::max();
  for (const Sequence& s : completions) size = std::min({size, s.completion_begin, s.tokens.size()});
  return std::span(completions[0].tokens).first(size);
}

}  // namespace detail

/// Joins examples whose prompts extend one another: a conversation with ranked replies at several turns,
/// whose later prompts go on from an earlier prompt and one of its replies. The groups of all of them become
/// groups of one example, shortest prompt first, which stands where the first of them stood; each keeps its
/// weight. Examples of the same prompt are joined too, ones without prompt tokens are not. Returns how many
/// examples were joined to another. Takes n log n comparisons of prompts.
///
/// What it saves is in the tree: the tokens of earlier turns are run once. Join before splitting into
/// batches.
inline Index join_conversations(std::vector<RankingExample>& examples) {
  std::vector<Index> order(examples.size());
  std::iota(order.begin(), order.end(), Index{0});
  const auto prompt = [&](Index i) { return detail::prompt_of(examples[i]); };
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) {
    const auto x = prompt(a);
    const auto y = prompt(b);
    return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end());
  });

  // In this order, all that extend a prompt follow it at once. Runs of them are conversations.
  const auto extends = [&](Index later, Index earlier) {
    const auto x = prompt(later);
    const auto y = prompt(earlier);
    return !y.empty() && y.size() <= x.size() && std::equal(y.begin(), y.end(), x.begin());
  };
  std::vector<std::vector<Index>> conversations;
  for (const Index i : order) {
    if (conversations.empty() || !extends(i, conversations.back().front())) conversations.emplace_back();
    conversations.back().push_back(i);
  }
  std::sort(conversations.begin(), conversations.end(), [](const auto& a, const auto& b) {
    return *std::min_element(a.begin(), a.end()) < *std::min_element(b.begin(), b.end());
  });

  std::vector<RankingExample> joined;
  joined.reserve(conversations.size());
  for (std::vector<Index>& turns : conversations) {
    // Sorted by their tokens so far; a later turn is longer.
    std::stable_sort(turns.begin(), turns.end(),
                     [&](Index a, Index b) { return prompt(a).size() < prompt(b).size(); });
    RankingExample example;
    for (const Index i : turns) {
      for (RankedGroup& group : examples[i].groups) example.groups.push_back(std::move(group));
    }
    joined.push_back(std::move(example));
  }
  const Index count = examples.size() - joined.size();
  examples = std::move(joined);
  return count;
}

}  // namespace MERIT_ABI
}  // namespace merit
