// The whole of merit::device: what a unit compiles, by nvcc, for ThrustBackend on CudaSystem.
#pragma once

#include "merit/backend/thrust/cuda_machine.cuh"
#include "merit/backend/thrust/kernel_operations.hpp"
#include "merit/backend/thrust/nccl_comm.hpp"
#if defined(MERIT_USE_NCCL)
#include "merit/backend/thrust/nccl_exchange.cuh"
#endif
#include "merit/backend/thrust/thrust_backend_body.hpp"

namespace merit {
inline namespace MERIT_ABI {

template class ThrustHandle<CudaSystem>;
template struct ThrustBackend<Single, CudaSystem>;
template struct ThrustBackend<BFloat16, CudaSystem>;

int gpu_count() {
  return detail::device::device_facts(-1).device_count;
}

#if defined(MERIT_USE_NCCL)
bool NcclComm::is_available() {
  return true;
}
NcclComm::NcclComm(Comm& host, ThrustHandle<CudaSystem>& handle)
    : Comm(host.rank(), host.size()),
      host_(&host),
      devices_(std::make_unique<detail::device::NcclExchange>(host, handle.machine().device(),
                                                              handle.machine().stream(), &handle)) {}
#else
bool NcclComm::is_available() {
  return false;
}
NcclComm::NcclComm(Comm& host, ThrustHandle<CudaSystem>&) : Comm(host.rank(), host.size()), host_(&host) {
  throw ConfigError("NCCL: merit::device was built without it: build it where nccl.h and libnccl are");
}
#endif

}  // namespace MERIT_ABI
}  // namespace merit
