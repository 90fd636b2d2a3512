// The promises about forests where the host backend's attention goes over several tiles of keys.
#if __has_include("merit/backend/eigen/eigen_backend.hpp")

#include "forest_equivalence.hpp"
#include "merit/backend/eigen/attention_tiles.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/testing/tolerance.hpp"

namespace forest_tiles_test {

using namespace merit_test;

/// Trees of runs of up to five hundred tokens.
RandomForest long_forest(std::uint64_t n) {
  Rng rng(n, 815);
  merit::RandomForestShape shape;
  shape.groups = 2;
  shape.run = 500;
  shape.extra_rows = 0.001;
  return merit::random_forest(rng, shape);
}

/// What the forests have that short ones have not.
struct Tiles {
  Index long_spans = 0, long_segments = 0, several_spans = 0;

  void count(const RandomForest& random) {
    constexpr Index tile = merit::detail::eigen::AttentionPlan<float>::tile_keys;
    ForestBuilder builder;
    random.build(builder);
    const merit::ForestView<> forest = builder.view();
    for (Index s = 0; s < forest.segment_count(); ++s) {
      const Index first = forest.segment_span_begin[s], last = forest.segment_span_begin[s + 1];
      several_spans += last - first > 1 ? 1 : 0;
      long_segments += forest.segment_begin[s + 1] - forest.segment_begin[s] > tile ? 1 : 0;
      for (Index a = first; a < last; ++a) {
        long_spans += forest.span_end[a] - forest.span_begin[a] > tile ? 1 : 0;
      }
    }
  }
};

template <class T, class Backbone>
void check_long_packing(Backbone backbone) {
  using Backend = merit::EigenBackend<T>;
  using Tolerance = merit::Tolerance<T>;
  backbone.max_positions = 2000;
  ScalarModel<Backbone, Backend> model({.backbone = backbone, .backend = {.threads = 2}});
  shake(model);
  PackingErrors errors;
  Tiles tiles;
  for (std::uint64_t n = 0; n < 3; ++n) {
    const RandomForest forest = long_forest(n);
    tiles.count(forest);
    errors.add(model, forest, random_pairs(forest, 4, n), Tolerance::gradient);
  }
  CHECK(tiles.long_spans >= 10);
  CHECK(tiles.long_segments >= 10);
  CHECK(tiles.several_spans >= 5);
  CHECK(errors.score <= Tolerance::value);
  CHECK(errors.gradient <= Tolerance::gradient);
}

TEST_CASE("over several tiles of keys packed forests give the scores and gradients of single sequences") {
  check_long_packing<double>(tiny_llama());
  check_long_packing<double>(tiny_llama_with_all());
  check_long_packing<double>(tiny_gpt2());
}

TEST_CASE(
    "in float over several tiles of keys packed forests give the scores and gradients of single sequences") {
  check_long_packing<float>(tiny_llama());
  check_long_packing<float>(tiny_llama_with_all());
  check_long_packing<float>(tiny_gpt2());
}

}  // namespace forest_tiles_test

#endif
