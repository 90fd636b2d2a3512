// The bodies of gguf_value.hpp.
#pragma once

#include <string>
#include <type_traits>
#include <variant>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/gguf_value.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE std::string describe(const GgufValue& value) {
  return std::visit(
      []<class T>(const T& held) -> std::string {
        if constexpr (std::is_same_v<T, bool>) {
          return held ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::string>) {
          return quote(held);
        } else if constexpr (is_vector<T>) {
          return concat("an array of ", held.size());
        } else {
          return concat(held);
        }
      },
      value.held);
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
