// The whole of merit::thrust_host: what a unit compiles for ThrustBackend on OmpSystem and CppSystem.
#pragma once

#include "merit/backend/thrust/host_machine.cuh"
#include "merit/backend/thrust/thrust_backend_body.hpp"

namespace merit {
inline namespace MERIT_ABI {

template class ThrustHandle<OmpSystem>;
template struct ThrustBackend<Single, OmpSystem>;
template struct ThrustBackend<BFloat16, OmpSystem>;
template class ThrustHandle<CppSystem>;
template struct ThrustBackend<Single, CppSystem>;
template struct ThrustBackend<BFloat16, CppSystem>;

}  // namespace MERIT_ABI
}  // namespace merit
