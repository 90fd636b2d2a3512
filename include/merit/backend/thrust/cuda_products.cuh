// Matrix products by cuBLASLt, with bias and addend in its epilogue, and the algorithm of each shape, chosen once.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "merit/backend/thrust/block_pool.hpp"
#include "merit/backend/thrust/cuda_check.cuh"
#include "merit/backend/thrust/functors/products.hpp"
#include "merit/backend/thrust/product_plans.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// Throws Error with what cuBLASLt says where it did not succeed. `what` is what was tried.
inline void check(cublasStatus_t answer, std::string_view what, const CallSite& at = CallSite::current()) {
  if (answer == CUBLAS_STATUS_SUCCESS) return;
  throw Error(
      concat("thrust: ", what, ": ", cublasLtGetStatusString(answer), " (", at.file, ":", at.line, ")"));
}

constexpr cudaDataType_t cuda_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64: return CUDA_R_64F;
    case Dtype::f32: return CUDA_R_32F;
    case Dtype::f16: return CUDA_R_16F;
    case Dtype::bf16: return CUDA_R_16BF;
    default: break;
  }
  return CUDA_R_32F;
}

/// Products of one device, issued in one stream.
class CudaProducts {
 public:
  /// What cuBLASLt may use at a time. On Hopper it asks for 32 MiB to have all its algorithms.
  static constexpr Index workspace_bytes = Index{32} << 20;

  CudaProducts() { check(cublasLtCreate(handle_.out()), "making a handle of cuBLASLt"); }

  /// From here on algorithms are chosen by timing them, and kept in this file; those that it has are taken from it.
  void open_plans(const std::string& file, const std::string& gpu) {
    times_ = true;
    plans_.open(file, concat("merit product plans 1, cuBLASLt ", cublasLtGetVersion(), ", ", gpu));
  }

  /// Issues a product whose factors are stored as they are used and whose bias is held as T, with nothing to
  /// add but the addend or, if `write` says so, what out holds: not both. False where cuBLASLt has no algorithm.
  template <class T, class Pool>
  bool multiply(const Product<T>& p, const void* bias, void* workspace, Pool& pool, cudaStream_t stream) {
    const T* const addend = p.write == Write::add ? p.out.data : p.addend.data;
    const bool adds = p.write == Write::add || !p.addend.empty();
    const ProductShape shape{.m = p.out.rows,
                             .n = p.out.cols,
                             .k = p.depth,
                             .a_stride = p.a.stride,
                             .b_stride = p.b.stride,
                             .addend_stride = p.addend.empty() ? p.out.stride : p.addend.stride,
                             .out_stride = p.out.stride,
                             .a_alignment = alignment_of(p.a.data),
                             .b_alignment = alignment_of(p.b.data),
                             .addend_alignment = alignment_of(addend),
                             .out_alignment = alignment_of(p.out.data),
                             .factors = static_cast<std::uint64_t>(p.a.used_as),
                             .out = static_cast<std::uint64_t>(dtype_of<T>()),
                             .a_transposed = p.a.transposed,
                             .b_transposed = p.b.transposed,
                             .bias = bias != nullptr,
                             .adds = adds};
    Call call(shape);
    call.set_bias(bias);
    call.alpha = p.scale;
    call.beta = !adds ? 0.0f : p.write == Write::add ? 1.0f : p.addend_scale;
    call.a = p.a.data;
    call.b = p.b.data;
    call.c = adds ? addend : p.out.data;
    call.d = p.out.data;
    call.workspace = workspace;
    // What suits the largest of a bucket may not be able to do this one.
    for (const ProductShape& of : {bucket_of(shape), shape}) {
      const ProductPlans::Plan* plan = plans_.find(of);
      if (plan == nullptr) plan = plans_.add(of, choose(of, call, pool, stream));
      if (!*plan) continue;
      const cublasStatus_t answer = issue(call, algorithm_of(**plan), stream);
      if (answer == CUBLAS_STATUS_SUCCESS) return true;
      if (answer != CUBLAS_STATUS_NOT_SUPPORTED && answer != CUBLAS_STATUS_INVALID_VALUE)
        check(answer, "a matrix product");
    }
    return false;
  }

 private:
  /// A product as cuBLASLt is told of it. It counts columns first: a row-major (m, n) is its (n, m), so the factors change
  /// places.
  struct Call {
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t of_a, of_b, of_c, of_d;
    float alpha = 1, beta = 0;
    const void *a = nullptr, *b = nullptr, *c = nullptr;
    void *d = nullptr, *workspace = nullptr;

