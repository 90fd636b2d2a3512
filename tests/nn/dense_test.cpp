// Linear maps, norms, rows and nonlinearities through the tape: values worked out by hand, gradients against
// central differences, and the sentence for each shape that does not fit.
#include <cmath>

#include "merit/nn/activation.hpp"
#include "merit/nn/arithmetic.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/norm.hpp"
#include "operations.hpp"

namespace dense_test {

using namespace merit;
using namespace merit_test;

TEST_CASE("linear multiplies by the weight in both layouts, and adds bias and residual") {
  Workbench bench;
  const auto x = bench.declare("x", {2, 3});
  const auto w = bench.declare("w", {2, 3});
  const auto wt = bench.declare("wt", {3, 2});
  const auto b = bench.declare("b", {2});
  const auto r = bench.declare("r", {2, 2});
  bench.allocate();
  bench.set(x, {1, 2, 3, -1, 0, 2});
  bench.set(w, {1, 0, 2, 3, -1, 1});
  bench.set(wt, {1, 3, 0, -1, 2, 1});
  bench.set(b, {10, 20});
  bench.set(r, {100, 200, 300, 400});
  const Var in = bench.input(x);
  CHECK(bench.get(linear(bench.tape, in, bench.slice(w))) == std::vector<double>{7, 4, 3, -1});
  CHECK(bench.get(linear(bench.tape, in, bench.slice(wt), {}, {}, Layout::in_out)) ==
        std::vector<double>{7, 4, 3, -1});
  CHECK(bench.get(linear(bench.tape, in, bench.slice(w), bench.slice(b), bench.input(r))) ==
        std::vector<double>{117, 224, 313, 419});
}

TEST_CASE("linear's gradients agree with central differences") {
  for (const Layout layout : {Layout::out_in, Layout::in_out}) {
    for (const bool with_bias : {false, true}) {
      for (const bool with_residual : {false, true}) {
        CAPTURE(static_cast<int>(layout));
        CAPTURE(with_bias);
        CAPTURE(with_residual);
        Workbench bench;
        const auto x = bench.declare("x", {3, 5});
        const auto r = bench.declare("r", {3, 4});
        const auto w = layout == Layout::out_in ? bench.declare("w", {4, 5}) : bench.declare("w", {5, 4});
        const auto b = bench.declare("b", {4});
        bench.allocate();
        check_gradient(bench, [&](TestTape& t) {
          return linear(t, bench.input(t, x), bench.slice(w), with_bias ? bench.slice(b) : ParameterSlice{},
                        with_residual ? bench.input(t, r) : Var{}, layout);
        });
      }
    }
  }
}

TEST_CASE("columns of one matrix get their gradients side by side") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 4});
  const auto w = bench.declare("w", {4, 5});
  const auto b = bench.declare("b", {5});
  const auto join = bench.declare("join", {3, 2});
  bench.allocate();
  check_gradient(bench, [&](TestTape& t) {
    const Var in = bench.input(t, x);
    const Var left =
        linear(t, in, bench.slice(w).columns(0, 2), bench.slice(b).columns(0, 2), {}, Layout::in_out);
    const Var right =
        linear(t, in, bench.slice(w).columns(2, 3), bench.slice(b).columns(2, 3), {}, Layout::in_out);
    return linear(t, left, bench.slice(join), {}, right);
  });
}

TEST_CASE("adjacent tensors as one matrix and one by one get the same gradients") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 4});
  const auto q = bench.parameters.declare({"q", {2, 4}, Init::normal(1)});
  const auto k = bench.parameters.declare({"k", {3, 4}, Init::normal(1), true, true});
  const auto join = bench.declare("join", {5, 3});
  bench.allocate();
  // Together, and k once more alone: part of a written matrix is added to, the rest starts at zero.
  check_gradient(bench, [&](TestTape& t) {
    const Var in = bench.input(t, x);
    const Var alone = linear(t, in, bench.slice(k));
    const Var both = linear(t, in, bench.parameters.slice(q, 2));
    return linear(t, alone, bench.slice(join), {}, both);
  });
}

TEST_CASE("a variable that several operations read gets the sum of their gradients") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 4});
  const auto w = bench.declare("w", {4, 4});
  const auto n = bench.declare("n", {4});
  bench.allocate();
  // A residual stream: the branch reads x, then the sum takes over x's gradient, twice.
  check_gradient(bench, [&](TestTape& t) {
    Var stream = bench.input(t, x);
    for (int i = 0; i < 2; ++i) {
      const Var a = rms_norm(t, stream, bench.slice(n), 1e-5);
      const Var c = linear(t, stream, bench.slice(w));
      stream = linear(t, a, bench.slice(w), {}, linear(t, c, bench.slice(w), {}, stream));
    }
    return stream;
  });
}

