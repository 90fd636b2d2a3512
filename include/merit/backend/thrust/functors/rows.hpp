// Rows moved by number, sums over rows, and means over the paths of a forest.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/functors/element.hpp"
#include "merit/backend/thrust/functors/paths.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// out[i] = table[ids[i]], an element at a time; empty ids are 0, 1, 2, ….
template <class T>
struct GatherRows {
  WeightView<DeviceSpace> table;
  VectorView<const std::uint32_t, DeviceSpace> ids;
  Write write;
  MatrixView<T, DeviceSpace> out;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / out.cols, j = e % out.cols;
    const Index id = ids.empty() ? i : ids.data[i];
    put(out.row(i)[j], stored_number(table.data, table.dtype, id * table.stride + j), write);
  }
};

/// A number of a row above, the place that holds it below: sorted, the places of a number follow each other in
/// ascending order, whatever sorts them.
struct PlaceOfId {
  const std::uint32_t* ids;
  std::uint64_t* places;

  MERIT_CALLABLE void operator()(Index i) const { places[i] = std::uint64_t{ids[i]} << 32 | i; }
};
inline MERIT_CALLABLE Index id_of(std::uint64_t place) {
  return place >> 32;
}
inline MERIT_CALLABLE Index index_of(std::uint64_t place) {
  return place & 0xFFFFFFFFu;
}

/// out[ids[i]] += rows[i], one column of one number at a time: the first of a number's sorted places takes all
/// of them, in ascending i, and the others nothing.
template <class T, class Out>
struct ScatterAddRows {
  MatrixView<const T, DeviceSpace> rows;
  const std::uint64_t* places;  // as many as rows, sorted
  MatrixView<Out, DeviceSpace> out;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index first = e / rows.cols, j = e % rows.cols;
    const Index id = id_of(places[first]);
    if (first > 0 && id_of(places[first - 1]) == id) return;
    Out& target = out.row(id)[j];
    float sum = number<float>(target);
    for (Index i = first; i < rows.rows && id_of(places[i]) == id; ++i)
      sum += number<float>(rows.row(index_of(places[i]))[j]);
    target = rounded<Out>(sum);
  }
};
template <class T, class Out>
ScatterAddRows(MatrixView<const T, DeviceSpace>, const std::uint64_t*, MatrixView<Out, DeviceSpace>)
    -> ScatterAddRows<T, Out>;

/// out[j] = sum over rows of x, in their order, in double.
template <class T>
struct ColumnSum {
  MatrixView<const T, DeviceSpace> x;
  Write write;
  float* out;

  MERIT_CALLABLE void operator()(Index j) const {
    double sum = 0;
    for (Index i = 0; i < x.rows; ++i) sum += static_cast<double>(number<float>(x.row(i)[j]));
    put(out[j], static_cast<float>(sum), write);
  }
};

/// out[r] = the mean of x over the path from the root to rows[r], an element at a time.
template <class T>
struct PathMean {
  ForestView<DeviceSpace> forest;
  MatrixView<const T, DeviceSpace> x;
  MatrixView<T, DeviceSpace> out;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index r = e / out.cols, j = e % out.cols;
    const Index token = forest.rows.data[r];
    float sum = 0;
    for_each_seen(forest, token, [&](Index t) { sum += number<float>(x.row(t)[j]); });
    put(out.row(r)[j], sum / static_cast<float>(forest.positions.data[token] + 1), Write::assign);
  }
};

/// dx[t] = Σ dout[r] / length of the path, over the rows r below t.
template <class T>
struct PathMeanBackward {
  ForestView<DeviceSpace> forest;
  MatrixView<const T, DeviceSpace> dout;
  Write write;
  MatrixView<T, DeviceSpace> dx;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index t = e / dx.cols, j = e % dx.cols;
    const IndexRange rows = seen_by(forest, forest.rows, t);
    float sum = 0;
    for (Index r = rows.begin; r < rows.end; ++r) {
      const auto length = static_cast<float>(forest.positions.data[forest.rows.data[r]] + 1);
      sum += number<float>(dout.row(r)[j]) / length;
    }
    put(dx.row(t)[j], sum, write);
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
