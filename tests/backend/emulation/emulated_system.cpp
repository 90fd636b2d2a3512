// What a unit compiles for ThrustBackend on the emulator.
#include "backend/emulation/emulated_system.hpp"

#include "merit/backend/thrust/kernel_operations.hpp"
#include "merit/backend/thrust/thrust_backend_body.hpp"
#include "merit/run/device_losses.hpp"

namespace merit {
inline namespace MERIT_ABI {

template class ThrustHandle<merit_test::EmulatedSystem>;
template struct ThrustBackend<Single, merit_test::EmulatedSystem>;
template struct ThrustBackend<BFloat16, merit_test::EmulatedSystem>;
template const detail::AllDeviceLoops<merit_test::EmulatedSystem>
    detail::device_loops<merit_test::EmulatedSystem>;

}  // namespace MERIT_ABI
}  // namespace merit