TEST_CASE("linear refuses its own input as the residual, which would be read while it is written") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 4});
  const auto w = bench.declare("w", {4, 4});
  bench.allocate();
  const Var in = bench.input(x);
  CHECK_THROWS_WITH_AS(
      linear(bench.tape, in, bench.slice(w), {}, in),
      "linear: the residual is the input itself, expected another variable: they share one gradient",
      UsageError);
}

TEST_CASE("a frozen weight gets no gradient and lets that of its input through") {
  Workbench bench;
  const auto x = bench.declare("x", {2, 3});
  const auto w = bench.declare("w", {4, 3}, false);
  const auto b = bench.declare("b", {4});
  const auto r = bench.declare("r", {2, 4}, false);
  bench.allocate();
  check_gradient(bench, [&](TestTape& t) {
    return linear(t, bench.input(t, x), bench.slice(w), bench.slice(b), bench.input(t, r));
  });
}

TEST_CASE("rms_norm scales each run by its root mean square") {
  Workbench bench;
  const auto x = bench.declare("x", {1, 4});
  const auto w = bench.declare("w", {2});
  const auto whole = bench.declare("whole", {4});
  bench.allocate();
  bench.set(x, {3, 4, 0, 2});
  bench.set(w, {1, 10});
  bench.set(whole, {1, 1, 1, 10});
  const double a = 1 / std::sqrt(12.5 + 1e-5), b = 1 / std::sqrt(2 + 1e-5), c = 1 / std::sqrt(7.25 + 1e-5);
  const auto heads = bench.get(rms_norm(bench.tape, bench.input(x), bench.slice(w), 1e-5));
  const auto row = bench.get(rms_norm(bench.tape, bench.input(x), bench.slice(whole), 1e-5));
  const std::vector<double> want_heads{3 * a, 40 * a, 0, 20 * b}, want_row{3 * c, 4 * c, 0, 20 * c};
  for (Index i = 0; i < 4; ++i) {
    CHECK(heads[i] == near(want_heads[i]));
    CHECK(row[i] == near(want_row[i]));
  }
}

TEST_CASE("the norms' gradients agree with central differences") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 6});
  const auto w = bench.declare("w", {6});
  const auto head = bench.declare("head", {2});
  const auto b = bench.declare("b", {6});
  bench.allocate();
  SUBCASE("rms_norm of whole rows") {
    check_gradient(bench, [&](TestTape& t) { return rms_norm(t, bench.input(t, x), bench.slice(w), 1e-5); });
  }
  SUBCASE("rms_norm of each head") {
    check_gradient(bench,
                   [&](TestTape& t) { return rms_norm(t, bench.input(t, x), bench.slice(head), 1e-5); });
  }
  SUBCASE("layer_norm") {
    check_gradient(bench, [&](TestTape& t) {
      return layer_norm(t, bench.input(t, x), bench.slice(w), bench.slice(b), 1e-5);
    });
  }
  SUBCASE("each twice over the same weight") {
    check_gradient(bench, [&](TestTape& t) {
      const Var y = layer_norm(t, bench.input(t, x), bench.slice(w), bench.slice(b), 1e-5);
      return rms_norm(t, layer_norm(t, y, bench.slice(w), bench.slice(b), 1e-5), bench.slice(w), 1e-5);
    });
  }
}

TEST_CASE("embedding sums the rows of two tables, also of ids that repeat") {
  Workbench bench;
  const auto a = bench.declare("a", {4, 3});
  const auto p = bench.declare("p", {5, 3});
  bench.allocate();
  const std::vector<std::uint32_t> ids{2, 0, 2, 3}, places{0, 1, 1, 4};
  const auto build = [&](TestTape& t) { return embedding(t, ids, bench.slice(a), places, bench.slice(p)); };
  const auto value = bench.get(build(bench.tape));
  for (Index i = 0; i < ids.size(); ++i) {
    for (Index j = 0; j < 3; ++j) {
      CHECK(value[i * 3 + j] == value_at(bench.parameters, bench.slice(a), ids[i], j) +
                                    value_at(bench.parameters, bench.slice(p), places[i], j));
    }
  }
  check_gradient(bench, build);
}

TEST_CASE("gather picks rows and sends their gradients back") {
  Workbench bench;
  const auto x = bench.declare("x", {4, 3});
  bench.allocate();
  const std::vector<std::uint32_t> ids{3, 1, 3};
  const auto build = [&](TestTape& t) { return gather(t, bench.input(t, x), ids); };
  CHECK(bench.tape.value(build(bench.tape))(0, 2) == value_at(bench.parameters, bench.slice(x), 3, 2));
  check_gradient(bench, build);
}

