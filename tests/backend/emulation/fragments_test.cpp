// Fragments of matrices: what ldmatrix gives and mma takes multiplies as matrices do, emulated and on a GPU.
#include <doctest/doctest.h>

#include "backend/emulation/machine.hpp"

namespace fragments_test {

using namespace merit_test;

/// c (16, 16) = a (16, 16) · b, where b is (k, n), read as its transpose, or (n, k).
struct ProductKernel {
  const Bf16 *a, *b;
  float* c;
  bool transposed;

  static constexpr int most_threads = 32;
  static constexpr int least_blocks = 1;
  static constexpr int stride = 24;  // of rows in shared memory
  Grid grid() const { return {.threads = 32, .shared_bytes = 2 * 16 * stride * 2}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const auto left = block.template shared<Bf16>(0, 16 * stride);
    const auto right = block.template shared<Bf16>(16 * stride * 2, 16 * stride);
    const int lane = block.thread();
    for (int i = lane; i < 256; i += 32) {
      left.set(i / 16 * stride + i % 16, block.load(a + i));
      right.set(i / 16 * stride + i % 16, block.load(b + i));
    }
    block.sync();
    std::uint32_t fa[4], fb[4];
    block.load_matrices(fa, left, lane % 16 * stride + lane / 16 * 8);
    if (transposed) {
      block.load_matrices_transposed(fb, right, lane % 16 * stride + lane / 16 * 8);
    } else {
      block.load_matrices(fb, right, (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8);
    }
    float first[4] = {}, second[4] = {};  // columns 0 to 7, 8 to 15
    block.multiply(first, fa, fb[0], fb[1]);
    block.multiply(second, fa, fb[2], fb[3]);
    for (int i = 0; i < 4; ++i) {
      float* const to = c + (lane / 4 + i / 2 * 8) * 16 + 2 * (lane % 4) + i % 2;
      block.store(to, first[i]);
      block.store(to + 8, second[i]);
    }
  }
};

TEST_CASE("fragments of matrices multiply as matrices do") {
  Rng rng(3);
  const List a = random_list<Bf16>(rng, 256), b = random_list<Bf16>(rng, 256);
  for (const bool transposed : {false, true}) {
    const Array<Bf16> left(16, 16, a), right(16, 16, b);
    Array<float> product(16, 16);
    run(ProductKernel{left.data(), right.data(), product.data(), transposed});
    List expected(256);
    for (Index i = 0; i < 16; ++i)
      for (Index j = 0; j < 16; ++j)
        for (Index k = 0; k < 16; ++k)
          expected[i * 16 + j] += a[i * 16 + k] * (transposed ? b[k * 16 + j] : b[j * 16 + k]);
    CHECK(relative_error(product.values(), expected) <= Tolerance<float>::value);
  }
}

}  // namespace fragments_test
