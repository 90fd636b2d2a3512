// The shape checks of nn/: one sentence that names the operation and both shapes.
#pragma once

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Throws unless found == expected.
inline void check_extent(const char* operation, const char* what, Index found, Index expected) {
  if (found != expected) {
    throw UsageError(concat(operation, ": ", what, " is ", found, ", expected ", expected));
  }
}

/// Throws unless all tokens of a path are in the forest: for what reads more of the others than keys and values.
inline void check_whole(const char* operation, bool whole) {
  if (whole) return;
  throw UsageError(concat(operation,
                          ": the forest follows tokens of which keys and values alone are kept, expected ",
                          "whole sequences"));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
