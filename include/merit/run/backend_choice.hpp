// The backends that a program may be built with, by the names that users give them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

enum class BackendChoice : std::uint8_t {
  eigen,      // the host's processor, in float
  thrust,     // a GPU, with activations in bfloat16
  thrust_omp  // the device's code on the host's processor, in float
};
template <>
inline constexpr std::array<std::string_view, 3> enum_names<BackendChoice>{"eigen", "thrust", "thrust_omp"};

/// Those that this program was built with.
std::vector<BackendChoice> compiled_backends();

/// The backend of that name. Throws ConfigError where there is none, or none in this program, with those that
/// are in it.
BackendChoice backend_named(std::string_view name);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/backend_choice_body.hpp"
#endif
