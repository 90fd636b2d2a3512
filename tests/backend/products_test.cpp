// gemm, against sums written out here and as the linear layer whose three products are each other's adjoints.
#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"
#include "sanitized.hpp"

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
  const bool flip_a = p.transpose_a == Transpose::yes;
  const bool flip_b = p.transpose_b == Transpose::yes;
  const Numbers a = held<B>(random_numbers(rng, p.m * p.k));
  const Numbers b = held<B>(random_numbers(rng, p.k * p.n));
  const Numbers bias = held<B>(random_numbers(rng, p.bias ? p.n : 0));
  const Numbers residual = held<B>(random_numbers(rng, p.residual ? p.m * p.n : 0));
  const Numbers before = held<B>(random_numbers(rng, p.m * p.n));

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
    const StatArray<B> bias_view(m, 1, bias.size(), bias);
    const Array<B> residual_view(m, p.residual ? p.m : 0, p.residual ? p.n : 0, residual, padding);
    if (flip_a) {
      StatArray<B> out(m, p.m, p.n, before, padding);
      B::weight_gradient(m.handle, a_view.constant(), b_view.constant(), p.write, out.matrix());
      CHECK(relative_error(out.values(), expected) <= Tolerance<typename B::Stat>::value);
    } else {
      Array<B> out(m, p.m, p.n, before, padding);
      B::linear(m.handle, {.x = a_view.constant(),
                           .weight = b_view.constant(),
                           .transpose = p.transpose_b,
                           .write = p.write,
                           .out = out.matrix(),
                           .bias = bias_view.constant_vector(),
                           .residual = residual_view.constant()});
      CHECK(relative_error(out.values(), expected) <= Tolerance<typename B::Activation>::value);
    }
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
    const StatArray<B> w(m, out, in, part(v, rows * in, out * in));
    const StatArray<B> bias(m, 1, out, part(v, rows * in + out * in, out));
    Array<B> y(m, rows, out, 9.0);
    B::linear(m.handle, {.x = x.constant(),
                         .weight = w.constant(),
                         .transpose = Transpose::yes,
                         .out = y.matrix(),
                         .bias = bias.constant_vector()});
    return y.values();
  }

  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy_values, Write write, double before) const {
    Machine<B> m;
    const Array<B> x(m, rows, in, part(v, 0, rows * in));
    const StatArray<B> w(m, out, in, part(v, rows * in, out * in));
    const Array<B> dy(m, rows, out, dy_values);
    Array<B> dx(m, rows, in, before);
    StatArray<B> dw(m, out, in, before);
    StatArray<B> dbias(m, 1, out, before);
    B::linear(m.handle, {.x = dy.constant(), .weight = w.constant(), .write = write, .out = dx.matrix()});
    B::weight_gradient(m.handle, dy.constant(), x.constant(), write, dw.matrix());
    B::column_sum(m.handle, dy.constant(), write, dbias.vector());
    return join({dx.values(), dw.values(), dbias.values()});
  }
};

TEST_CASE_TEMPLATE("products are right in every form and add what they are given", B, MERIT_TEST_BACKENDS) {
  Rng rng(10);
  const Index sizes[][3] = {{1, 1, 1},   {0, 3, 4},  {2, 3, 0},   {5, 7, 3},
                            {1, 33, 20}, {17, 1, 9}, {65, 34, 41}};
  for (const auto& size : sizes) {
    const Index m = size[0], n = size[1], k = size[2];
    INFO("M ", m, " N ", n, " K ", k);
    for (const Write write : {Write::assign, Write::add}) {
      INFO("add ", int(write));
      check_product<B>({m, n, k, Transpose::yes, Transpose::no, write, false, false}, rng);
      for (const Transpose b : {Transpose::no, Transpose::yes}) {
        for (const bool bias : {false, true}) {
          for (const bool residual : {false, true}) {
            INFO("transposed ", int(b), " bias ", bias, " residual ", residual);
            check_product<B>({m, n, k, Transpose::no, b, write, bias, residual}, rng);
          }
        }
      }
    }
  }
}

