// gemm, against sums written out here and as the linear layer whose three products are each other's adjoints.
#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"

namespace products_test {

using namespace merit_test;

struct Product {
  Index m, n, k;
  Transpose transpose_a = Transpose::no, transpose_b = Transpose::no;
  Write write = Write::assign;
  bool bias = false, residual = false;
};

template <class B>
void check_product(const Product& p, Rng& rng) {
  using T = typename B::Scalar;
  const bool flip_a = p.transpose_a == Transpose::yes;
  const bool flip_b = p.transpose_b == Transpose::yes;
  const Numbers a = random_numbers(rng, p.m * p.k);
  const Numbers b = random_numbers(rng, p.k * p.n);
  const Numbers bias = random_numbers(rng, p.bias ? p.n : 0);
  const Numbers residual = random_numbers(rng, p.residual ? p.m * p.n : 0);
  const Numbers before = random_numbers(rng, p.m * p.n);

  Numbers expected(p.m * p.n);
  for (Index i = 0; i < p.m; ++i) {
    for (Index j = 0; j < p.n; ++j) {
      double& sum = expected[i * p.n + j];
      for (Index k = 0; k < p.k; ++k)
        sum += a[flip_a ? k * p.m + i : i * p.k + k] * b[flip_b ? j * p.k + k : k * p.n + j];
      if (p.bias) sum += bias[j];
      if (p.residual) sum += residual[i * p.n + j];
      if (p.write == Write::add) sum += before[i * p.n + j];
    }
  }

  for (const Index padding : {Index{0}, Index{3}}) {
    Machine<B> m;
    const Array<B> a_view(m, flip_a ? p.k : p.m, flip_a ? p.m : p.k, a, padding);
    const Array<B> b_view(m, flip_b ? p.n : p.k, flip_b ? p.k : p.n, b, padding);
    const Array<B> bias_view(m, 1, bias.size(), bias);
    const Array<B> residual_view(m, p.residual ? p.m : 0, p.residual ? p.n : 0, residual, padding);
    Array<B> out(m, p.m, p.n, before, padding);
    B::gemm(m.handle, p.transpose_a, a_view.constant(), p.transpose_b, b_view.constant(), p.write,
            out.matrix(), bias_view.constant_vector(), residual_view.constant());
    CHECK(relative_error(out.values(), expected) <= Tolerance<T>::value);
  }
}

/// y = x · Wᵀ + bias, and its backward as nn writes it.
struct Linear {
  Index rows, in, out;
  Index inputs() const { return rows * in + out * in + out; }

  template <class B>
  Numbers forward(const Numbers& v) const {
    Machine<B> m;
    const Array<B> x(m, rows, in, part(v, 0, rows * in));
    const Array<B> w(m, out, in, part(v, rows * in, out * in));
    const Array<B> bias(m, 1, out, part(v, rows * in + out * in, out));
    Array<B> y(m, rows, out, 9.0);
    B::gemm(m.handle, Transpose::no, x.constant(), Transpose::yes, w.constant(), Write::assign, y.matrix(),
            bias.constant_vector(), {});
    return y.values();
  }

  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy_values, Write write, double before) const {
    Machine<B> m;
    const Array<B> x(m, rows, in, part(v, 0, rows * in));
    const Array<B> w(m, out, in, part(v, rows * in, out * in));
    const Array<B> dy(m, rows, out, dy_values);
    Array<B> dx(m, rows, in, before);
    Array<B> dw(m, out, in, before);
    Array<B> dbias(m, 1, out, before);
    B::gemm(m.handle, Transpose::no, dy.constant(), Transpose::no, w.constant(), write, dx.matrix(), {}, {});
    B::gemm(m.handle, Transpose::yes, dy.constant(), Transpose::no, x.constant(), write, dw.matrix(), {}, {});
    B::column_sum(m.handle, dy.constant(), write, dbias.vector());
    return join({dx.values(), dw.values(), dbias.values()});
  }
};

