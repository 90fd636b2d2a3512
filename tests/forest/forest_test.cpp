// Forests against what their definition says, worked out here token by token.
#include "merit/forest/forest.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <vector>

#include "merit/forest/pack_by_budget.hpp"
#include "merit/testing/random_forest.hpp"

static std::atomic<long> allocations = 0;

// Counts every plain allocation of this program. Both forms of new are ours, since one delete frees what both
// gave.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* block = operator new(size, std::nothrow)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* block) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

namespace forest_test {

using namespace merit;

using Sequences = std::vector<std::vector<Token>>;

std::vector<std::span<const Token>> spans_of(const Sequences& sequences) {
  return {sequences.begin(), sequences.end()};
}

std::vector<std::uint32_t> list(std::initializer_list<std::uint32_t> values) {
  return values;
}

/// The tokens that token q sees, by the rule.
std::vector<std::uint32_t> visible(const Forest& forest, std::uint32_t q) {
  std::vector<std::uint32_t> seen;
  for (std::uint32_t k = 0; k <= q; ++k)
    if (q < forest.subtree_end[k]) seen.push_back(k);
  return seen;
}

/// The tokens that token q sees, by its segment and the segment's spans.
std::vector<std::uint32_t> by_spans(const Forest& forest, Index segment, std::uint32_t q) {
  std::vector<std::uint32_t> seen;
  for (std::uint32_t a = forest.segment_span_begin[segment]; a < forest.segment_span_begin[segment + 1]; ++a)
    for (std::uint32_t k = forest.span_begin[a]; k < forest.span_end[a]; ++k) seen.push_back(k);
  for (std::uint32_t k = forest.segment_begin[segment]; k <= q; ++k) seen.push_back(k);
  return seen;
}

/// The number of different prefixes of the sequences: the tokens of a trie.
Index distinct_prefixes(const Sequences& sequences) {
  std::vector<std::vector<Token>> prefixes;
  for (const std::vector<Token>& sequence : sequences)
    for (Index n = 1; n <= sequence.size(); ++n)
      prefixes.emplace_back(sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(n));
  std::sort(prefixes.begin(), prefixes.end());
  return static_cast<Index>(std::unique(prefixes.begin(), prefixes.end()) - prefixes.begin());
}

TEST_CASE("a chosen and a rejected answer share their prompt and lie after it") {
  const Sequences pair = {{1, 2, 3, 4}, {1, 2, 5}};
  ForestBuilder builder;
  const Index group = builder.add_tree(spans_of(pair));
  builder.want_row(builder.index(group, 1, 2));
  builder.want_row(builder.index(group, 0, 3));
  builder.want_row(builder.index(group, 0, 3));
  const Forest& forest = builder.finish();

  CHECK(forest.tokens == list({1, 2, 3, 4, 5}));
  CHECK(forest.positions == list({0, 1, 2, 3, 2}));
  CHECK(forest.subtree_end == list({5, 5, 4, 4, 5}));
  CHECK(forest.rows == list({3, 4}));
  CHECK(forest.tree_begin == list({0, 5}));
  CHECK(forest.tree_segment_begin == list({0, 3}));
  CHECK(forest.segment_begin == list({0, 2, 4, 5}));
  CHECK(forest.segment_span_begin == list({0, 0, 1, 2}));
  CHECK(forest.span_begin == list({0, 0}));
  CHECK(forest.span_end == list({2, 2}));
  CHECK(builder.row_of(3) == 0);
  CHECK(builder.row_of(4) == 1);
  CHECK_THROWS_AS(builder.row_of(0), UsageError);
  CHECK(builder.tokens_before_sharing() == 7);
  CHECK(builder.token_count() == 5);
}

TEST_CASE("sharing goes beyond the prompt, and touching ancestor spans are one") {
  // 1 2 | 3 4 | 5     The path to 5 is one span [0, 4); the path to 7 skips 5.
  //     |     | 6 7
  //     | 8
  const Sequences sequences = {{1, 2, 3, 4, 5}, {1, 2, 3, 4, 6, 7}, {1, 2, 8}};
  ForestBuilder builder;
  builder.add_tree(spans_of(sequences));
  const Forest& forest = builder.finish();
  CHECK(forest.tokens == list({1, 2, 3, 4, 5, 6, 7, 8}));
  CHECK(forest.segment_begin == list({0, 2, 4, 5, 7, 8}));
  CHECK(forest.segment_span_begin == list({0, 0, 1, 2, 3, 4}));
  CHECK(forest.span_begin == list({0, 0, 0, 0}));
  CHECK(forest.span_end == list({2, 4, 4, 2}));
}

TEST_CASE("a branch under a second branch has two ancestor spans") {
  const Sequences sequences = {{1, 2}, {1, 3, 4}, {1, 3, 5}};
  ForestBuilder builder;
  builder.add_tree(spans_of(sequences));
  const Forest& forest = builder.finish();
  CHECK(forest.tokens == list({1, 2, 3, 4, 5}));
  CHECK(by_spans(forest, 4, 4) == list({0, 2, 4}));
  CHECK(forest.segment_span_begin == list({0, 0, 1, 2, 4, 6}));
}

TEST_CASE("identical sequences are one path") {
  const Sequences sequences = {{4, 5, 6}, {4, 5, 6}, {4, 5, 6}};
  ForestBuilder builder;
  builder.add_tree(spans_of(sequences));
  CHECK(builder.finish().tokens == list({4, 5, 6}));
  CHECK(builder.forest().segment_begin == list({0, 3}));
  for (Index s = 0; s < 3; ++s) CHECK(builder.index(0, s, 2) == 2);
}

TEST_CASE("a sequence that is a prefix of another makes no branch, whichever comes first") {
  for (const Sequences& sequences : {Sequences{{1, 2}, {1, 2, 3, 4}}, Sequences{{1, 2, 3, 4}, {1, 2}}}) {
    ForestBuilder builder;
    builder.add_tree(spans_of(sequences));
    const Forest& forest = builder.finish();
    CHECK(forest.tokens == list({1, 2, 3, 4}));
    CHECK(forest.segment_begin == list({0, 4}));
    CHECK(builder.index(0, 0, 1) == 1);
    CHECK(builder.index(0, 1, 1) == 1);
  }
}

TEST_CASE("a run that was cut short and grew again is read from a sequence that holds all of it") {
  const Sequences sequences = {{1, 2}, {1, 2, 3}, {1, 2, 3, 4}, {1, 2, 9}, {1, 2, 3, 4, 5}, {1}};
  ForestBuilder builder;
  builder.add_tree(spans_of(sequences));
  CHECK(builder.finish().tokens == list({1, 2, 3, 4, 5, 9}));
}

TEST_CASE("sequences without a common first token become trees of their own") {
  const Sequences sequences = {{1, 2}, {3, 4}, {1, 5}};
  ForestBuilder builder;
  builder.add_tree(spans_of(sequences));
  const Forest& forest = builder.finish();
  CHECK(forest.tokens == list({1, 2, 5, 3, 4}));
  CHECK(forest.tree_begin == list({0, 3, 5}));
  CHECK(forest.tree_segment_begin == list({0, 3, 4}));
  CHECK(builder.index(0, 1, 0) == 3);
}

TEST_CASE("groups share nothing with each other, and without sharing neither do sequences") {
  const Sequences sequences = {{1, 2, 3}, {1, 2}};
  ForestBuilder builder;
  builder.add_tree(spans_of(sequences));
  builder.add_tree(spans_of(sequences));
  CHECK(builder.finish().tokens == list({1, 2, 3, 1, 2, 3}));
  CHECK(builder.index(1, 1, 1) == 4);

  ForestBuilder apart(Sharing::no);
  apart.add_tree(spans_of(sequences));
  apart.add_tree(spans_of(sequences));
  const Forest& forest = apart.finish();
  CHECK(forest.tokens == list({1, 2, 3, 1, 2, 1, 2, 3, 1, 2}));
  CHECK(forest.tree_begin == list({0, 3, 5, 8, 10}));
  CHECK(apart.index(0, 1, 1) == 4);
  CHECK(apart.index(1, 1, 0) == 8);
}

TEST_CASE("500 random forests agree with the definition, token by token") {
  Rng rng(2026);
  ForestBuilder shared;
  ForestBuilder apart(Sharing::no);
  for (int round = 0; round < 500; ++round) {
    RandomForestShape shape;
    shape.depth = 1 + rng.below(6);
    shape.branching = 1 + rng.below(4);
    shape.vocabulary = static_cast<Token>(1 + rng.below(6));
    const RandomForest random = random_forest(rng, shape);
    ForestBuilder& builder = round % 5 == 4 ? apart : shared;
    const Forest& forest = random.build(builder);
    const Index count = forest.token_count();
    INFO("round ", round, ", ", count, " tokens");

    // The counts: every distinct prefix of a group once.
    Index before = 0;
    Index after = 0;
    for (const Sequences& sequences : random.groups) {
      for (const std::vector<Token>& sequence : sequences) before += sequence.size();
      const Index distinct = distinct_prefixes(sequences);
      REQUIRE(shared_token_count(spans_of(sequences)) == distinct);
      after += distinct;
    }
    REQUIRE(builder.tokens_before_sharing() == before);
    REQUIRE(count == (builder.sharing() == Sharing::yes ? after : before));

    // Every token of every sequence sees exactly its own past, in order, at its own positions.
    for (Index g = 0; g < random.groups.size(); ++g) {
      for (Index s = 0; s < random.groups[g].size(); ++s) {
        const std::vector<Token>& sequence = random.groups[g][s];
        std::vector<std::uint32_t> path;
        for (Index p = 0; p < sequence.size(); ++p) {
          const std::uint32_t q = builder.index(g, s, p);
          path.push_back(q);
          REQUIRE(forest.tokens[q] == sequence[p]);
          REQUIRE(forest.positions[q] == p);
          REQUIRE(visible(forest, q) == path);
        }
        REQUIRE_THROWS_AS(builder.index(g, s, sequence.size()), UsageError);
      }
    }

    // Segments tile the forest, are maximal, and their spans are the path.
    REQUIRE(forest.segment_begin.front() == 0);
    REQUIRE(forest.segment_begin.back() == count);
    REQUIRE(forest.tree_segment_begin.back() == forest.segment_begin.size() - 1);
    for (Index segment = 0; segment + 1 < forest.segment_begin.size(); ++segment) {
      const std::uint32_t end = forest.segment_begin[segment + 1];
      for (std::uint32_t q = forest.segment_begin[segment]; q < end; ++q) {
        REQUIRE(by_spans(forest, segment, q) == visible(forest, q));
        // The next token is an only child exactly inside a segment.
        const bool only_child = q + 1 < count && q + 1 < forest.subtree_end[q] &&
                                forest.subtree_end[q + 1] == forest.subtree_end[q];
        REQUIRE(only_child == (q + 1 < end));
      }
      for (std::uint32_t a = forest.segment_span_begin[segment];
           a + 1 < forest.segment_span_begin[segment + 1]; ++a)
        REQUIRE(forest.span_end[a] < forest.span_begin[a + 1]);
    }

    // Trees: a root sees only itself, and nothing reaches over a border.
    for (Index n = 0; n + 1 < forest.tree_begin.size(); ++n) {
      const std::uint32_t root = forest.tree_begin[n];
      REQUIRE(forest.positions[root] == 0);
      REQUIRE(forest.subtree_end[root] == forest.tree_begin[n + 1]);
      REQUIRE(forest.segment_begin[forest.tree_segment_begin[n]] == root);
    }
    REQUIRE(forest.tree_begin.back() == count);

    // Rows ascend, each once, and are found again.
    for (Index r = 0; r + 1 < forest.rows.size(); ++r) REQUIRE(forest.rows[r] < forest.rows[r + 1]);
    for (const RandomForest::Row& row : random.rows) {
      const std::uint32_t token = builder.index(row.group, row.sequence, row.position);
      REQUIRE(forest.rows[builder.row_of(token)] == token);
    }
  }
}

TEST_CASE("feature vectors are trees of one token, one row each, in order") {
  ForestBuilder builder;
  const std::vector<float> a = {1, 2}, b = {3, 4}, wide = {5, 6, 7};
  CHECK(builder.add_features(a) == 0);
  CHECK(builder.add_features(b) == 1);
  CHECK_THROWS_WITH_AS(builder.add_features(wide),
                       "forest: feature vector 2 has 3 numbers, expected 2 like the first.", DataError);
  CHECK_THROWS_AS(builder.add_features({}), DataError);
  const Sequences text = {{1}};
  CHECK_THROWS_AS(builder.add_tree(spans_of(text)), UsageError);
  builder.finish();
  const ForestView<HostSpace> view = builder.view();
  CHECK(view.token_count() == 2);
  CHECK(view.tree_count() == 2);
  CHECK(view.row_count() == 2);
  CHECK(view.features.rows == 2);
  CHECK(view.features.cols == 2);
  CHECK(view.features(builder.row_of(builder.index(1, 0, 0)), 1) == 4);

  builder.clear();
  builder.add_tree(spans_of(text));
  CHECK_THROWS_AS(builder.add_features(a), UsageError);
}

TEST_CASE("calls out of order and empty sequences are refused with a sentence") {
  ForestBuilder builder;
  const Sequences empty = {{1}, {}};
  CHECK_THROWS_WITH_AS(builder.add_tree(spans_of(empty)), "forest: sequence 1 of group 0 has no tokens.",
                       UsageError);
  CHECK(builder.token_count() == 0);
  const Sequences good = {{1, 2}};
  builder.add_tree(spans_of(good));
  CHECK_THROWS_AS(builder.want_row(2), UsageError);
  CHECK_THROWS_AS(builder.row_of(0), UsageError);
  CHECK_THROWS_AS(builder.index(1, 0, 0), UsageError);
  CHECK_THROWS_AS(builder.index(0, 1, 0), UsageError);
  CHECK_THROWS_WITH_AS(builder.index(0, 0, 5),
                       "forest: sequence 0 of group 0 has 2 tokens, there is no position 5.", UsageError);
  builder.finish();
  CHECK_THROWS_AS(builder.add_tree(spans_of(good)), UsageError);
  CHECK_THROWS_AS(builder.want_row(0), UsageError);
  CHECK_THROWS_AS(detail::check_token_count(0xFFFFFFFFu), UsageError);
  CHECK_NOTHROW(detail::check_token_count(0xFFFFFFFEu));
}

TEST_CASE("an empty forest has no tokens, trees or rows") {
  ForestBuilder builder;
  const ForestView<HostSpace> view = builder.finish().view();
  CHECK(view.token_count() == 0);
  CHECK(view.row_count() == 0);
  CHECK(view.tree_count() == 0);
  CHECK(view.segment_count() == 0);
}

TEST_CASE("a warm builder allocates nothing") {
  Rng rng(7);
  RandomForestShape shape;
  shape.depth = 5;
  std::vector<RandomForest> forests;
  std::vector<std::vector<std::vector<std::span<const Token>>>> spans;
  for (int i = 0; i < 20; ++i) forests.push_back(random_forest(rng, shape));
  for (const RandomForest& random : forests) {
    spans.emplace_back();
    for (const Sequences& sequences : random.groups) spans.back().push_back(spans_of(sequences));
  }

  ForestBuilder builder;
  std::uint32_t sum = 0;
  const auto build_all = [&] {
    for (Index i = 0; i < forests.size(); ++i) {
      builder.clear();
      for (const auto& group : spans[i]) builder.add_tree(group);
      for (const RandomForest::Row& row : forests[i].rows)
        builder.want_row(builder.index(row.group, row.sequence, row.position));
      builder.finish();
      for (const RandomForest::Row& row : forests[i].rows)
        sum += builder.row_of(builder.index(row.group, row.sequence, row.position));
    }
  };
  const long start = allocations;
  build_all();
  const long warm = allocations;
  build_all();
  CHECK(warm > start);
  CHECK(allocations == warm);
  CHECK(sum > 0);
}

TEST_CASE("packing fills micro-batches up to the budget and no further") {
  const std::vector<Index> costs = {3, 4, 3, 10, 1, 25, 2, 8, 1};
  CHECK(pack_by_budget(costs, 10) == std::vector<Index>{0, 3, 4, 5, 6, 8, 9});
  CHECK(pack_by_budget(costs, 1000) == std::vector<Index>{0, 9});
  CHECK(pack_by_budget({}, 5) == std::vector<Index>{0});
  CHECK_THROWS_AS(pack_by_budget(costs, 0), ConfigError);

  Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Index> random(1 + rng.below(40));
    for (Index& cost : random) cost = rng.below(30);
    const Index budget = 1 + rng.below(40);
    const std::vector<Index> cuts = pack_by_budget(random, budget);
    REQUIRE(cuts.front() == 0);
    REQUIRE(cuts.back() == random.size());
    for (Index g = 0; g + 1 < cuts.size(); ++g) {
      Index sum = 0;
      for (Index i = cuts[g]; i < cuts[g + 1]; ++i) sum += random[i];
      REQUIRE((sum <= budget || cuts[g + 1] - cuts[g] == 1));
      if (g + 2 < cuts.size()) REQUIRE(sum + random[cuts[g + 1]] > budget);  // the next record did not fit
    }
  }
}

}  // namespace forest_test
