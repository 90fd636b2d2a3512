// Dual numbers: each function against central differences, and what kinks and constants do.
#include "merit/loss/dual.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace dual_test {

using namespace merit;

/// The slopes of f at (x, y) against central differences, and its value against f of plain numbers.
template <class F>
void check(const char* name, const F& f, double x, double y) {
  CAPTURE(name);
  CAPTURE(x);
  CAPTURE(y);
  const Dual<2> found = f(Dual<2>::variable(x, 0), Dual<2>::variable(y, 1));
  CHECK(found.value == doctest::Approx(f(x, y)).scale(0).epsilon(1e-15));
  const double step = 1e-6;
  const double by_x = (f(x + step, y) - f(x - step, y)) / (2 * step);
  const double by_y = (f(x, y + step) - f(x, y - step)) / (2 * step);
  CHECK(found.slopes[0] == doctest::Approx(by_x).epsilon(1e-8));
  CHECK(found.slopes[1] == doctest::Approx(by_y).epsilon(1e-8));
}

TEST_CASE("each function of dual numbers has the slopes of central differences") {
  using std::abs, std::exp, std::log, std::log1p, std::max, std::min, std::pow, std::sqrt, std::tanh;
  for (const double x : {-1.7, -0.3, 0.4, 2.5}) {
    const double y = 1.1 - 0.6 * x;  // of both signs, and never equal to x
    check(
        "sum", [](auto a, auto b) { return a + b - 2.0; }, x, y);
    check(
        "difference", [](auto a, auto b) { return 3.0 - a - b; }, x, y);
    check(
        "product", [](auto a, auto b) { return 2.0 * a * b; }, x, y);
    check(
        "quotient", [](auto a, auto b) { return a / b + 2.0 / b; }, x, y);
    check(
        "signs", [](auto a, auto b) { return -a * +b; }, x, y);
    check(
        "assignments",
        [](auto a, auto b) {
          auto c = a;
          c *= b;
          c += a;
          c -= 2.0 * b;
          c /= a;
          return c;
        },
        x, y);
    check(
        "exp", [](auto a, auto b) { return exp(a * b); }, x, y);
    check(
        "log", [](auto a, auto b) { return log(a * a + b * b); }, x, y);
    check(
        "log1p", [](auto a, auto b) { return log1p(a * a * b * b); }, x, y);
    check(
        "sqrt", [](auto a, auto b) { return sqrt(a * a + b * b); }, x, y);
    check(
        "tanh", [](auto a, auto b) { return tanh(a - b); }, x, y);
    check(
        "abs", [](auto a, auto b) { return abs(a) + abs(b); }, x, y);
    check(
        "max and min", [](auto a, auto b) { return max(a, b) - 2.0 * min(a, b) + max(a, 0.0); }, x, y);
    check(
        "softplus", [](auto a, auto b) { return softplus(a - 3.0 * b); }, x, y);
    check(
        "sigmoid", [](auto a, auto b) { return sigmoid(a) * sigmoid(-b); }, x, y);
    check(
        "pow", [](auto a, auto b) { return pow(a, 3) + pow(b * b, 0.7); }, x, y);
  }
}

TEST_CASE("dual numbers compare by value, and constants have no slope") {
  const auto x = Dual<1>::variable(2, 0);
  CHECK(x == 2);
  CHECK(x != 3);
  CHECK(x < 3);
  CHECK(x <= 2);
  CHECK(x > 1);
  CHECK(x >= 2);
  CHECK_FALSE(x > 2);
  CHECK(Dual<1>(5).slopes[0] == 0);
  CHECK(pow(x, 0).slopes[0] == 0);
  CHECK(pow(Dual<1>::variable(0, 0), 2).slopes[0] == 0);
}

TEST_CASE("at a kink the slope is that of one side") {
  CHECK(abs(Dual<1>::variable(0, 0)).slopes[0] == 0);
  CHECK(max(0, Dual<1>::variable(0, 0)).slopes[0] == 0);
  CHECK(max(Dual<1>::variable(0, 0), 0).slopes[0] == 1);
  CHECK(min(Dual<1>::variable(0, 0), 0).slopes[0] == 1);
}

TEST_CASE("softplus and sigmoid of dual numbers stand scores of 1e4 and keep small tails") {
  CHECK(softplus(Dual<1>::variable(1e4, 0)).value == 1e4);
  CHECK(softplus(Dual<1>::variable(1e4, 0)).slopes[0] == 1);
  CHECK(softplus(Dual<1>::variable(-1e4, 0)).slopes[0] == 0);
  CHECK(softplus(Dual<1>::variable(-40, 0)).slopes[0] ==
        doctest::Approx(std::exp(-40.0)).scale(0).epsilon(1e-12));
  CHECK(sigmoid(Dual<1>::variable(40, 0)).slopes[0] ==
        doctest::Approx(std::exp(-40.0)).scale(0).epsilon(1e-12));
}

}  // namespace dual_test