TEST_CASE_TEMPLATE("gemm multiplies in every form and adds what it is given", B, MERIT_TEST_BACKENDS) {
  Rng rng(10);
  const Index sizes[][3] = {{1, 1, 1},   {0, 3, 4},  {2, 3, 0},   {5, 7, 3},
                            {1, 33, 20}, {17, 1, 9}, {65, 34, 41}};
  for (const auto& size : sizes) {
    const Index m = size[0], n = size[1], k = size[2];
    for (const Transpose a : {Transpose::no, Transpose::yes}) {
      for (const Transpose b : {Transpose::no, Transpose::yes}) {
        for (const Write write : {Write::assign, Write::add}) {
          for (const bool bias : {false, true}) {
            for (const bool residual : {false, true}) {
              INFO("M ", m, " N ", n, " K ", k, " transposed ", int(a), int(b), " add ", int(write), " bias ",
                   bias, " residual ", residual);
              check_product<B>({m, n, k, a, b, write, bias, residual}, rng);
            }
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm is right for sizes past any block", B, MERIT_TEST_BACKENDS) {
  Rng rng(11);
  check_product<B>({130, 131, 260, Transpose::no, Transpose::yes, Write::assign, true, true}, rng);
  check_product<B>({70, 130, 513, Transpose::yes, Transpose::no, Write::add, false, false}, rng);
}

TEST_CASE_TEMPLATE("an assigned product does not read its target", B, MERIT_TEST_BACKENDS) {
  Machine<B> m;
  const Array<B> a(m, 3, 4, 1.0), b(m, 4, 5, 1.0);
  Array<B> out(m, 3, 5, std::numeric_limits<double>::quiet_NaN());
  B::gemm(m.handle, Transpose::no, a.constant(), Transpose::no, b.constant(), Write::assign, out.matrix(), {},
          {});
  CHECK(out.values() == Numbers(15, 4.0));
}

TEST_CASE_TEMPLATE("the three products of a linear layer are each other's adjoints", B, MERIT_TEST_BACKENDS) {
  Rng rng(12);
  for (const Linear& layer : {Linear{1, 1, 1}, Linear{4, 3, 5}, Linear{7, 9, 2}})
    check_witnesses<B>(layer, random_numbers(rng, layer.inputs()), rng);
}

TEST_CASE_TEMPLATE("weight gradients have the same bits however rows are cut on the reference backend", B,
                   ReferenceBackend<float>, ReferenceBackend<double>) {
  Rng rng(13);
  Machine<B> m;
  const Index rows = 20;
  const Array<B> dy(m, rows, 6, random_numbers(rng, rows * 6)), x(m, rows, 5, random_numbers(rng, rows * 5));
  Array<B> whole(m, 6, 5, 0.0), pieces(m, 6, 5, 0.0);
  B::gemm(m.handle, Transpose::yes, dy.constant(), Transpose::no, x.constant(), Write::assign, whole.matrix(),
          {}, {});
  for (Index begin = 0; begin < rows; begin += 4)
    B::gemm(m.handle, Transpose::yes, dy.constant().row_block(begin, 4), Transpose::no,
            x.constant().row_block(begin, 4), begin == 0 ? Write::assign : Write::add, pieces.matrix(), {},
            {});
  CHECK(whole.values() == pieces.values());
}

TEST_CASE_TEMPLATE("a linear layer has the same bits with any number of threads", T, float, double) {
  Rng rng(14);
  // Rows are divided, columns, and the outputs of one or two, which are dot products; in the backward the
  // depth is what was a width.
  for (const Linear& layer : {Linear{divided_rows, 97, 71}, Linear{11, 1500, 131},
                              Linear{divided_rows, divided_cols, 1}, Linear{2, divided_cols, divided_rows}}) {
    REQUIRE(detail::eigen::useful_threads(5, layer.rows * layer.in * layer.out) == 5);
    check_threads_of<T>(layer, random_numbers(rng, layer.inputs()), rng);
  }
  const Index m_rows = divided_rows, n = 70, k = 60;
  const Numbers a = random_numbers(rng, m_rows * k), b = random_numbers(rng, k * n),
                bias = random_numbers(rng, n), residual = random_numbers(rng, m_rows * n);
  check_threads<T>([&]<class B>() {
    Machine<B> m;
    const Array<B> a_view(m, m_rows, k, a), b_view(m, k, n, b), bias_view(m, 1, n, bias),
        residual_view(m, m_rows, n, residual);
    Array<B> out(m, m_rows, n, 0.1);
    B::gemm(m.handle, Transpose::no, a_view.constant(), Transpose::no, b_view.constant(), Write::add,
            out.matrix(), bias_view.constant_vector(), residual_view.constant());
    return out.values();
  });
}

}  // namespace products_test