TEST_CASE("the nonlinearities' gradients agree with central differences") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 6});
  bench.allocate();
  for (const ActivationFunction function : {ActivationFunction::silu, ActivationFunction::gelu_tanh}) {
    check_gradient(bench, [&](TestTape& t) { return glu(t, bench.input(t, x), function); });
  }
  for (const ActivationFunction kind : {ActivationFunction::gelu, ActivationFunction::gelu_tanh}) {
    check_gradient(bench, [&](TestTape& t) { return activate(t, bench.input(t, x), kind); });
  }
  bench.set(x, {1, -2, 0, 5, 7, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  const auto gated = bench.get(glu(bench.tape, bench.input(x)));
  CHECK(gated[0] == near(5 / (1 + std::exp(-1.0))));
  CHECK(gated[1] == near(-14 / (1 + std::exp(2.0))));
  CHECK(gated[2] == 0);
  CHECK(bench.get(activate(bench.tape, bench.input(x), ActivationFunction::gelu))[0] ==
        near(0.8413447460685429));  // Φ(1)
}

TEST_CASE("sums, multiples and norms without weights send gradients back") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 6});
  const auto y = bench.declare("y", {3, 6});
  const auto w = bench.declare("w", {6});
  bench.allocate();
  check_gradient(bench, [&](TestTape& t) { return scale(t, bench.input(t, x), -2.5); });
  check_gradient(bench, [&](TestTape& t) { return add(t, bench.input(t, x), bench.input(t, y)); });
  // A branch of the residual itself, as a layer has it.
  check_gradient(bench, [&](TestTape& t) {
    const Var in = bench.input(t, x);
    return add(t, in, rms_norm(t, in, bench.slice(w), 1e-5, 1));
  });
  check_gradient(bench, [&](TestTape& t) { return layer_norm(t, bench.input(t, x), {}, {}, 1e-5); });
  check_gradient(bench,
                 [&](TestTape& t) { return layer_norm(t, bench.input(t, x), bench.slice(w), {}, 1e-5); });
  const Var in = bench.input(x);
  CHECK(bench.get(scale(bench.tape, in, 3))[4] == near(3 * bench.get(in)[4]));
  CHECK_THROWS_WITH_AS(
      add(bench.tape, in, in),
      "add: the branch is the residual itself, expected another variable: they share one gradient",
      UsageError);
}

TEST_CASE("each dense operation names the shapes that do not fit") {
  Workbench bench;
  const auto x = bench.declare("x", {2, 3});
  const auto w = bench.declare("w", {2, 4});
  const auto fits = bench.declare("fits", {2, 3});
  const auto five = bench.declare("five", {5});
  const auto tall = bench.declare("tall", {3, 2});
  const auto two = bench.declare("two", {2});
  bench.allocate();
  TestTape& t = bench.tape;
  const Var in = bench.input(x);
  CHECK_THROWS_WITH_AS(linear(t, in, bench.slice(w)), "linear: the input's width is 3, expected 4",
                       UsageError);
  CHECK_THROWS_WITH_AS(linear(t, in, bench.slice(fits), {}, {}, Layout::in_out),
                       "linear: the input's width is 3, expected 2", UsageError);
  CHECK_THROWS_WITH_AS(linear(t, in, bench.slice(fits), bench.slice(five)),
                       "linear: the bias's size is 5, expected 2", UsageError);
  CHECK_THROWS_WITH_AS(linear(t, in, bench.slice(fits), {}, bench.input(tall)),
                       "linear: the residual's rows is 3, expected 2", UsageError);
  CHECK_THROWS_WITH_AS(linear(t, in, bench.slice(fits), {}, bench.input(x)),
                       "linear: the residual's width is 3, expected 2", UsageError);
  CHECK_THROWS_WITH_AS(rms_norm(t, in, bench.slice(two), 1e-5),
                       "rms_norm: the remainder of the input's width by the weight's size is 1, expected 0",
                       UsageError);
  CHECK_THROWS_WITH_AS(layer_norm(t, in, bench.slice(two), bench.slice(two), 1e-5),
                       "layer_norm: the input's width is 3, expected 2", UsageError);
  CHECK_THROWS_WITH_AS(glu(t, in), "glu: the remainder of the input's width by 2 is 1, expected 0",
                       UsageError);
  CHECK_THROWS_WITH_AS(add(t, in, bench.input(w)), "add: the branch's width is 4, expected 3", UsageError);
  const std::vector<std::uint32_t> ids{0, 1}, three{0, 1, 0};
  CHECK_THROWS_WITH_AS(embedding(t, ids, bench.slice(x), ids, bench.slice(w)),
                       "embedding: the second table's width is 4, expected 3", UsageError);
  CHECK_THROWS_WITH_AS(embedding(t, ids, bench.slice(x), three, bench.slice(fits)),
                       "embedding: the number of second ids is 3, expected 2", UsageError);
}

}  // namespace dense_test
