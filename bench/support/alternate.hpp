// Two ways to the same result, measured against each other: in one run, in turns, so that whatever else the
// machine does falls on both.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <vector>

#include "merit/core/view.hpp"

namespace bench {

using merit::Index;

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

inline double seconds_of(const std::function<void()>& function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One way. `run` returns a number that both ways must agree on: who computes something else is not faster.
struct Way {
  std::function<double()> run;
  Index tokens = 0;       // computed
  double operations = 0;  // floating-point, see arithmetic.hpp
};

/// Each iteration runs both ways, each first every other time. Counters:
///   plain_ms, saving_ms              medians
///   plain_GFLOP/s, saving_GFLOP/s    of the arithmetic each executes
///   ratio                            median over the iterations of saving time / plain time
///   by_tokens, by_work               the same ratio as predicted by tokens computed, and by arithmetic
///   off_tokens_%, off_work_%         by how much the measured ratio differs from each prediction
///   tokens, plain_tokens             computed in an iteration
///   records/s                        of the saving way
inline void alternate(benchmark::State& state, const Way& plain, const Way& saving, Index records) {
  const double expected = plain.run();  // the first run allocates
  const double found = saving.run();
  if (!(std::abs(found - expected) <= 1e-3 * std::abs(expected) + 1e-5)) {
    state.SkipWithError("the two ways give different results");
    return;
  }
  std::vector<double> plain_seconds;
  std::vector<double> saving_seconds;
  std::vector<double> ratios;
  for ([[maybe_unused]] auto _ : state) {
    const bool saving_first = ratios.size() % 2 == 1;
    if (saving_first) saving_seconds.push_back(seconds_of([&] { saving.run(); }));
    plain_seconds.push_back(seconds_of([&] { plain.run(); }));
    if (!saving_first) saving_seconds.push_back(seconds_of([&] { saving.run(); }));
    ratios.push_back(saving_seconds.back() / plain_seconds.back());
  }
  const double ratio = median(ratios);
  const double plain_median = median(plain_seconds);
  const double saving_median = median(saving_seconds);
  const double by_tokens = static_cast<double>(saving.tokens) / static_cast<double>(plain.tokens);
  const double by_work = saving.operations / plain.operations;
  auto& counters = state.counters;
  counters["plain_ms"] = plain_median * 1e3;
  counters["saving_ms"] = saving_median * 1e3;
  counters["plain_GFLOP/s"] = plain.operations / plain_median * 1e-9;
  counters["saving_GFLOP/s"] = saving.operations / saving_median * 1e-9;
  counters["ratio"] = ratio;
  counters["by_tokens"] = by_tokens;
  counters["by_work"] = by_work;
  counters["off_tokens_%"] = (ratio / by_tokens - 1) * 100;
  counters["off_work_%"] = (ratio / by_work - 1) * 100;
  counters["plain_tokens"] = static_cast<double>(plain.tokens);
  counters["tokens"] = static_cast<double>(saving.tokens);
  counters["records/s"] = static_cast<double>(records) / saving_median;
}

}  // namespace bench
