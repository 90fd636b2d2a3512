// Gated units, activations and rotary positions, beside the reference backend in double.
#include <doctest/doctest.h>

#include <array>
#include <utility>

#include "backend/emulation/machine.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"

namespace elementwise_kernels_test {

using namespace merit_test;

using Arbiter = ReferenceBackend<double>;

MatrixView<const double> matrix(const List& list, Index rows) {
  return {list.data(), rows, list.size() / rows};
}
MatrixView<double> matrix(List& list, Index rows) {
  return {list.data(), rows, list.size() / rows};
}

// (rows, columns, padding): whole packs, tails alone, rows that are not aligned.
const std::array<Index, 3> shapes[] = {{1, 1, 0}, {3, 17, 3}, {17, 64, 0}, {5, 40, 8}, {130, 12, 1}};

constexpr ActivationFunction functions[] = {ActivationFunction::silu,      ActivationFunction::gelu,
                                            ActivationFunction::gelu_tanh, ActivationFunction::relu,
                                            ActivationFunction::tanh,      ActivationFunction::leaky_relu};

TEST_CASE_TEMPLATE("gated units and their backward are the reference's", T, float, Bf16) {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(1);
  Index turn = 0;
  for (const auto& [rows, cols, padding] : shapes) {
    const ActivationFunction function = functions[turn++ % 3];
    const List gate_up = random_list<T>(rng, rows * 2 * cols, 2), dout = random_list<T>(rng, rows * cols);
    const Array<T> in(rows, 2 * cols, gate_up, padding), d(rows, cols, dout, padding);
    Array<T> out(rows, cols, padding);
    run(GluKernel<T>{rows, cols, function, in.constant(), out.rows()});
    List expected(rows * cols);
    Arbiter::glu(handle, function, matrix(gate_up, rows), matrix(expected, rows));
    CHECK(relative_error(out.values(), expected) <= Kept<T>::after(1));
    for (const bool add : {false, true}) {
      List dexpected(rows * 2 * cols, 2.0);
      Array<T> din(rows, 2 * cols, padding);
      if (add) din.set(dexpected);
      run(GluBackwardKernel<T>{rows, cols, function, d.constant(), in.constant(), add, din.rows()});
      Arbiter::glu_backward(handle, {function, matrix(dout, rows), matrix(gate_up, rows),
                                     add ? Write::add : Write::assign, matrix(dexpected, rows)});
      CHECK(relative_error(din.values(), dexpected) <= Kept<T>::gradient_after(1));
    }
  }
}

TEST_CASE_TEMPLATE("a gate far below or above gives no NaN", T, float, Bf16) {
  const Array<T> in(1, 4, List{-1000, 1000, 3, 2});  // (gates, ups)
  Array<T> out(1, 2), din(1, 4);
  const Array<T> d(1, 2, List{1, 1});
  run(GluKernel<T>{1, 2, ActivationFunction::silu, in.constant(), out.rows()});
  CHECK(out.values() == List{-0.0, number<double>(kept<T>(2000))});
  run(GluBackwardKernel<T>{1, 2, ActivationFunction::silu, d.constant(), in.constant(), false, din.rows()});
  CHECK(din.values() == List{0, 2, -0.0, number<double>(kept<T>(1000))});
}

TEST_CASE_TEMPLATE("activations and their backward are the reference's", T, float, Bf16) {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(2);
  for (const ActivationFunction kind : functions) {
    for (const auto& [rows, cols, padding] : shapes) {
      const List x = random_list<T>(rng, rows * cols, 2), dy = random_list<T>(rng, rows * cols);
      const Array<T> in(rows, cols, x, padding), d(rows, cols, dy, padding);
      Array<T> out(rows, cols, padding);
      run(ActivateKernel<T>{rows, cols, kind, in.constant(), out.rows()});
      List expected(rows * cols);
      Arbiter::activate(handle, kind, matrix(x, rows), matrix(expected, rows));
      CHECK(relative_error(out.values(), expected) <= Kept<T>::after(1));
      for (const bool add : {false, true}) {
        List dexpected(rows * cols, 2.0);
        Array<T> din(rows, cols, padding);
        if (add) din.set(dexpected);
        run(ActivateBackwardKernel<T>{rows, cols, kind, d.constant(), in.constant(), add, din.rows()});
        Arbiter::activate_backward(handle, {kind, matrix(dy, rows), matrix(x, rows),
                                            add ? Write::add : Write::assign, matrix(dexpected, rows)});
        CHECK(relative_error(din.values(), dexpected) <= Kept<T>::gradient_after(1));
      }
    }
  }
}

TEST_CASE_TEMPLATE("rotary positions are the reference's, and the inverse undoes them", T, float, Bf16) {
  Arbiter::Handle handle{Arbiter{}};
  Rng rng(3);
  for (const auto& [rows, heads, head_dim, turned_columns, padding] : {std::array<Index, 5>{1, 1, 2, 2, 0},
                                                                       {3, 2, 10, 10, 3},
                                                                       {17, 3, 64, 64, 0},
                                                                       {130, 1, 16, 16, 8},
                                                                       {5, 2, 80, 80, 16},
                                                                       {7, 3, 64, 16, 0},
                                                                       {4, 2, 9, 6, 1}}) {
    List x = random_list<T>(rng, rows * heads * head_dim);
    const List table = random_list<float>(rng, 7 * turned_columns, 0.5);
    Ids positions(rows);
    for (std::uint32_t& position : positions) position = static_cast<std::uint32_t>(rng.below(7));
    const Array<float> angles(7, turned_columns, table);
    const Array<std::uint32_t> at = row_of<std::uint32_t>(positions);
    for (const bool inverse : {false, true}) {
      Array<T> turned(rows, heads * head_dim, x, padding);
      run(RotaryKernel<T>{rows, heads, head_dim, turned_columns / 2, turned.rows(), at.data(),
                          angles.constant(), inverse});
      List expected = x;
      Arbiter::rotary(handle, {matrix(expected, rows), heads, positions, matrix(table, 7), inverse});
      CHECK(relative_error(turned.values(), expected) <= Kept<T>::after(1));
    }
  }
}

}  // namespace elementwise_kernels_test
