// Whether a GPU can be used, decided from what the machine says of itself, without asking a device here: so
// that every sentence can be tested where there is none.
#pragma once

#include <string>

#include "merit/core/concat.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

struct DeviceFacts {
  int device = 0;           // the one that is asked for
  int driver_version = 0;   // as CUDA counts: 13000 is 13.0; 0: there is no driver
  int toolkit_version = 0;  // that of the toolkit which built this program
  int device_count = 0;
  std::string count_problem;  // what CUDA says where it cannot count devices, but for that there are none
  std::string name;           // of the device, as the next two
  int capability = 0;         // 90 is 9.0
  bool has_code = true;       // this program has code that the device runs
  std::string problem;        // what CUDA says of the device where it cannot be used for another reason
};

/// Why the device cannot be used, in one sentence; empty: it can.
inline std::string device_problem(const DeviceFacts& facts) {
  const auto cuda = [](int version) { return concat(version / 1000, ".", version % 1000 / 10); };
  if (facts.driver_version == 0) {
    return concat("no NVIDIA driver was found, expected one for CUDA ", cuda(facts.toolkit_version),
                  " or newer: use another backend on this machine");
  }
  if (facts.driver_version / 1000 < facts.toolkit_version / 1000) {
    return concat("the NVIDIA driver is one for CUDA ", cuda(facts.driver_version),
                  ", expected one for CUDA ", cuda(facts.toolkit_version),
                  " or newer, by which this program was built: install a newer driver");
  }
  if (!facts.count_problem.empty()) {
    return concat("CUDA cannot tell which GPUs there are: ", facts.count_problem,
                  ": expected nvidia-smi to list them");
  }
  if (facts.device_count == 0) {
    return "no NVIDIA GPU was found (or CUDA_VISIBLE_DEVICES hides it): use another backend on this machine";
  }
  if (facts.device < 0 || facts.device >= facts.device_count) {
    return concat("there is no GPU ", facts.device, ", expected a number from 0 to ", facts.device_count - 1);
  }
  if (!facts.has_code) {
    return concat("GPU ", facts.device, " (", facts.name, ") has compute capability ", facts.capability / 10,
                  ".", facts.capability % 10,
                  ", for which this program was not built: add it to CMAKE_CUDA_ARCHITECTURES");
  }
  if (!facts.problem.empty()) {
    return concat("GPU ", facts.device, " (", facts.name, ") cannot be used: ", facts.problem,
                  ": expected one that nobody holds alone, with some memory free");
  }
  return "";
}

/// That a block is not to be had.
inline std::string memory_problem(int device, Index wanted, Index free, Index total) {
  const auto mib = [](Index bytes) { return concat((bytes + (Index{1} << 20) - 1) >> 20, " MiB"); };
  return concat("GPU ", device, " has ", mib(free), " of ", mib(total), " free and ", mib(wanted),
                " were asked for: expected a smaller model or fewer tokens at once");
}

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
