// The gradient check itself: it finds what is wrong, and says where.
#include <sstream>

#include "merit/nn/linear.hpp"
#include "operations.hpp"

namespace gradcheck_test {

using namespace merit;
using namespace merit_test;

/// y = x², with a backward that can be wrong in several ways.
enum class Fault { none, factor, adds, remembers };
struct SquareNode {
  Var x, out;
  Fault fault;
  double* memory;
  void backward(TestTape& tape) const {
    const auto target = tape.gradient_target(x);
    const auto g = tape.gradient(out);
    const double extra = fault == Fault::remembers ? (*memory += 1e-12) : 0;
    for (Index i = 0; i < g.rows * g.cols; ++i) {
      const double factor = fault == Fault::factor && i == 2 ? 2.01 : 2;
      const double term = factor * tape.value(x).data[i] * g.data[i] + extra;
      target.view.data[i] = target.write == Write::assign ? term : target.view.data[i] + term;
    }
  }
};

GradientReport check_square(Fault fault, const GradientCheckOptions& options = {}) {
  Workbench bench;
  const auto other = bench.declare("other", {2, 3});
  const auto x = bench.declare("x", {2, 3});
  bench.allocate();
  double memory = 0;
  return check_operation(
      bench.tape,
      [&](TestTape& t) {
        const Var in = linear(t, bench.input(t, other), bench.slice(other), {}, {});  // another reader
        static_cast<void>(in);
        const Var v = bench.input(t, x);
        const Var out = t.make(2, 3, true);
        for (Index i = 0; i < 6; ++i) t.value(out).data[i] = t.value(v).data[i] * t.value(v).data[i];
        t.record(out, SquareNode{v, out, fault, &memory});
        if (fault == Fault::adds && t.recording()) {
          // As if a gradient had been claimed and added to without being zeroed.
          bench.parameters.gradient_target(bench.slice(other));
        }
        return out;
      },
      options);
}

/// Half the sum of squares, with a gradient that can be wrong.
struct SquaresLoss {
  bool assigns = true;
  double factor = 1;
  struct Targets {};
  double normaliser(const Targets&) const { return 2; }
  double value_and_gradient(MatrixView<const double> scores, const Targets&, double n,
                            MatrixView<double> gradient) const {
    double sum = 0;
    for (Index i = 0; i < scores.rows; ++i) {
      for (Index j = 0; j < scores.cols; ++j) {
        sum += scores(i, j) * scores(i, j) / (2 * n);
        gradient(i, j) = (assigns ? 0 : gradient(i, j)) + factor * scores(i, j) / n;
      }
    }
    return sum;
  }
};

TEST_CASE("the gradient check passes what is right") {
  const GradientReport report = check_square(Fault::none);
  CHECK(report.error < 1e-8);
  CHECK(report.checked == 12);
  CHECK(report.problem.empty());
}

TEST_CASE("the gradient check names the number that is wrong") {
  const GradientReport report = check_square(Fault::factor);
  CHECK(report.error > 1e-4);
  CHECK(report.parameter == "x");
  CHECK(report.element == 2);
  CHECK(report.gradient == doctest::Approx(report.difference * 2.01 / 2).epsilon(1e-6));
  std::ostringstream text;
  text << report;
  CHECK(text.str().find("worst in 'x' [2]") != std::string::npos);
}

TEST_CASE("the gradient check finds a gradient that is not assigned, and one that changes") {
  const GradientReport adds = check_square(Fault::adds);
  CHECK(std::isinf(adds.error));
  CHECK(adds.parameter == "other");
  CHECK(adds.problem.find("not finite") != std::string::npos);
  const GradientReport remembers = check_square(Fault::remembers);
  CHECK(std::isinf(remembers.error));
  CHECK(remembers.problem == "a second step gives another gradient");
}

TEST_CASE("a sample of the numbers is the same for the same seed and no larger than asked") {
  const GradientReport a = check_square(Fault::none, {.samples = 2, .seed = 5});
  CHECK(a.checked <= 4);
  CHECK(a.checked >= 2);
  CHECK(check_square(Fault::none, {.samples = 2, .seed = 5}).checked == a.checked);
  CHECK(detail::elements_to_check(100, {.samples = 5, .seed = 1}, 0) ==
        detail::elements_to_check(100, {.samples = 5, .seed = 1}, 0));
  CHECK(detail::elements_to_check(100, {.samples = 5, .seed = 1}, 0) !=
        detail::elements_to_check(100, {.samples = 5, .seed = 2}, 0));
}

TEST_CASE("a loss's gradient is checked by each score") {
  const std::vector<double> scores{1, -2, 3, 0.5};
  CHECK(check_loss_gradient(SquaresLoss{}, scores, 2, {}).error < 1e-8);
  CHECK(check_loss_gradient(SquaresLoss{.factor = 1.001}, scores, 2, {}).error > 1e-4);
  const GradientReport adds = check_loss_gradient(SquaresLoss{.assigns = false}, scores, 2, {});
  CHECK(std::isinf(adds.error));
  CHECK(adds.parameter == "scores");
}

}  // namespace gradcheck_test