/// The numbers as Stored holds them, and what they are as numbers.
template <class Stored>
std::vector<Stored> stored_as(Numbers& numbers) {
  std::vector<Stored> result(numbers.size());
  for (Index i = 0; i < numbers.size(); ++i) {
    if constexpr (std::is_same_v<Stored, F16>) {
      result[i] = {to_f16(static_cast<float>(numbers[i]))};
    } else if constexpr (std::is_same_v<Stored, Bf16>) {
      result[i] = {to_bf16(static_cast<float>(numbers[i]))};
    } else {
      result[i] = static_cast<Stored>(numbers[i]);
    }
    numbers[i] = number<double>(result[i]);
  }
  return result;
}

/// x (m, k) by a weight that is stored in another type: the same bits as by its numbers in T, and rows of it.
template <class B, class Stored>
void check_stored(Rng& rng, Index m, Index n, Index k) {
  for (const Transpose transpose : {Transpose::no, Transpose::yes}) {
    const Index rows = transpose == Transpose::yes ? n : k, cols = transpose == Transpose::yes ? k : n;
    Numbers values = random_numbers(rng, rows * cols);
    Machine<B> machine;
    const Copied<B, Stored> weight(machine, stored_as<Stored>(values));
    const WeightView<typename B::Space> view{weight.data(), dtype_of<Stored>(), rows, cols, cols};
    const StatArray<B> plain(machine, rows, cols, values, 0);
    const Array<B> x(machine, m, k, random_numbers(rng, m * k));
    const StatArray<B> bias(machine, 1, n, random_numbers(rng, n));
    Array<B> out(machine, m, n, 7.0), expected(machine, m, n, 7.0);
    const auto product = [&](const WeightView<typename B::Space>& by, Array<B>& to) {
      B::linear(machine.handle, {.x = x.constant(),
                                 .weight = by,
                                 .transpose = transpose,
                                 .write = Write::add,
                                 .out = to.matrix(),
                                 .bias = bias.constant_vector()});
    };
    product(view, out);
    product(plain.constant(), expected);
    // A BLAS, which reads no other types, sums in another order than our own product.
    CHECK(relative_error(out.values(), expected.values()) <= Tolerance<typename B::Activation>::value);
#ifndef EIGEN_USE_BLAS
    CHECK(out.values() == expected.values());
#endif

    const Ids ids = random_ids(rng, 5, rows);
    Array<B> gathered(machine, 5, cols, 7.0), gathered_plain(machine, 5, cols, 7.0),
        all(machine, rows, cols, 7.0);
    const Copied<B, std::uint32_t> which(machine, ids);
    B::gather_rows(machine.handle, view, which.view(), Write::add, gathered.matrix());
    B::gather_rows(machine.handle, plain.constant(), which.view(), Write::add, gathered_plain.matrix());
    CHECK(gathered.values() == gathered_plain.values());
    B::gather_rows(machine.handle, view, {}, Write::assign, all.matrix());
    CHECK(all.values() == held<B>(values));
  }
}

TEST_CASE_TEMPLATE("weights are converted where they are read", B, MERIT_TEST_BACKENDS) {
  Rng rng(14);
  constexpr Index wide = MERIT_TEST_SANITIZED != 0 ? 110 : 1100;
  const Index sizes[][3] = {{1, 5, 3},    {3, 70, 130}, {9, 33, 20},
                            {20, 64, 32}, {65, 34, 41}, {40, wide, 500}};  // past a block of the product's k
  for (const auto& size : sizes) {
    INFO("M ", size[0], " N ", size[1], " K ", size[2]);
    check_stored<B, float>(rng, size[0], size[1], size[2]);
    check_stored<B, F16>(rng, size[0], size[1], size[2]);
    check_stored<B, Bf16>(rng, size[0], size[1], size[2]);
  }
  check_stored<B, double>(rng, 9, 33, 20);
}

TEST_CASE_TEMPLATE("products are right for sizes past any block", B, MERIT_TEST_BACKENDS) {
  Rng rng(11);
  check_product<B>({130, 131, 260, Transpose::no, Transpose::yes, Write::assign, true, true}, rng);
  check_product<B>({70, 130, 513, Transpose::yes, Transpose::no, Write::add, false, false}, rng);
}

TEST_CASE_TEMPLATE("one row times a matrix is right, past a block of k and in odd numbers of packets", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(30);
  for (const Index n : {Index{64}, Index{208}, Index{131}}) {
    for (const Write write : {Write::assign, Write::add}) {
      check_product<B>({1, n, 801, Transpose::no, Transpose::no, write, true, true}, rng);
      check_product<B>({1, n, 801, Transpose::no, Transpose::yes, write, true, true}, rng);
    }
  }
}

