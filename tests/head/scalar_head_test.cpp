// The scalar head: which token it reads, and what it computes.
#include "merit/head/linear_head.hpp"

#include <doctest/doctest.h>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/nn/select_rows.hpp"
#include "merit/testing/archetypes.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/testing/values.hpp"

namespace scalar_head_test {

using namespace merit;
using B = ReferenceBackend<double>;

TEST_CASE("the scalar head reads the last token, wherever the completion begins") {
  const ScalarHead head;
  std::vector<Index> rows{99};  // what is there stays
  append_rows_of(head, {.length = 7, .completion_begin = 3}, rows);
  append_rows_of(head, {.length = 1, .completion_begin = 0}, rows);
  append_rows_of(head, {.length = 7, .completion_begin = 7}, rows);
  CHECK(rows == std::vector<Index>{99, 6, 0, 6});
  CHECK(ScalarHead::meaning == ScoreMeaning::per_completion);
}

TEST_CASE("the scalar head's parameters have the published names, and a bias only when asked for") {
  B::Handle handle{B{}};
  for (const bool bias : {false, true}) {
    Parameters<B> parameters(handle);
    const ScalarHead::Bound<B> head({.bias = bias}, 4, parameters);
    CHECK(head.outputs() == 1);
    REQUIRE(parameters.tensor_count() == (bias ? 2 : 1));
    CHECK(parameters.spec(0).name == "score.weight");
    CHECK(parameters.spec(0).shape == std::vector<Index>{1, 4});
    if (bias) {
      CHECK(parameters.spec(1).name == "score.bias");
      CHECK_FALSE(parameters.spec(1).decay);
    }
  }
}

TEST_CASE("the scalar head is a linear map of each hidden row, with the gradients of one") {
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto hidden = parameters.declare({"hidden", {3, 4}, Init::normal(1)});
  ScalarHead::Bound<B> head({.bias = true, .init_deviation = 1}, 4, parameters);
  parameters.allocate(Rng(3));
  const Index weight = parameters.offset(parameters.find("score.weight"));
  parameters.values()[parameters.offset(parameters.find("score.bias"))] = 5;
  Tape<B> tape(handle, parameters);
  const std::vector<std::uint32_t> ids{0, 1, 2};
  const auto build = [&](Tape<B>& t) { return head.forward(t, embedding(t, ids, parameters.slice(hidden))); };
  const Var out = build(tape);
  REQUIRE(tape.rows(out) == 3);
  REQUIRE(tape.cols(out) == 1);
  for (Index i = 0; i < 3; ++i) {
    double sum = 5;
    for (Index j = 0; j < 4; ++j) {
      sum += value_at(parameters, parameters.slice(hidden), i, j) * parameters.values()[weight + j];
    }
    CHECK(tape.value(out)(i, 0) == doctest::Approx(sum).epsilon(1e-14));
  }
  const GradientReport report = check_operation(tape, build);
  INFO(report);
  CHECK(report.checked == 17);
  CHECK(report.error < 1e-7);
}

/// The least a head can be, with or without the number of its scores; its meaning says which rows it reads.
template <Index Width>
struct Least {
  static constexpr ScoreMeaning meaning = ScoreMeaning::per_step;
  static constexpr Index width = Width;
  static constexpr const char* name() { return "least"; }
  template <class Backend>
  struct Bound {
    Bound(const Least&, Index, Parameters<Backend>&) {}
    Var forward(Tape<Backend>&, Var hidden) { return hidden; }
  };
};

TEST_CASE("the concept takes the least head and refuses one whose number of scores nobody says") {
  static_assert(head<ScalarHead, B>);
  static_assert(head<HeadArchetype<ScoreMeaning::per_token>, B>);
  static_assert(head<Least<1>, B>);
  static_assert(!head<Least<0>, B>);
  std::vector<Index> rows;
  const std::vector<Index> ends{3, 6};
  append_rows_of(Least<1>{}, {.length = 7, .completion_begin = 2, .step_ends = ends}, rows);
  CHECK(rows == ends);
}

}  // namespace scalar_head_test
