// Student's quantiles as scipy.stats.t.ppf gives them, and the interval over folds.
#include "merit/eval/resampled_difference.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace resampled_difference_test {

using doctest::Approx;

TEST_CASE("Student's quantiles") {
  CHECK(merit::student_t_quantile(0.975, 1) == Approx(12.706204736174698).epsilon(1e-9));
  CHECK(merit::student_t_quantile(0.975, 2) == Approx(4.302652729911275).epsilon(1e-9));
  CHECK(merit::student_t_quantile(0.975, 4) == Approx(2.7764451051977987).epsilon(1e-9));
  CHECK(merit::student_t_quantile(0.975, 14) == Approx(2.1447866879169273).epsilon(1e-9));
  CHECK(merit::student_t_quantile(0.9, 7) == Approx(1.4149239276488585).epsilon(1e-9));
  CHECK(merit::student_t_quantile(0.995, 1000) == Approx(2.580754697865688).epsilon(1e-9));
  CHECK(merit::student_t_quantile(0.5, 3) == Approx(0).epsilon(1e-9));
  CHECK_THROWS_AS(merit::student_t_quantile(0.2, 3), merit::UsageError);
}

TEST_CASE("the variance of folds is multiplied by 1/n + test/train") {
  const std::vector<double> values = {0.1, 0.3, 0.2, 0.4, 0};
  const merit::Estimate all = merit::corrected_resampled_mean(values, 0.25);
  CHECK(all.value == Approx(0.2));
  const double half = 2.7764451051977987 * std::sqrt((0.2 + 0.25) * 0.025);
  CHECK(all.high - all.value == Approx(half).epsilon(1e-9));
  CHECK(all.value - all.low == Approx(half).epsilon(1e-9));
  CHECK(std::isinf(merit::corrected_resampled_mean(std::vector<double>{1}, 0.25).high));
}

}  // namespace resampled_difference_test
