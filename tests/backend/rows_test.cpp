// The operations that work on one row at a time: norms, rotary positions.
#include <cmath>
#include <limits>

#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"

namespace rows_test {

using namespace merit_test;

constexpr double epsilon = 1e-5;

/// Differentiated by x, then weight.
struct RmsNorm {
  Index rows, width;
  double weight_offset = 0;
  Index inputs() const { return rows * width + width; }

  template <class B>
  Numbers forward(const Numbers& v) const {
    return run<B>(v)[0];
  }
  /// y, then rstd.
  template <class B>
  std::vector<Numbers> run(const Numbers& v) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, part(v, 0, rows * width));
    const StatArray<B> weight(m, 1, width, part(v, rows * width, width));
    Array<B> y(m, rows, width, 9.0);
    StatArray<B> rstd(m, 1, rows, 9.0);
    B::rms_norm(m.handle, {.x = x.constant(),
                           .weight = weight.constant_vector(),
                           .epsilon = epsilon,
                           .y = y.matrix(),
                           .rstd = rstd.vector(),
                           .weight_offset = weight_offset});
    return {y.values(), rstd.values()};
  }
  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy_values, Write write, double before) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, part(v, 0, rows * width));
    const StatArray<B> weight(m, 1, width, part(v, rows * width, width));
    const StatArray<B> rstd(m, 1, rows, run<B>(v)[1]);
    const Array<B> dy(m, rows, width, dy_values);
    Array<B> dx(m, rows, width, before);
    StatArray<B> dweight(m, 1, width, write == Write::add ? before : 0.0);
    const auto run_backward = [&](auto dx_view, auto dweight_view) {
      B::rms_norm_backward(m.handle, {.dy = dy.constant(),
                                      .x = x.constant(),
                                      .weight = weight.constant_vector(),
                                      .rstd = rstd.constant_vector(),
                                      .write = write,
                                      .dx = dx_view,
                                      .dweight = dweight_view,
                                      .weight_offset = weight_offset});
    };
    run_backward(dx.matrix(), dweight.vector());

    // What is not wanted is left out, and the rest is the same.
    Array<B> only_dx(m, rows, width, before);
    StatArray<B> only_dweight(m, 1, width, write == Write::add ? before : 0.0);
    run_backward(only_dx.matrix(), typename BackendTypes<B>::StatVector{});
    run_backward(typename BackendTypes<B>::Matrix{}, only_dweight.vector());
    CHECK(only_dx.values() == dx.values());
    CHECK(only_dweight.values() == dweight.values());
    return join({dx.values(), dweight.values()});
  }
};

/// Differentiated by x, then weight, then bias.
struct LayerNorm {
  Index rows, width;
  Index inputs() const { return rows * width + 2 * width; }

  template <class B>
  Numbers forward(const Numbers& v) const {
    return run<B>(v)[0];
  }
  /// y, then stats.
  template <class B>
  std::vector<Numbers> run(const Numbers& v) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, part(v, 0, rows * width));
    const StatArray<B> weight(m, 1, width, part(v, rows * width, width));
    const StatArray<B> bias(m, 1, width, part(v, rows * width + width, width));
    Array<B> y(m, rows, width, 9.0);
    StatArray<B> stats(m, 1, 2 * rows, 9.0);
    B::layer_norm(m.handle, {.x = x.constant(),
                             .weight = weight.constant_vector(),
                             .bias = bias.constant_vector(),
                             .epsilon = epsilon,
                             .y = y.matrix(),
                             .stats = stats.vector()});
    return {y.values(), stats.values()};
  }
  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy_values, Write write, double before) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, part(v, 0, rows * width));
    const StatArray<B> weight(m, 1, width, part(v, rows * width, width));
    const StatArray<B> stats(m, 1, 2 * rows, run<B>(v)[1]);
    const Array<B> dy(m, rows, width, dy_values);
    const double start = write == Write::add ? before : 0.0;
    Array<B> dx(m, rows, width, before);
    StatArray<B> dweight(m, 1, width, start), dbias(m, 1, width, start);
    const auto run_backward = [&](auto dx_view, auto dweight_view, auto dbias_view) {
      B::layer_norm_backward(m.handle, {.dy = dy.constant(),
                                        .x = x.constant(),
                                        .weight = weight.constant_vector(),
                                        .stats = stats.constant_vector(),
                                        .write = write,
                                        .dx = dx_view,
                                        .dweight = dweight_view,
                                        .dbias = dbias_view});
    };
    run_backward(dx.matrix(), dweight.vector(), dbias.vector());

    const typename BackendTypes<B>::Matrix no_dx;
    const typename BackendTypes<B>::StatVector none;
    Array<B> only_dx(m, rows, width, before);
    StatArray<B> only_dweight(m, 1, width, start), only_dbias(m, 1, width, start);
    run_backward(only_dx.matrix(), none, none);
    run_backward(no_dx, only_dweight.vector(), none);
    run_backward(no_dx, none, only_dbias.vector());
    CHECK(only_dx.values() == dx.values());
    CHECK(only_dweight.values() == dweight.values());
    CHECK(only_dbias.values() == dbias.values());
    return join({dx.values(), dweight.values(), dbias.values()});
  }
};

