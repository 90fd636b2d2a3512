// The loops of our losses on device backends: for the units of merit::device and merit::thrust_host, which name the systems.
#pragma once

#include <tuple>

#include "merit/backend/thrust/thrust_backend_body.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/device_loss.hpp"
#include "merit/loss/hinge_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The loops of all these losses: a variable of it has them compiled.
template <class System, class... Losses>
struct DeviceLoops {
  using B = ThrustBackend<Single, System>;
  using Handle = typename B::Handle;
  template <class F>
  using Loop = void (*)(Handle&, Index, const F&);

  std::tuple<Loop<DeviceTermsOf<Losses, B>>...> of_terms{&B::template for_each<DeviceTermsOf<Losses, B>>...};
  Loop<AddSlopes<float>> of_slopes = &B::template for_each<AddSlopes<float>>;
  Loop<SumLosses> of_sums = &B::template for_each<SumLosses>;
  Loop<ClearLoss> of_clearing = &B::template for_each<ClearLoss>;
  Loop<AddLoss> of_losses = &B::template for_each<AddLoss>;
};

template <class System, ScoreMeaning... meanings>
using DeviceLoopsOf = DeviceLoops<System, PairwiseLoss, HingeLoss, PlackettLuceLoss, ValueLoss,
                                  BinaryCrossEntropyLoss<meanings>...,
                                  CategoricalCrossEntropyLoss<meanings>..., RegressionLoss<meanings>...>;
template <class System>
using AllDeviceLoops = DeviceLoopsOf<System, ScoreMeaning::per_completion, ScoreMeaning::per_token,
                                     ScoreMeaning::per_step, ScoreMeaning::per_state>;

/// Instantiated by each unit for its systems.
template <class System>
const AllDeviceLoops<System> device_loops;

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
