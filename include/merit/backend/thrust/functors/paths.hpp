// Which tokens a token of a forest sees, and by which it is seen.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/functors/element.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

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

struct IndexRange {
  Index begin;
  Index end;
};

/// Which of some ascending tokens see token t: a run, since those that do are t and its descendants.
inline MERIT_CALLABLE IndexRange seen_by(const ForestView<DeviceSpace>& forest,
                                         const VectorView<const std::uint32_t, DeviceSpace>& tokens,
                                         Index t) {
  return {lower_bound(tokens.data, tokens.size, t),
          lower_bound(tokens.data, tokens.size, forest.subtree_end.data[t])};
}

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
