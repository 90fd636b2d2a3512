// Bytes of others can neither draw on a terminal nor begin a line, in any message.
#include "merit/core/visible.hpp"

#include <doctest/doctest.h>

#include <string>

#include "merit/core/error.hpp"

namespace visible_test {

using merit::visible;

TEST_CASE("what a terminal would obey is written out, and all else stays") {
  CHECK(visible("") == "");
  CHECK(visible("a \"b\" \\ ~") == "a \"b\" \\ ~");
  CHECK(visible("grün 日本 🙂 é") == "grün 日本 🙂 é");
  CHECK(visible("\x1b[31mred\n\r\t\x7f") == "\\x1b[31mred\\x0a\\x0d\\x09\\x7f");
  CHECK(visible(std::string("a\0b", 3)) == "a\\x00b");
  CHECK(visible("\xc2\x9b"
                "31m") == "\\xc2\\x9b31m");  // C1 as UTF-8
  CHECK(visible("\x9b"
                "31m") == "\\x9b31m");  // and as a byte
  CHECK(visible("\xc2\xa0") == "\xc2\xa0");
  CHECK(visible("a\xe2\x80\xae"
                "b") == "a\\xe2\\x80\\xaeb");  // right to left from here on
  CHECK(visible("\xe2\x81\xa6") == "\\xe2\\x81\\xa6");
  CHECK(visible("\xe2\x80\xa8") == "\\xe2\\x80\\xa8");
  CHECK(visible("\xc3") == "\\xc3");
  CHECK(visible("\xed\xa0\x80!") == "\\xed\\xa0\\x80!");
  CHECK(visible("\xff\xfe") == "\\xff\\xfe");
  const std::string once = visible("\x1b\n\xc2\x9b");
  CHECK(visible(once) == once);
}

TEST_CASE("every error is one line, whatever it quotes") {
  CHECK(std::string(merit::DataError("field \"a\nforged: 1.000\x1b[2J\"").what()) ==
        "field \"a\\x0aforged: 1.000\\x1b[2J\"");
  CHECK(std::string(merit::IoError(std::string("grün")).what()) == "grün");
}

}  // namespace visible_test