    explicit Call(const ProductShape& s) {
      const bool flip_a = s.a_transposed != 0, flip_b = s.b_transposed != 0;
      check(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
      set(CUBLASLT_MATMUL_DESC_TRANSA, flip_b ? CUBLAS_OP_T : CUBLAS_OP_N);
      set(CUBLASLT_MATMUL_DESC_TRANSB, flip_a ? CUBLAS_OP_T : CUBLAS_OP_N);
      if (s.bias != 0) set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      const cudaDataType_t factors = cuda_type(static_cast<Dtype>(s.factors)),
                           out = cuda_type(static_cast<Dtype>(s.out));
      of_a = layout(factors, flip_a ? s.m : s.k, flip_a ? s.k : s.m, s.a_stride);
      of_b = layout(factors, flip_b ? s.k : s.n, flip_b ? s.n : s.k, s.b_stride);
      of_c = layout(out, s.n, s.m, s.addend_stride);
      of_d = layout(out, s.n, s.m, s.out_stride);
    }
    void set_bias(const void* bias) {
      if (bias != nullptr) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }

   private:
    template <class Value>
    void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
      check(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value),
            "describing a product");
    }
    static cublasLtMatrixLayoutOpaque_t layout(cudaDataType_t type, Index rows, Index cols, Index stride) {
      cublasLtMatrixLayoutOpaque_t result;
      check(cublasLtMatrixLayoutInit(&result, type, rows, cols, static_cast<std::int64_t>(stride)),
            "describing a matrix");
      return result;
    }
  };

  cublasStatus_t issue(Call& call, const cublasLtMatmulAlgo_t& algorithm, cudaStream_t stream) {
    return cublasLtMatmul(handle_.get(), &call.operation, &call.alpha, call.b, &call.of_b, call.a, &call.of_a,
                          &call.beta, call.c, &call.of_c, call.d, &call.of_d, &algorithm, call.workspace,
                          workspace_bytes, stream);
  }

  static cublasLtMatmulAlgo_t algorithm_of(const ProductPlans::Algorithm& numbers) {
    cublasLtMatmulAlgo_t algorithm;
    static_assert(sizeof algorithm.data == sizeof(ProductPlans::Algorithm));
    std::memcpy(algorithm.data, numbers.data(), sizeof algorithm.data);
    return algorithm;
  }

  /// The largest power of two, up to 256, that an address is a multiple of.
  static std::uint64_t alignment_of(const void* data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    std::uint64_t alignment = 256;
    while (address % alignment != 0) alignment /= 2;
    return alignment;
  }

  /// For products of a shape: the first that cuBLASLt proposes, or the fastest of a few in doing `call`.
  template <class Pool>
  ProductPlans::Plan choose(const ProductShape& shape, const Call& call, Pool& pool, cudaStream_t stream) {
    cublasLtMatmulPreferenceOpaque_t preference;
    check(cublasLtMatmulPreferenceInit(&preference), "choosing an algorithm");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
            "choosing an algorithm");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    // Parts of a sum are added in float, and in an order that does not depend on timing.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(shape.b_alignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(shape.a_alignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(shape.addend_alignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(shape.out_alignment));
    constexpr int most = 8;
    cublasLtMatmulHeuristicResult_t found[most] = {};
    int count = 0;
    Call of_shape(shape);
    const cublasStatus_t answer = cublasLtMatmulAlgoGetHeuristic(
        handle_.get(), &of_shape.operation, &of_shape.of_b, &of_shape.of_a, &of_shape.of_c, &of_shape.of_d,
        &preference, times_ ? most : 1, found, &count);
    if (answer != CUBLAS_STATUS_NOT_SUPPORTED && answer != CUBLAS_STATUS_INVALID_VALUE)
      check(answer, "choosing an algorithm");
    if (answer != CUBLAS_STATUS_SUCCESS || count == 0) return std::nullopt;
    const int best = count == 1 ? 0 : fastest(found, count, call, pool, stream);
    ProductPlans::Algorithm numbers;
    std::memcpy(numbers.data(), found[best].algo.data, sizeof numbers);
    return numbers;
  }

  /// Which of the algorithms does `call` in the least time, into memory beside its out.
  template <class Pool>
  int fastest(const cublasLtMatmulHeuristicResult_t* found, int count, Call call, Pool& pool,
              cudaStream_t stream) {
    std::uint64_t rows = 0;  // cuBLASLt's columns, `stride` elements apart
    std::int64_t stride = 0;
    std::uint32_t type = 0;
    const auto ask = [&](cublasLtMatrixLayoutAttribute_t attribute, auto& value) {
      check(cublasLtMatrixLayoutGetAttribute(&call.of_d, attribute, &value, sizeof value, nullptr),
            "asking for a matrix");
    };
    ask(CUBLASLT_MATRIX_LAYOUT_COLS, rows);
    ask(CUBLASLT_MATRIX_LAYOUT_LD, stride);
    ask(CUBLASLT_MATRIX_LAYOUT_TYPE, type);
    const Index bytes = type == CUDA_R_16BF ? 2 : 4;
    const Taken<Pool, std::byte> out(pool, rows * static_cast<Index>(stride) * bytes);
    call.d = out.data();
    Owned<cudaEvent_t, cudaEventDestroy> begin, end;
    check(cudaEventCreate(begin.out()), "making an event");
    check(cudaEventCreate(end.out()), "making an event");
    int best = 0;
    float least = 0;
    for (int i = 0; i < count; ++i) {
      constexpr int times = 5;
      if (issue(call, found[i].algo, stream) != CUBLAS_STATUS_SUCCESS) continue;  // the first is not timed
      check(cudaEventRecord(begin.get(), stream), "recording an event");
      for (int time = 0; time < times; ++time)
        check(issue(call, found[i].algo, stream), "timing a matrix product");
      check(cudaEventRecord(end.get(), stream), "recording an event");
      check(cudaEventSynchronize(end.get()), "timing a matrix product");
      float taken = 0;  // milliseconds
      check(cudaEventElapsedTime(&taken, begin.get(), end.get()), "timing a matrix product");
      if (least == 0 || taken < least) {
        best = i;
        least = taken;
      }
    }
    return best;
  }

  Owned<cublasLtHandle_t, cublasLtDestroy> handle_;
  ProductPlans plans_;
  bool times_ = false;
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
