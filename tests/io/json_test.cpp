// Strict JSON: what is refused, and what the error says.
#include "merit/io/json.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "temporary.hpp"

namespace json_test {

using namespace merit;
using namespace merit_test;

std::string repeat(std::string_view part, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text;
}

TEST_CASE("valid JSON of every kind is read as it stands") {
  const Json value =
      parse_json(R"( {"a": [1, -2, 2.5, true, null, "\u00e9ü\n"], "b": {"a": {}}, "c": []} )", "x");
  CHECK(value["a"].size() == 6);
  CHECK(value["a"][0].is_number_unsigned());
  CHECK(value["a"][1] == -2);
  CHECK(value["a"][2] == 2.5);
  CHECK(value["a"][3] == true);
  CHECK(value["a"][4].is_null());
  CHECK(value["a"][5] == "éü\n");
  CHECK(value["b"]["a"] == Json::object());
  CHECK(value["c"] == Json::array());
  CHECK(parse_json("3", "x") == 3);
  CHECK(parse_json("18446744073709551615", "x") == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("text that is not JSON is an error with file, line, column and cause") {
  struct Case {
    std::string text;
    std::string place;
    std::string cause;
  };
  const std::vector<Case> cases = {
      {"", "at column 1", "the text ends before its JSON does"},
      {"{\"a", "at column 4", "the text ends before its JSON does (syntax error while parsing object key - "},
      {"{\"a\": 1,\n  \"b\": tru}", "at line 2, column 11", "invalid literal"},
      {"{\"a\": 1}\n\n x", "at line 3, column 2", "more text after the end of the value"},
      {"{\"a\": 1} {}", "at column 10", "more text after the end of the value"},
      {"{\"a\" 1}", "at column 6", "expected ':'"},
      {"{a: 1}", "at column 2", "invalid literal"},
      {"[1, 2", "at column 6", "expected ']'"},
      {"[1, 2,]", "at column 7", "unexpected ']'"},
      {"{\"a\": NaN}", "at column 7", "NaN, which JSON does not have"},
      {"[1, nan]", "at column 5", "nan, which JSON does not have"},
      {"[1, -Infinity]", "at column 6", "Infinity, which JSON does not have"},
      {"[1, inf]", "at column 5", "inf, which JSON does not have"},
      {R"(["C:\info"])", "at column 6", "invalid string: forbidden character after backslash"},
      {"[1, nul]", "at column 8", "invalid literal"},
      {"{\"a\": 1e999}", "at column", "a number too large for a double"},
      {"{\"a\": 01}", "at column 8", "unexpected number literal"},
      {"{\"a\": \"\xff\"}", "at column 8", "bytes that are not UTF-8"},
      {"{\"a\": \"\xc3", "at column 8", "bytes that are not UTF-8"},
      {"\x80", "at column 1", "bytes that are not UTF-8"},
      {std::string("\xFF\xFE{\0", 4), "at column 1", "bytes that are not UTF-8"},
      {"{\"a\": \"\\ud800\"}", "at column", "surrogate"},
      {"{\"a\": \"tab\there\"}", "at column", "control character"},
      {"// comment\n1", "at line 1, column", "invalid literal"},
      {std::string("1\0", 2), "at column 2", "a zero byte"},
      {std::string("{}\0{", 4), "at column 3", "a zero byte"},
      {"{\"a\": 1,\n \"b\": {\"a\": 1, \"a\": 2}}", "at line 2, column 19", "the key \"a\" occurs twice"},
      {"{\"a\": 1, \"\\u0061\": 2}", "at column", "the key \"a\" occurs twice"},
      {repeat("[", 129) + repeat("]", 129), "at column 130", "nested deeper than 128 levels"},
      {repeat("{\"a\":", 1'000'000), "at column", "nested deeper than 128 levels"},
      {repeat("[", 1'000'000), "at column", "nested deeper than 128 levels"},
  };
  for (const Case& test : cases) {
    CAPTURE(test.text.substr(0, 60));
    const std::string message = error_of<DataError>([&] { parse_json(test.text, "file.json"); });
    CHECK(message.starts_with("file.json: not valid JSON at "));
    CHECK_MESSAGE(contains(message, test.place), message);
    CHECK_MESSAGE(contains(message, test.cause), message);
    CHECK(message.size() < 400);
  }
}

TEST_CASE("nesting at the limit is read") {
  CHECK_NOTHROW(parse_json(repeat("[", 128) + repeat("]", 128), "x"));
  CHECK_NOTHROW(parse_json(repeat("{\"a\":[", 64) + repeat("]}", 64), "x"));
  CHECK(contains(error_of<DataError>([] { parse_json("[[[]]]", "x", 2); }), "nested deeper than 2 levels"));
  // Siblings do not add up.
  CHECK_NOTHROW(parse_json("[" + repeat("[[]],", 1000) + "1]", "x"));
}

TEST_CASE("the same key in different objects is no repetition") {
  CHECK_NOTHROW(parse_json(R"([{"a": {"a": 1}}, {"a": {"a": 1}}])", "x"));
}

TEST_CASE("fields come out with the type asked for") {
  const Json object = parse_json(
      R"({"whole": 7, "minus": -7, "real": 0.5, "text": "hi", "yes": true, "list": [1, 2], "map": {"a": 1},
          "null": null, "large": 4294967296})",
      "x");
  CHECK(require<int>(object, "whole", "x") == 7);
  CHECK(require<unsigned>(object, "whole", "x") == 7);
  CHECK(require<int>(object, "minus", "x") == -7);
  CHECK(require<double>(object, "real", "x") == 0.5);
  CHECK(require<float>(object, "whole", "x") == 7.0f);
  CHECK(require<std::string>(object, "text", "x") == "hi");
  CHECK(require<bool>(object, "yes", "x"));
  CHECK(require<std::uint64_t>(object, "large", "x") == 4294967296u);
  CHECK(require<std::vector<int>>(object, "list", "x") == std::vector<int>{1, 2});
  CHECK(require<std::map<std::string, int>>(object, "map", "x").at("a") == 1);
  CHECK(require<Json>(object, "map", "x")["a"] == 1);
  CHECK(optional<int>(object, "whole", "x") == 7);
  CHECK_FALSE(optional<int>(object, "absent", "x").has_value());
  CHECK_FALSE(optional<int>(object, "null", "x").has_value());
}

TEST_CASE("a field of the wrong type is an error with place, field, what was found and what was expected") {
  Json object = parse_json(
      R"({"minus": -7, "real": 1.0, "half": 0.5, "text": "hi\n", "yes": true, "list": [1, "two"], "map": {"a": -1},
          "null": null, "large": 4294967296, "huge": 1e300})",
      "x");
  object["nan"] = std::nan("");  // cannot come from a file, but from a program
  const auto message = []<class T>(const Json& from, const char* name, T) {
    return error_of<DataError>([&] { require<T>(from, name, "config.json"); });
  };
  CHECK(message(object, "absent", 0) == "config.json: the field \"absent\" is missing");
  CHECK(message(object, "null", 0) == "config.json: the field \"null\" is null");
  CHECK(message(object, "minus", 0u) ==
        "config.json: field \"minus\": expected a whole number from 0 to 4294967295, found -7");
  CHECK(message(object, "large", 0u) ==
        "config.json: field \"large\": expected a whole number from 0 to 4294967295, found 4294967296");
  CHECK(message(object, "minus", std::uint64_t{0}).ends_with("to 18446744073709551615, found -7"));
  CHECK(message(object, "large", std::int8_t{0}).ends_with("from -128 to 127, found 4294967296"));
  CHECK(message(object, "half", 0).ends_with("found 0.5"));
  CHECK(require<int>(object, "real", "config.json") == 1);  // an integer, however it is written
  CHECK(message(object, "yes", 0).ends_with("found true"));
  CHECK(message(object, "yes", 0.0) == "config.json: field \"yes\": expected a number, found true");
  CHECK(message(object, "text", 0.0).ends_with("found \"hi\\x0a\""));
  CHECK(contains(message(object, "huge", 0.0f), "expected a finite number within"));
  CHECK(message(object, "nan", 0.0).ends_with("found nan"));
  CHECK(message(object, "real", true).ends_with("expected true or false, found 1.0"));
  CHECK(message(object, "list", std::string()).ends_with("expected a string, found an array of 2"));
  CHECK(message(object, "map", std::vector<int>()).ends_with("expected an array, found an object"));
  CHECK(contains(message(object, "list", std::vector<int>()), "field \"list[1]\""));
  CHECK(contains(message(object, "map", std::map<std::string, unsigned>()), "field \"map.a\""));
  CHECK(contains(message(Json(3), "a", 0), "expected an object with the field \"a\", found 3"));
  CHECK_THROWS_AS(optional<int>(object, "text", "x"), DataError);
}

