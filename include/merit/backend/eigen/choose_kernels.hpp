// The choice among kernels that are compiled for several instruction sets: the best that the machine has, or
// what the user names.
#pragma once

#include <cstdlib>
#include <span>

#include "merit/backend/eigen/kernel_table.hpp"
#include "merit/backend/instruction_set.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// What the user wants at most: the value of MERIT_INSTRUCTION_SET, or all that the machine has.
inline InstructionSet wanted_instruction_set(const char* text, InstructionSet available) {
  if (text == nullptr || *text == '\0') return available;
  const auto wanted = value_from_name<InstructionSet>("MERIT_INSTRUCTION_SET", text);
  if (wanted > available) {
    throw ConfigError(concat("MERIT_INSTRUCTION_SET is ", text, ", which this machine does not have: it has ",
                             name_of(available)));
  }
  return wanted;
}

/// Of `built`, which are in ascending order, the best that are at most `wanted`, for float and for double.
inline KernelTables choose_kernels(std::span<const KernelTables> built, InstructionSet wanted) {
  KernelTables best;
  for (const KernelTables& tables : built) {
    if (tables.instruction_set > wanted) break;
    best.instruction_set = tables.instruction_set;
    best.of_float = tables.of_float;
    if (tables.of_double != nullptr) best.of_double = tables.of_double;
  }
  if (best.of_float == nullptr) {
    throw ConfigError(concat("this machine has, or MERIT_INSTRUCTION_SET allows, the instructions of ",
                             name_of(wanted), "; merit::compiled is built for ",
                             name_of(built.front().instruction_set), " and better"));
  }
  return best;
}

/// The same, by the environment and the machine.
inline KernelTables choose_kernels(std::span<const KernelTables> built) {
  return choose_kernels(
      built, wanted_instruction_set(std::getenv("MERIT_INSTRUCTION_SET"), instruction_set_of_machine()));
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