/// In place, so the gradient has one writer and `add` is added here.
struct Rotary {
  Index rows, heads, head_dim;
  Index turned;  // columns of a head
  Ids positions;
  Numbers table;  // (10, turned)
  Index inputs() const { return rows * heads * head_dim; }

  template <class B>
  Numbers rotate(const Numbers& v, bool inverse) const {
    Machine<B> m;
    const StatArray<B> angles(m, 10, turned, table);
    Array<B> x(m, rows, heads * head_dim, v);
    const Copied<B, std::uint32_t> at(m, positions);
    B::rotary(m.handle, {.x = x.matrix(),
                         .heads = heads,
                         .positions = at.view(),
                         .table = angles.constant(),
                         .inverse = inverse});
    return x.values();
  }
  template <class B>
  Numbers forward(const Numbers& v) const {
    return rotate<B>(v, false);
  }
  template <class B>
  Numbers backward(const Numbers&, const Numbers& dy, Write write, double before) const {
    Numbers dx = rotate<B>(dy, true);
    if (write == Write::add)
      for (double& value : dx) value += before;
    return dx;
  }
};

Rotary random_rotary(Rng& rng, Index rows, Index heads, Index head_dim, Index turned) {
  Rotary rotary{rows, heads, head_dim, turned, random_ids(rng, rows, 10), Numbers(10 * turned)};
  const Index half = turned / 2;
  for (Index p = 0; p < 10; ++p) {
    for (Index j = 0; j < half; ++j) {
      const double angle =
          static_cast<double>(p) * std::pow(100.0, -static_cast<double>(j) / static_cast<double>(half));
      // As float holds them, so that every backend turns by the same.
      rotary.table[p * turned + j] = static_cast<double>(static_cast<float>(std::cos(angle)));
      rotary.table[p * turned + half + j] = static_cast<double>(static_cast<float>(std::sin(angle)));
    }
  }
  return rotary;
}

constexpr Index shapes[][2] = {{1, 1}, {1, 2}, {3, 5}, {4, 8}, {5, 19}, {2, 33}};

TEST_CASE_TEMPLATE("RMSNorm agrees with its witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(20);
  for (const auto& [rows, width] : shapes) {
    const RmsNorm norm{rows, width};
    check_witnesses<B>(norm, random_numbers(rng, norm.inputs()), rng);
    const RmsNorm around_one{rows, width, 1};
    check_witnesses<B>(around_one, random_numbers(rng, norm.inputs()), rng);
  }
  CHECK(RmsNorm{0, 4}.forward<B>(Numbers(4, 1.0)).empty());
}

TEST_CASE_TEMPLATE("RMSNorm divides by the root of the mean square", B, MERIT_TEST_BACKENDS) {
  const std::vector<Numbers> result = RmsNorm{1, 2}.run<B>({3, 4, 1, 10});
  const double rstd = 1 / std::sqrt(12.5 + epsilon);
  CHECK(relative_error(result[0], Numbers{3 * rstd, 40 * rstd}) <= Tolerance<typename B::Activation>::value);
  CHECK(relative_error(result[1], Numbers{rstd}) <= Tolerance<typename B::Stat>::value);
  CHECK(relative_error(RmsNorm{1, 2, 1}.forward<B>({3, 4, 1, -0.5}), Numbers{6 * rstd, 2 * rstd}) <=
        Tolerance<typename B::Activation>::value);
}

TEST_CASE_TEMPLATE("LayerNorm agrees with its witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(21);
  for (const auto& [rows, width] : shapes) {
    if (width == 1) continue;  // x − mean is nothing
    const LayerNorm norm{rows, width};
    check_witnesses<B>(norm, random_numbers(rng, norm.inputs()), rng);
  }
  CHECK(LayerNorm{0, 4}.forward<B>(Numbers(8, 1.0)).empty());
}

TEST_CASE_TEMPLATE("LayerNorm centres, scales and shifts, also far from zero", B, MERIT_TEST_BACKENDS) {
  const double far = narrow_activations<B> ? 128 : 1000;  // where every integer is held
  for (const double offset : {0.0, far}) {
    const std::vector<Numbers> result =
        LayerNorm{1, 4}.run<B>({offset + 1, offset + 2, offset + 3, offset + 6, 1, 1, 1, 2, 0, 5, 0, 0});
    const double rstd = 1 / std::sqrt(3.5 + epsilon);  // deviations −2 −1 0 3
    const Numbers expected = {-2 * rstd, -1 * rstd + 5, 0, 6 * rstd};
    CHECK(relative_error(result[0], expected) <= Tolerance<typename B::Activation>::value);
    CHECK(relative_error(result[1], Numbers{offset + 3, rstd}) <= Tolerance<typename B::Stat>::value);
  }
}

