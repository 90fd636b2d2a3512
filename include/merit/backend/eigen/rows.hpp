// Norms, rotary positions, moving of rows, sums over rows and over paths.
//
// Sums over the rows of a matrix are divided among threads by columns, so that each column is summed in row
// order whatever the number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/quantized_packets.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// Columns that one thread takes at a time: whole cache lines.
template <class T>
inline constexpr Index column_unit = 128 / sizeof(T);

template <class T>
void copy(Index threads, MatrixView<const T> from, Write write, MatrixView<T> to) {
  parallel_ranges(threads, to.rows, 1, to.rows * to.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      if (write == Write::assign) {
        std::copy_n(from.row(i), to.cols, to.row(i));
      } else {
        sweep<T>(to.cols,
                 [&](Index j, auto lane) { put<T>(lane, to.row(i) + j, lane.load(from.row(i) + j), write); });
      }
    }
  });
}

/// sums[j] += the sum of term(i, j, lane) over the rows i, for the columns in [begin, end). Rows are summed
/// in short runs first: the error of a long sum in float then grows with the number of runs, not of rows.
template <class T, class Term>
void add_over_rows(Index rows, Index begin, Index end, T* sums, Term&& term) {
  constexpr Index run = 64;
  sweep<T>(end - begin, [&](Index offset, auto lane) {
    const Index j = begin + offset;
    Packet<T> sum = lane.load(sums + j);
    for (Index i = 0; i < rows; i += run) {
      Packet<T> part = Simd<T>::set(T{0});
      for (Index r = i; r < std::min(rows, i + run); ++r) part = add(part, term(r, j, lane));
      sum = add(sum, part);
    }
    lane.store(sums + j, sum);
  });
}

template <class T>
void column_sum(Index threads, MatrixView<const T> x, Write write, VectorView<T> out) {
  parallel_ranges(threads, out.size, column_unit<T>, x.rows * x.cols, [&](Index begin, Index end) {
    if (write == Write::assign) std::fill(out.data + begin, out.data + end, T{0});
    add_over_rows(x.rows, begin, end, out.data,
                  [&](Index i, Index j, auto lane) { return lane.load(x.row(i) + j); });
  });
}

// --- norms

template <class T>
void rms_norm(Index threads, MatrixView<const T> x, VectorView<const T> weight, T eps, MatrixView<T> y,
              VectorView<T> rstd, T offset) {
  const Packet<T> base = Simd<T>::set(offset);
  parallel_ranges(threads, x.rows, 1, 2 * x.rows * x.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const T* const row = x.row(i);
      const T r = T{1} / std::sqrt(dot(x.cols, row, row) / static_cast<T>(x.cols) + eps);
      const Packet<T> factor = Simd<T>::set(r);
      sweep<T>(x.cols, [&](Index j, auto lane) {
        lane.store(y.row(i) + j, mul(mul(lane.load(row + j), factor), add(base, lane.load(weight.data + j))));
      });
      if (!rstd.empty()) rstd[i] = r;
    }
  });
}

/// With n = x · rstd and g = dy · (offset + weight):  dx = rstd · (g - n · mean(g · n)),  dweight += dy · n.
template <class T>
void rms_norm_backward(Index threads, MatrixView<const T> dy, MatrixView<const T> x,
                       VectorView<const T> weight, VectorView<const T> rstd, Write write, MatrixView<T> dx,
                       VectorView<T> dweight, T offset) {
  using S = Simd<T>;
  const Packet<T> base = S::set(offset);
  if (!dx.empty()) {
    parallel_ranges(threads, x.rows, 1, 3 * x.rows * x.cols, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const T r = rstd[i];
        const T gx = sweep_total<T>(x.cols, [&](Index j, auto lane) {
          const Packet<T> g = mul(lane.load(dy.row(i) + j), add(base, lane.load(weight.data + j)));
          return mul(g, lane.load(x.row(i) + j));
        });
        const Packet<T> of_g = S::set(r), of_x = S::set(-r * r * r * gx / static_cast<T>(x.cols));
        sweep<T>(x.cols, [&](Index j, auto lane) {
          const Packet<T> g = mul(lane.load(dy.row(i) + j), add(base, lane.load(weight.data + j)));
          put<T>(lane, dx.row(i) + j, fma(of_x, lane.load(x.row(i) + j), mul(of_g, g)), write);
        });
      }
    });
  }
  if (!dweight.empty()) {
    parallel_ranges(threads, x.cols, column_unit<T>, 2 * x.rows * x.cols, [&](Index begin, Index end) {
      add_over_rows(x.rows, begin, end, dweight.data, [&](Index i, Index j, auto lane) {
        return mul(mul(lane.load(x.row(i) + j), S::set(rstd[i])), lane.load(dy.row(i) + j));
      });
    });
  }
}

