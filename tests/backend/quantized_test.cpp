// Weights of a quantised type, multiplied as stored: the same bits as by their numbers.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"
#include "merit/core/quantized.hpp"
#include "sanitized.hpp"

#ifndef MERIT_TEST_THRUST  // whose memory holds none

namespace quantized_test {

using namespace merit_test;

/// Every type of blocks.
std::vector<Dtype> quantized_types() {
  std::vector<Dtype> types;
  for (Index i = 0; i < dtype_layouts.size(); ++i) {
    if (is_quantized(static_cast<Dtype>(i))) types.push_back(static_cast<Dtype>(i));
  }
  return types;
}

/// Random blocks whose scales are near 1/16: `count` elements.
std::vector<std::byte> random_blocks(Rng& rng, Dtype dtype, Index count) {
  const DtypeLayout layout = layout_of(dtype);
  const detail::QuantizedReader reader = detail::quantized_reader(dtype);
  std::vector<std::byte> bytes(stored_bytes(dtype, count));
  for (Index at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t eight = rng.next();
    std::memcpy(bytes.data() + at, &eight, std::min<Index>(sizeof eight, bytes.size() - at));
  }
  for (Index at = 0; at < bytes.size(); at += layout.bytes) {
    for (Index i = 0; i < reader.scale_count; ++i) {
      const auto scale = to_f16(static_cast<float>(0.05 + 0.02 * rng.uniform()));
      std::memcpy(bytes.data() + at + reader.scales[i], &scale, sizeof scale);
    }
    if (reader.scale_count == 0) bytes[at] = static_cast<std::byte>(120 + rng.below(5));
  }
  return bytes;
}

template <class B>
struct Factors {
  Machine<B> machine;
  std::vector<std::byte> blocks;
  WeightView<> stored;
  std::vector<typename B::Stat> numbers;
  WeightView<> plain;

  Factors(Rng& rng, Dtype dtype, Index rows, Index cols)
      : blocks(random_blocks(rng, dtype, rows * cols)),
        stored(blocks.data(), dtype, rows, cols, cols),
        numbers(rows * cols),
        plain(MatrixView<const typename B::Stat>(numbers.data(), rows, cols)) {
    detail::dequantize(dtype, blocks.data(), numbers.data(), numbers.size());
  }
};

template <class B>
void check_quantized(Rng& rng, Dtype dtype, Index m, Index n, Index k) {
  for (const Transpose transpose : {Transpose::no, Transpose::yes}) {
    const bool flip = transpose == Transpose::yes;
    Factors<B> f(rng, dtype, flip ? n : k, flip ? k : n);
    auto& handle = f.machine.handle;
    const Array<B> x(f.machine, m, k, random_numbers(rng, m * k));
    const StatArray<B> bias(f.machine, 1, n, random_numbers(rng, n));
    Array<B> out(f.machine, m, n, 7.0), expected(f.machine, m, n, 7.0);
    for (const bool stored : {true, false}) {
      B::linear(handle, {.x = x.constant(),
                         .weight = stored ? f.stored : f.plain,
                         .transpose = transpose,
                         .write = Write::add,
                         .out = (stored ? out : expected).matrix(),
                         .bias = bias.constant_vector()});
    }
    CHECK(relative_error(out.values(), expected.values()) <= Tolerance<typename B::Activation>::value);
#ifndef EIGEN_USE_BLAS  // which sums in another order than our own product
    CHECK(out.values() == expected.values());
#endif
    const Index cols = f.stored.cols;
    const Copied<B, std::uint32_t> which(f.machine, random_ids(rng, 5, f.stored.rows));
    Array<B> gathered(f.machine, 5, cols, 7.0), gathered_plain(f.machine, 5, cols, 7.0);
    B::gather_rows(handle, f.stored, which.view(), Write::add, gathered.matrix());
    B::gather_rows(handle, f.plain, which.view(), Write::add, gathered_plain.matrix());
    CHECK(gathered.values() == gathered_plain.values());
  }
}

#if defined(MERIT_TEST_COMPILED)
#define MERIT_QUANTIZED_BACKENDS EigenBackend<float>, EigenBackend<double>
#else
#define MERIT_QUANTIZED_BACKENDS ReferenceBackend<double>, EigenBackend<float>, EigenBackend<double>
#endif

TEST_CASE_TEMPLATE("quantised weights give the bits of their numbers", B, MERIT_QUANTIZED_BACKENDS) {
  Rng rng(40);
  for (const Dtype dtype : quantized_types()) {
    INFO(std::string(name_of(dtype)));
    // One row; few; tails of tiles; depths and widths that are whole runs and not, one past a block of the product's k.
    const Index block = layout_of(dtype).elements;
    const Index sizes[][3] = {{1, 3 * block, 3 * block},
                              {3, 3 * block, 3 * block},
                              {6, block, block},
                              {19, 3 * block, 512 + block}};
    for (const auto& size : sizes) {
      INFO("M ", size[0], " N ", size[1], " K ", size[2]);
      check_quantized<B>(rng, dtype, size[0], size[1], size[2]);
    }
  }
}

TEST_CASE("many tiles of quantised weights give the bits of their numbers") {
  Rng rng(41);
  using B = EigenBackend<float>;
  const Index rows = MERIT_TEST_SANITIZED != 0 ? 13 : 100;  // more than a tile of any machine
  for (const Dtype dtype : {Dtype::q8_0, Dtype::q4_k}) {
    check_quantized<B>(rng, dtype, rows, 3328, 512);  // more columns than a block of the product
    check_quantized<B>(rng, dtype, 1, 3328, 512);
  }
}

TEST_CASE_TEMPLATE("any number of threads gives the same product of quantised weights", T, float, double) {
  using Base = EigenBackend<T>;
  for (const Dtype dtype : {Dtype::q5_1, Dtype::q6_k}) {
    for (const Index rows : {Index{2}, Index{90}}) {
      check_threads<Base>([&]<class B>() {
        Rng rng(42);
        Factors<B> f(rng, dtype, 1280, 768);
        const Array<B> x(f.machine, rows, 768, random_numbers(rng, rows * 768));
        Array<B> out(f.machine, rows, 1280, 0.0);
        B::linear(f.machine.handle,
                  {.x = x.constant(), .weight = f.stored, .transpose = Transpose::yes, .out = out.matrix()});
        Array<B> back(f.machine, rows, 768, 0.0);
        B::linear(f.machine.handle, {.x = out.constant(), .weight = f.stored, .out = back.matrix()});
        return join({out.values(), back.values()});
      });
    }
  }
}

TEST_CASE("blocks that may hold an infinity are told by their scales") {
  Rng rng(43);
  for (const Dtype dtype : quantized_types()) {
    INFO(std::string(name_of(dtype)));
    const detail::QuantizedReader reader = detail::quantized_reader(dtype);
    std::vector<std::byte> block = random_blocks(rng, dtype, layout_of(dtype).elements);
    CHECK(!detail::may_be_infinite(reader, block.data()));
    for (Index i = 0; i < reader.scale_count; ++i) {
      const std::vector<std::byte> before = block;
      block[reader.scales[i] + 1] = std::byte{0x7C};
      CHECK(detail::may_be_infinite(reader, block.data()));
      float numbers[detail::quantized_run];
      detail::dequantize(dtype, block.data(), numbers, layout_of(dtype).elements);
      CHECK(!std::all_of(numbers, numbers + layout_of(dtype).elements,
                         [](float number) { return std::isfinite(number); }));
      block = before;
    }
  }
}

}  // namespace quantized_test

#endif
