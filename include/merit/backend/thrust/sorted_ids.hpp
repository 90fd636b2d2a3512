// Rows of numbers that were sorted when a batch was prepared, so that no step sorts them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// What is known of the ids of batches that live: their places as ScatterAddRows wants them. It is found by
/// where the ids lie, in memory that stays as it is while the batch lives.
class SortedIds {
 public:
  void add(const std::uint32_t* ids, Index size, const std::uint64_t* places) {
    known_.push_back({ids, size, places});
  }
  void remove(const std::uint32_t* ids) noexcept {
    known_.erase(std::remove_if(known_.begin(), known_.end(), [&](const Known& k) { return k.ids == ids; }),
                 known_.end());
  }
  /// Null where they are of no batch.
  const std::uint64_t* find(const std::uint32_t* ids, Index size) const {
    for (const Known& k : known_)
      if (k.ids == ids && k.size == size) return k.places;
    return nullptr;
  }

 private:
  struct Known {
    const std::uint32_t* ids;
    Index size;
    const std::uint64_t* places;
  };

  std::vector<Known> known_;
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
