// Where a ThrustBackend runs: tags, without any Thrust in them.
#pragma once

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// An NVIDIA GPU. Its operations are in the library merit::device, which nvcc compiles.
struct CudaSystem {
  static constexpr const char* name = "thrust";
};

/// The host's processor, as if it were a device: threads by OpenMP. In the library merit::thrust_host.
struct OmpSystem {
  static constexpr const char* name = "thrust_omp";
};

/// The same on one thread.
struct CppSystem {
  static constexpr const char* name = "thrust_cpp";
};

}  // namespace MERIT_ABI
}  // namespace merit
