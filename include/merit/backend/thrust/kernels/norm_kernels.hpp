// RMS norm and layer norm, a warp for each row. Statistics are in float, whatever the rows are kept in.
#pragma once

#include <cmath>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// Of a norm, `count` weights from j on with their offset; ones where there are none.
template <int n, class Block>
MERIT_KERNEL Numbers<n> norm_weights(Block& block, const float* weight, float offset, Index j, int count) {
  Numbers<n> w{};
  if (weight != nullptr) w = load_numbers<n>(block, weight + j, count);
  MERIT_UNROLL
  for (int k = 0; k < n; ++k) w.value[k] += weight != nullptr ? offset : 1.0f;
  return w;
}

/// y = (x − mean) · rstd · weight + bias of each row, rstd = 1/sqrt(mean((x − mean)²) + epsilon); not centred, mean
/// is 0 and nothing is subtracted. A residual is in x: the product before adds it.
template <class T, bool centred>
struct NormKernel {
  Index rows = 0, cols = 0;
  Rows<const T> x;                // (M, d)
  const float* weight = nullptr;  // (d), optional: then ones
  const float* bias = nullptr;    // (d), optional
  float epsilon = 0;
  float weight_offset = 0;  // to be added to the weights
  Rows<T> y;                // (M, d)
  float* mean = nullptr;    // (M), optional
  float* rstd = nullptr;    // (M), optional

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 8;
  static constexpr int warps = most_threads / warp_size;
  static constexpr int n = numbers_at_once<T>;

  Grid grid() const { return {.columns = divide_up(rows, warps), .threads = most_threads}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index i = block.column() * warps + static_cast<Index>(block.thread() / warp_size);
    if (i >= rows) return;  // a warp at a time
    const float width = static_cast<float>(cols);

    const T* row = x.row(i);

    float center = 0;
    if constexpr (centred) {
      for_each_run_of_lane<n>(block, cols, [&](Index j, int count) {
        const Numbers<n> a = load_numbers<n>(block, row + j, count);
        MERIT_UNROLL
        for (int k = 0; k < n; ++k) center += a.value[k];
      });
      center = sum_over_warp(block, center) / width;
    }
    float squares = 0;
    for_each_run_of_lane<n>(block, cols, [&](Index j, int count) {
      const Numbers<n> a = load_numbers<n>(block, row + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) {
        const float off = k < count ? a.value[k] - center : 0.0f;
        squares += off * off;
      }
    });
    const float scale = 1.0f / std::sqrt(sum_over_warp(block, squares) / width + epsilon);

    for_each_run_of_lane<n>(block, cols, [&](Index j, int count) {
      const Numbers<n> a = load_numbers<n>(block, row + j, count);
      const Numbers<n> w = norm_weights<n>(block, weight, weight_offset, j, count);
      Numbers<n> result{};
      if (bias != nullptr) result = load_numbers<n>(block, bias + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) result.value[k] += (a.value[k] - center) * scale * w.value[k];
      store_numbers(block, y.row(i) + j, count, result);
    });
    if (block.thread() % warp_size == 0) {
      if (mean != nullptr) block.store(mean + i, center);
      if (rstd != nullptr) block.store(rstd + i, scale);
    }
  }
};

template <class T>
using RmsNormKernel = NormKernel<T, false>;
template <class T>
using LayerNormKernel = NormKernel<T, true>;

/// With n = (x − mean) · rstd and g = dy · weight:  dx = rstd · (g − mean(g) − n · mean(g · n)), where mean(g) is left out
/// if not centred. Of dweight = Σ dy · n and dbias = Σ dy over the rows, each block leaves what its rows give, for
/// ColumnTotalsKernel: so no two blocks add to one place.
template <class T, bool centred>
struct NormBackwardKernel {
  Index rows = 0, cols = 0;
  Rows<const T> dy;               // (M, d)
  Rows<const T> x;                // (M, d)
  const float* weight = nullptr;  // (d), optional: then ones
  const float* mean = nullptr;    // (M), where centred
  const float* rstd = nullptr;    // (M)
  bool add = false;               // to dx
  Rows<T> dx = {};                // (M, d), optional
  float* dweight = nullptr;       // (parts, d) of working space, optional
  float* dbias = nullptr;         // (parts, d) of working space, optional
  float weight_offset = 0;        // to be added to the weights

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;

  /// How many blocks divide `rows` rows. Of the number of rows alone, so that a sum's bits are the same everywhere.
  static constexpr Index parts(Index rows) {
    const Index most = 264;  // two blocks for each multiprocessor of an H100
    return rows < most * 4 ? divide_up(rows, 4) : most;
  }

