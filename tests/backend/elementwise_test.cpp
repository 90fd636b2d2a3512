// What each element goes through by itself: gated units, activations, factors, dropout.
#include <cmath>
#include <iterator>

#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"

namespace elementwise_test {

using namespace merit_test;

struct Glu {
  ActivationFunction function;
  Index rows, width;
  Index inputs() const { return rows * 2 * width; }

  template <class B>
  Numbers forward(const Numbers& v) const {
    Machine<B> m;
    const Array<B> gate_up(m, rows, 2 * width, v);
    Array<B> out(m, rows, width, 9.0);
    B::glu(m.handle, function, gate_up.constant(), out.matrix());
    return out.values();
  }
  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy_values, Write write, double before) const {
    Machine<B> m;
    const Array<B> gate_up(m, rows, 2 * width, v), dy(m, rows, width, dy_values);
    Array<B> dx(m, rows, 2 * width, before);
    B::glu_backward(m.handle, {.function = function,
                               .dout = dy.constant(),
                               .gate_up = gate_up.constant(),
                               .write = write,
                               .dgate_up = dx.matrix()});
    return dx.values();
  }
};

struct ActivationOf {
  ActivationFunction kind;
  Index rows, width;
  Index inputs() const { return rows * width; }

  template <class B>
  Numbers forward(const Numbers& v) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, v);
    Array<B> y(m, rows, width, 9.0);
    B::activate(m.handle, kind, x.constant(), y.matrix());
    return y.values();
  }
  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy_values, Write write, double before) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, v), dy(m, rows, width, dy_values);
    Array<B> dx(m, rows, width, before);
    B::activate_backward(
        m.handle, {.kind = kind, .dy = dy.constant(), .x = x.constant(), .write = write, .dx = dx.matrix()});
    return dx.values();
  }
};

constexpr ActivationFunction smooth_functions[] = {ActivationFunction::silu, ActivationFunction::gelu,
                                                   ActivationFunction::gelu_tanh, ActivationFunction::tanh};
/// By columns, with a bias, and with `dropout` of the elements left out.
struct Scaled {
  Index rows, width;
  double dropout;
  Index inputs() const { return rows * width; }

  template <class B>
  Numbers run(const Numbers& v, bool with_bias, Write write, double before) const {
    Machine<B> m;
    Array<B> x(m, rows, width, v), out(m, rows, width, before);
    Numbers columns(width), bias(width), keys(rows);
    for (Index j = 0; j < width; ++j)
      columns[j] = 0.25 * static_cast<double>(j % 5) + 0.5, bias[j] = -columns[j];
    for (Index i = 0; i < rows; ++i) keys[i] = static_cast<double>(1000 + i);
    const StatArray<B> column_array(m, 1, width, columns), bias_array(m, 1, width, bias);
    const Array<B, std::uint64_t> key_array(m, 1, rows, keys);
    const auto row_keys = key_array.constant_vector();
    const auto bias_vector = bias_array.constant_vector();
    B::scale(m.handle, {.x = x.constant(),
                        .factor = 1.5,
                        .columns = column_array.constant_vector(),
                        .bias = with_bias ? bias_vector : decltype(bias_vector){},
                        .row_keys = dropout > 0 ? row_keys : decltype(row_keys){},
                        .stream = 77,
                        .dropout = dropout,
                        .write = write,
                        .out = out.matrix()});
    return out.values();
  }
  template <class B>
  Numbers forward(const Numbers& v) const {
    return run<B>(v, true, Write::assign, 9.0);
  }
  template <class B>
  Numbers backward(const Numbers&, const Numbers& dy, Write write, double before) const {
    return run<B>(dy, false, write, before);
  }
};

constexpr Index shapes[][2] = {{1, 1}, {1, 2}, {3, 5}, {4, 8}, {5, 19}, {2, 33}};

TEST_CASE_TEMPLATE("gated units agree with their witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(23);
  for (const ActivationFunction function : smooth_functions) {
    for (const auto& [rows, width] : shapes) {
      const Glu glu{function, rows, width};
      check_witnesses<B>(glu, random_numbers(rng, glu.inputs(), 2.0), rng);
    }
  }
}

