// What all optimizers have in common, what they keep, and the schedule.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/optim/any_optimizer.hpp"
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
  AdamW::Bound<B> optimizer({.weight_decay = 0.5}, parameters, whole_shard(parameters));
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
  AdamW::Bound<B> first({}, a, whole_shard(a));
  AdamW::Bound<B> second({}, b, whole_shard(b));
  for (int step = 0; step < 3; ++step) {
    a.gradients()[0] = 0.25 * (step + 1);
    b.gradients()[0] = 0.5 * (step + 1);
    first.update(0.01, 1.0);
    second.update(0.01, 0.5);
  }
  CHECK(a.values()[0] == b.values()[0]);
  CHECK(a.values()[0] != 1.0);
}

/// A matrix inside a layer, one outside, a vector and a frozen matrix, of ones, with drawn gradients.
struct Small {
  B::Handle handle{B{}};
  Parameters<B> parameters{handle};
  std::uint32_t hidden = parameters.declare({"hidden", {4, 3}, Init::ones(), true, false, true, true});
  std::uint32_t head = parameters.declare({"head", {2, 5}, Init::ones()});
  std::uint32_t vector = parameters.declare({"vector", {7}, Init::ones(), false});
  std::uint32_t frozen = parameters.declare({"frozen", {4, 3}, Init::ones(), true, false, false, true});

  Small() { parameters.allocate(Rng(0)); }
  void draw_gradients(std::uint64_t seed) {
    parameters.begin_gradients();
    parameters.end_gradients();
    Rng rng(seed);
    for (const std::uint32_t i : {hidden, head, vector})
      for (Index e = 0; e < parameters.element_count(i); ++e)
        parameters.gradients()[parameters.offset(i) + e] = rng.normal();
  }
};

TEST_CASE("every optimizer moves what is trained, decays matrices alone, and leaves frozen tensors") {
  for_each_type<AnyOptimizer>([]<class Optimizer>(Optimizer settings) {
    INFO(std::string(Optimizer::name()));
    settings.weight_decay = 0.5;
    if constexpr (std::is_same_v<Optimizer, Muon>) settings.rest.weight_decay = 0.5;
    Small small;
    const auto optimizer = bind_optimizer<B>(settings, small.parameters);
    CHECK(optimizer->steps() == 0);
    small.parameters.begin_gradients();
    small.parameters.end_gradients();  // all zero: only decay moves anything
    optimizer->update(0.1, 1.0);
    CHECK(optimizer->steps() == 1);
    for (const std::uint32_t matrix : {small.hidden, small.head})
      for (const double value : values_of(small.parameters, matrix))
        CHECK(value == doctest::Approx(0.95).epsilon(1e-15));
    CHECK(values_of(small.parameters, small.vector) == std::vector<double>(7, 1.0));
    small.draw_gradients(1);
    const auto before = values_of(small.parameters, small.vector);
    optimizer->update(0.1, 1.0);
    CHECK(values_of(small.parameters, small.vector) != before);
    CHECK(values_of(small.parameters, small.frozen) == std::vector<double>(12, 1.0));
    for (const OptimizerTensor<B>& tensor : optimizer->state())
      CHECK(tensor.name.find("frozen") == std::string::npos);
  });
}

TEST_CASE("what an optimizer keeps is named once, has the size of its shape, and holds all that is kept") {
  for_each_type<AnyOptimizer>([]<class Optimizer>(Optimizer settings) {
    INFO(std::string(Optimizer::name()));
    if constexpr (std::is_same_v<Optimizer, Sgd>) settings.momentum = 0.9;
    Small straight, first, second;
    const auto one = bind_optimizer<B>(settings, straight.parameters);
    const auto stopped = bind_optimizer<B>(settings, first.parameters);
    const auto resumed = bind_optimizer<B>(settings, second.parameters);
    for (std::uint64_t t = 0; t < 4; ++t) {
      straight.draw_gradients(t);
      one->update(0.01, 0.5);
      if (t < 2) {
        first.draw_gradients(t);
        stopped->update(0.01, 0.5);
      }
    }
    std::set<std::string> names;
    auto from = stopped->state(), to = resumed->state();
    REQUIRE(!from.empty());
    for (Index i = 0; i < from.size(); ++i) {
      CHECK(names.insert(from[i].name).second);
      Index size = 1;
      for (const Index extent : from[i].shape) size *= extent;
      REQUIRE(from[i].values.size == size);
      CHECK(from[i].name == to[i].name);
      std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());
    }
    resumed->set_steps(stopped->steps());
    for (const std::uint32_t i : {first.hidden, first.head, first.vector})
      second.parameters.set(i, values_of(first.parameters, i).data());
    for (std::uint64_t t = 2; t < 4; ++t) {
      second.draw_gradients(t);
      resumed->update(0.01, 0.5);
    }
    for (const std::uint32_t i : {first.hidden, first.head, first.vector})
      CHECK(values_of(second.parameters, i) == values_of(straight.parameters, i));
  });
}

