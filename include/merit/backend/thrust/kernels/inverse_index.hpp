// Which rows go to which place: what a gradient of gathered rows needs, so that no two threads add to one row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// The positions of each id in a list of ids. Made once a batch, on the host.
struct InverseIndex {
  std::vector<std::uint32_t> ids;      // (U) that occur, ascending
  std::vector<std::uint32_t> begin;    // (U + 1) into sources
  std::vector<std::uint32_t> sources;  // (N) where each occurs, ascending

  /// Memory is kept from call to call.
  void build(VectorView<const std::uint32_t> list) {
    sources.resize(list.size);
    std::iota(sources.begin(), sources.end(), 0u);
    std::sort(sources.begin(), sources.end(), [&](std::uint32_t a, std::uint32_t b) {
      return list[a] != list[b] ? list[a] < list[b] : a < b;
    });
    ids.clear();
    begin.clear();
    for (std::uint32_t i = 0; i < sources.size(); ++i) {
      const std::uint32_t id = list[sources[i]];
      if (!ids.empty() && ids.back() == id) continue;
      ids.push_back(id);
      begin.push_back(i);
    }
    begin.push_back(static_cast<std::uint32_t>(sources.size()));
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