TEST_CASE_TEMPLATE("SwiGLU is the gate's silu times the other half, and stays finite far out", B,
                   MERIT_TEST_BACKENDS) {
  const Numbers y = Glu{ActivationFunction::silu, 1, 3}.forward<B>({1, 1000, -1000, 3, 2, 2});
  CHECK(relative_error(part(y, 0, 1), Numbers{3 * 0.7310585786300049}) <=
        Tolerance<typename B::Activation>::value);
  CHECK(relative_error(part(y, 1, 1), Numbers{2000}) <= Tolerance<typename B::Activation>::value);
  CHECK(std::abs(y[2]) <= 1e-30);
  const Numbers dx = Glu{ActivationFunction::silu, 1, 3}.backward<B>({1, 1000, -1000, 3, 2, 2}, {1, 1, 1},
                                                                     Write::assign, 0.0);
  CHECK(std::abs(dx[1] - 2) <= 1e-5);
  CHECK(std::abs(dx[2]) <= 1e-30);
  CHECK(std::abs(dx[4] - 1000) <= 1e-2);
}

TEST_CASE_TEMPLATE("the activations agree with their witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(24);
  for (Index kind = 0; kind < std::size(enum_names<ActivationFunction>); ++kind) {
    for (const auto& [rows, width] : shapes) {
      const ActivationOf activation{static_cast<ActivationFunction>(kind), rows, width};
      check_witnesses<B>(activation, random_numbers(rng, activation.inputs(), 2.0), rng);
    }
  }
}

TEST_CASE_TEMPLATE("the two GELUs have their published values, and stay finite far out", B,
                   MERIT_TEST_BACKENDS) {
  const Numbers x = {1, -1, 0, 3, 1000, -1000};
  const double tolerance = Tolerance<typename B::Activation>::value;
  for (const ActivationFunction kind : {ActivationFunction::gelu, ActivationFunction::gelu_tanh}) {
    const bool exact = kind == ActivationFunction::gelu;
    const double at_one = exact ? 0.8413447460685429 : 0.8411919906082768;
    const double at_three = exact ? 2.99595030590511 : 2.996362607918227;
    const Numbers y = ActivationOf{kind, 1, 6}.forward<B>(x);
    CHECK(relative_error(part(y, 0, 4), Numbers{at_one, at_one - 1, 0, at_three}) <= tolerance);
    CHECK(relative_error(part(y, 4, 1), Numbers{1000}) <= tolerance);
    CHECK(std::abs(y[5]) <= 1e-30);
    const Numbers dx = ActivationOf{kind, 1, 6}.backward<B>(x, Numbers(6, 1.0), Write::assign, 0.0);
    CHECK(relative_error(part(dx, 2, 1), Numbers{0.5}) <= tolerance);
    CHECK(relative_error(part(dx, 4, 1), Numbers{1}) <= tolerance);
    CHECK(std::abs(dx[5]) <= 1e-30);
  }
}

TEST_CASE_TEMPLATE("ReLU keeps what is above zero, and its gradient", B, MERIT_TEST_BACKENDS) {
  const ActivationOf relu{ActivationFunction::relu, 1, 5};
  const Numbers x = {2, -3, 0, 9984, -9984};
  CHECK(relu.forward<B>(x) == Numbers{2, 0, 0, 9984, 0});
  CHECK(relu.backward<B>(x, {5, 5, 5, 5, 5}, Write::add, 1.0) == Numbers{6, 1, 1, 6, 1});
}

TEST_CASE_TEMPLATE("tanh, SiLU and the leaky ReLU have their values, and stay finite far out", B,
                   MERIT_TEST_BACKENDS) {
  const double tolerance = Tolerance<typename B::Activation>::value;
  const Numbers x = {0.5, -2, 1000, -1000};
  const auto of = [&](ActivationFunction function) {
    return ActivationOf{function, 1, 4}.template forward<B>(x);
  };
  CHECK(relative_error(of(ActivationFunction::tanh), Numbers{std::tanh(0.5), std::tanh(-2.0), 1, -1}) <=
        tolerance);
  CHECK(relative_error(of(ActivationFunction::leaky_relu), Numbers{0.5, -0.02, 1000, -10}) <= tolerance);
  CHECK(relative_error(of(ActivationFunction::silu),
                       Numbers{0.5 / (1 + std::exp(-0.5)), -2 / (1 + std::exp(2.0)), 1000, 0}) <= tolerance);
}

