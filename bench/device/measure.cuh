// Times on a GPU, and the two ceilings that everything is measured against: bytes of a copy and FLOPs of a large product.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "merit/backend/thrust/functors/stochastic_rounding.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/launch.cuh"
#include "merit/core/dtype.hpp"

namespace merit_bench {

using merit::Bf16;
using merit::Index;

/// Ends the program unless it went well.
inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}
inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "%s: cuBLASLt says %d\n", what, static_cast<int>(status));
  std::exit(1);
}

/// Fills an array with numbers from −1 to 1 by chance.
template <class T>
struct FillKernel {
  T* to;
  Index count;
  std::uint64_t seed;

  static constexpr int most_threads = 256;
  static constexpr int least_blocks = 4;
  merit::kernels::Grid grid() const {
    return {.columns = merit::kernels::divide_up(count, 1024), .threads = 256};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index i = (block.column() * 256 + static_cast<Index>(block.thread())) * 4;
    const auto random = merit::detail::device::random_words(i, 0, seed);
    for (Index k = 0; k < 4; ++k)
      if (i + k < count)
        block.store(to + i + k,
                    merit::kernels::rounded<T>(block, static_cast<float>(random[k]) * 0x1p-31f - 1.0f));
  }
};

/// Memory of the device; of numbers, filled by chance: never zeros, on which a product runs faster.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(Index count) : count_(count) {
    check(cudaMalloc(&data_, std::max<Index>(count, 1) * sizeof(T)), "cudaMalloc");
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, Bf16>) {
      static std::uint64_t seed = 0;
      check(merit::kernels::launch(FillKernel<T>{data_, count, ++seed}, cudaStreamPerThread),
            "filling an array");
    } else {
      check(cudaMemset(data_, 0, count * sizeof(T)), "cudaMemset");
    }
  }
  explicit DeviceArray(const std::vector<T>& host) : count_(host.size()) {
    check(cudaMalloc(&data_, std::max<Index>(count_, 1) * sizeof(T)), "cudaMalloc");
    check(cudaMemcpy(data_, host.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { (void)cudaFree(data_); }

  T* data() const { return data_; }
  Index size() const { return count_; }

 private:
  T* data_ = nullptr;
  Index count_;
};

/// Seconds of one call of f(stream), the median of several. What lies in the cache from the call before is overwritten.
template <class F>
double seconds_of(F&& f) {
  static const DeviceArray<unsigned char> flush(256 << 20);
  const cudaStream_t stream = cudaStreamPerThread;
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times;
  for (int i = 0; i < 13; ++i) {
    check(cudaMemsetAsync(flush.data(), i, flush.size(), stream), "cudaMemsetAsync");
    check(cudaEventRecord(begin, stream), "cudaEventRecord");
    f(stream);
    check(cudaEventRecord(end, stream), "cudaEventRecord");
    check(cudaEventSynchronize(end), "a kernel");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (i >= 2) times.push_back(milliseconds);  // the first two warm up
  }
  check(cudaEventDestroy(begin), "cudaEventDestroy");
  check(cudaEventDestroy(end), "cudaEventDestroy");
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return 1e-3 * static_cast<double>(times[times.size() / 2]);
}

/// Copies 16 bytes a thread.
struct CopyKernel {
  const Bf16* from;
  Bf16* to;
  Index count;

  static constexpr int most_threads = 256;
  static constexpr int least_blocks = 8;
  merit::kernels::Grid grid() const { return {.columns = count / 2048, .threads = 256}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index i = (block.column() * 256 + static_cast<Index>(block.thread())) * 8;
    block.store_pack(to + i, block.load_pack(from + i));
  }
};

/// Bytes read and written a second by a copy of 1 GiB.
inline double copy_ceiling() {
  constexpr Index count = Index{1} << 29;
  const DeviceArray<Bf16> from(count), to(count);
  const double seconds = seconds_of([&](cudaStream_t stream) {
    check(merit::kernels::launch(CopyKernel{from.data(), to.data(), count}, stream), "a copy");
  });
  return 2 * static_cast<double>(count * sizeof(Bf16)) / seconds;
}

/// FLOPs a second of a bf16 product of size³ by cuBLASLt, sums in float.
inline double product_ceiling(Index size) {
  const DeviceArray<Bf16> a(size * size), b(size * size), c(size * size);
  const DeviceArray<unsigned char> workspace(32 << 20);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t layout;
  cublasLtMatmulPreference_t preference;
  check(cublasLtCreate(&handle), "cublasLtCreate");
  check(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  const cublasOperation_t transpose = CUBLAS_OP_T;
  check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof(transpose)),
        "a product");
  check(cublasLtMatrixLayoutCreate(&layout, CUDA_R_16BF, size, size, static_cast<std::int64_t>(size)),
        "a layout");
  check(cublasLtMatmulPreferenceCreate(&preference), "a preference");
  const std::size_t bytes = workspace.size();
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                             sizeof(bytes)),
        "a preference");
  cublasLtMatmulHeuristicResult_t found[4];
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, product, layout, layout, layout, layout, preference, 4, found,
                                       &count),
        "cublasLtMatmulAlgoGetHeuristic");
  double best = 0;
  for (int i = 0; i < count; ++i) {
    const float one = 1, zero = 0;
    const double seconds = seconds_of([&](cudaStream_t stream) {
      check(cublasLtMatmul(handle, product, &one, a.data(), layout, b.data(), layout, &zero, c.data(), layout,
                           c.data(), layout, &found[i].algo, workspace.data(), bytes, stream),
            "cublasLtMatmul");
    });
    const double n = static_cast<double>(size);
    best = std::max(best, 2 * n * n * n / seconds);
  }
  (void)cublasLtMatmulPreferenceDestroy(preference);
  (void)cublasLtMatrixLayoutDestroy(layout);
  (void)cublasLtMatmulDescDestroy(product);
  (void)cublasLtDestroy(handle);
  return best;
}

}  // namespace merit_bench
