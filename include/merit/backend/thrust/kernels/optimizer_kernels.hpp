// What optimizers do to the trained weights, 16 bytes of each array at a time. The numbers of a step are read from the
// device's memory, so that a captured step can be run again with others.
#pragma once

#include <cstddef>
#include <cstdint>

#include "merit/backend/operations.hpp"
#include "merit/backend/thrust/functors/arithmetic.hpp"
#include "merit/backend/thrust/functors/stochastic_rounding.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

inline constexpr int optimizer_threads = 256;

/// A thread for each four elements.
inline Grid optimizer_grid(Index count) {
  return {.columns = divide_up(count, Index{optimizer_threads} * 4), .threads = optimizer_threads};
}

/// Calls f(i, count) for this thread's elements, if it has any.
template <class Block, class F>
MERIT_KERNEL void with_own_four(Block& block, Index count, F&& f) {
  const Index i = (block.column() * optimizer_threads + static_cast<Index>(block.thread())) * 4;
  if (i < count) f(i, static_cast<int>(smaller(count - i, Index{4})));
}

/// As AdamWStep of merit/backend/operations.hpp says.
struct AdamWKernel {
  Index count = 0;
  float* parameters = nullptr;       // (count), as all of these
  const float* gradients = nullptr;  //
  float* first = nullptr;            // moments
  float* second = nullptr;
  const AdamWStep* step = nullptr;  // on the device

  static constexpr int most_threads = optimizer_threads;
  static constexpr int least_blocks = 4;
  Grid grid() const { return optimizer_grid(count); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_four(block, count, [&](Index i, int n) {
      const detail::device::AdamWUpdate update(block.load(step));
      const Numbers<4> g = load_numbers<4>(block, gradients + i, n);
      Numbers<4> w = load_numbers<4>(block, static_cast<const float*>(parameters) + i, n);
      Numbers<4> m = load_numbers<4>(block, static_cast<const float*>(first) + i, n);
      Numbers<4> v = load_numbers<4>(block, static_cast<const float*>(second) + i, n);
      MERIT_UNROLL
      for (int k = 0; k < 4; ++k) update(g.value[k], w.value[k], m.value[k], v.value[k]);
      store_numbers(block, parameters + i, n, w);
      store_numbers(block, first + i, n, m);
      store_numbers(block, second + i, n, v);
    });
  }
};

/// As MomentumStep of merit/backend/operations.hpp says: SGD, Lion, the first half of Muon.
struct MomentumKernel {
  Index count = 0;
  const float* gradients = nullptr;    // (count), as all of these
  float* momentum = nullptr;           // optional: then it is 0 and not kept
  float* out = nullptr;                //
  const MomentumStep* step = nullptr;  // on the device

  static constexpr int most_threads = optimizer_threads;
  static constexpr int least_blocks = 4;
  Grid grid() const { return optimizer_grid(count); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_four(block, count, [&](Index i, int n) {
      const detail::device::MomentumUpdate update(block.load(step));
      const Numbers<4> g = load_numbers<4>(block, gradients + i, n);
      Numbers<4> w{}, m{};
      if (update.reads_out) w = load_numbers<4>(block, static_cast<const float*>(out) + i, n);
      if (momentum != nullptr) m = load_numbers<4>(block, static_cast<const float*>(momentum) + i, n);
      MERIT_UNROLL
      for (int k = 0; k < 4; ++k) update(g.value[k], m.value[k], w.value[k]);
      if (momentum != nullptr) store_numbers(block, momentum + i, n, m);
      store_numbers(block, out + i, n, w);
    });
  }
};

/// to = from, rounded to bf16: to nearest, or by a draw that four weights share.
struct RoundWeightsKernel {
  Index count = 0;  // a multiple of 8, at arrays that are aligned to 16 bytes
  const float* from = nullptr;
  WeightRounding rounding = {};
  Bf16* to = nullptr;

  static constexpr int most_threads = optimizer_threads;
  static constexpr int least_blocks = 4;
  Grid grid() const {
    return {.columns = divide_up(count, Index{optimizer_threads} * 8), .threads = optimizer_threads};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index i = (block.column() * optimizer_threads + static_cast<Index>(block.thread())) * 8;
    if (i >= count) return;
    const Numbers<8> weights = load_numbers<8>(block, from + i, 8);
    Pack<Bf16> pack;
    MERIT_UNROLL
    for (int k = 0; k < 8; ++k) pack.value[k] = rounded<Bf16>(block, weights.value[k]);
    if (rounding.by_chance) {
      MERIT_UNROLL
      for (int group = 0; group < 2; ++group) {
        const auto random =
            detail::device::random_words(i / 4 + static_cast<Index>(group), rounding.step, rounding.seed);
        MERIT_UNROLL
        for (int k = 0; k < 4; ++k) {
          pack.value[4 * group + k] = detail::device::rounded_by_chance(weights.value[4 * group + k],
                                                                        random[static_cast<std::size_t>(k)]);
        }
      }
    }
    block.store_pack(to + i, pack);
  }
};

/// sums[p] = the sum of squares of part p of x, in double.
struct SumOfSquaresKernel {
  Index count = 0;
  const float* x = nullptr;
  double* sums = nullptr;  // (parts)

  static constexpr int most_threads = optimizer_threads;
  static constexpr int least_blocks = 4;

  /// Of the number of elements alone, so that a sum's bits are the same everywhere.
  static constexpr Index parts(Index count) {
    const Index most = 528;  // four blocks for each multiprocessor of an H100
    return count < most * 4096 ? divide_up(count, 4096) : most;
  }
  Grid grid() const {
    return {.columns = parts(count), .threads = most_threads, .shared_bytes = sum_over_block_bytes};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index stride = block.columns() * most_threads * 4;
    double sum = 0;
    for (Index i = (block.column() * most_threads + static_cast<Index>(block.thread())) * 4; i < count;
         i += stride) {
      const Numbers<4> a = load_numbers<4>(block, x + i, static_cast<int>(smaller(count - i, Index{4})));
      MERIT_UNROLL
      for (int k = 0; k < 4; ++k) sum += static_cast<double>(a.value[k]) * static_cast<double>(a.value[k]);
    }
    sum = sum_over_block(block, sum, block.template shared<double>(0, 32));
    if (block.thread() == 0) block.store(sums + block.column(), sum);
  }
};

/// *out = scale · the sum of x in double, by one block in a fixed order.
template <class T>
struct TotalKernel {
  Index count = 0;
  const T* x = nullptr;
  double scale = 1;
  double* out = nullptr;

  static constexpr int most_threads = optimizer_threads;
  static constexpr int least_blocks = 1;
  Grid grid() const { return {.threads = most_threads, .shared_bytes = sum_over_block_bytes}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    double sum = 0;
    for (Index i = static_cast<Index>(block.thread()); i < count; i += most_threads)
      sum += static_cast<double>(block.load(x + i));
    sum = sum_over_block(block, sum, block.template shared<double>(0, 32));
    if (block.thread() == 0) block.store(out, scale * sum);
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