TEST_CASE_TEMPLATE("scaling agrees with its witnesses, with and without dropout", B, MERIT_TEST_BACKENDS) {
  Rng rng(27);
  for (const auto& [rows, width] : shapes) {
    for (const double dropout : {0.0, 0.4}) {
      const Scaled scaled{rows, width, dropout};
      check_witnesses<B>(scaled, random_numbers(rng, scaled.inputs()), rng);
    }
  }
}

TEST_CASE_TEMPLATE("scaling may write where it reads, and factor and columns may be left out", B,
                   MERIT_TEST_BACKENDS) {
  Machine<B> m;
  Array<B> x(m, 2, 3, {1, 2, 3, 4, 5, 6});
  B::scale(m.handle, {.x = x.constant(), .factor = -2, .out = x.matrix()});
  CHECK(x.values() == Numbers{-2, -4, -6, -8, -10, -12});
}

TEST_CASE(
    "dropout keeps its share of the elements, others in each row and each matrix, the same ones again") {
  constexpr Index many = 20000;
  const auto kept = [](std::uint64_t key, std::uint64_t stream, double dropout) {
    std::vector<bool> result;
    for (Index j = 0; j < many; ++j) result.push_back(DropoutRow(key, stream, dropout).keeps(j));
    return result;
  };
  const auto share = [](const std::vector<bool>& of) {
    return static_cast<double>(std::count(of.begin(), of.end(), true)) / static_cast<double>(of.size());
  };
  const auto same = [](const std::vector<bool>& a, const std::vector<bool>& b) {
    Index count = 0;
    for (Index j = 0; j < many; ++j) count += a[j] == b[j] ? 1 : 0;
    return static_cast<double>(count) / static_cast<double>(many);
  };
  for (const double dropout : {0.0, 0.1, 0.5, 0.9}) {
    const double deviation = std::sqrt(dropout * (1 - dropout) / static_cast<double>(many));
    const std::vector<bool> one = kept(5, 7, dropout);
    CHECK(std::abs(share(one) - (1 - dropout)) <= 4 * deviation);
    CHECK(one == kept(5, 7, dropout));
    const double by_chance = dropout * dropout + (1 - dropout) * (1 - dropout);
    CHECK(std::abs(same(one, kept(6, 7, dropout)) - by_chance) <= 0.02);
    CHECK(std::abs(same(one, kept(5, 8, dropout)) - by_chance) <= 0.02);
  }
}

TEST_CASE_TEMPLATE("an activation has the same bits alone and among others", B, MERIT_TEST_BACKENDS) {
  Rng rng(28);
  const Index rows = 9, width = 19;
  const Numbers x = random_numbers(rng, rows * width);
  const Numbers all = ActivationOf{ActivationFunction::gelu_tanh, rows, width}.forward<B>(x);
  for (Index i = 0; i < rows; ++i) {
    CHECK(ActivationOf{ActivationFunction::gelu_tanh, 1, width}.forward<B>(part(x, i * width, width)) ==
          part(all, i * width, width));
  }
}

TEST_CASE_TEMPLATE("elementwise operations have the same bits with any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(29);
  const Index rows = divided_rows, cols = divided_cols;
  const Glu glu{ActivationFunction::silu, rows, cols};
  check_threads_of<Base>(glu, random_numbers(rng, glu.inputs()), rng);
  for (const double dropout : {0.0, 0.4}) {
    const Scaled scaled{rows, cols, dropout};
    check_threads_of<Base>(scaled, random_numbers(rng, scaled.inputs()), rng);
  }
  for (const ActivationFunction kind :
       {ActivationFunction::gelu, ActivationFunction::gelu_tanh, ActivationFunction::relu}) {
    const ActivationOf activation{kind, rows, cols};
    check_threads_of<Base>(activation, random_numbers(rng, activation.inputs()), rng);
  }
}

}  // namespace elementwise_test