#ifndef EIGEN_USE_BLAS  // which takes another way for one row
TEST_CASE_TEMPLATE("a row times a matrix has the same bits alone and beside others", T, float, double) {
  using B = EigenBackend<T>;
  Rng rng(31);
  const Index n = 208, k = 801;
  const auto values = [&](Index count) {
    const Numbers numbers = random_numbers(rng, count);
    return std::vector<T>(numbers.begin(), numbers.end());
  };
  const std::vector<T> x = values(40 * k);
  const std::vector<T> weight = values(k * n);
  const auto product = [&](Index rows) {
    typename B::Handle handle(B{.threads = 1});
    std::vector<T> out(rows * n);
    B::linear(handle, {.x = MatrixView<const T>{x.data(), rows, k},
                       .weight = MatrixView<const T>{weight.data(), k, n},
                       .out = MatrixView<T>{out.data(), rows, n}});
    return out;
  };
  const std::vector<T> alone = product(1);
  const std::vector<T> beside = product(40);
  CHECK(std::equal(alone.begin(), alone.end(), beside.begin()));
}
#endif

TEST_CASE_TEMPLATE("a weight is used as activations are held", B, MERIT_TEST_BACKENDS) {
  Rng rng(32);
  Machine<B> m;
  const Numbers values = random_numbers(rng, 9 * 20), bias_values = random_numbers(rng, 9);
  const Array<B> x(m, 3, 20, random_numbers(rng, 3 * 20));
  const auto product = [&](const Numbers& weight, const Numbers& bias) {
    const StatArray<B> w(m, 9, 20, weight), b(m, 1, 9, bias);
    Array<B> out(m, 3, 9, 0.0);
    B::linear(m.handle, {.x = x.constant(),
                         .weight = w.constant(),
                         .transpose = Transpose::yes,
                         .out = out.matrix(),
                         .bias = b.constant_vector()});
    return out.values();
  };
  CHECK(product(values, bias_values) == product(held<B>(values), held<B>(bias_values)));
}

TEST_CASE_TEMPLATE("an assigned product does not read its target", B, MERIT_TEST_BACKENDS) {
  Machine<B> m;
  const Array<B> a(m, 3, 4, 1.0), b(m, 4, 5, 1.0);
  Array<B> out(m, 3, 5, std::numeric_limits<double>::quiet_NaN());
  B::linear(m.handle, {.x = a.constant(), .weight = b.constant(), .out = out.matrix()});
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
  B::weight_gradient(m.handle, dy.constant(), x.constant(), Write::assign, whole.matrix());
  for (Index begin = 0; begin < rows; begin += 4)
    B::weight_gradient(m.handle, dy.constant().row_block(begin, 4), x.constant().row_block(begin, 4),
                       begin == 0 ? Write::assign : Write::add, pieces.matrix());
  CHECK(whole.values() == pieces.values());
}

TEST_CASE_TEMPLATE("a linear layer has the same bits with any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(14);
  // Rows are divided, columns, and the outputs of one or two, which are dot products; in the backward the
  // depth is what was a width.
  for (const Linear& layer : {Linear{divided_rows, 97, 71}, Linear{11, 1500, 131},
                              Linear{divided_rows, divided_cols, 1}, Linear{2, divided_cols, divided_rows}}) {
    REQUIRE(detail::eigen::useful_threads(5, layer.rows * layer.in * layer.out) == 5);
    check_threads_of<Base>(layer, random_numbers(rng, layer.inputs()), rng);
  }
  const Index m_rows = divided_rows, n = 70, k = 60;
  const Numbers a = random_numbers(rng, m_rows * k), b = random_numbers(rng, k * n),
                bias = random_numbers(rng, n), residual = random_numbers(rng, m_rows * n);
  check_threads<Base>([&]<class B>() {
    Machine<B> m;
    const Array<B> a_view(m, m_rows, k, a), b_view(m, k, n, b), residual_view(m, m_rows, n, residual);
    const StatArray<B> bias_view(m, 1, n, bias);
    Array<B> out(m, m_rows, n, 0.1);
    B::linear(m.handle, {.x = a_view.constant(),
                         .weight = b_view.constant(),
                         .write = Write::add,
                         .out = out.matrix(),
                         .bias = bias_view.constant_vector(),
                         .residual = residual_view.constant()});
    return out.values();
  });
}

}  // namespace products_test
