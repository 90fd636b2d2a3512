// Which tokens a token of a forest sees, and by which it is seen.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/functors/element.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

struct IndexRange {
  Index begin;
  Index end;
};

/// The tokens of the tree that holds a token.
inline MERIT_CALLABLE IndexRange tree_of(const ForestView<DeviceSpace>& forest, Index token) {
  const Index tree = lower_bound(forest.tree_begin.data, forest.tree_begin.size, token + 1) - 1;
  return {forest.tree_begin.data[tree], forest.tree_begin.data[tree + 1]};
}

/// Calls visit(t) for every token t that `token` sees, from the root down: the spans of its segment, then its
/// segment up to itself.
template <class Visit>
MERIT_CALLABLE void for_each_seen(const ForestView<DeviceSpace>& forest, Index token, const Visit& visit) {
  const Index segment = lower_bound(forest.segment_begin.data, forest.segment_begin.size, token + 1) - 1;
  const Index spans_end = forest.segment_span_begin.data[segment + 1];
  for (Index span = forest.segment_span_begin.data[segment]; span < spans_end; ++span) {
    const Index end = forest.span_end.data[span];
    for (Index t = forest.span_begin.data[span]; t < end; ++t) visit(t);
  }
  for (Index t = forest.segment_begin.data[segment]; t <= token; ++t) visit(t);
}

/// The same of what a token attends to.
template <class Visit>
MERIT_CALLABLE void for_each_seen(const ForestView<DeviceSpace>& forest, const AttentionShape& shape,
                                  Index token, const Visit& visit) {
  const Index own = forest.positions.data[token];
  const auto visit_near = [&](Index t) {
    if (shape.reaches(own, forest.positions.data[t])) visit(t);
  };
  if (shape.sight == Sight::path) return for_each_seen(forest, token, visit_near);
  const IndexRange tree = tree_of(forest, token);
  for (Index t = tree.begin; t < tree.end; ++t) visit_near(t);
}

/// The tokens that see token t, not counting windows: itself and its descendants, or its whole tree.
inline MERIT_CALLABLE IndexRange seers_of(const ForestView<DeviceSpace>& forest, Index t, Sight sight) {
  return sight == Sight::path ? IndexRange{t, forest.subtree_end.data[t]} : tree_of(forest, t);
}

/// Which of some ascending tokens do: a run of them.
inline MERIT_CALLABLE IndexRange seen_by(const ForestView<DeviceSpace>& forest,
                                         const VectorView<const std::uint32_t, DeviceSpace>& tokens, Index t,
                                         Sight sight = Sight::path) {
  const IndexRange seers = seers_of(forest, t, sight);
  return {lower_bound(tokens.data, tokens.size, seers.begin),
          lower_bound(tokens.data, tokens.size, seers.end)};
}

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
