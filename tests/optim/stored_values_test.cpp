// SGD, Adafactor, Lion and Muon against values stored from PyTorch, on matrices of each shape and a vector.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "../backend/opaque_backend.hpp"
#include "../stored.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/optim/any_optimizer.hpp"
#include "merit/testing/tolerance.hpp"
#include "merit/testing/values.hpp"

namespace stored_values_test {

using namespace merit;
using Values = std::vector<double>;

nlohmann::json stored_optimizers() {
  std::ifstream file(merit_test::stored("optimizers.json"));
  REQUIRE(file.good());
  return nlohmann::json::parse(file);
}

/// The optimizer that a stored case is about.
AnyOptimizer optimizer_of(const nlohmann::json& settings) {
  std::optional<AnyOptimizer> found;
  for_each_type<AnyOptimizer>([&](auto optimizer) {
    if (optimizer.name() != settings["name"].get<std::string>()) return;
    Json given = settings;
    given["rest"] = Json::object();  // of Muon, whose other part has a test of its own
    read_settings(given, "optimizers.json", optimizer);
    found = optimizer;
  });
  REQUIRE(found.has_value());
  return *found;
}

template <class B>
std::vector<double> numbers_of(const Parameters<B>& parameters, Index tensor) {
  const auto values = values_of(parameters, tensor);
  return {values.begin(), values.end()};
}

TEST_CASE_TEMPLATE("an optimizer gives the stored values after every step", B, ReferenceBackend<double>,
                   EigenBackend<double>, EigenBackend<float>, merit_test::OpaqueBackend<double>) {
  using T = typename B::Stat;
  const nlohmann::json stored = stored_optimizers();
  std::set<std::string> seen;
  for (const nlohmann::json& example : stored["cases"]) {
    const std::string name = example["settings"]["name"];
    INFO(example["name"].get<std::string>());
    seen.insert(name);
    typename B::Handle handle{B{}};
    Parameters<B> parameters(handle);
    for (const auto& [tensor, shape] : stored["shapes"].items()) {
      const bool matrix = shape.size() == 2;
      parameters.declare(
          {tensor, shape.template get<std::vector<Index>>(), Init::ones(), matrix, false, true, matrix});
    }
    parameters.allocate(Rng(0));
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      const Values start = stored["start"][parameters.spec(i).name];
      parameters.set(i, std::vector<T>(start.begin(), start.end()).data());
    }
    const auto optimizer = bind_optimizer(optimizer_of(example["settings"]), parameters);
    // Muon turns in float what Newton-Schulz lets grow: the smallest singular values by 3.4 to the power
    // of 5.
    const double tolerance = Tolerance<T>::value * (name == "muon" ? 20 : 1);
    for (Index t = 0; t < stored["learning_rates"].size(); ++t) {
      parameters.begin_gradients();
      for (Index i = 0; i < parameters.tensor_count(); ++i) {
        const Values gradient = stored["gradients"][t][parameters.spec(i).name];
        const std::vector<T> host(gradient.begin(), gradient.end());
        B::from_host(handle, host.data(), parameters.gradients().data + parameters.offset(i), host.size());
        B::wait(handle);
      }
      optimizer->update(stored["learning_rates"][t], stored["gradient_scale"]);
      for (const auto& after : example["after_each_step"][t].items()) {
        INFO(after.key(), " after step ", t + 1);
        const Values found = numbers_of(parameters, parameters.find(after.key()));
        CHECK(relative_error(found, after.value().template get<Values>()) <= tolerance);
      }
    }
  }
  CHECK(seen == std::set<std::string>{"sgd", "adafactor", "lion", "muon"});
}

}  // namespace stored_values_test
