// Which rank's optimizer moves which tensors, and in which pieces gradients are sent to it.
#pragma once

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "merit/optim/shard.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The trained tensors cut into buckets, each of them into a part for each rank: whole tensors, adjacent ones together, as
/// optimizers work on matrices. Every rank computes the same.
class RankShards {
 public:
  /// A run of the parameters' block, which is sent when all of its gradients are final.
  struct Bucket {
    std::vector<Index> cuts;     // rank r moves the elements [cuts[r], cuts[r + 1])
    std::vector<Index> tensors;  // the numbers of its tensors
  };
  /// Tensors that are not taken apart, as a run of the block.
  using Unit = OptimizerShard::Run;

  /// Buckets of at least `bucket_elements` where there are that many, the last layers' first, as their gradients are.
  template <class B>
  RankShards(const Parameters<B>& parameters, Index ranks, Index bucket_elements) {
    // In the order of the block: what decays stands first, each of both as it was declared.
    std::vector<Index> tensors = parameters.trained();
    std::stable_partition(tensors.begin(), tensors.end(), [&](Index i) { return parameters.spec(i).decay; });
    for (const Index i : tensors) {
      const Index begin = parameters.offset(i);
      if (!units_.empty() && parameters.spec(i).adjacent) continue;
      if (!units_.empty()) units_.back().end = begin;
      units_.push_back({begin, begin});
    }
    if (!units_.empty()) units_.back().end = parameters.size();

    // What decays are the layers' matrices, in their order; the rest is theirs too, and small.
    std::vector<std::vector<Unit>> buckets;
    Index elements = 0;
    const auto take = [&](bool decayed) {
      elements = bucket_elements;  // begins a bucket
      for (auto unit = units_.rbegin(); unit != units_.rend(); ++unit) {
        if ((unit->begin < parameters.decayed()) != decayed) continue;
        if (elements >= bucket_elements) {
          buckets.emplace_back();
          elements = 0;
        }
        buckets.back().insert(buckets.back().begin(), *unit);
        elements += unit->end - unit->begin;
      }
    };
    take(true);
    take(false);
    cut(buckets, ranks, parameters.size());

    bucket_of_.assign(parameters.tensor_count(), buckets_.size());
    for (const Index i : tensors) {
      for (Index b = 0; b < buckets_.size(); ++b) {
        const Index at = parameters.offset(i);
        if (at < buckets_[b].cuts.front() || at >= buckets_[b].cuts.back()) continue;
        buckets_[b].tensors.push_back(i);
        bucket_of_[i] = b;
      }
    }
  }

  const std::vector<Unit>& units() const { return units_; }
  /// In the order in which they are sent.
  const std::vector<Bucket>& buckets() const { return buckets_; }
  /// The number of the bucket that has tensor i; that of none for a frozen one.
  Index bucket_of(Index tensor) const { return bucket_of_[tensor]; }

  OptimizerShard of_rank(Index rank) const {
    std::vector<OptimizerShard::Run> runs;
    for (const Bucket& bucket : buckets_)
      if (bucket.cuts[rank] < bucket.cuts[rank + 1])
        runs.push_back({bucket.cuts[rank], bucket.cuts[rank + 1]});
    return OptimizerShard(std::move(runs));
  }

 private:
  /// Gives each rank about as much of all buckets together: first of those with the largest units, such as a table of
  /// tokens, which one rank takes whole.
  void cut(const std::vector<std::vector<Unit>>& buckets, Index ranks, Index size) {
    const auto largest_of = [&](Index b) {
      Index largest = 0;
      for (const Unit& unit : buckets[b]) largest = std::max(largest, unit.end - unit.begin);
      return largest;
    };
    std::vector<Index> order(buckets.size());
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return largest_of(a) > largest_of(b); });
    buckets_.resize(buckets.size());
    std::vector<double> load(ranks, 0.0);
    const double fair = static_cast<double>(size) / static_cast<double>(ranks);
    for (const Index b : order) {
      const std::vector<Unit>& units = buckets[b];
      std::vector<double> room;
      for (const double taken : load) room.push_back(std::max(0.0, fair - taken) + 1);
      const double all_room = std::accumulate(room.begin(), room.end(), 0.0);
      const auto begin = static_cast<double>(units.front().begin);
      const double elements = static_cast<double>(units.back().end) - begin;

      std::vector<Index>& cuts = buckets_[b].cuts;
      cuts.assign(1, units.front().begin);
      double upto = 0;
      Index next = 0;
      for (Index rank = 0; rank < ranks; ++rank) {
        upto += room[rank];
        const double end = begin + elements * upto / all_room;
        while (next < units.size() &&
               (rank + 1 == ranks || static_cast<double>(units[next].begin + units[next].end) / 2 <= end)) {
          ++next;
        }
        cuts.push_back(next == units.size() ? units.back().end : units[next].begin);
        load[rank] += static_cast<double>(cuts[rank + 1] - cuts[rank]);
      }
    }
  }

  std::vector<Unit> units_;  // in the block's order
  std::vector<Bucket> buckets_;
  std::vector<Index> bucket_of_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
