// UTF-8: every kind of byte sequence that is not.
#include "merit/io/utf8.hpp"

#include <doctest/doctest.h>

#include <string_view>

namespace utf8_test {

TEST_CASE("invalid UTF-8 is found where it begins") {
  using merit::first_invalid_utf8;
  for (const std::string_view good :
       {"", "plain", "caf\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xF4\x8F\xBF\xBF", "\xC2\x80", "\xE0\xA0\x80"}) {
    CHECK(first_invalid_utf8(good) == good.size());
  }
  for (const std::string_view bad :
       {"ab\x80", "ab\xC3", "ab\xC0\xAF", "ab\xC1\x81", "ab\xC3(", "ab\xE0\x80\xAF", "ab\xE0\x9F\xBF",
        "ab\xF0\x8F\xBF\xBF", "ab\xE2\x82", "ab\xE2(\xA1", "ab\xED\xA0\x80", "ab\xF0\x80\x80\x80",
        "ab\xF0\x9F\x98", "ab\xF4\x90\x80\x80", "ab\xF5\x80\x80\x80", "ab\xFF", "ab\xF0\x9F(\x80"}) {
    CHECK(first_invalid_utf8(bad) == 2);
  }
}

}  // namespace utf8_test
