// How the functors here read and write an element: numbers are float inside, whatever holds them. A functor is
// one operation's work on the element, row or tile of a number; it has all it needs as members, so that a loop
// on a host and a kernel on a device can call it alike.
#pragma once

#include <type_traits>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// A number as an element of type T holds it.
template <class T>
MERIT_CALLABLE T rounded(float value) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return {to_bf16(value)};
  } else {
    return value;
  }
}

template <class T>
MERIT_CALLABLE void put(T& place, float value, Write write) {
  place = rounded<T>(write == Write::assign ? value : number<float>(place) + value);
}

/// Number i of a stored weight, as float.
inline MERIT_CALLABLE float stored_number(const void* data, Dtype dtype, Index i) {
  switch (dtype) {
    case Dtype::f64: return number<float>(static_cast<const double*>(data)[i]);
    case Dtype::f16: return number<float>(static_cast<const F16*>(data)[i]);
    case Dtype::bf16: return number<float>(static_cast<const Bf16*>(data)[i]);
    default: break;  // f32: nothing quantised is held on a device
  }
  return static_cast<const float*>(data)[i];
}

/// The first of the ascending numbers that is at least `value`: its place, or `size`.
inline MERIT_CALLABLE Index lower_bound(const std::uint32_t* ascending, Index size, Index value) {
  Index begin = 0;
  while (size > 0) {
    const Index half = size / 2;
    if (ascending[begin + half] < value) {
      begin += half + 1;
      size -= half + 1;
    } else {
      size = half;
    }
  }
  return begin;
}

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
