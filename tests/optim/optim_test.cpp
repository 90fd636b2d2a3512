// AdamW against PyTorch's stored values, its ranges over the flat block, and the schedule.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/optim/adamw.hpp"
#include "merit/optim/schedule.hpp"
#include "merit/testing/values.hpp"

namespace optim_test {

using namespace merit;
using B = ReferenceBackend<double>;

TEST_CASE("weight decay applies to matrices alone and frozen tensors do not move") {
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto matrix = parameters.declare({"matrix", {1, 3}, Init::ones()});
  const auto frozen = parameters.declare({"frozen", {1, 3}, Init::ones(), true, false, false});
  const auto vector = parameters.declare({"vector", {3}, Init::ones(), false});
  parameters.allocate(Rng(0));
  AdamW::Bound<B> optimizer({.weight_decay = 0.5}, parameters);
  parameters.begin_gradients();
  parameters.end_gradients();  // all zero: only decay moves anything
  optimizer.update(0.1, 1.0);
  CHECK(parameters.values()[parameters.offset(matrix)] == doctest::Approx(0.95).epsilon(1e-15));
  CHECK(values_of(parameters, frozen) == std::vector<double>(3, 1.0));
  CHECK(parameters.values()[parameters.offset(vector)] == 1.0);
  CHECK(optimizer.steps() == 1);
}

TEST_CASE("the gradient's scale multiplies gradients before the moments") {
  B::Handle handle{B{}};
  Parameters<B> a(handle);
  Parameters<B> b(handle);
  for (Parameters<B>* p : {&a, &b}) {
    p->declare({"w", {1, 2}, Init::ones()});
    p->allocate(Rng(0));
  }
  AdamW::Bound<B> first({}, a);
  AdamW::Bound<B> second({}, b);
  for (int step = 0; step < 3; ++step) {
    a.gradients()[0] = 0.25 * (step + 1);
    b.gradients()[0] = 0.5 * (step + 1);
    first.update(0.01, 1.0);
    second.update(0.01, 0.5);
  }
  CHECK(a.values()[0] == b.values()[0]);
  CHECK(a.values()[0] != 1.0);
}

TEST_CASE("the schedule warms up linearly, then decays to its floor") {
  const Schedule cosine{.peak = 2, .warmup = 0.1, .decay = Schedule::Decay::cosine, .floor = 0.1};
  CHECK(cosine.rate(0, 100) == doctest::Approx(0.2));
  CHECK(cosine.rate(9, 100) == doctest::Approx(2.0));
  CHECK(cosine.rate(10, 100) == doctest::Approx(2.0));
  CHECK(cosine.rate(55, 100) == doctest::Approx(2 * (0.1 + 0.9 * 0.5)));
  CHECK(cosine.rate(99, 100) < 0.21);
  CHECK(cosine.rate(99, 100) > 0.2);
  const Schedule linear{.peak = 1, .warmup = 0, .decay = Schedule::Decay::linear};
  CHECK(linear.rate(0, 4) == 1.0);
  CHECK(linear.rate(3, 4) == 0.25);
  const Schedule constant{.peak = 1, .warmup = 0.5, .decay = Schedule::Decay::constant};
  CHECK(constant.rate(0, 4) == 0.5);
  CHECK(constant.rate(3, 4) == 1.0);
}

TEST_CASE("numbers that cannot be are named") {
  CHECK_THROWS_WITH_AS(Schedule{.peak = -1}.validate(),
                       "schedule: the learning rate is -1, expected a number above 0", ConfigError);
  CHECK_THROWS_AS(Schedule{.warmup = 2}.validate(), ConfigError);
  CHECK_THROWS_WITH_AS(AdamW{.beta2 = 1}.validate(), "adamw: beta2 is 1, expected at least 0 and below 1",
                       ConfigError);
  CHECK_THROWS_AS(AdamW{.weight_decay = -0.1}.validate(), ConfigError);
}

}  // namespace optim_test