template <class T>
void layer_norm(Index threads, MatrixView<const T> x, VectorView<const T> weight, VectorView<const T> bias,
                T eps, MatrixView<T> y, VectorView<T> stats) {
  using S = Simd<T>;
  parallel_ranges(threads, x.rows, 1, 4 * x.rows * x.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const T* const row = x.row(i);
      const T width = static_cast<T>(x.cols);
      const T mean = sweep_total<T>(x.cols, [&](Index j, auto lane) { return lane.load(row + j); }) / width;
      const Packet<T> shift = S::set(mean);
      // The second pass over the row is what keeps the variance right when the mean is large.
      const T squares = sweep_total<T>(x.cols, [&](Index j, auto lane) {
        const Packet<T> centred = lane.kept(sub(lane.load(row + j), shift));
        return mul(centred, centred);
      });
      const T rstd = T{1} / std::sqrt(squares / width + eps);
      const Packet<T> factor = S::set(rstd);
      sweep<T>(x.cols, [&](Index j, auto lane) {
        const Packet<T> n = mul(sub(lane.load(row + j), shift), factor);
        const Packet<T> scaled = weight.empty() ? n : mul(n, lane.load(weight.data + j));
        lane.store(y.row(i) + j, bias.empty() ? scaled : add(scaled, lane.load(bias.data + j)));
      });
      if (!stats.empty()) {
        stats[i] = mean;
        stats[x.rows + i] = rstd;
      }
    }
  });
}

/// With n = (x - mean) · rstd and g = dy · weight:  dx = rstd · (g - mean(g) - n · mean(g · n)).
template <class T>
void layer_norm_backward(Index threads, MatrixView<const T> dy, MatrixView<const T> x,
                         VectorView<const T> weight, VectorView<const T> stats, Write write, MatrixView<T> dx,
                         VectorView<T> dweight, VectorView<T> dbias) {
  using S = Simd<T>;
  const T width = static_cast<T>(x.cols);
  const auto normalised = [&](Index i, Index j, auto lane) {
    return mul(sub(lane.load(x.row(i) + j), S::set(stats[i])), S::set(stats[x.rows + i]));
  };
  if (!dx.empty()) {
    parallel_ranges(threads, x.rows, 1, 5 * x.rows * x.cols, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const auto g = [&](Index j, auto lane) {
          const Packet<T> d = lane.load(dy.row(i) + j);
          return weight.empty() ? d : mul(d, lane.load(weight.data + j));
        };
        const T mean_g = sweep_total<T>(x.cols, g) / width;
        const T mean_gn =
            sweep_total<T>(x.cols,
                           [&](Index j, auto lane) { return mul(g(j, lane), normalised(i, j, lane)); }) /
            width;
        const Packet<T> rstd = S::set(stats[x.rows + i]), shift = S::set(mean_g), slope = S::set(-mean_gn);
        sweep<T>(x.cols, [&](Index j, auto lane) {
          const Packet<T> value = mul(rstd, fma(slope, normalised(i, j, lane), sub(g(j, lane), shift)));
          put<T>(lane, dx.row(i) + j, value, write);
        });
      }
    });
  }
  if (!dweight.empty()) {
    parallel_ranges(threads, x.cols, column_unit<T>, 3 * x.rows * x.cols, [&](Index begin, Index end) {
      add_over_rows(x.rows, begin, end, dweight.data, [&](Index i, Index j, auto lane) {
        return mul(normalised(i, j, lane), lane.load(dy.row(i) + j));
      });
    });
  }
  if (!dbias.empty()) column_sum(threads, dy, Write::add, dbias);
}

// --- positions and rows

/// (a, b) becomes (a cos - b sin, b cos + a sin); the inverse turns the other way. Of each head as many columns as the
/// table is wide.
template <class T>
void rotary(Index threads, MatrixView<T> x, Index heads, VectorView<const std::uint32_t> positions,
            MatrixView<const T> table, bool inverse) {
  const Index width = x.cols / heads, half = table.cols / 2;
  const Packet<T> turn = Simd<T>::set(inverse ? T{-1} : T{1});
  parallel_ranges(threads, x.rows, 1, 2 * x.rows * x.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const T* const angles = table.row(positions[i]);
      for (Index head = 0; head < heads; ++head) {
        T* const first = x.row(i) + head * width;
        T* const second = first + half;
        sweep<T>(half, [&](Index j, auto lane) {
          const Packet<T> cosine = lane.load(angles + j), sine = mul(turn, lane.load(angles + half + j));
          const Packet<T> a = lane.load(first + j), b = lane.load(second + j);
          lane.store(first + j, sub(mul(a, cosine), mul(b, sine)));
          lane.store(second + j, add(mul(b, cosine), mul(a, sine)));
        });
      }
    }
  });
}

