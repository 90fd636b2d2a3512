// What a header-only program says at its start where it is compiled for far less than the machine has.
#pragma once

#include <cstdio>

#include "merit/backend/instruction_set.hpp"

/// One line on stderr, or none. A program that links merit::compiled runs the best kernels of the machine, or those
/// that its user chose.
inline void remark_on_instruction_set([[maybe_unused]] const char* program) {
#if !defined(MERIT_COMPILED)
  const merit::InstructionSets sets = merit::instruction_set();
  if (!sets.much_slower_than_could_be()) return;
  std::fprintf(
      stderr,
      "%s: compiled for %s, where this machine has %s: -march=x86-64-v3, or merit::compiled, makes it "
      "several times as fast\n",
      program, name_of(sets.used).data(), name_of(sets.available).data());
#endif
}
