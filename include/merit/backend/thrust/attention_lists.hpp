// The tiles of attention of batches that live, where a device reads them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "merit/backend/thrust/kernels/attention_tiles.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// The lists of both sides of one attention.
struct AttentionSides {
  kernels::TileLists of_queries, of_keys;
};

/// Lists for the queries of all tokens, and for those of the rows that heads read. They are made when a batch is prepared
/// and found by where its tokens and the queries' tokens lie, in memory that stays as it is while the batch lives.
class AttentionLists {
 public:
  /// Of the batch that is being prepared.
  void build(const ForestView<HostSpace>& forest) {
    all_.build(forest, {});
    has_rows_ = !forest.rows.empty();
    if (has_rows_) rows_.build(forest, forest.rows);
  }

  /// How many bytes write() writes.
  Index bytes() const {
    Index sum = 0;
    for_each_list([&](const std::vector<std::uint32_t>& list) { sum += padded(list.size()); });
    return sum;
  }

  /// Writes what was built to the host's `to`, from where it is copied to the device's `there`; `tokens` and `rows` are
  /// those of the batch on the device.
  void write(std::byte* to, const std::byte* there, const std::uint32_t* tokens, const std::uint32_t* rows) {
    std::array<const std::uint32_t*, 2 * both_sides> lists{};
    Index count = 0;
    for_each_list([&](const std::vector<std::uint32_t>& list) {
      std::copy(list.begin(), list.end(), reinterpret_cast<std::uint32_t*>(to));
      lists[count++] = reinterpret_cast<const std::uint32_t*>(there);
      to += padded(list.size());
      there += padded(list.size());
    });
    const auto sides = [&](const kernels::AttentionTiles& tiles, Index first) {
      const auto side = [&](const kernels::HostTileLists& host, Index own, Index other) {
        return kernels::TileLists{.tiles = host.order.size(),
                                  .begin = lists[own],
                                  .entries = lists[own + 1],
                                  .order = lists[own + 2],
                                  .bounds = lists[own + 3],
                                  .other_bounds = lists[other + 3]};
      };
      const Index of_keys = first + both_sides / 2;
      return AttentionSides{side(tiles.of_queries(), first, of_keys), side(tiles.of_keys(), of_keys, first)};
    };
    known_.push_back({tokens, nullptr, sides(all_, 0)});
    if (has_rows_) known_.push_back({tokens, rows, sides(rows_, both_sides)});
  }

  void remove(const std::uint32_t* tokens) noexcept {
    known_.erase(
        std::remove_if(known_.begin(), known_.end(), [&](const Known& k) { return k.tokens == tokens; }),
        known_.end());
  }

  /// Null where the queries are of no batch. No query tokens: all.
  const AttentionSides* find(const std::uint32_t* tokens, const std::uint32_t* query_tokens) const {
    for (const Known& k : known_)
      if (k.tokens == tokens && k.query_tokens == query_tokens) return &k.sides;
    return nullptr;
  }

 private:
  struct Known {
    const std::uint32_t* tokens;
    const std::uint32_t* query_tokens;
    AttentionSides sides;
  };

  static constexpr Index both_sides = 8;  // lists of one attention

  static Index padded(Index count) { return aligned_count<std::byte>(count * sizeof(std::uint32_t)); }

  template <class F>
  void for_each_list(const F& f) const {
    for (const kernels::AttentionTiles* tiles : {&all_, has_rows_ ? &rows_ : nullptr}) {
      if (tiles == nullptr) continue;
      for (const kernels::HostTileLists* side : {&tiles->of_queries(), &tiles->of_keys()}) {
        f(side->begin);
        f(side->entries);
        f(side->order);
        f(side->bounds);
      }
    }
  }

  kernels::AttentionTiles all_, rows_;
  bool has_rows_ = false;
  std::vector<Known> known_;
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
