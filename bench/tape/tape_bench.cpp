// What the tape costs beside the arithmetic: chains of operations on 1x1 data, where there is next to none.
#include <benchmark/benchmark.h>

#include <chrono>
#include <vector>

#include "../support/alternate.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/nn/activation.hpp"
#include "merit/tape/tape.hpp"

namespace {

using namespace merit;
using bench::median;
using bench::seconds_of;
using B = EigenBackend<float>;

/// out = 2x on one number, the cheapest operation there can be.
struct TwiceNode {
  Var x;
  Var out;
  void backward(Tape<B>& tape) const {
    const auto target = tape.gradient_target(x);
    const float value = 2 * *tape.gradient(out).data;
    *target.view.data = target.write == Write::add ? *target.view.data + value : value;
  }
};
Var twice(Tape<B>& tape, Var x) {
  const Var out = tape.make(1, 1, tape.needs_gradient(x));
  *tape.value(out).data = 2 * *tape.value(x).data;
  tape.record(out, TwiceNode{x, out});
  return out;
}

/// A tape with no parameters, on one thread.
struct Bare {
  B backend{.threads = 1};
  B::Handle handle{backend};
  Parameters<B> parameters{handle};
  Tape<B> tape{handle, parameters};

  /// `length` operations in a row, forward and back.
  template <class Operation>
  void chain(Index length, bool backward, Operation operation) {
    tape.reset();
    tape.set_recording(backward);
    Var x = tape.make(1, 1, true);
    *tape.value(x).data = 0.5f;
    for (Index i = 0; i < length; ++i) x = operation(tape, x);
    if (backward) {
      *tape.gradient_target(x).view.data = 1;
      tape.backward();
    }
    benchmark::DoNotOptimize(*tape.value(x).data);
  }
};

/// Counters, in ns an operation: recorded and carried back; run without recording; the arithmetic of both
/// ways alone, called on the same numbers without a tape; and what is left for the tape. The three are timed
/// in turns.
template <class Operation, class Arithmetic>
void node(benchmark::State& state, Operation operation, Arithmetic arithmetic) {
  const auto length = static_cast<Index>(state.range(0));
  Bare bare;
  std::vector<double> recorded;
  std::vector<double> forward;
  std::vector<double> plain;
  std::vector<float> values(2 * length + 2, 0.5f);
  bare.chain(length, true, operation);  // the first run allocates
  for ([[maybe_unused]] auto _ : state) {
    recorded.push_back(seconds_of([&] { bare.chain(length, true, operation); }));
    forward.push_back(seconds_of([&] { bare.chain(length, false, operation); }));
    plain.push_back(seconds_of([&] { arithmetic(bare.handle, length, values); }));
    benchmark::DoNotOptimize(values.data());
  }
  const double ns = 1e9 / static_cast<double>(length);
  state.counters["forward_and_back_ns"] = median(recorded) * ns;
  state.counters["unrecorded_ns"] = median(forward) * ns;
  state.counters["arithmetic_ns"] = median(plain) * ns;
  state.counters["tape_ns"] = (median(recorded) - median(plain)) * ns;
  state.counters["nodes/s"] = static_cast<double>(length) / median(recorded);
}

void node_twice(benchmark::State& state) {
  node(
      state, [](Tape<B>& tape, Var x) { return twice(tape, x); },
      [](B::Handle&, Index length, std::vector<float>& values) {
        for (Index i = 0; i < length; ++i) values[i + 1] = 2 * values[i];
        values[2 * length + 1] = 1;
        for (Index i = length; i > 0; --i) values[length + i] = 2 * values[length + i + 1];
      });
}

/// A real operation of nn/.
void node_gelu(benchmark::State& state) {
  node(
      state, [](Tape<B>& tape, Var x) { return activate(tape, x, ActivationFunction::gelu_tanh); },
      [](B::Handle& handle, Index length, std::vector<float>& values) {
        const auto one = [&](Index i) { return MatrixView<float>{&values[i], 1, 1}; };
        for (Index i = 0; i < length; ++i)
          B::activate(handle, ActivationFunction::gelu_tanh, one(i), one(i + 1));
        values[2 * length + 1] = 1;
        for (Index i = length; i > 0; --i) {
          B::activate_backward(handle, {.kind = ActivationFunction::gelu_tanh,
                                        .dy = one(length + i + 1),
                                        .x = one(i - 1),
                                        .dx = one(length + i)});
        }
      });
}

/// Forgetting a step of so many operations.
void reset(benchmark::State& state) {
  const auto length = static_cast<Index>(state.range(0));
  Bare bare;
  std::vector<double> seconds;
  for ([[maybe_unused]] auto _ : state) {
    bare.chain(length, true, [](Tape<B>& tape, Var x) { return twice(tape, x); });
    seconds.push_back(seconds_of([&] { bare.tape.reset(); }));
  }
  state.counters["reset_ns"] = median(seconds) * 1e9;
}

}  // namespace

BENCHMARK(node_twice)->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);
BENCHMARK(node_gelu)->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);
BENCHMARK(reset)->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);

BENCHMARK_MAIN();
