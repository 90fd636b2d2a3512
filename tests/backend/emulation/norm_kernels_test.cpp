// The norms' kernels and sums over rows, beside the reference backend in double.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "backend/emulation/machine.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/backend/thrust/kernels/column_sum_kernels.hpp"
#include "merit/backend/thrust/kernels/norm_kernels.hpp"

namespace norm_kernels_test {

using namespace merit_test;

using Arbiter = ReferenceBackend<double>;

MatrixView<double> matrix(List& list, Index rows, Index cols) {
  return {list.data(), rows, cols};
}
MatrixView<const double> matrix(const List& list, Index rows, Index cols) {
  return {list.data(), rows, cols};
}

/// x and weights of a norm, and what the reference makes of them.
template <class T, bool centred>
struct Norm {
  Index rows, cols;
  List x, weight, bias, dy;
  List y, mean, rstd;
  double weight_offset = 0;  // of RMS norms; of layer norms 1 stands for no weights

  Norm(Rng& rng, Index row_count, Index width, double offset)
      : rows(row_count),
        cols(width),
        x(random_list<T>(rng, rows * cols)),
        weight(random_list<float>(rng, cols)),
        bias(random_list<float>(rng, cols)),
        dy(random_list<T>(rng, rows * cols)),
        weight_offset(offset) {
    if (centred && offset != 0) weight.clear();
    forward();
  }

  void forward() {
    Arbiter::Handle handle{Arbiter{}};
    y.assign(rows * cols, 0);
    rstd.assign(rows, 0);
    mean.assign(rows, 0);
    if constexpr (centred) {
      List stats(2 * rows);
      Arbiter::layer_norm(
          handle, {matrix(std::as_const(x), rows, cols), weight, bias, 1e-5, matrix(y, rows, cols), stats});
      std::copy_n(stats.begin(), rows, mean.begin());
      std::copy_n(stats.begin() + static_cast<std::ptrdiff_t>(rows), rows, rstd.begin());
    } else {
      Arbiter::rms_norm(handle, {matrix(std::as_const(x), rows, cols), weight, 1e-5, matrix(y, rows, cols),
                                 rstd, weight_offset});
    }
  }

