// What the tests of this room share: parameters that stand for inputs, and a small forest.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/forest/forest.hpp"
#include "merit/nn/select_rows.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/testing/values.hpp"

namespace merit_test {

using merit::Index;
using merit::ParameterSlice;
using merit::Var;
using B = merit::ReferenceBackend<double>;
using TestTape = merit::Tape<B>;

/// Declare tensors, allocate(), then compute on the tape.
struct Workbench {
  B::Handle handle{B{}};
  merit::Parameters<B> parameters{handle};
  TestTape tape{handle, parameters};
  std::vector<std::uint32_t> counting = std::vector<std::uint32_t>(64);

  Workbench() { std::iota(counting.begin(), counting.end(), 0u); }

  std::uint32_t declare(const char* name, std::vector<Index> shape, bool trainable = true) {
    return parameters.declare({name, std::move(shape), merit::Init::normal(1), true, false, trainable});
  }
  void allocate() { parameters.allocate(merit::Rng(11)); }
  ParameterSlice slice(std::uint32_t tensor) const { return parameters.slice(tensor); }

  /// The rows of a tensor as a variable.
  Var input(TestTape& t, std::uint32_t tensor) {
    const ParameterSlice rows = parameters.slice(tensor);
    return embedding(t, merit::VectorView<const std::uint32_t>(counting.data(), rows.rows), rows);
  }
  Var input(std::uint32_t tensor) { return input(tape, tensor); }

  /// Sets the values of a tensor.
  void set(std::uint32_t tensor, const std::vector<double>& values) {
    REQUIRE(values.size() == parameters.element_count(tensor));
    std::copy(values.begin(), values.end(), parameters.values().data + parameters.offset(tensor));
  }
  std::vector<double> get(Var v) const {
    const auto value = tape.value(v).flat();
    return {value.begin(), value.end()};
  }
};

/// Checks `build(tape)` by every parameter.
template <class Build>
void check_gradient(Workbench& bench, Build build) {
  const merit::GradientReport report = merit::check_operation(bench.tape, build);
  INFO(report);
  CHECK(report.checked > 0);
  CHECK(report.error < 1e-7);
}

/// Two trees of 8 tokens: 0-1-{2-3, 4, 5} and 6-7. Rows are wanted of tokens 1, 3, 4 and 7.
struct SmallForest {
  merit::ForestBuilder builder;
  merit::ForestView<> view;

  SmallForest() {
    const std::vector<std::vector<merit::Token>> first{{1, 2, 3, 4}, {1, 2, 5}, {1, 2, 6}};
    const std::vector<std::vector<merit::Token>> second{{7, 8}};
    for (const auto& group : {first, second}) {
      const std::vector<std::span<const merit::Token>> spans(group.begin(), group.end());
      builder.add_tree(spans);
    }
    for (const std::uint32_t token : {1u, 3u, 4u, 7u}) builder.want_row(token);
    builder.finish();
    view = builder.view();
  }
};

/// Near enough for numbers worked out by hand.
inline doctest::Approx near(double value) {
  return doctest::Approx(value).epsilon(1e-12);
}

}  // namespace merit_test
