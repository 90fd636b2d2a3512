// The instruction sets of x86-64 processors that the kernels are compiled for: which one is used, and which
// one this machine has.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "merit/core/enum_names.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The levels of the x86-64 psABI, each with all of those before it: v2 has SSE4.2, v3 AVX2 and FMA, v4
/// AVX-512. `baseline` is what every processor of its kind has, also where that is no x86-64.
enum class InstructionSet : std::uint8_t { baseline, x86_64_v2, x86_64_v3, x86_64_v4 };
template <>
inline constexpr std::array<std::string_view, 4> enum_names<InstructionSet>{"baseline", "x86-64-v2",
                                                                            "x86-64-v3", "x86-64-v4"};

struct InstructionSets {
  InstructionSet used = InstructionSet::baseline;       // by the operations of EigenBackend<float>
  InstructionSet available = InstructionSet::baseline;  // on this machine

  /// Products without AVX2 take three times as long as with it; AVX-512 adds a third.
  constexpr bool much_slower_than_could_be() const {
    return used < InstructionSet::x86_64_v3 && available >= InstructionSet::x86_64_v3;
  }
};

/// Which instructions the Eigen backend uses, and which it could. Header-only, those are used that this unit
/// is compiled for. With merit::compiled, the best that the machine has, or at most what the environment
/// variable MERIT_INSTRUCTION_SET names ("x86-64-v2"); ConfigError where that is no name, or is more than the
/// machine has.
InstructionSets instruction_set();

namespace detail {

/// What the compiler was told that it may use in this unit.
constexpr InstructionSet instruction_set_of_unit() {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)
  return InstructionSet::x86_64_v4;
#elif defined(__AVX2__) && defined(__FMA__)
  return InstructionSet::x86_64_v3;
#elif defined(__SSE4_2__)
  return InstructionSet::x86_64_v2;
#else
  return InstructionSet::baseline;
#endif
}

/// What the processor has and the operating system lets programs use. Asked for are the instructions that set
/// the levels apart: no processor with those lacks the others of its level.
inline InstructionSet instruction_set_of_machine() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) return InstructionSet::baseline;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) {
    return InstructionSet::x86_64_v2;
  }
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512cd") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return InstructionSet::x86_64_v3;
  }
  return InstructionSet::x86_64_v4;
#else
  return InstructionSet::baseline;
#endif
}

}  // namespace detail

#ifndef MERIT_COMPILED
inline InstructionSets instruction_set() {
  return {detail::instruction_set_of_unit(), detail::instruction_set_of_machine()};
}
#endif

}  // namespace MERIT_ABI
}  // namespace merit
