// A matrix product as every system is asked for it, and how the host computes it, a tile at a time.
#pragma once

#include <algorithm>

#include "merit/backend/thrust/functors/element.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// A factor as it is stored. Multiplied are its numbers as `used_as` holds them: bf16 rounds a weight that is
/// kept in float.
struct Factor {
  const void* data;
  Dtype dtype;
  Index stride;
  bool transposed;
  Dtype used_as;
};

/// out (M, N) = scale · a (M, K) · b (K, N) [+ bias on each row] [+ addend_scale · addend] [+ out if add].
template <class T>
struct Product {
  Factor a, b;  // K runs along b's rows, unless transposed
  Index depth;  // K
  float scale = 1;
  VectorView<const float, DeviceSpace> bias = {};  // (N), used as T holds it
  MatrixView<const T, DeviceSpace> addend = {};
  float addend_scale = 1;
  Write write = Write::assign;
  MatrixView<T, DeviceSpace> out;

  /// Puts what the products of an element sum to where it goes, with all that is added.
  MERIT_CALLABLE void finish(Index i, Index j, float sum) const {
    sum *= scale;
    if (!bias.empty()) sum += number<float>(rounded<T>(bias.data[j]));
    if (!addend.empty()) sum += addend_scale * number<float>(addend.row(i)[j]);
    put(out.row(i)[j], sum, write);
  }
};

/// One element of the result: for shapes that nothing faster takes.
template <class T>
struct ProductElement {
  Product<T> p;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / p.out.cols, j = e % p.out.cols;
    float sum = 0;
    for (Index k = 0; k < p.depth; ++k)
      sum += at(p.a, p.a.transposed ? k : i, p.a.transposed ? i : k) *
             at(p.b, p.b.transposed ? j : k, p.b.transposed ? k : j);
    p.finish(i, j, sum);
  }

 private:
  static MERIT_CALLABLE float at(const Factor& f, Index row, Index col) {
    const float value = stored_number(f.data, f.dtype, row * f.stride + col);
    return f.used_as == Dtype::bf16 ? from_bf16(to_bf16(value)) : value;
  }
};

template <class T>
Factor factor(const MatrixView<const T, DeviceSpace>& m, bool transposed) {
  return {m.data, dtype_of<T>(), m.stride, transposed, dtype_of<T>()};
}

inline constexpr Index tile_rows = 32, tile_cols = 64, tile_depth = 128;

/// One tile of the result, on a host: blocks of both factors are laid out as float, in the order in which they
/// are read, and each element sums its products in the order of K, whatever tile it is in.
template <class T>
struct ProductTile {
  Product<T> p;

  static Index count(Index size, Index tile) { return (size + tile - 1) / tile; }
  /// How many tiles there are.
  Index size() const { return count(p.out.rows, tile_rows) * count(p.out.cols, tile_cols); }

  void operator()(Index tile) const {
    const Index across = count(p.out.cols, tile_cols);
    const Index row = tile / across * tile_rows, col = tile % across * tile_cols;
    const Index rows = std::min(tile_rows, p.out.rows - row), cols = std::min(tile_cols, p.out.cols - col);
    float a[tile_depth * tile_rows], b[tile_depth * tile_cols], sums[tile_rows * tile_cols] = {};
    for (Index k = 0; k < p.depth; k += tile_depth) {
      const Index depth = std::min(tile_depth, p.depth - k);
      pack<tile_rows>(p.a, !p.a.transposed, row, rows, k, depth, a);
      pack<tile_cols>(p.b, p.b.transposed, col, cols, k, depth, b);
      multiply(a, b, depth, sums);
    }
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j) p.finish(row + i, col + j, sums[i * tile_cols + j]);
  }

 private:
  /// Lines first … first + lines − 1 of a factor, places k … k + depth − 1 of each: to[place · width + line],
  /// zero in lines that there are not. `by_line`: a line lies in one run, not the same place of all lines.
  template <Index width>
  static void pack(const Factor& f, bool by_line, Index first, Index lines, Index k, Index depth, float* to) {
    if (lines < width) std::fill_n(to, depth * width, 0.0f);
    const auto run = [&]<class Stored>(const Stored* data) {
      const auto convert = [&](Index line, Index place, Index at) {
        const float value = number<float>(data[at]);
        to[place * width + line] = f.used_as == Dtype::bf16 ? from_bf16(to_bf16(value)) : value;
      };
      if (by_line) {
        for (Index line = 0; line < lines; ++line)
          for (Index place = 0; place < depth; ++place)
            convert(line, place, (first + line) * f.stride + k + place);
      } else {
        for (Index place = 0; place < depth; ++place)
          for (Index line = 0; line < lines; ++line)
            convert(line, place, (k + place) * f.stride + first + line);
      }
    };
    switch (f.dtype) {
      case Dtype::f64: return run(static_cast<const double*>(f.data));
      case Dtype::f16: return run(static_cast<const F16*>(f.data));
      case Dtype::bf16: return run(static_cast<const Bf16*>(f.data));
      default: return run(static_cast<const float*>(f.data));  // nothing quantised is held on a device
    }
  }

  /// sums += aᵀ · b, in blocks that fit registers.
  static void multiply(const float* a, const float* b, Index depth, float* sums) {
    constexpr Index block_rows = 4, block_cols = 16;
    for (Index i = 0; i < tile_rows; i += block_rows) {
      for (Index j = 0; j < tile_cols; j += block_cols) {
        float block[block_rows][block_cols];
        for (Index r = 0; r < block_rows; ++r)
          for (Index c = 0; c < block_cols; ++c) block[r][c] = sums[(i + r) * tile_cols + j + c];
        for (Index k = 0; k < depth; ++k)
          for (Index r = 0; r < block_rows; ++r)
            for (Index c = 0; c < block_cols; ++c)
              block[r][c] += a[k * tile_rows + i + r] * b[k * tile_cols + j + c];
        for (Index r = 0; r < block_rows; ++r)
          for (Index c = 0; c < block_cols; ++c) sums[(i + r) * tile_cols + j + c] = block[r][c];
      }
    }
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