TEST_CASE("Adafactor keeps a number for each row and column, and plain SGD nothing") {
  Small small;
  const auto kept = [&](const AnyOptimizer& settings) {
    Index size = 0;
    for (const auto& tensor : bind_optimizer<B>(settings, small.parameters)->state())
      size += tensor.values.size;
    return size;
  };
  CHECK(kept(Adafactor{}) == (4 + 3) + (2 + 5) + 7);
  CHECK(kept(AdamW{}) == 2 * (12 + 10 + 7));
  CHECK(kept(Lion{}) == 12 + 10 + 7);
  CHECK(kept(Sgd{}) == 0);
  CHECK(kept(Sgd{.momentum = 0.5}) == 12 + 10 + 7);
  CHECK(kept(Muon{}) == 12 + 2 * (10 + 7));
}

TEST_CASE("Muon moves heads, embeddings and vectors as AdamW does, to the bit, and maps inside layers not") {
  const AdamW rest{.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-6, .weight_decay = 0.3};
  Small a, b;
  const auto muon = bind_optimizer<B>(Muon{.rest = rest}, a.parameters);
  const auto adamw = bind_optimizer<B>(rest, b.parameters);
  for (std::uint64_t t = 0; t < 3; ++t) {
    a.draw_gradients(t);
    b.draw_gradients(t);
    muon->update(0.02, 0.25);
    adamw->update(0.02, 0.25);
  }
  CHECK(values_of(a.parameters, a.head) == values_of(b.parameters, b.head));
  CHECK(values_of(a.parameters, a.vector) == values_of(b.parameters, b.vector));
  CHECK(values_of(a.parameters, a.hidden) != values_of(b.parameters, b.hidden));
}

TEST_CASE("Muon's update has singular values near 1, as long as AdamW's where it is scaled so") {
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  parameters.declare({"w", {2, 3}, Init::zeros(), true, false, true, true});
  parameters.allocate(Rng(0));
  parameters.begin_gradients();
  const double gradient[] = {3, 0, 0, 0, 0.5, 0};  // singular values 3 and 0.5
  std::copy_n(gradient, 6, parameters.gradients().data);
  bind_optimizer<B>(Muon{}, parameters)->update(1, 1);
  const double scale = 0.2 * std::sqrt(3.0);
  const auto w = values_of(parameters, 0);
  for (const Index i : {Index{0}, Index{4}}) {
    CHECK(-w[i] / scale > 0.6);
    CHECK(-w[i] / scale < 1.3);
  }
  for (const Index i : {Index{1}, Index{2}, Index{3}, Index{5}}) CHECK(w[i] == doctest::Approx(0));
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
  CHECK_THROWS_WITH_AS(validate(AdamW{.beta2 = 1}), "adamw: beta2 is 1, expected at least 0 and below 1",
                       ConfigError);
  CHECK_THROWS_WITH_AS(validate(Sgd{.nesterov = true}),
                       "sgd: nesterov is true and momentum 0, expected momentum above 0", ConfigError);
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  CHECK_THROWS_WITH_AS(parameters.declare({"v", {3}, Init::ones(), true, false, true, true}),
                       "parameter 'v' is no matrix, but declared as a linear map", UsageError);
  CHECK_THROWS_AS(validate(AnyOptimizer(Muon{.rest = {.beta1 = 1}})), ConfigError);
  CHECK_THROWS_AS(validate(AdamW{.weight_decay = -0.1}), ConfigError);
}

}  // namespace optim_test