TEST_CASE("a JSON file is written whole, read back equal, and its errors carry its name") {
  TemporaryDirectory temporary;
  const Json value = {{"b", {1, 2}}, {"a", "é"}};
  write_json(temporary / "x.json", value);
  CHECK(read_json(temporary / "x.json") == value);
  CHECK(read_file(temporary / "x.json").ends_with("}\n"));
  put(temporary / "bad.json", "{");
  CHECK(error_of<DataError>([&] {
          read_json(temporary / "bad.json");
        }).starts_with((temporary / "bad.json").string() + ": not valid JSON at column 2"));
  CHECK(contains(error_of<IoError>([&] { read_json(temporary / "none.json"); }), "none.json"));
  CHECK(contains(error_of<DataError>([&] { write_json(temporary / "x.json", Json("\xff")); }), "not UTF-8"));
  CHECK(read_json(temporary / "x.json") == value);
}

TEST_CASE("names in messages are printable and short") {
  CHECK(detail::quote("plain") == "\"plain\"");
  CHECK(detail::quote("a\nb\x7f") == "\"a\\x0ab\\x7f\"");
  CHECK(detail::quote(repeat("x", 100)) == "\"" + repeat("x", 100) + "\"");
  CHECK(detail::quote(repeat("x", 101)) == "\"" + repeat("x", 100) + "...\"");
  CHECK(detail::quote(repeat("x", 99) + "éé") == "\"" + repeat("x", 99) + "...\"");  // not half a character
}

}  // namespace json_test