  /// dx, onto 2 in each place where it is added to, dweight and dbias.
  std::array<List, 3> backward(bool add) const {
    Arbiter::Handle handle{Arbiter{}};
    std::array<List, 3> all{List(rows * cols, 2.0), List(cols), List(cols)};
    const Write write = add ? Write::add : Write::assign;
    if constexpr (centred) {
      List stats = mean;
      stats.insert(stats.end(), rstd.begin(), rstd.end());
      Arbiter::layer_norm_backward(handle, {matrix(dy, rows, cols), matrix(x, rows, cols), weight, stats,
                                            write, matrix(all[0], rows, cols), all[1], all[2]});
    } else {
      Arbiter::rms_norm_backward(handle, {matrix(dy, rows, cols), matrix(x, rows, cols), weight, rstd, write,
                                          matrix(all[0], rows, cols), all[1], weight_offset});
    }
    return all;
  }
};

template <class T, bool centred>
void check_forward(Rng& rng, Index rows, Index cols, Index padding, double offset) {
  CAPTURE(rows);
  CAPTURE(cols);
  CAPTURE(padding);
  Norm<T, centred> norm(rng, rows, cols, offset);
  const Array<T> x(rows, cols, norm.x, padding);
  const Array<float> weight = row_of<float>(norm.weight), bias = row_of<float>(norm.bias);
  Array<T> y(rows, cols, padding);
  Array<float> mean(1, rows), rstd(1, rows);
  NormKernel<T, centred> kernel{.rows = rows,
                                .cols = cols,
                                .x = x.constant(),
                                .weight = norm.weight.empty() ? nullptr : weight.data(),
                                .epsilon = 1e-5f,
                                .weight_offset = centred ? 0.0f : static_cast<float>(offset),
                                .y = y.rows(),
                                .rstd = rstd.data()};
  if (centred) {
    kernel.bias = bias.data();
    kernel.mean = mean.data();
  }
  run(kernel);
  CHECK(relative_error(y.values(), norm.y) <= Kept<T>::after(1));
  CHECK(relative_error(rstd.values(), norm.rstd) <= Tolerance<float>::value);
  if (centred) CHECK(relative_error(mean.values(), norm.mean) <= 1e-4);
}

template <class T, bool centred>
void check_backward(Rng& rng, Index rows, Index cols, Index padding, bool add, double offset) {
  CAPTURE(rows);
  CAPTURE(cols);
  const Norm<T, centred> norm(rng, rows, cols, offset);
  const Array<T> x(rows, cols, norm.x, padding), dy(rows, cols, norm.dy, padding);
  const Array<float> weight = row_of<float>(norm.weight);
  const Array<float> mean = row_of<float>(norm.mean), rstd = row_of<float>(norm.rstd);
  Array<T> dx(rows, cols, padding);
  if (add) dx.set(List(rows * cols, 2.0));
  const Index parts = NormBackwardKernel<T, centred>::parts(rows);
  Array<float> weight_sums(parts, cols), bias_sums(parts, cols);
  NormBackwardKernel<T, centred> kernel{.rows = rows,
                                        .cols = cols,
                                        .dy = dy.constant(),
                                        .x = x.constant(),
                                        .weight = norm.weight.empty() ? nullptr : weight.data(),
                                        .mean = mean.data(),
                                        .rstd = rstd.data(),
                                        .add = add,
                                        .dx = dx.rows(),
                                        .dweight = weight_sums.data(),
                                        .weight_offset = centred ? 0.0f : static_cast<float>(offset)};
  if (centred) kernel.dbias = bias_sums.data();
  run(kernel);
  Array<float> dweight(1, cols), dbias(1, cols);
  dweight.set(List(cols, 3.0));
  run(ColumnTotalsKernel{parts, cols, weight_sums.data(), true, dweight.data()});
  const auto [expected_dx, expected_dweight, expected_dbias] = norm.backward(add);
  CHECK(relative_error(dx.values(), expected_dx) <= Kept<T>::gradient_after(1));
  List total = dweight.values();
  for (double& value : total) value -= 3.0;
  CHECK(relative_error(total, expected_dweight) <= Tolerance<float>::gradient);
  if (centred) {
    run(ColumnTotalsKernel{parts, cols, bias_sums.data(), false, dbias.data()});
    CHECK(relative_error(dbias.values(), expected_dbias) <= Tolerance<float>::gradient);
  }
  // Without the sums, and the sums alone: the same bits.
  const List both = dx.values();
  if (!add) {
    kernel.dweight = kernel.dbias = nullptr;
    Array<T> alone(rows, cols, padding);
    kernel.dx = alone.rows();
    run(kernel);
    CHECK(alone.values() == both);
  }
  kernel.dx = {};
  Array<float> sums_alone(parts, cols);
  kernel.dweight = sums_alone.data();
  run(kernel);
  CHECK(sums_alone.values() == weight_sums.values());
}

template <class T>
void check_norms() {
  Rng rng(1);
  for (const auto& [rows, cols, padding] :
       {std::array<Index, 3>{1, 9, 0}, {3, 17, 3}, {17, 64, 8}, {5, 300, 0}, {130, 40, 1}}) {
    const double offset = rows == 17 || rows == 3 ? 1 : 0;
    check_forward<T, false>(rng, rows, cols, padding, offset);
    check_forward<T, true>(rng, rows, cols, padding, offset);
    check_backward<T, false>(rng, rows, cols, padding, rows % 2 == 0, offset);
    check_backward<T, true>(rng, rows, cols, padding, rows % 2 == 1, offset);
  }
}

TEST_CASE("norms and their backward are the reference's, in float") {
  check_norms<float>();
}
TEST_CASE("norms and their backward are the reference's, in bf16") {
  check_norms<Bf16>();
}

TEST_CASE("of many columns each warp's sums still fit") {
  // Of four warps they would need 256 KiB: then there are fewer.
  Rng rng(2);
  check_backward<Bf16, true>(rng, 6, 8200, 0, false, 0);
}

TEST_CASE_TEMPLATE("sums over rows", T, float, Bf16) {
  Rng rng(3);
  for (const auto& [rows, cols] : {std::array<Index, 2>{1, 1}, {3, 17}, {130, 40}, {2500, 9}, {7, 1030}}) {
    const List x = random_list<T>(rng, rows * cols);
    const Array<T> array(rows, cols, x, cols % 2 * 3);
    const Index parts = ColumnSumKernel<T>::parts(rows);
    Array<float> sums(parts, cols), out(1, cols);
    run(ColumnSumKernel<T>{rows, cols, array.constant(), sums.data()});
    run(ColumnTotalsKernel{parts, cols, sums.data(), false, out.data()});
    List expected(cols);
    for (Index i = 0; i < rows * cols; ++i) expected[i % cols] += x[i];
    CHECK(relative_error(out.values(), expected) <= Tolerance<float>::gradient);
  }
}

}  // namespace norm_kernels_test
