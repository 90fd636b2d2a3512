// How a checkpoint stores the weight of a linear map.
#pragma once

#include <cstdint>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// (out, in) as in a Linear layer, or (in, out) as in GPT-2's Conv1D.
enum class Layout : std::uint8_t { out_in, in_out };

}  // namespace MERIT_ABI
}  // namespace merit
