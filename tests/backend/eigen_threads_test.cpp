// What the Eigen backend promises beyond the list of operations: the number of threads changes nothing.
#include <doctest/doctest.h>

#include <vector>

#include "backend/backends.hpp"

namespace eigen_threads_test {

using namespace merit_test;

TEST_CASE_TEMPLATE("products have the same bits with any number of threads", T, float, double) {
  using B = EigenBackend<T>;
  Rng rng(11);
  struct Shape {
    Index m, n, k;
  };
  // Few rows, so that columns are divided; several blocks of k and of columns, the last ones smaller.
  for (const Shape shape :
       {Shape{13, 132, 1541}, {30, 3100, 792}, {30, 323, 792}, {400, 70, 600}, {700, 300, 90}}) {
    for (const Transpose flip_a : {Transpose::no, Transpose::yes}) {
      for (const Transpose flip_b : {Transpose::no, Transpose::yes}) {
        const auto values = [&](Index count) {
          const Numbers numbers = random_numbers(rng, count);
          return std::vector<T>(numbers.begin(), numbers.end());
        };
        const std::vector<T> a = values(shape.m * shape.k);
        const std::vector<T> b = values(shape.k * shape.n);
        const auto product = [&](int threads) {
          typename B::Handle handle(B{.threads = threads});
          std::vector<T> out(shape.m * shape.n);
          B::product(handle, {.a = flip_a == Transpose::yes ? MatrixView<const T>{a.data(), shape.k, shape.m}
                                                            : MatrixView<const T>{a.data(), shape.m, shape.k},
                              .transpose_a = flip_a,
                              .b = flip_b == Transpose::yes ? MatrixView<const T>{b.data(), shape.n, shape.k}
                                                            : MatrixView<const T>{b.data(), shape.k, shape.n},
                              .transpose_b = flip_b,
                              .out = {out.data(), shape.m, shape.n}});
          return out;
        };
        const std::vector<T> alone = product(1);
        for (int repeat = 0; repeat < 10; ++repeat) {
          CHECK(product(2) == alone);
          CHECK(product(5) == alone);
        }
      }
    }
  }
}

}  // namespace eigen_threads_test
