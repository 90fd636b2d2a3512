// Two results side by side, forward and back.
#include "merit/nn/concatenate.hpp"

#include <doctest/doctest.h>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/select_rows.hpp"
#include "merit/testing/gradcheck.hpp"

namespace concatenate_test {

using namespace merit;
using B = ReferenceBackend<double>;

TEST_CASE("concatenate puts columns side by side and takes their gradients apart") {
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto hidden = parameters.declare({"hidden", {3, 4}, Init::normal(1)});
  const auto left = parameters.declare({"left", {2, 4}, Init::normal(1)});
  const auto right = parameters.declare({"right", {3, 4}, Init::normal(1)});
  parameters.allocate(Rng(5));
  Tape<B> tape(handle, parameters);
  const std::vector<std::uint32_t> ids{0, 1, 2};
  Var a, b;
  const auto build = [&](Tape<B>& t) {
    const Var rows = embedding(t, ids, parameters.slice(hidden));
    a = linear(t, rows, parameters.slice(left));
    b = linear(t, rows, parameters.slice(right));
    return concatenate(t, a, b);
  };
  const Var out = build(tape);
  REQUIRE(tape.rows(out) == 3);
  REQUIRE(tape.cols(out) == 5);
  for (Index i = 0; i < 3; ++i) {
    for (Index j = 0; j < 5; ++j) {
      CHECK(tape.value(out)(i, j) == (j < 2 ? tape.value(a)(i, j) : tape.value(b)(i, j - 2)));
    }
  }
  const GradientReport report = check_operation(tape, build);
  INFO(report);
  CHECK(report.checked == 12 + 8 + 12);
  CHECK(report.error < 1e-7);
}

TEST_CASE("concatenate adds to the gradient of a part that is used twice") {
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto hidden = parameters.declare({"hidden", {2, 3}, Init::normal(1)});
  parameters.allocate(Rng(6));
  Tape<B> tape(handle, parameters);
  const std::vector<std::uint32_t> ids{0, 1, 1};
  const GradientReport report = check_operation(tape, [&](Tape<B>& t) {
    const Var rows = embedding(t, ids, parameters.slice(hidden));
    return concatenate(t, concatenate(t, rows, rows), rows);
  });
  INFO(report);
  CHECK(report.error < 1e-7);
}

TEST_CASE("concatenate refuses parts of different heights") {
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  parameters.declare({"hidden", {3, 4}, Init::normal(1)});
  parameters.allocate(Rng(5));
  Tape<B> tape(handle, parameters);
  const std::vector<std::uint32_t> two{0, 1};
  const std::vector<std::uint32_t> three{0, 1, 2};
  const Var a = embedding(tape, two, parameters.slice(0));
  const Var b = embedding(tape, three, parameters.slice(0));
  CHECK_THROWS_AS(concatenate(tape, a, b), UsageError);
}

}  // namespace concatenate_test
