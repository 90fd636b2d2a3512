// What converting a model did.
#pragma once

#include <string>
#include <vector>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What was done.
struct ConvertReport {
  Index tensors = 0;                  // that were written
  std::vector<std::string> kept;      // matrices whose rows are no whole blocks of the type asked for
  std::vector<std::string> left_out;  // tensors and files that are not in the result, and why
};

}  // namespace MERIT_ABI
}  // namespace merit
