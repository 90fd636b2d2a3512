// What a GGUF file says beside its tensors: typed values under names.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One value of a GGUF file's metadata. Integers of all widths are held in 64 bits, the rest as it is in the
/// file. Arrays of numbers and strings are vectors of them; an array of arrays is a vector of values.
struct GgufValue {
  using Held = std::variant<bool, std::uint64_t, std::int64_t, float, double, std::string, std::vector<bool>,
                            std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<float>,
                            std::vector<double>, std::vector<std::string>, std::vector<GgufValue>>;
  Held held;

  /// What is held if it is exactly a T, without a copy: `value.get<std::vector<std::string>>()`; else null.
  template <class T>
  const T* get() const {
    return std::get_if<T>(&held);
  }
};

namespace detail {

/// The types of metadata as they are numbered in files.
enum class GgufType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

/// A value in a few words, for "found …".
std::string describe(const GgufValue& value);

/// "a whole number from 0 to 255" and the like.
template <class T>
std::string gguf_expectation() {
  if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (std::is_integral_v<T>) {
    return concat("a whole number from ", +std::numeric_limits<T>::min(), " to ",
                  +std::numeric_limits<T>::max());
  } else if constexpr (std::is_floating_point_v<T>) {
    return "a finite number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "a string";
  } else {
    return "an array, each " + gguf_expectation<typename T::value_type>();
  }
}

/// `held` as a T into `out`; false when it is not one, or a number does not fit.
template <class T, class Held>
bool convert_gguf(const Held& held, T& out) {
  constexpr bool is_integer = std::is_integral_v<Held> && !std::is_same_v<Held, bool>;
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
    if constexpr (std::is_same_v<T, Held>) {
      out = held;
      return true;
    }
  } else if constexpr (std::is_integral_v<T>) {
    if constexpr (is_integer) {
      out = static_cast<T>(held);
      return std::in_range<T>(held);
    }
  } else if constexpr (std::is_floating_point_v<T>) {
    if constexpr (is_integer || std::is_floating_point_v<Held>) {
      // Compared first: to convert a double that a float cannot hold is undefined.
      const auto number = static_cast<double>(held);
      if (!(std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max()))) return false;
      out = static_cast<T>(number);
      return true;
    }
  } else if constexpr (std::is_same_v<T, Held>) {  // whole vectors
    out = held;
    return true;
  } else if constexpr (is_vector<T> && is_vector<Held>) {
    out.clear();
    if constexpr (!std::is_same_v<typename Held::value_type, GgufValue>) {
      out.reserve(held.size());
      for (auto&& item : held) {
        typename T::value_type element{};
        if (!convert_gguf(item, element)) return false;
        out.push_back(std::move(element));
      }
      return true;
    }
  }
  return false;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/gguf_value_body.hpp"
#endif
