// What optimizers beside AdamW ask of a backend: their formulas written out in double, at sizes with rests,
// with memory that must not be read, and the same bits with any number of threads.
#include <cmath>
#include <limits>

#include "backend/threads.hpp"

namespace optimizer_operations_test {

using namespace merit_test;

constexpr double unread = std::numeric_limits<double>::quiet_NaN();

struct MomentumCase {
  MomentumStep step;
  bool has_momentum = true;
};

std::vector<MomentumCase> momentum_cases() {
  MomentumStep nesterov{.gradient_scale = 0.5,
                        .penalty = 0.1,
                        .momentum_weight = 0.64,
                        .gradient_weight = 1.8,
                        .keep = 0.8,
                        .rate = 0.3};
  MomentumStep lion{.gradient_scale = 2,
                    .momentum_weight = 0.9,
                    .gradient_weight = 0.1,
                    .sign = true,
                    .keep = 0.99,
                    .add = 0.01,
                    .keep_out = 0.95,
                    .rate = 0.25};
  MomentumStep into_empty{.momentum_weight = 0.5, .keep = 0.5, .add = 0.5, .keep_out = 0, .rate = -1};
  MomentumStep scaled{.gradient_scale = 3, .keep_out = 0, .rate = -0.5};
  MomentumStep plain{.penalty = 0.2, .rate = 0.125};
  return {{nesterov}, {lion}, {into_empty}, {scaled, false}, {plain, false}};
}

TEST_CASE_TEMPLATE("the update by momentum follows its formula for any length", B, MERIT_TEST_BACKENDS) {
  Rng rng(50);
  for (const Index size : {Index{0}, Index{1}, Index{7}, Index{1003}}) {
    for (const auto& [step, has_momentum] : momentum_cases()) {
      Machine<B> m;
      Numbers gradients = random_numbers(rng, size), momentum = random_numbers(rng, size),
              out = random_numbers(rng, size);
      if (size > 2) gradients[2] = momentum[2] = 0;  // whose sign is 0
      const bool reads_out = step.keep_out != 0;
      const StatArray<B> g(m, 1, size, gradients);
      StatArray<B> kept(m, 1, size, momentum), w(m, 1, size, reads_out ? out : Numbers(size, unread));
      B::momentum(m.handle, {.gradients = g.constant_vector(),
                             .momentum = has_momentum ? kept.vector()
                                                      : VectorView<typename B::Stat, typename B::Space>{},
                             .out = w.vector(),
                             .step = step});
      for (Index i = 0; i < size; ++i) {
        const double before = reads_out ? out[i] : 0, old = has_momentum ? momentum[i] : 0;
        const double scaled = step.gradient_scale * gradients[i] + step.penalty * before;
        double direction = step.momentum_weight * old + step.gradient_weight * scaled;
        if (step.sign) direction = direction > 0 ? 1 : direction < 0 ? -1 : 0;
        if (has_momentum) momentum[i] = step.keep * old + step.add * scaled;
        out[i] = step.keep_out * before - step.rate * direction;
      }
      const double tolerance = Tolerance<typename B::Stat>::value;
      CHECK(relative_error(w.values(), out) <= tolerance);
      CHECK(relative_error(kept.values(), momentum) <= tolerance);
    }
  }
}

TEST_CASE_TEMPLATE("Adafactor's moments and directions follow their formulas for any shape", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(51);
  struct Shape {
    Index rows, cols;
    bool factored;
  };
  for (const Shape shape : {Shape{1, 1, true}, Shape{1, 70, true}, Shape{1, 1003, false}, Shape{5, 3, true},
                            Shape{37, 129, true}}) {
    Machine<B> m;
    const Index rows = shape.factored ? shape.rows : 0;
    Numbers gradients = random_numbers(rng, shape.rows * shape.cols), row(rows), column(shape.cols);
    for (double& x : row) x = 0.5 + static_cast<double>(rng.below(8)) / 8;
    for (double& x : column) x = 0.5 + static_cast<double>(rng.below(8)) / 8;
    const AdafactorStep step{.gradient_scale = 0.5, .share = 0.25, .epsilon = 0.8};
    StatArray<B> g(m, shape.rows, shape.cols, gradients), r(m, 1, rows, row), c(m, 1, shape.cols, column);
    B::adafactor(m.handle,
                 {.gradients = g.matrix(), .rows = r.vector(), .columns = c.vector(), .step = step});
    for (double& x : row) x *= 0.75;
    for (double& x : column) x *= 0.75;
    for (Index i = 0; i < shape.rows; ++i) {
      for (Index j = 0; j < shape.cols; ++j) {
        const double square = 0.25 * gradients[i * shape.cols + j] * gradients[i * shape.cols + j];
        if (rows != 0) row[i] += 0.25 * square / static_cast<double>(shape.cols);
        column[j] += 0.25 * square / static_cast<double>(shape.rows);
      }
    }
    double mean = 0;
    for (const double x : row) mean += x / static_cast<double>(shape.rows);
    for (Index i = 0; i < shape.rows; ++i) {
      for (Index j = 0; j < shape.cols; ++j) {
        const double estimate = rows == 0 ? column[j] : row[i] * column[j] / std::max(mean, 0.8);
        gradients[i * shape.cols + j] *= 0.5 / std::sqrt(std::max(estimate, 0.64));
      }
    }
    const double tolerance = Tolerance<typename B::Stat>::value;
    CHECK(relative_error(r.values(), row) <= tolerance);
    CHECK(relative_error(c.values(), column) <= tolerance);
    CHECK(relative_error(g.values(), gradients) <= tolerance);
  }
}

TEST_CASE_TEMPLATE("a gradient that was always zero moves nothing, however small epsilon is", B,
                   MERIT_TEST_BACKENDS) {
  Machine<B> m;
  StatArray<B> g(m, 2, 3, 0.0), r(m, 1, 2, 0.0), c(m, 1, 3, 0.0);
  B::adafactor(m.handle, {.gradients = g.matrix(),
                          .rows = r.vector(),
                          .columns = c.vector(),
                          .step = {.share = 1, .epsilon = 1e-30}});
  CHECK(g.values() == Numbers(6, 0.0));
}

TEST_CASE_TEMPLATE("a product of matrices in every transposition, scaled, with another added", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(52);
  struct Shape {
    Index rows, cols, depth;
  };
  for (const Shape s : {Shape{1, 1, 1}, Shape{3, 5, 7}, Shape{2, 33, 9}, Shape{41, 30, 50}}) {
    for (const bool flip_a : {false, true}) {
      for (const bool flip_b : {false, true}) {
        for (const bool adds : {false, true}) {
          Machine<B> m;
          const Numbers a = random_numbers(rng, s.rows * s.depth), b = random_numbers(rng, s.depth * s.cols),
                        c = random_numbers(rng, s.rows * s.cols);
          const StatArray<B> a_view(m, flip_a ? s.depth : s.rows, flip_a ? s.rows : s.depth, a),
              b_view(m, flip_b ? s.cols : s.depth, flip_b ? s.depth : s.cols, b),
              c_view(m, s.rows, s.cols, c);
          StatArray<B> out(m, s.rows, s.cols, unread);
          ProductArguments<B> arguments{.a = a_view.constant(),
                                        .transpose_a = flip_a ? Transpose::yes : Transpose::no,
                                        .b = b_view.constant(),
                                        .transpose_b = flip_b ? Transpose::yes : Transpose::no,
                                        .scale = 0.75,
                                        .c_scale = -1.5,
                                        .out = out.matrix()};
          if (adds) arguments.c = c_view.constant();
          B::product(m.handle, arguments);
          Numbers expected(s.rows * s.cols);
          for (Index i = 0; i < s.rows; ++i) {
            for (Index j = 0; j < s.cols; ++j) {
              double& sum = expected[i * s.cols + j];
              for (Index k = 0; k < s.depth; ++k)
                sum += (flip_a ? a[k * s.rows + i] : a[i * s.depth + k]) *
                       (flip_b ? b[j * s.depth + k] : b[k * s.cols + j]);
              sum = 0.75 * sum + (adds ? -1.5 * c[i * s.cols + j] : 0);
            }
          }
          CHECK(relative_error(out.values(), expected) <= Tolerance<typename B::Stat>::value);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("the operations of optimizers have the same bits with any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(53);
  const Index rows = divided_rows, cols = divided_cols, size = rows * cols;
  const Numbers gradients = random_numbers(rng, size), momentum = random_numbers(rng, size),
                values = random_numbers(rng, size);
  for (const auto& [step, has_momentum] : momentum_cases()) {
    check_threads<Base>([&, step = step]<class B>() {
      Machine<B> m;
      const StatArray<B> g(m, 1, size, gradients);
      StatArray<B> kept(m, 1, size, momentum), w(m, 1, size, values);
      B::momentum(
          m.handle,
          {.gradients = g.constant_vector(), .momentum = kept.vector(), .out = w.vector(), .step = step});
      return join({w.values(), kept.values()});
    });
  }
  for (const bool factored : {true, false}) {
    check_threads<Base>([&]<class B>() {
      Machine<B> m;
      const Index height = factored ? rows : 1, width = size / height;
      StatArray<B> g(m, height, width, gradients), r(m, 1, factored ? rows : 0, 0.5), c(m, 1, width, 0.25);
      B::adafactor(m.handle, {.gradients = g.matrix(),
                              .rows = r.vector(),
                              .columns = c.vector(),
                              .step = {.gradient_scale = 0.3, .share = 0.2, .epsilon = 1e-6}});
      return join({g.values(), r.values(), c.values()});
    });
  }
  check_threads<Base>([&]<class B>() {
    Machine<B> m;
    const StatArray<B> a(m, rows, cols, gradients), c(m, rows, rows, 0.5);
    StatArray<B> out(m, rows, rows, unread);
    B::product(m.handle, {.a = a.constant(),
                          .b = a.constant(),
                          .transpose_b = Transpose::yes,
                          .scale = 0.1,
                          .c = c.constant(),
                          .c_scale = 2,
                          .out = out.matrix()});
    return out.values();
  });
}

}  // namespace optimizer_operations_test
