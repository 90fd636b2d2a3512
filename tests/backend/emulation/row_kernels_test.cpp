// Rows gathered and added back, the mean over a path, beside the reference backend in double.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "backend/emulation/machine.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/backend/thrust/kernels/path_kernels.hpp"
#include "merit/backend/thrust/kernels/row_kernels.hpp"
#include "merit/forest/forest.hpp"
#include "merit/testing/random_forest.hpp"

namespace row_kernels_test {

using namespace merit_test;

using Arbiter = ReferenceBackend<double>;

MatrixView<const double> matrix(const List& list, Index cols) {
  return {list.data(), list.size() / cols, cols};
}
MatrixView<double> matrix(List& list, Index cols) {
  return {list.data(), list.size() / cols, cols};
}

Ids random_ids(Rng& rng, Index count, Index below) {
  Ids ids(count);
  for (std::uint32_t& id : ids) id = static_cast<std::uint32_t>(rng.below(below));
  return ids;
}

/// (rows of the table, ids, columns, padding)
const std::array<Index, 4> shapes[] = {
    {1, 1, 1, 0}, {5, 3, 17, 3}, {9, 17, 40, 0}, {30, 130, 12, 1}, {4, 130, 64, 8}};

TEST_CASE_TEMPLATE("rows are gathered from tables of every stored type", T, float, Bf16) {
  Rng rng(1);
  const auto check = [&]<class Stored>(Stored, const List& values, Index many, Index cols, const Ids& ids,
                                       bool add) {
    std::vector<Stored> stored;
    for (const double x : values) {
      if constexpr (std::is_same_v<Stored, F16>) {
        stored.push_back({to_f16(static_cast<float>(x))});
      } else {
        stored.push_back(kept<Stored>(x));
      }
    }
    const Array<Stored> table(many, cols, stored);
    const Array<std::uint32_t> at = row_of<std::uint32_t>(ids);
    const Index rows = ids.empty() ? many : ids.size();
    Array<T> out(rows, cols, 1);
    if (add) out.set(List(rows * cols, 2.0));
    run(GatherRowsKernel<Stored, T>{rows, cols, table.constant(), ids.empty() ? nullptr : at.data(), add,
                                    out.rows()});
    List expected;
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        const auto x = number<float>(stored[(ids.empty() ? i : ids[i]) * cols + j]);
        expected.push_back(number<double>(kept<T>(x + (add ? 2.0f : 0.0f))));
      }
    }
    CHECK(out.values() == expected);
  };
  for (const auto& [many, count, cols, padding] : shapes) {
    const List values = random_list<float>(rng, many * cols);
    const Ids ids = random_ids(rng, count, many);
    check(float{}, values, many, cols, ids, false);
    check(double{}, values, many, cols, ids, false);
    check(Bf16{}, values, many, cols, ids, true);
    check(F16{}, values, many, cols, {}, false);
  }
  check(F16{}, {0.0, -0.0, 6e-8, -3e-5, 65504.0, 1e6, -1e6, 1.0}, 1, 8, {},
        false);  // zero, subnormal, infinite
}

TEST_CASE_TEMPLATE("rows are added to rows, equal ids in their order", T, float, Bf16) {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(2);
  for (const auto& [many, count, cols, padding] : shapes) {
    const Ids ids = random_ids(rng, count, many);
    std::vector<std::uint64_t> sorted(count);
    for (Index i = 0; i < count; ++i) detail::device::PlaceOfId{ids.data(), sorted.data()}(i);
    std::sort(sorted.begin(), sorted.end());
    const List values = random_list<T>(rng, count * cols), before = random_list<T>(rng, many * cols);
    const Array<T> rows(count, cols, values, padding);
    const Array<std::uint64_t> places = row_of<std::uint64_t>(sorted);
    Array<T> out(many, cols, before, padding);
    Array<float> wide(many, cols, before, padding);
    run(ScatterAddRowsKernel<T, T>{count, cols, places.data(), rows.constant(), out.rows()});
    run(ScatterAddRowsKernel<T, float>{count, cols, places.data(), rows.constant(), wide.rows()});
    List expected = before;
    Arbiter::scatter_add_rows(handle, matrix(values, cols), ids, matrix(expected, cols));
    CHECK(relative_error(out.values(), expected) <= Kept<T>::gradient_after(1));
    CHECK(relative_error(wide.values(), expected) <= Tolerance<float>::gradient);
    // In their order: the bits of a loop over them.
    std::vector<float> loop(before.begin(), before.end());
    for (Index i = 0; i < count * cols; ++i)
      loop[ids[i / cols] * cols + i % cols] += static_cast<float>(values[i]);
    CHECK(wide.elements() == loop);
  }
}

TEST_CASE_TEMPLATE("the mean over a path and its backward are the reference's", T, float, Bf16) {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(3);
  for (Index round = 0; round < 6; ++round) {
    ForestBuilder builder;
    const RandomForest random =
        random_forest(rng, {.groups = 6, .branching = 3, .depth = 1 + round, .run = 7});
    const ForestView<HostSpace> view = random.build(builder).view();
    const Index tokens = view.token_count(), rows = view.row_count(), cols = 1 + 5 * round;
    const List x = random_list<T>(rng, tokens * cols), dout = random_list<T>(rng, rows * cols);
    const auto copy = [](const VectorView<const std::uint32_t>& list) {
      return row_of<std::uint32_t>(Ids(list.begin(), list.end()));
    };
    const auto which = copy(view.rows), positions = copy(view.row_positions),
               segment_begin = copy(view.segment_begin), spans = copy(view.segment_span_begin),
               span_begin = copy(view.span_begin), span_end = copy(view.span_end),
               ends = copy(view.subtree_end);
    const Array<T> in(tokens, cols, x, round % 2), d(rows, cols, dout, round % 2);
    Array<T> out(rows, cols, 1);
    run(PathMeanKernel<T>{rows, cols, view.segment_count(), which.data(), positions.data(),
                          segment_begin.data(), spans.data(), span_begin.data(), span_end.data(),
                          in.constant(), out.rows()});
    List expected(rows * cols), scratch;
    Arbiter::path_mean(handle, view, matrix(x, cols), matrix(expected, cols), scratch);
    CHECK(relative_error(out.values(), expected) <= Kept<T>::after(1));
    for (const bool add : {false, true}) {
      List dexpected(tokens * cols, 2.0);
      Array<T> din(tokens, cols, 1);
      if (add) din.set(dexpected);
      run(PathMeanBackwardKernel<T>{rows, cols, tokens, which.data(), positions.data(), ends.data(),
                                    d.constant(), add, din.rows()});
      Arbiter::path_mean_backward(handle, {view, matrix(dout, cols), add ? Write::add : Write::assign,
                                           matrix(dexpected, cols), scratch});
      CHECK(relative_error(din.values(), dexpected) <= Kept<T>::gradient_after(1));
    }
  }
}

}  // namespace row_kernels_test
