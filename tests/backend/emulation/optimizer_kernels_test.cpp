// What optimizers do, beside the reference backend; weights rounded by chance.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <utility>
#include <vector>

#include "backend/emulation/machine.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/backend/thrust/kernels/adafactor_kernels.hpp"
#include "merit/backend/thrust/kernels/optimizer_kernels.hpp"

namespace optimizer_kernels_test {

using namespace merit_test;

using detail::device::rounded_by_chance;
using detail::device::RoundWeights;
using Arbiter = ReferenceBackend<double>;

const Index counts[] = {1, 3, 17, 130, 2000};

template <class T>
Array<T> on_device(const T& step) {
  return row_of<T>(std::vector<T>{step});
}

List without_sign(List list) {
  for (double& x : list) x = std::abs(x);
  return list;
}

TEST_CASE("AdamW is the reference's, with the step's numbers on the device") {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(1);
  const AdamWStep step{.learning_rate = 0.01,
                       .weight_decay = 0.1,
                       .gradient_scale = 0.5,
                       .bias_correction1 = 0.19,
                       .bias_correction2 = 0.002};
  const Array<AdamWStep> numbers = on_device(step);
  for (const Index count : counts) {
    List w = random_list<float>(rng, count), m = random_list<float>(rng, count),
         v = without_sign(random_list<float>(rng, count));
    const List g = random_list<float>(rng, count);
    Array<float> parameters = row_of<float>(w), first = row_of<float>(m), second = row_of<float>(v);
    const Array<float> gradients = row_of<float>(g);
    run(AdamWKernel{count, parameters.data(), gradients.data(), first.data(), second.data(), numbers.data()});
    Arbiter::adamw(handle, {w, g, m, v, step});
    CHECK(relative_error(parameters.values(), w) <= Tolerance<float>::value);
    CHECK(relative_error(first.values(), m) <= Tolerance<float>::value);
    CHECK(relative_error(second.values(), v) <= Tolerance<float>::value);
  }
}

TEST_CASE("SGD, Lion and Muon's momentum are the reference's") {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(2);
  const MomentumStep steps[] = {
      {.gradient_scale = 0.5, .penalty = 0.1, .momentum_weight = 0.9, .keep = 0.9, .rate = 0.01},
      {.momentum_weight = 0.9,
       .gradient_weight = 0.1,
       .sign = true,
       .keep = 0.99,
       .add = 0.01,
       .keep_out = 0.999,
       .rate = 0.02},
      {.momentum_weight = 0.95, .keep = 0.95, .keep_out = 0, .rate = -1}};
  for (const MomentumStep& step : steps) {
    const Array<MomentumStep> numbers = on_device(step);
    for (const Index count : counts) {
      for (const bool with_momentum : {true, false}) {
        List w = random_list<float>(rng, count), m = random_list<float>(rng, with_momentum ? count : 0);
        const List g = random_list<float>(rng, count);
        Array<float> momentum = row_of<float>(m), out(1, count);
        const bool read = step.keep_out != 0 || step.penalty != 0;  // else it may hold nothing
        if (read) out.set(w);
        const Array<float> gradients = row_of<float>(g);
        run(MomentumKernel{count, gradients.data(), with_momentum ? momentum.data() : nullptr, out.data(),
                           numbers.data()});
        Arbiter::momentum(handle, {g, m, w, step});
        CHECK(relative_error(out.values(), w) <= Tolerance<float>::value);
        CHECK(relative_error(momentum.values(), m) <= Tolerance<float>::value);
      }
    }
  }
}

TEST_CASE("squares are summed in double") {
  Rng rng(3);
  for (const Index count : std::initializer_list<Index>{1, 3, 17, 130, 10000, 40000}) {
    const List x = random_list<float>(rng, count);
    const Array<float> array = row_of<float>(x);
    const Index parts = SumOfSquaresKernel::parts(count);
    Array<double> sums(1, parts), sum(1, 1);
    run(SumOfSquaresKernel{count, array.data(), sums.data()});
    run(TotalKernel<double>{parts, sums.data(), 0.5, sum.data()});
    double expected = 0;
    for (const double value : x) expected += value * value;
    CHECK(relative_error(sum.values(), List{expected / 2}) <= Tolerance<double>::value);
  }
}

TEST_CASE("Adafactor is the reference's") {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(4);
  for (const AdafactorStep& step :
       {AdafactorStep{.gradient_scale = 0.5, .share = 0.3, .epsilon = 1e-3}, AdafactorStep{}}) {
    const Array<AdafactorStep> numbers = on_device(step);
    for (const auto& [rows, cols] : {std::array<Index, 2>{1, 1}, {3, 17}, {17, 3}, {130, 40}, {2200, 2}}) {
      for (const bool with_rows : {true, false}) {
        List g = random_list<float>(rng, rows * cols),
             r = without_sign(random_list<float>(rng, with_rows ? rows : 0)),
             c = without_sign(random_list<float>(rng, cols));
        // A column of zeros, whose moment becomes 0 where all of a step counts.
        for (Index i = 0; i < rows && cols > 1; ++i) g[i * cols] = 0;
        Array<float> gradients(rows, cols, g, 1), row_moments = row_of<float>(r), columns = row_of<float>(c);
        Array<double> sums(AdafactorSquaresKernel::parts(rows), cols), mean(1, 1);
        if (with_rows) {
          run(AdafactorRowsKernel{rows, cols, gradients.constant(), row_moments.data(), numbers.data()});
          run(TotalKernel<float>{rows, row_moments.data(), 1 / static_cast<double>(rows), mean.data()});
        }
        run(AdafactorSquaresKernel{rows, cols, gradients.constant(), sums.data(), numbers.data()});
        run(AdafactorColumnsKernel{rows, cols, AdafactorSquaresKernel::parts(rows), sums.data(),
                                   columns.data(), numbers.data()});
        run(AdafactorScaleKernel{rows, cols, gradients.rows(), with_rows ? row_moments.data() : nullptr,
                                 mean.data(), columns.data(), numbers.data()});
        Arbiter::adafactor(handle, {{g.data(), rows, cols}, r, c, step});
        CHECK(relative_error(row_moments.values(), r) <= Tolerance<float>::value);
        CHECK(relative_error(columns.values(), c) <= Tolerance<float>::value);
        CHECK(relative_error(gradients.values(), g) <= Tolerance<float>::value);
      }
    }
  }
}

/// What the kernel makes of the weights.
List rounded_by_kernel(const std::vector<float>& values, const WeightRounding& rounding) {
  const Array<float> from = row_of<float>(values);
  Array<Bf16> to(1, values.size());
  run(RoundWeightsKernel{values.size(), from.data(), rounding, to.data()});
  return to.values();
}

TEST_CASE("weights rounded by chance have their mean, and draw by seed, step and place") {
  constexpr Index count = 8192;
  std::vector<float> values;
  for (Index i = 0; i < count; ++i)
    values.push_back(i % 2 == 0 ? 1.0f + 0x1p-9f : -3.0f - 0x1.8p-8f);  // 1/4, 3/8 of the way
  const WeightRounding rounding{true, 0x123456789ABCDEFu, 0x100000007u};
  const List weights = rounded_by_kernel(values, rounding);
  double up = 0, down = 0;
  for (Index i = 0; i < count; i += 2) {
    REQUIRE((weights[i] == 1.0 || weights[i] == 1.0 + 0x1p-7));
    REQUIRE((weights[i + 1] == -3.0 || weights[i + 1] == -3.0 - 0x1p-6));
    up += weights[i] != 1.0;
    down += weights[i + 1] != -3.0;
  }
  // Of 4096 draws, within five deviations.
  CHECK(std::abs(up - 4096 * 0.25) <= 5 * std::sqrt(4096 * 0.25 * 0.75));
  CHECK(std::abs(down - 4096 * 0.375) <= 5 * std::sqrt(4096 * 0.375 * 0.625));
  CHECK(rounded_by_kernel(values, rounding) == weights);
  CHECK(rounded_by_kernel(values, {true, rounding.seed + 1, rounding.step}) != weights);
  CHECK(rounded_by_kernel(values, {true, rounding.seed, rounding.step + 1}) != weights);
}

TEST_CASE("the kernel that rounds weights does what the functor's loop does") {
  Rng rng(9);
  for (const Index count : std::initializer_list<Index>{8, 16, 2040, 2048, 4104}) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(rng.normal());
    for (const bool by_chance : {false, true}) {
      const WeightRounding rounding{by_chance, 5, 3};
      std::vector<Bf16> expected(count);
      for (Index group = 0; group < count / 4; ++group)
        RoundWeights{count, values.data(), rounding, expected.data()}(group);
      const List found = rounded_by_kernel(values, rounding);
      for (Index i = 0; i < count; ++i) REQUIRE(found[i] == static_cast<double>(from_bf16(expected[i].bits)));
    }
  }
}

TEST_CASE("what bf16 holds, infinity and NaN are not moved by chance") {
  CHECK(rounded_by_chance(1.5f, 0xFFFF).bits == to_bf16(1.5f));
  CHECK(rounded_by_chance(-0.0f, 0xFFFF).bits == to_bf16(-0.0f));
  constexpr float infinite = std::numeric_limits<float>::infinity();
  CHECK(rounded_by_chance(infinite, 0xFFFF).bits == to_bf16(infinite));
  CHECK(rounded_by_chance(-infinite, 0xFFFF).bits == to_bf16(-infinite));
  CHECK(std::isnan(from_bf16(rounded_by_chance(std::numeric_limits<float>::quiet_NaN(), 0).bits)));
  std::uint32_t low_nan = 0x7F800001u;
  float nan;
  std::memcpy(&nan, &low_nan, sizeof(nan));
  CHECK(std::isnan(from_bf16(rounded_by_chance(nan, 0).bits)));
}

}  // namespace optimizer_kernels_test
