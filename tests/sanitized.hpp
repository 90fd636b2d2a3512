// Whether these tests run under the address sanitizer, where each takes ten times as long.
#pragma once

#include "merit/core/view.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define MERIT_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MERIT_TEST_SANITIZED 1
#endif
#endif
#ifndef MERIT_TEST_SANITIZED
#define MERIT_TEST_SANITIZED 0
#endif

namespace merit_test {

/// How many of `count` random cases are tried: a quarter of them under the sanitizers, which look for what the first few
/// show as well.
constexpr merit::Index random_cases(merit::Index count) {
  return MERIT_TEST_SANITIZED != 0 ? (count + 3) / 4 : count;
}

}  // namespace merit_test
