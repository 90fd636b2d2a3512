// Why a GPU cannot be used, in one sentence each: tested where there is none.
#include <doctest/doctest.h>

#include <string>

#include "merit/backend/thrust/device_facts.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/core/error.hpp"

namespace device_facts_test {

using merit::detail::device::device_problem;
using merit::detail::device::DeviceFacts;
using merit::detail::device::memory_problem;

/// A machine on which all is well.
DeviceFacts good() {
  DeviceFacts facts;
  facts.device = 1;
  facts.driver_version = facts.toolkit_version = 13000;
  facts.device_count = 2;
  facts.name = "NVIDIA H200";
  facts.capability = 90;
  return facts;
}

TEST_CASE("a GPU that can be used has no problem") {
  CHECK(device_problem(good()).empty());
  DeviceFacts newer = good(), minor = good();
  newer.driver_version = 14020;
  minor.toolkit_version = 13010;  // within a major version an older driver runs what a newer toolkit built
  CHECK(device_problem(newer).empty());
  CHECK(device_problem(minor).empty());
}

TEST_CASE("what keeps a GPU from being used is one sentence") {
  DeviceFacts facts = good();
  facts.driver_version = 0;
  facts.device_count = 0;
  CHECK(
      device_problem(facts) ==
      "no NVIDIA driver was found, expected one for CUDA 13.0 or newer: use another backend on this machine");

  facts = good();
  facts.driver_version = 12040;
  CHECK(
      device_problem(facts) ==
      "the NVIDIA driver is one for CUDA 12.4, expected one for CUDA 13.0 or newer, by which this program was "
      "built: install a newer driver");

  facts = good();
  facts.device_count = 0;
  CHECK(device_problem(facts) ==
        "no NVIDIA GPU was found (or CUDA_VISIBLE_DEVICES hides it): use another backend on this machine");

  facts = good();
  facts.device_count = 0;
  facts.count_problem = "system not yet initialized";
  CHECK(
      device_problem(facts) ==
      "CUDA cannot tell which GPUs there are: system not yet initialized: expected nvidia-smi to list them");

  for (const int device : {-1, 2}) {
    facts = good();
    facts.device = device;
    CHECK(device_problem(facts) ==
          "there is no GPU " + std::to_string(device) + ", expected a number from 0 to 1");
  }

  facts = good();
  facts.name = "Tesla P100";
  facts.capability = 61;
  facts.has_code = false;
  CHECK(device_problem(facts) ==
        "GPU 1 (Tesla P100) has compute capability 6.1, for which this program was not built: add it to "
        "CMAKE_CUDA_ARCHITECTURES");

  facts = good();
  facts.problem = "out of memory";
  CHECK(device_problem(facts) ==
        "GPU 1 (NVIDIA H200) cannot be used: out of memory: expected one that nobody holds alone, with some "
        "memory free");
}

TEST_CASE("too little memory is said with what there is and what was asked for") {
  constexpr merit::Index mib = merit::Index{1} << 20;
  CHECK(
      memory_problem(0, 2000 * mib + 1, 512 * mib, 16000 * mib) ==
      "GPU 0 has 512 MiB of 16000 MiB free and 2001 MiB were asked for: expected a smaller model or fewer tokens "
      "at once");
}

#ifdef MERIT_TEST_DEVICE
TEST_CASE("a machine without the GPU that is asked for says so") {
  using B = merit::ThrustBackend<merit::Single, merit::CudaSystem>;
  try {
    B::Handle handle(B{.device = 1000});
    FAIL("there are not so many");
  } catch (const merit::Error& error) {
    const std::string sentence = error.what();
    CHECK(sentence.starts_with("thrust: "));
    CHECK((sentence.find("no NVIDIA") != std::string::npos ||
           sentence.find("no GPU 1000") != std::string::npos));
  }
}
#endif

}  // namespace device_facts_test
