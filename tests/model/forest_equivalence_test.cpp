// The promises about forests on the reference backend, where scores must agree in every bit.
#include "forest_equivalence.hpp"

#include "merit/backend/reference/reference_backend.hpp"
#include "sanitized.hpp"

namespace forest_equivalence_test {

using namespace merit_test;
using Double = merit::ReferenceBackend<double>;
using Single = merit::ReferenceBackend<float>;

TEST_CASE("packed Llama forests give the scores, bit for bit, and the gradients of single sequences") {
  check_packing<Double>(tiny_llama(), merit_test::random_cases(200), 0, 1e-10);
  check_packing<Double>(tiny_llama_with_bias(), merit_test::random_cases(100), 0, 1e-10);
  check_packing<Double>(tiny_llama_with_all(), merit_test::random_cases(200), 0, 1e-10);
}

TEST_CASE("packed GPT-2 forests give the scores, bit for bit, and the gradients of single sequences") {
  check_packing<Double>(tiny_gpt2(), merit_test::random_cases(200), 0, 1e-10);
}

TEST_CASE("in float, packed scores are those of single sequences bit for bit") {
  check_packing<Single>(tiny_llama_with_all(), 50, 0, 1e-3);
  check_packing<Single>(tiny_gpt2(), 50, 0, 1e-3);
}

template <class Backbone>
void check_invariances(const Backbone& backbone) {
  ScalarModel<Backbone, Double> model({.backbone = backbone});
  shake(model);
  Backbone saving = backbone;
  saving.recompute = merit::all_layers;
  ScalarModel<Backbone, Double> recomputing({.backbone = saving});
  shake(recomputing);
  for (std::uint64_t n = 0; n < 40; ++n) {
    CAPTURE(n);
    const RandomForest forest = nth_forest(n);
    const std::vector<double> scores = packed_scores(model, forest);
    const std::vector<RowPair> pairs = random_pairs(forest, 10, n);
    const Step step = run_step(model, packed_batch(forest, pairs));

    // Cut into 1, 2 and 5 micro-batches.
    for (const Index cuts : {1u, 2u, 5u}) {
      std::vector<MicroBatch> batches;
      for (Index i = 0; i < cuts; ++i) {
        const Index begin = i * pairs.size() / cuts, end = (i + 1) * pairs.size() / cuts;
        batches.push_back(
            pair_batch(forest, std::span(pairs).subspan(begin, end - begin), merit::Sharing::yes));
      }
      const Step cut = run_step(model, batches);
      CHECK(cut.loss == doctest::Approx(step.loss).epsilon(1e-12));
      CHECK(gradient_error(model, cut, step) <= 1e-12);
    }

    // Computed twice instead of kept.
    CHECK(packed_scores(recomputing, forest) == scores);
    const Step again = run_step(recomputing, packed_batch(forest, pairs));
    CHECK(again.loss == step.loss);
    CHECK(again.gradient == step.gradient);

    // Groups and sequences in the opposite order.
    RandomForest turned = forest;
    std::reverse(turned.groups.begin(), turned.groups.end());
    for (auto& group : turned.groups) std::reverse(group.begin(), group.end());
    for (auto& row : turned.rows) {
      row.sequence = forest.groups[row.group].size() - 1 - row.sequence;
      row.group = forest.groups.size() - 1 - row.group;
    }
    CHECK(packed_scores(model, turned) == scores);
    CHECK(gradient_error(model, run_step(model, packed_batch(turned, pairs)), step) <= 1e-12);

    // Every row of the last layer instead of the wanted ones.
    MicroBatch full = packed_batch(forest, pairs, Rows::all);
    CHECK(full.builder.forest().row_count() == full.builder.token_count());
    const auto all_scores = model.score(full.builder.view());
    for (Index r = 0; r < forest.rows.size(); ++r) {
      CHECK(all_scores[row_in(full.builder, forest.rows[r])] == scores[r]);
    }
    CHECK(gradient_error(model, run_step(model, std::move(full)), step) <= 1e-12);
  }
}

TEST_CASE("a step does not depend on cuts, order, recomputation or extra rows: Llama") {
  check_invariances(tiny_llama_with_all());
  check_invariances(tiny_llama());
}

TEST_CASE("a step does not depend on cuts, order, recomputation or extra rows: GPT-2") {
  check_invariances(tiny_gpt2());
}

}  // namespace forest_equivalence_test
