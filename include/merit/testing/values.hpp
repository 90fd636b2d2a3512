// A tensor of a model as plain numbers, wherever and however it is stored.
#pragma once

#include <vector>

#include "merit/core/error.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The values of tensor i, row-major.
template <class B>
std::vector<typename B::Stat> values_of(const Parameters<B>& parameters, Index i) {
  if (i >= parameters.tensor_count()) throw UsageError(concat("there is no parameter ", i));
  std::vector<typename B::Stat> values(parameters.element_count(i));
  parameters.get(i, values.data());
  return values;
}

/// One of them, by its place in a slice of one tensor.
template <class B>
typename B::Stat value_at(const Parameters<B>& parameters, const ParameterSlice& slice, Index row,
                          Index col) {
  return values_of(parameters, slice.first).at(slice.begin + row * slice.stride + col);
}

}  // namespace MERIT_ABI
}  // namespace merit
