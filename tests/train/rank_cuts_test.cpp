// Which rank computes which records, and which moves which weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "fixtures.hpp"
#include "merit/train/micro_batches.hpp"
#include "merit/train/rank_shards.hpp"

namespace rank_cuts_test {

using namespace merit;

TEST_CASE("records are cut alike on all ranks, and each has about the same to do") {
  Rng rng(5);
  std::vector<Index> costs;
  for (int i = 0; i < 40; ++i) costs.push_back(1 + rng.below(100));
  const auto loads = [&](const MicroBatches& cut) {
    std::vector<Index> seen(costs.size());
    std::vector<Index> load(cut.ranks.size() - 1);
    for (Index r = 0; r + 1 < cut.ranks.size(); ++r)
      for (Index m = cut.ranks[r]; m < cut.ranks[r + 1]; ++m) {
        Index cost = 0;
        for (const Index record : cut.batch(m)) {
          ++seen[record];
          cost += costs[record];
        }
        CHECK(cost <= 150);
        load[r] += cost;
      }
    CHECK(seen == std::vector<Index>(costs.size(), 1));
    return load;
  };
  MicroBatches one, several;
  cut_step(costs, 150, 1, false, one);
  CHECK(one.cuts == pack_by_budget(costs, 150));
  for (const Index ranks : {Index{2}, Index{3}, Index{7}}) {
    cut_step(costs, 150, ranks, false, several);
    const auto even = loads(several);
    CHECK(even.size() == ranks);
    CHECK(*std::max_element(even.begin(), even.end()) <
          *std::min_element(even.begin(), even.end()) * 11 / 10);
    cut_step(costs, 150, ranks, true, several);
    CHECK(several.cuts == one.cuts);
    CHECK(several.records == one.records);
    const auto fixed = loads(several);
    CHECK(*std::max_element(fixed.begin(), fixed.end()) <=
          *std::min_element(fixed.begin(), fixed.end()) + 2 * 150);
  }
  cut_step(std::vector<Index>{5, 5}, 150, 4, true, several);
  CHECK(several.ranks.size() == 5);
  CHECK(several.ranks.back() == 1);
}

TEST_CASE("each tensor is moved by one rank, a large one counted for what it is") {
  Llama backbone = training::small_llama();
  backbone.vocabulary_size = 200;  // almost half of all weights
  training::Llama<ReferenceBackend<double>> model({.backbone = backbone});
  const auto& parameters = std::as_const(model).parameters();
  for (const Index ranks : {Index{1}, Index{2}, Index{3}, Index{50}}) {
    const detail::RankShards shards(parameters, ranks, 500);
    Index size = 0, largest = 0;
    for (Index r = 0; r < ranks; ++r) {
      const OptimizerShard shard = shards.of_rank(r);
      size += shard.size();
      largest = std::max(largest, shard.size());
    }
    CHECK(size == parameters.size());
    for (const Index i : parameters.trained()) {
      Index owners = 0;
      for (Index r = 0; r < ranks; ++r) {
        const OptimizerShard shard = shards.of_rank(r);
        if (!shard.holds(parameters.offset(i))) continue;
        ++owners;
        CHECK(shard.place(parameters.offset(i) + parameters.element_count(i) - 1) ==
              shard.place(parameters.offset(i)) + parameters.element_count(i) - 1);
      }
      CHECK(owners == 1);
      CHECK(shards.bucket_of(i) < shards.buckets().size());
    }
    if (ranks == 2 || ranks == 3) CHECK(largest < 2 * parameters.size() / (ranks + 1));
  }
}

}  // namespace rank_cuts_test
