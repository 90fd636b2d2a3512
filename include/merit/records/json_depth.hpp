// How deep a place in JSON text is, without parsing it.
#pragma once

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Steps over JSON text and knows how deep it is. Where the text is no JSON it is a guess.
struct JsonDepth {
  Index depth = 0;
  bool in_string = false;
  bool escaped = false;

  void step(char c) {
    if (in_string) {
      in_string = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
