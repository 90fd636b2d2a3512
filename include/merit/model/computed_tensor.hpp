// A parameter that no tensor of a file is, but that several of them make.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How a parameter is made of published tensors: they are read, row-major, in the order of `tensors`, and
/// `compute` gives the parameter's values, row-major.
struct ComputedTensor {
  std::string parameter;
  std::vector<std::string> tensors;
  std::function<std::vector<double>(std::span<const std::vector<double>> values)> compute;
};

}  // namespace MERIT_ABI
}  // namespace merit
