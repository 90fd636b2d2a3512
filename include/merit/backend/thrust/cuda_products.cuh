// Matrix products by cuBLASLt, with bias and addend in its epilogue, and the algorithm of each shape, chosen once.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "merit/backend/thrust/cuda_check.cuh"
#include "merit/backend/thrust/functors/products.hpp"

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

  /// Issues a product whose factors are stored as they are used and whose bias is held as T, with nothing to
  /// add but the addend or, if `write` says so, what out holds: not both. False where cuBLASLt has no algorithm.
  template <class T>
  bool multiply(const Product<T>& p, const void* bias, void* workspace, cudaStream_t stream) {
    // cuBLAS counts columns first: a row-major (M, N) is its (N, M), so the factors change places.
    const Index m = p.out.rows, n = p.out.cols, k = p.depth;
    const T* const addend = p.write == Write::add ? p.out.data : p.addend.data;
    const bool adds = p.write == Write::add || !p.addend.empty();
    const Shape shape{m,
                      n,
                      k,
                      p.a.stride,
                      p.b.stride,
                      p.addend.empty() ? p.out.stride : p.addend.stride,
                      p.out.stride,
                      alignment_of(p.a.data),
                      alignment_of(p.b.data),
                      alignment_of(addend),
                      alignment_of(p.out.data),
                      p.a.used_as,
                      dtype_of<T>(),
                      p.a.transposed,
                      p.b.transposed,
                      bias != nullptr,
                      adds};

    cublasLtMatmulDescOpaque_t operation;
    check(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value),
            "describing a product");
    };
    const cublasOperation_t of_b = p.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t of_a = p.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(CUBLASLT_MATMUL_DESC_TRANSA, of_b);
    set(CUBLASLT_MATMUL_DESC_TRANSB, of_a);
    if (bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    auto a = layout(cuda_type(p.a.used_as), p.a.transposed ? m : k, p.a.transposed ? k : m, p.a.stride);
    auto b = layout(cuda_type(p.b.used_as), p.b.transposed ? k : n, p.b.transposed ? n : k, p.b.stride);
    auto c = layout(cuda_type(dtype_of<T>()), n, m, shape.addend_stride);
    auto d = layout(cuda_type(dtype_of<T>()), n, m, p.out.stride);

    const Plan* plan = find(shape);
    if (plan == nullptr) plan = choose(shape, operation, b, a, c, d);
    if (!plan->algorithm) return false;
    const float alpha = p.scale, beta = !adds ? 0.0f : p.write == Write::add ? 1.0f : p.addend_scale;
    check(cublasLtMatmul(handle_.get(), &operation, &alpha, p.b.data, &b, p.a.data, &a, &beta,
                         adds ? addend : p.out.data, &c, p.out.data, &d, &*plan->algorithm, workspace,
                         workspace_bytes, stream),
          "a matrix product");
    return true;
  }

 private:
  /// All that the choice of an algorithm may depend on.
  struct Shape {
    Index m, n, k, a_stride, b_stride, addend_stride, out_stride;
    std::uint32_t a_alignment, b_alignment, addend_alignment, out_alignment;  // bytes
    Dtype factors, out;
    bool a_transposed, b_transposed, bias, adds;
    bool operator==(const Shape&) const = default;
  };
  struct Plan {
    Shape shape;
    std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: cuBLASLt cannot
  };

  /// The largest power of two, up to 256, that an address is a multiple of.
  static std::uint32_t alignment_of(const void* data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    std::uint32_t alignment = 256;
    while (address % alignment != 0) alignment /= 2;
    return alignment;
  }

  static cublasLtMatrixLayoutOpaque_t layout(cudaDataType_t type, Index rows, Index cols, Index stride) {
    cublasLtMatrixLayoutOpaque_t result;
    check(cublasLtMatrixLayoutInit(&result, type, rows, cols, static_cast<std::int64_t>(stride)),
          "describing a matrix");
    return result;
  }

  /// A model has a few dozen shapes a bucket of tokens: they are looked through in order.
  const Plan* find(const Shape& shape) const {
    for (const Plan& plan : plans_)
      if (plan.shape == shape) return &plan;
    return nullptr;
  }

  const Plan* choose(const Shape& shape, cublasLtMatmulDescOpaque_t& operation,
                     cublasLtMatrixLayoutOpaque_t& first, cublasLtMatrixLayoutOpaque_t& second,
                     cublasLtMatrixLayoutOpaque_t& c, cublasLtMatrixLayoutOpaque_t& d) {
    cublasLtMatmulPreferenceOpaque_t preference;
    check(cublasLtMatmulPreferenceInit(&preference), "choosing an algorithm");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
            "choosing an algorithm");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.b_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.a_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.addend_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.out_alignment);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t answer = cublasLtMatmulAlgoGetHeuristic(handle_.get(), &operation, &first, &second,
                                                                 &c, &d, &preference, 1, &found, &count);
    if (answer != CUBLAS_STATUS_NOT_SUPPORTED) check(answer, "choosing an algorithm");
    plans_.push_back({shape, std::nullopt});
    if (answer == CUBLAS_STATUS_SUCCESS && count > 0) plans_.back().algorithm = found.algo;
    return &plans_.back();
  }

  Owned<cublasLtHandle_t, cublasLtDestroy> handle_;
  std::vector<Plan> plans_;
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
