// The mean over the path from a tree's root to a token, and its backward.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// out[r] = the mean of x over the path to token rows[r]: the spans of its segment, then the segment up to the token.
template <class T>
struct PathMeanKernel {
  Index rows_count = 0, cols = 0, segments = 0;
  const std::uint32_t* rows = nullptr;                // (R)
  const std::uint32_t* row_positions = nullptr;       // (R)
  const std::uint32_t* segment_begin = nullptr;       // (S + 1)
  const std::uint32_t* segment_span_begin = nullptr;  // (S + 1)
  const std::uint32_t* span_begin = nullptr;
  const std::uint32_t* span_end = nullptr;
  Rows<const T> x;  // (T, d)
  Rows<T> out;      // (R, d)

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(rows_count, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, rows_count, cols, [&](Index r, Index j, int count) {
      const std::uint32_t token = block.load(rows + r);
      const Index segment = first_not_below(block, segment_begin, segments, token + 1) - 1;
      Numbers<n> sum{};
      const auto add = [&](std::uint32_t begin, std::uint32_t end) {
        for (std::uint32_t t = begin; t < end; ++t) {
          const Numbers<n> one = load_numbers<n>(block, x.row(t) + j, count);
          MERIT_UNROLL
          for (int k = 0; k < n; ++k) sum.value[k] += one.value[k];
        }
      };
      const std::uint32_t spans = block.load(segment_span_begin + segment + 1);
      for (std::uint32_t s = block.load(segment_span_begin + segment); s < spans; ++s)
        add(block.load(span_begin + s), block.load(span_end + s));
      add(block.load(segment_begin + segment), token + 1);
      const float length = static_cast<float>(block.load(row_positions + r)) + 1.0f;
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) sum.value[k] /= length;
      store_numbers(block, out.row(r) + j, count, sum);
    });
  }
};

/// dx[t] = the sum of dout[r] / length of r's path over the rows r below token t, which are neighbours in the list of rows.
template <class T>
struct PathMeanBackwardKernel {
  Index rows_count = 0, cols = 0, tokens = 0;
  const std::uint32_t* rows = nullptr;           // (R)
  const std::uint32_t* row_positions = nullptr;  // (R)
  const std::uint32_t* subtree_end = nullptr;    // (T)
  Rows<const T> dout;                            // (R, d)
  bool add = false;
  Rows<T> dx;  // (T, d)

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(tokens, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, tokens, cols, [&](Index t, Index j, int count) {
      Index r = first_not_below(block, rows, rows_count, static_cast<std::uint32_t>(t));
      const Index end = first_not_below(block, rows, rows_count, block.load(subtree_end + t));
      Numbers<n> sum{};
      for (; r < end; ++r) {
        const float length = static_cast<float>(block.load(row_positions + r)) + 1.0f;
        const Numbers<n> one = load_numbers<n>(block, dout.row(r) + j, count);
        MERIT_UNROLL
        for (int k = 0; k < n; ++k) sum.value[k] += one.value[k] / length;
      }
      store_numbers(block, dx.row(t) + j, count, sum, add);
    });
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
