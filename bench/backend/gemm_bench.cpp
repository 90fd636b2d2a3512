// Matrix products of the Eigen backend beside Eigen's own and beside the machine's BLAS, in turns. The BLAS
// is looked for when the program runs: libopenblas, or the library that the variable MERIT_BLAS names.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "../support/alternate.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/rng.hpp"

namespace {

using namespace merit;
using bench::median;
using bench::seconds_of;
using B = EigenBackend<float>;

/// The BLAS of this machine, if it has one.
struct Blas {
  using Gemm = void(const char*, const char*, const int*, const int*, const int*, const float*, const float*,
                    const int*, const float*, const int*, const float*, float*, const int*);
  using SetThreads = void(int);

  Gemm* gemm = nullptr;
  SetThreads* set_threads = nullptr;

  Blas() {
    const char* name = std::getenv("MERIT_BLAS");
    void* const library = dlopen(name != nullptr ? name : "libopenblas.so.0", RTLD_NOW);
    if (library == nullptr) return;
    gemm = reinterpret_cast<Gemm*>(dlsym(library, "sgemm_"));
    set_threads = reinterpret_cast<SetThreads*>(dlsym(library, "openblas_set_num_threads"));
  }
};

const Blas& blas() {
  static const Blas the_blas;
  return the_blas;
}

std::vector<float> random_floats(Rng& rng, Index count) {
  std::vector<float> values(count);
  for (float& x : values) x = static_cast<float>(rng.normal());
  return values;
}

/// The three products of a linear layer y (T, n) = x (T, k) · Wᵀ, W (n, k). Arguments: which of them, T, k,
/// n, threads.
enum Pass { forward, input_gradient, weight_gradient };

struct Product {
  Pass pass;
  Index tokens, in, out;