  Grid grid() const {
    // Each warp has sums of its own. Their number must not depend on what is wanted, which would change the sums' bits.
    const int of_warp = static_cast<int>(divide_up(cols, n) * n * sizeof(float)) * (centred ? 2 : 1);
    int warps = most_threads / warp_size;
    while (warps > 1 && warps * of_warp > 96 * 1024) warps /= 2;
    return {.columns = parts(rows), .threads = warps * warp_size, .shared_bytes = warps * of_warp};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const int warp = block.thread() / warp_size, warps = block.threads() / warp_size;
    // A lane adds to its own columns of its warp's sums alone. Column c lies at [c % n][c / n], so that the lanes' places
    // are neighbours.
    const int runs = static_cast<int>(divide_up(cols, n)), of_warp = runs * n;
    const int for_weight = dweight != nullptr ? warps * of_warp : 0,
              for_bias = dbias != nullptr ? warps * of_warp : 0;
    const auto sums = block.template shared<float>(0, for_weight);
    const auto bias_sums =
        block.template shared<float>(for_weight * static_cast<int>(sizeof(float)), for_bias);
    const auto place = [&](Index j, int k) { return warp * of_warp + k * runs + static_cast<int>(j) / n; };

    const Index share = divide_up(rows, block.columns());
    const Index begin = block.column() * share, end = smaller(begin + share, rows);
    for_each_run_of_lane<n>(block, cols, [&](Index j, int) {
      for (int k = 0; k < n; ++k) {
        if (dweight != nullptr) sums.set(place(j, k), 0.0f);
        if (dbias != nullptr) bias_sums.set(place(j, k), 0.0f);
      }
    });
    for (Index i = begin + static_cast<Index>(warp); i < end; i += static_cast<Index>(warps)) {
      const float center = centred ? block.load(mean + i) : 0.0f;
      const float scale = block.load(rstd + i);
      float mean_g = 0, mean_gn = 0;
      for_each_run_of_lane<n>(block, cols, [&](Index j, int count) {
        const Numbers<n> d = load_numbers<n>(block, dy.row(i) + j, count);
        const Numbers<n> a = load_numbers<n>(block, x.row(i) + j, count);
        const Numbers<n> w = norm_weights<n>(block, weight, weight_offset, j, count);
        MERIT_UNROLL
        for (int k = 0; k < n; ++k) {
          const float g = d.value[k] * w.value[k];
          const float normal = (a.value[k] - center) * scale;
          mean_g += g;
          mean_gn += g * normal;
          const int at = place(j, k);  // past the last column, of zeros
          if (dweight != nullptr) sums.set(at, sums.get(at) + d.value[k] * normal);
          if (dbias != nullptr) bias_sums.set(at, bias_sums.get(at) + d.value[k]);
        }
      });
      if (dx.data == nullptr) continue;
      mean_g = centred ? sum_over_warp(block, mean_g) / static_cast<float>(cols) : 0.0f;
      mean_gn = sum_over_warp(block, mean_gn) / static_cast<float>(cols);
      for_each_run_of_lane<n>(block, cols, [&](Index j, int count) {
        Numbers<n> d = load_numbers<n>(block, dy.row(i) + j, count);
        const Numbers<n> a = load_numbers<n>(block, x.row(i) + j, count);
        const Numbers<n> w = norm_weights<n>(block, weight, weight_offset, j, count);
        MERIT_UNROLL
        for (int k = 0; k < n; ++k) {
          const float normal = (a.value[k] - center) * scale;
          d.value[k] = scale * (d.value[k] * w.value[k] - mean_g - normal * mean_gn);
        }
        store_numbers(block, dx.row(i) + j, count, d, add);
      });
    }

    block.sync();
    for (Index j = static_cast<Index>(block.thread()); j < cols; j += static_cast<Index>(block.threads())) {
      const int at = static_cast<int>(j) % n * runs + static_cast<int>(j) / n;
      float total = 0, bias_total = 0;
      for (int w = 0; w < warps; ++w) {
        if (dweight != nullptr) total += sums.get(w * of_warp + at);
        if (dbias != nullptr) bias_total += bias_sums.get(w * of_warp + at);
      }
      const Index to = block.column() * cols + j;
      if (dweight != nullptr) block.store(dweight + to, total);
      if (dbias != nullptr) block.store(dbias + to, bias_total);
    }
  }
};

template <class T>
using RmsNormBackwardKernel = NormBackwardKernel<T, false>;
template <class T>
using LayerNormBackwardKernel = NormBackwardKernel<T, true>;

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
