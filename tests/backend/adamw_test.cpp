// The AdamW update, against stored values of an independent implementation and its formula written out.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "stored.hpp"

namespace adamw_test {

using namespace merit_test;

/// Parameters, gradients and both moments, in a backend's memory.
template <class B>
struct Block {
  Block(Machine<B>& m, const Numbers& start) : machine(m), parameters(m, 1, start.size(), start) {}

  void update(const Numbers& gradient, const AdamWStep& step) {
    const StatArray<B> gradients(machine, 1, gradient.size(), gradient);
    B::adamw(machine.handle, {.parameters = parameters.vector(),
                              .gradients = gradients.constant_vector(),
                              .first = first.vector(),
                              .second = second.vector(),
                              .step = step});
  }

  Machine<B>& machine;
  StatArray<B> parameters;
  StatArray<B> first{machine, 1, parameters.matrix().cols, 0.0};
  StatArray<B> second{machine, 1, parameters.matrix().cols, 0.0};
};

TEST_CASE_TEMPLATE("AdamW gives the stored values after every step", B, MERIT_TEST_BACKENDS) {
  std::ifstream file(stored("adamw.json"));
  REQUIRE(file.good());
  const nlohmann::json stored = nlohmann::json::parse(file);
  const double tolerance = Tolerance<typename B::Stat>::value;
  REQUIRE(stored["cases"].size() >= 3);
  for (const nlohmann::json& example : stored["cases"]) {
    INFO(example["name"].get<std::string>());
    Machine<B> m;
    Block<B> block(m, example["start"].get<Numbers>());
    AdamWStep step;
    step.beta1 = example["beta1"];
    step.beta2 = example["beta2"];
    step.epsilon = example["epsilon"];
    step.weight_decay = example["weight_decay"];
    const std::vector<Numbers> gradients = example["gradients"], after = example["after_each_step"];
    for (Index t = 0; t < gradients.size(); ++t) {
      step.learning_rate = example["learning_rates"][t];
      step.bias_correction1 = 1 - std::pow(step.beta1, static_cast<double>(t + 1));
      step.bias_correction2 = 1 - std::pow(step.beta2, static_cast<double>(t + 1));
      block.update(gradients[t], step);
      CHECK(relative_error(block.parameters.values(), after[t]) <= tolerance);
    }
    CHECK(relative_error(block.first.values(), example["first_moment_at_end"].get<Numbers>()) <= tolerance);
    CHECK(relative_error(block.second.values(), example["second_moment_at_end"].get<Numbers>()) <= tolerance);
  }
}

TEST_CASE_TEMPLATE("AdamW follows its formula for any length, with scaled gradients", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(40);
  for (const Index size : {Index{0}, Index{1}, Index{7}, Index{1003}}) {
    Machine<B> m;
    Numbers w = random_numbers(rng, size), first(size), second(size);
    Block<B> block(m, w);
    for (int t = 1; t <= 3; ++t) {
      const Numbers gradient = random_numbers(rng, size, 10.0);
      const AdamWStep step{0.01, 0.9, 0.99, 1e-6, 0.1, 0.25, 1 - std::pow(0.9, t), 1 - std::pow(0.99, t)};
      block.update(gradient, step);
      for (Index i = 0; i < size; ++i) {
        const double g = 0.25 * gradient[i];
        first[i] = 0.9 * first[i] + 0.1 * g;
        second[i] = 0.99 * second[i] + 0.01 * g * g;
        w[i] -= 0.01 * 0.1 * w[i];
        w[i] -=
            0.01 * (first[i] / step.bias_correction1) / (std::sqrt(second[i] / step.bias_correction2) + 1e-6);
      }
    }
    const double tolerance = Tolerance<typename B::Stat>::value;
    CHECK(relative_error(block.parameters.values(), w) <= tolerance);
    CHECK(relative_error(block.first.values(), first) <= tolerance);
    CHECK(relative_error(block.second.values(), second) <= tolerance);
  }
}

TEST_CASE_TEMPLATE("AdamW has the same bits with any number of threads", Base, MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(41);
  const Index size = divided_rows * divided_cols;
  const Numbers start = random_numbers(rng, size), gradient = random_numbers(rng, size);
  check_threads<Base>([&]<class B>() {
    Machine<B> m;
    Block<B> block(m, start);
    for (int t = 1; t <= 2; ++t)
      block.update(gradient, {0.01, 0.9, 0.99, 1e-6, 0.1, 0.25, 1 - std::pow(0.9, t), 1 - std::pow(0.99, t)});
    return join({block.parameters.values(), block.first.values(), block.second.values()});
  });
}

}  // namespace adamw_test
