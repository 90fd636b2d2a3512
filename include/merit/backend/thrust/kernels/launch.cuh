// Starts a kernel on a stream.
#pragma once

#include <cuda_runtime_api.h>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/cuda_block.cuh"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::most_threads, Kernel::least_blocks)
    run_on_device(const __grid_constant__ Kernel kernel) {
  CudaBlock block;
  kernel(block);
}

/// Issues it; returns before it has run, or why it could not be issued. A grid without blocks is nothing to do. May be
/// captured in a graph.
template <class Kernel>
[[nodiscard]] cudaError_t launch(const Kernel& kernel, cudaStream_t stream) {
  const Grid grid = kernel.grid();
  if (grid.columns == 0 || grid.rows == 0) return cudaSuccess;
  if (grid.columns > 0x7FFFFFFF || grid.rows > 0xFFFF) return cudaErrorInvalidConfiguration;
  const auto shared = static_cast<std::size_t>(grid.shared_bytes);
  if (shared > 48 * 1024) {  // what a block gets unasked
    const cudaError_t error = cudaFuncSetAttribute(
        run_on_device<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, grid.shared_bytes);
    if (error != cudaSuccess) return error;
  }
  const dim3 blocks(static_cast<unsigned>(grid.columns), static_cast<unsigned>(grid.rows));
  run_on_device<<<blocks, static_cast<unsigned>(grid.threads), shared, stream>>>(kernel);
  return cudaGetLastError();
}

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
