// The whole of merit::device: what a unit compiles, by nvcc, for ThrustBackend on CudaSystem.
#pragma once

#include "merit/backend/thrust/cuda_kernels.cuh"
#include "merit/backend/thrust/cuda_machine.cuh"
#include "merit/backend/thrust/thrust_backend_body.hpp"

namespace merit {
inline namespace MERIT_ABI {

template class ThrustHandle<CudaSystem>;
template struct ThrustBackend<Single, CudaSystem>;
template struct ThrustBackend<BFloat16, CudaSystem>;

}  // namespace MERIT_ABI
}  // namespace merit