/// Without ids the rows in their order.
template <class T>
void gather_rows(Index threads, const WeightView<>& table, VectorView<const std::uint32_t> ids, Write write,
                 MatrixView<T> out) {
  if (is_quantized(table.dtype)) {
    const QuantizedRows rows(table);
    parallel_ranges(threads, out.rows, 1, out.rows * out.cols, [&](Index begin, Index end) {
      float numbers[quantized_run];
      for (Index i = begin; i < end; ++i) {
        rows.for_each_run(0, out.cols, [&](Index first, Index, Index last) {
          read_numbers(rows, ids.empty() ? i : ids[i], first, rows.whole_blocks(first, last), numbers);
          T* const to = out.row(i) + first;
          sweep<T>(last - first,
                   [&](Index j, auto lane) { put<T>(lane, to + j, lane.load(numbers + j), write); });
        });
      }
    });
    return;
  }
  visit_stored(table, [&](auto rows) {
    parallel_ranges(threads, out.rows, 1, out.rows * out.cols, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const auto* const row = rows.row(ids.empty() ? i : ids[i]);
        sweep<T>(out.cols,
                 [&](Index j, auto lane) { put<T>(lane, out.row(i) + j, lane.load(row + j), write); });
      }
    });
  });
}

template <class T>
void scatter_add_rows(Index threads, MatrixView<const T> rows, VectorView<const std::uint32_t> ids,
                      MatrixView<T> out) {
  parallel_ranges(threads, rows.cols, column_unit<T>, rows.rows * rows.cols, [&](Index begin, Index end) {
    for (Index i = 0; i < ids.size; ++i) {
      sweep<T>(end - begin, [&](Index j, auto lane) {
        put<T>(lane, out.row(ids[i]) + begin + j, lane.load(rows.row(i) + begin + j), Write::add);
      });
    }
  });
}

// --- means over paths

/// Calls f(token, parent) for every token, in order (or in reverse); a root's parent is itself.
template <class F>
void for_each_parent(const ForestView<HostSpace>& forest, bool reverse, F&& f) {
  const Index segments = forest.segment_count();
  for (Index n = 0; n < segments; ++n) {
    const Index s = reverse ? segments - 1 - n : n;
    const Index begin = forest.segment_begin[s], length = forest.segment_begin[s + 1] - begin;
    for (Index m = 0; m < length; ++m) {
      const Index token = reverse ? begin + length - 1 - m : begin + m;
      if (token > begin) {
        f(token, token - 1);
      } else {
        const bool root = forest.segment_span_begin[s] == forest.segment_span_begin[s + 1];
        f(token, root ? token : Index{forest.span_end[forest.segment_span_begin[s + 1] - 1]} - 1);
      }
    }
  }
}

/// The sum over a token's path is its parent's sum and the token itself, so all paths cost one pass. sums (T,
/// d).
template <class T>
void path_mean(Index threads, const ForestView<HostSpace>& forest, MatrixView<const T> x, MatrixView<T> out,
               T* scratch) {
  const MatrixView<T> sums{scratch, x.rows, x.cols};
  parallel_ranges(threads, x.cols, column_unit<T>, 2 * x.rows * x.cols, [&](Index begin, Index end) {
    const Index count = end - begin;
    for_each_parent(forest, false, [&](Index token, Index parent) {
      sweep<T>(count, [&](Index j, auto lane) {
        const Packet<T> own = lane.load(x.row(token) + begin + j);
        T* const sum = sums.row(token) + begin + j;
        lane.store(sum, parent == token ? own : add(lane.load(sums.row(parent) + begin + j), own));
      });
    });
    for (Index r = 0; r < forest.row_count(); ++r) {
      const Index token = forest.rows[r];
      const Packet<T> length = Simd<T>::set(static_cast<T>(forest.positions[token]) + T{1});
      sweep<T>(count, [&](Index j, auto lane) {
        lane.store(out.row(r) + begin + j, div(lane.load(sums.row(token) + begin + j), length));
      });
    }
  });
}

/// The same pass in reverse: what a token receives goes to itself and to its parent.
template <class T>
void path_mean_backward(Index threads, const ForestView<HostSpace>& forest, MatrixView<const T> dout,
                        Write write, MatrixView<T> dx, T* scratch) {
  const MatrixView<T> sums{scratch, dx.rows, dx.cols};
  parallel_ranges(threads, dx.cols, column_unit<T>, 3 * dx.rows * dx.cols, [&](Index begin, Index end) {
    const Index count = end - begin;
    for (Index t = 0; t < dx.rows; ++t) std::fill_n(sums.row(t) + begin, count, T{0});
    for (Index r = 0; r < forest.row_count(); ++r) {
      const Index token = forest.rows[r];
      const Packet<T> length = Simd<T>::set(static_cast<T>(forest.positions[token]) + T{1});
      sweep<T>(count, [&](Index j, auto lane) {
        lane.store(sums.row(token) + begin + j, div(lane.load(dout.row(r) + begin + j), length));
      });
    }
    for_each_parent(forest, true, [&](Index token, Index parent) {
      sweep<T>(count, [&](Index j, auto lane) {
        const Packet<T> sum = lane.load(sums.row(token) + begin + j);
        put<T>(lane, dx.row(token) + begin + j, sum, write);
        if (parent != token) put<T>(lane, sums.row(parent) + begin + j, sum, Write::add);
      });
    });
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
