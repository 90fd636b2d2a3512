// What each element of a matrix goes through by itself: gated and plain activations, rotary positions. A thread takes 16 bytes
// of a row at a time.
#pragma once

#include <cstdint>

#include "merit/backend/operations.hpp"
#include "merit/backend/thrust/functors/arithmetic.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

inline constexpr int run_threads = 256;

/// A thread for each run of n columns of each row; there must be fewer than 2^32 runs.
template <int n>
Grid grid_of_runs(Index rows, Index cols) {
  return {.columns = divide_up(rows * divide_up(cols, n), run_threads), .threads = run_threads};
}

/// Calls f(row, column, count) for this thread's run, if it has one.
template <int n, class Block, class F>
MERIT_KERNEL void with_own_run(Block& block, Index rows, Index cols, F&& f) {
  // Of 32 bits, whose division takes a fifth of the time.
  const auto runs = static_cast<std::uint32_t>(divide_up(cols, n));
  const auto i =
      static_cast<std::uint32_t>(block.column() * run_threads) + static_cast<std::uint32_t>(block.thread());
  const std::uint32_t row = i / runs;
  if (row >= rows) return;
  const Index j = Index{i - row * runs} * n;
  f(Index{row}, j, static_cast<int>(smaller(cols - j, Index{n})));
}

/// out = function(gate) · up.
template <class T>
struct GluKernel {
  Index rows = 0, cols = 0;
  ActivationFunction function = ActivationFunction::silu;
  Rows<const T> gate_up;  // (M, 2f): the gates, then the ups
  Rows<T> out;            // (M, f)

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(rows, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, rows, cols, [&](Index i, Index j, int count) {
      Numbers<n> gate = load_numbers<n>(block, gate_up.row(i) + j, count);
      const Numbers<n> up = load_numbers<n>(block, gate_up.row(i) + cols + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k)
        gate.value[k] = detail::device::Activated(function, gate.value[k]).value * up.value[k];
      store_numbers(block, out.row(i) + j, count, gate);
    });
  }
};

/// The gradients of the gates, then of the ups.
template <class T>
struct GluBackwardKernel {
  Index rows = 0, cols = 0;
  ActivationFunction function = ActivationFunction::silu;
  Rows<const T> dout;     // (M, f)
  Rows<const T> gate_up;  // (M, 2f)
  bool add = false;
  Rows<T> dgate_up;  // (M, 2f)

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(rows, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, rows, cols, [&](Index i, Index j, int count) {
      const Numbers<n> d = load_numbers<n>(block, dout.row(i) + j, count);
      Numbers<n> gate = load_numbers<n>(block, gate_up.row(i) + j, count);
      Numbers<n> up = load_numbers<n>(block, gate_up.row(i) + cols + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) {
        const detail::device::GluGradient gradient(function, d.value[k], gate.value[k], up.value[k]);
        gate.value[k] = gradient.of_gate;
        up.value[k] = gradient.of_up;
      }
      store_numbers(block, dgate_up.row(i) + j, count, gate, add);
      store_numbers(block, dgate_up.row(i) + cols + j, count, up, add);
    });
  }
};

/// y = function(x).
template <class T>
struct ActivateKernel {
  Index rows = 0, cols = 0;
  ActivationFunction kind = ActivationFunction::gelu;
  Rows<const T> x;
  Rows<T> y;

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(rows, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, rows, cols, [&](Index i, Index j, int count) {
      Numbers<n> a = load_numbers<n>(block, x.row(i) + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) a.value[k] = detail::device::Activated(kind, a.value[k]).value;
      store_numbers(block, y.row(i) + j, count, a);
    });
  }
};

template <class T>
struct ActivateBackwardKernel {
  Index rows = 0, cols = 0;
  ActivationFunction kind = ActivationFunction::gelu;
  Rows<const T> dy;
  Rows<const T> x;
  bool add = false;
  Rows<T> dx;

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(rows, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, rows, cols, [&](Index i, Index j, int count) {
      Numbers<n> d = load_numbers<n>(block, dy.row(i) + j, count);
      const Numbers<n> a = load_numbers<n>(block, x.row(i) + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) d.value[k] *= detail::device::Activated(kind, a.value[k]).slope;
      store_numbers(block, dx.row(i) + j, count, d, add);
    });
  }
};

/// In place, for each head of a row: (a, b) becomes (a cos − b sin, b cos + a sin), of the pairs (i, i + half) and the
/// angles of the row's position; the inverse turns the other way.
template <class T>
struct RotaryKernel {
  Index rows = 0, heads = 1, head_dim = 2, half = 1;
  Rows<T> x;                                 // (T, heads·head_dim)
  const std::uint32_t* positions = nullptr;  // (T)
  Rows<const float> table;                   // (P, 2 · half): cosines of the angles, then their sines
  bool inverse = false;

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(rows * heads, half); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, rows * heads, half, [&](Index i, Index j, int count) {
      const Index row = i / heads;
      T* const head = x.row(row) + i % heads * head_dim + j;
      const float* const angles = table.row(block.load(positions + row)) + j;
      Numbers<n> a = load_numbers<n>(block, static_cast<const T*>(head), count);
      Numbers<n> b = load_numbers<n>(block, static_cast<const T*>(head) + half, count);
      const Numbers<n> cosine = load_numbers<n>(block, angles, count);
      const Numbers<n> sine = load_numbers<n>(block, angles + half, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k)
        detail::device::rotate(a.value[k], b.value[k], cosine.value[k], sine.value[k], inverse);
      store_numbers(block, head, count, a);
      store_numbers(block, head + half, count, b);
    });
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
