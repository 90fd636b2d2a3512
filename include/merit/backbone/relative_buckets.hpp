// Which row of a table of relative positions a distance has: DeBERTa's buckets, one for each distance near zero and wider
// ones further out.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "merit/backend/operations.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The row, below 2 · span, of the distance query − key. `buckets`: how many there are on each side, of distances up to
/// `most`; 0: a distance is its own, up to `most` (He et al. 2021).
inline Index relative_bucket(std::int64_t distance, Index buckets, Index most) {
  const auto span = static_cast<std::int64_t>(buckets > 0 ? buckets : most);
  std::int64_t bucket = distance;
  if (buckets > 0) {
    const std::int64_t middle = span / 2, away = distance < 0 ? -distance : distance;
    if (away > middle) {
      // In float, as published: a distance on a border may fall on either side of it.
      const float share = std::log(static_cast<float>(away) / static_cast<float>(middle)) /
                          std::log(static_cast<float>(most - 1) / static_cast<float>(middle));
      const auto beyond =
          static_cast<std::int64_t>(std::ceil(share * static_cast<float>(middle - 1))) + middle;
      bucket = distance < 0 ? -beyond : beyond;
    }
  }
  return static_cast<Index>(std::clamp<std::int64_t>(bucket + span, 0, 2 * span - 1));
}

/// The buckets of all distances in a forest, in the backend's memory, grown by doubling when longer sequences come.
template <class B>
class RelativeBuckets {
 public:
  using Indices = typename BackendTypes<B>::Indices;

  RelativeBuckets(typename B::Handle& handle, Index buckets, Index most)
      : handle_(&handle), buckets_(buckets), most_(most), row_count_(2 * (buckets > 0 ? buckets : most)) {
    std::vector<std::uint32_t> host(row_count_);
    std::iota(host.begin(), host.end(), 0u);
    rows_ = copied(host);
  }
  RelativeBuckets(const RelativeBuckets&) = delete;
  RelativeBuckets& operator=(const RelativeBuckets&) = delete;
  ~RelativeBuckets() {
    release();
    B::release(*handle_, rows_, row_count_);
  }

  /// The numbers of all rows of a table: 0, 1, 2, …
  Indices rows() const { return {rows_, row_count_}; }

  /// Those of the distances 1 − depth to depth − 1. Valid until a call that asks for more.
  Indices view(Index depth) {
    if (depth > capacity_) grow(std::max(depth, std::max<Index>(2 * capacity_, 128)));
    return {table_ + (capacity_ - depth), 2 * depth - 1};
  }

 private:
  void grow(Index depth) {
    std::vector<std::uint32_t> host;
    const auto last = static_cast<std::int64_t>(depth) - 1;
    for (std::int64_t distance = -last; distance <= last; ++distance)
      host.push_back(static_cast<std::uint32_t>(relative_bucket(distance, buckets_, most_)));
    std::uint32_t* const table = copied(host);  // first: it may throw
    release();
    table_ = table;
    capacity_ = depth;
  }
  std::uint32_t* copied(const std::vector<std::uint32_t>& host) {
    auto* const block = B::template allocate<std::uint32_t>(*handle_, host.size());
    B::from_host(*handle_, host.data(), block, host.size());
    B::wait(*handle_);
    return block;
  }
  void release() {
    if (table_ != nullptr) B::release(*handle_, table_, 2 * capacity_ - 1);
    table_ = nullptr;
  }

  typename B::Handle* handle_;
  Index buckets_, most_, row_count_;
  std::uint32_t* rows_ = nullptr;
  std::uint32_t* table_ = nullptr;
  Index capacity_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