TEST_CASE_TEMPLATE("LayerNorm without weights is that of ones, and without a bias that of zeros", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(27);
  for (const auto& [rows, width] : {std::pair<Index, Index>{4, 8}, {5, 19}}) {
    Machine<B> m;
    const Numbers values = held<B>(random_numbers(rng, rows * width)),
                  slopes = held<B>(random_numbers(rng, rows * width));
    const Array<B> x(m, rows, width, values), dy(m, rows, width, slopes);
    const StatArray<B> ones(m, 1, width, 1.0), zeros(m, 1, width, 0.0);
    Array<B> y(m, rows, width, 9.0), bare(m, rows, width, 9.0), dx(m, rows, width, 9.0),
        bare_dx(m, rows, width, 9.0);
    StatArray<B> stats(m, 1, 2 * rows, 9.0);
    B::layer_norm(m.handle, {.x = x.constant(),
                             .weight = ones.constant_vector(),
                             .bias = zeros.constant_vector(),
                             .epsilon = epsilon,
                             .y = y.matrix(),
                             .stats = stats.vector()});
    B::layer_norm(m.handle, {.x = x.constant(), .epsilon = epsilon, .y = bare.matrix()});
    CHECK(bare.values() == y.values());
    const auto backward = [&](auto weight, auto to) {
      B::layer_norm_backward(m.handle, {.dy = dy.constant(),
                                        .x = x.constant(),
                                        .weight = weight,
                                        .stats = stats.constant_vector(),
                                        .dx = to});
    };
    backward(ones.constant_vector(), dx.matrix());
    backward(typename BackendTypes<B>::ConstStatVector{}, bare_dx.matrix());
    CHECK(bare_dx.values() == dx.values());
  }
}

TEST_CASE_TEMPLATE("rotary positions agree with their witnesses, and the inverse turns back", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(22);
  const Index sizes[][4] = {{1, 1, 2, 2},   {5, 3, 4, 4},  {4, 2, 6, 6}, {3, 2, 16, 16},
                            {2, 1, 34, 34}, {4, 3, 16, 4}, {3, 2, 5, 2}};
  for (const auto& [rows, heads, head_dim, turned] : sizes) {
    const Rotary rotary = random_rotary(rng, rows, heads, head_dim, turned);
    const Numbers x = held<B>(random_numbers(rng, rotary.inputs()));
    check_witnesses<B>(rotary, x, rng);
    CHECK(relative_error(rotary.rotate<B>(rotary.rotate<B>(x, false), true), x) <=
          (narrow_activations<B> ? Tolerance<typename B::Activation>::gradient : 1e-6));
  }
}

TEST_CASE_TEMPLATE("rotary turns pairs half a head apart by the position's angle", B, MERIT_TEST_BACKENDS) {
  // Position 1: the first pair by a quarter turn, the second not at all. Two heads.
  Rotary rotary{2, 2, 4, 4, {1, 0}, Numbers(40)};
  for (Index j = 0; j < 2; ++j) rotary.table[j] = 1;  // position 0: cosines 1
  rotary.table[4] = 0, rotary.table[5] = 1, rotary.table[6] = 1, rotary.table[7] = 0;
  const Numbers x = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
  const Numbers turned = {-3, 2, 1, 4, -7, 6, 5, 8, 1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(rotary.forward<B>(x) == turned);
  // The first two columns of each head alone.
  Rotary of_two{2, 2, 4, 2, {1, 0}, Numbers(20)};
  of_two.table[0] = 1, of_two.table[2] = 0, of_two.table[3] = 1;
  CHECK(of_two.forward<B>(x) == Numbers{-2, 1, 3, 4, -6, 5, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE_TEMPLATE("a row's results have the same bits alone and among others", B, MERIT_TEST_BACKENDS) {
  Rng rng(25);
  const Index rows = 9, width = 19;
  const Numbers x = random_numbers(rng, rows * width);
  const Numbers weights = random_numbers(rng, 2 * width);
  const Numbers rms = RmsNorm{rows, width}.forward<B>(join({x, part(weights, 0, width)}));
  const Numbers layer = LayerNorm{rows, width}.forward<B>(join({x, weights}));
  for (Index i = 0; i < rows; ++i) {
    const Numbers row = part(x, i * width, width);
    CHECK(RmsNorm{1, width}.forward<B>(join({row, part(weights, 0, width)})) == part(rms, i * width, width));
    CHECK(LayerNorm{1, width}.forward<B>(join({row, weights})) == part(layer, i * width, width));
  }
}

TEST_CASE_TEMPLATE("operations on rows have the same bits with any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(26);
  const Index rows = divided_rows, cols = divided_cols;
  const RmsNorm rms{rows, cols};
  check_threads_of<Base>(rms, random_numbers(rng, rms.inputs()), rng);
  const LayerNorm layer{rows, cols};
  check_threads_of<Base>(layer, random_numbers(rng, layer.inputs()), rng);
  const Rotary rotary = random_rotary(rng, rows, 4, (cols + 3) / 4 / 2 * 2, (cols + 3) / 4 / 2 * 2);
  REQUIRE(rotary.inputs() >= rows * cols);
  check_threads_of<Base>(rotary, random_numbers(rng, rotary.inputs()), rng);
}

}  // namespace rows_test
