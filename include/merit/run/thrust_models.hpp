// The models of the compiled set on the device backend. A unit of merit::compiled_run that includes it says by a
// macro on which system; the bodies of the operations are in merit::device and merit::thrust_host.
#pragma once

#include <memory>
#include <type_traits>

#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/run/make_model.hpp"
#include "merit/run/make_typed_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class Head>
using AnyHeadAtAll = std::true_type;

#ifdef MERIT_RUN_THRUST_MODELS
MERIT_INLINE std::unique_ptr<AnyModel> make_thrust_model(const BackboneConfig& backbone,
                                                         const ModelSettings& settings) {
  ModelSettings on_gpu = settings;
  if (const int gpus = gpu_count(); gpus != 0) on_gpu.device %= gpus;
  return make_typed_model<AnyHeadAtAll, ThrustBackend<BFloat16, CudaSystem>>(backbone, on_gpu);
}
#endif

#ifdef MERIT_RUN_THRUST_OMP_MODELS
MERIT_INLINE std::unique_ptr<AnyModel> make_thrust_omp_model(const BackboneConfig& backbone,
                                                             const ModelSettings& settings) {
  return make_typed_model<AnyHeadAtAll, ThrustBackend<Single, OmpSystem>>(backbone, settings);
}
#endif

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
