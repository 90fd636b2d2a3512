// Memory of the emulated machine, for machine.hpp, and its way to run a kernel.
#pragma once

#include <doctest/doctest.h>

#include <cstring>

#include "backend/emulation/emulated_block.hpp"
#include "backend/emulation/emulator.hpp"
#include "merit/core/view.hpp"

namespace merit_test {

class MachineMemory {
 public:
  explicit MachineMemory(merit::Index bytes) {
    memory_.resize(bytes);
    Emulator::only().add_memory(memory_);
  }
  MachineMemory(const MachineMemory&) = delete;
  MachineMemory& operator=(const MachineMemory&) = delete;
  ~MachineMemory() { Emulator::only().remove_memory(memory_); }

  void* data() { return memory_.data(); }
  const void* data() const { return memory_.data(); }

  void forbid(merit::Index begin, merit::Index bytes) {
    memory_.for_each_shadow(begin, bytes, [](Shadow& shadow) { shadow.forbid(); });
  }
  void set(merit::Index begin, const void* from, merit::Index bytes) {
    memory_.for_each_shadow(begin, bytes, [](Shadow& shadow) { shadow.fill(); });
    if (bytes > 0) std::memcpy(memory_.data() + begin, from, bytes);
  }
  void get(merit::Index begin, void* to, merit::Index bytes) const {
    bool filled = true;
    memory_.for_each_shadow(begin, bytes,
                            [&](const Shadow& shadow) { filled = filled && shadow.is_filled(); });
    REQUIRE(filled);
    if (bytes > 0) std::memcpy(to, memory_.data() + begin, bytes);
  }
  /// The emulator refuses what would break it.
  bool fence_is_whole() const { return true; }

 private:
  mutable ShadowedMemory memory_;
};

template <class Kernel>
void run(const Kernel& kernel) {
  emulate(kernel);
}

}  // namespace merit_test