  Transpose transpose_a() const { return pass == weight_gradient ? Transpose::yes : Transpose::no; }
  Transpose transpose_b() const { return pass == forward ? Transpose::yes : Transpose::no; }
  Index m() const { return pass == weight_gradient ? out : tokens; }
  Index n() const { return pass == forward ? out : in; }
  Index k() const { return pass == forward ? in : pass == input_gradient ? out : tokens; }
  MatrixView<const float> a(const float* data) const {
    return transpose_a() == Transpose::yes ? MatrixView<const float>{data, k(), m()}
                                           : MatrixView<const float>{data, m(), k()};
  }
  MatrixView<const float> b(const float* data) const {
    return transpose_b() == Transpose::yes ? MatrixView<const float>{data, n(), k()}
                                           : MatrixView<const float>{data, k(), n()};
  }
};

void with_eigen(const Product& product, const float* a, const float* b, float* out) {
  using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto map = [](MatrixView<const float> x) {
    return Eigen::Map<const Dense>(x.data, static_cast<Eigen::Index>(x.rows),
                                   static_cast<Eigen::Index>(x.cols));
  };
  const auto left = map(product.a(a));
  const auto right = map(product.b(b));
  Eigen::Map<Dense> to(out, static_cast<Eigen::Index>(product.m()), static_cast<Eigen::Index>(product.n()));
  switch (product.pass) {
    case forward: to.noalias() = left * right.transpose(); break;
    case input_gradient: to.noalias() = left * right; break;
    case weight_gradient: to.noalias() = left.transpose() * right; break;
  }
}

/// BLAS counts in columns: it is asked for the transpose of the product.
void with_blas(const Product& product, const float* a, const float* b, float* out) {
  const char op_a = product.transpose_a() == Transpose::yes ? 'T' : 'N';
  const char op_b = product.transpose_b() == Transpose::yes ? 'T' : 'N';
  const int m = static_cast<int>(product.n());
  const int n = static_cast<int>(product.m());
  const int k = static_cast<int>(product.k());
  const int lda = static_cast<int>(product.a(a).stride);
  const int ldb = static_cast<int>(product.b(b).stride);
  const float one = 1;
  const float zero = 0;
  blas().gemm(&op_b, &op_a, &m, &n, &k, &one, b, &ldb, a, &lda, &zero, out, &m);
}

/// Counters: ours, eigen, blas (GFLOP/s, of the median time), and the median over the turns of BLAS time /
/// our time and Eigen time / our time (above 1: ours is faster). No BLAS: its counters are left out.
void product(benchmark::State& state) {
  const auto argument = [&](Index i) { return static_cast<Index>(state.range(i)); };
  const Product shape{static_cast<Pass>(state.range(0)), argument(1), argument(2), argument(3)};
  const int threads = static_cast<int>(state.range(4));
  Rng rng(1);
  const std::vector<float> a = random_floats(rng, shape.m() * shape.k());
  const std::vector<float> b = random_floats(rng, shape.k() * shape.n());
  std::vector<float> out(shape.m() * shape.n());
  std::vector<float> other(out.size());
  B backend{.threads = threads};
  B::Handle handle(backend);
  Eigen::setNbThreads(threads);
  if (blas().set_threads != nullptr) blas().set_threads(threads);

  const std::function<void()> ours = [&] {
    const MatrixView<float> to{out.data(), shape.m(), shape.n()};
    if (shape.transpose_a() == Transpose::yes) {
      B::weight_gradient(handle, shape.a(a.data()), shape.b(b.data()), Write::assign, to);
    } else {
      B::linear(
          handle,
          {.x = shape.a(a.data()), .weight = shape.b(b.data()), .transpose = shape.transpose_b(), .out = to});
    }
  };
  std::vector<std::function<void()>> ways = {ours,
                                             [&] { with_eigen(shape, a.data(), b.data(), other.data()); }};
  if (blas().gemm != nullptr) ways.push_back([&] { with_blas(shape, a.data(), b.data(), other.data()); });
  for (const auto& way : ways) way();
  for (Index i = 0; i < out.size(); ++i) {
    if (!(std::abs(out[i] - other[i]) <= 1e-4f * std::sqrt(static_cast<float>(shape.k())))) {
      state.SkipWithError("the products differ");
      return;
    }
  }

  // A turn of a small product is repeated until the clock can measure it.
  const double operations = 2 * static_cast<double>(shape.m() * shape.n() * shape.k());
  const int repeats = std::max(1, static_cast<int>(2e7 / operations));
  std::vector<std::vector<double>> seconds(ways.size());
  std::vector<std::vector<double>> ratios(ways.size());
  for ([[maybe_unused]] auto _ : state) {
    const Index turn = seconds[0].size();
    std::vector<double> now(ways.size());
    for (Index i = 0; i < ways.size(); ++i) {
      const Index way = (i + turn) % ways.size();
      now[way] = seconds_of([&] {
                   for (int r = 0; r < repeats; ++r) ways[way]();
                 }) /
                 repeats;
    }
    for (Index way = 0; way < ways.size(); ++way) {
      seconds[way].push_back(now[way]);
      ratios[way].push_back(now[way] / now[0]);
    }
  }
  const char* const names[] = {"ours_GFLOP/s", "eigen_GFLOP/s", "blas_GFLOP/s"};
  for (Index way = 0; way < ways.size(); ++way) {
    state.counters[names[way]] = operations / median(seconds[way]) * 1e-9;
  }
  state.counters["faster_than_eigen"] = median(ratios[1]);
  if (ways.size() > 2) state.counters["faster_than_blas"] = median(ratios[2]);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"pass", "T", "in", "out", "threads"});
  for (const int threads : {1, 2}) {
    for (const auto& [tokens, in, out] : {std::array{512, 64, 64},
                                          {512, 64, 256},
                                          {2048, 64, 192},
                                          {2048, 256, 64},
                                          {1024, 256, 256},
                                          {2048, 768, 768},
                                          {4096, 768, 2304},
                                          {2048, 768, 3072},
                                          {2048, 3072, 768}}) {
      for (const int pass : {forward, input_gradient, weight_gradient})
        bench->Args({pass, tokens, in, out, threads});
    }
  }
}

}  // namespace

BENCHMARK(product)->Apply(shapes)->Unit(benchmark::kMillisecond)->UseRealTime();

BENCHMARK_MAIN();
