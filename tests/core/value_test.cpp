// Values of any shape: what they hold, what equals what, and their text.
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "merit/core/value.hpp"

namespace value_test {

using merit::Value;

TEST_CASE("a value says what it holds") {
  CHECK(Value().is_none());
  CHECK(*Value(true).boolean());
  CHECK(*Value(7u).integer() == 7);
  CHECK(*Value(-7L).integer() == -7);
  CHECK(*Value(0.5f).number() == 0.5);
  CHECK(*Value(std::numeric_limits<std::uint64_t>::max()).number() ==
        18446744073709551615.0);  // too large for 64 bits
  CHECK(*Value("x").string() == "x");
  CHECK(Value("x").integer() == nullptr);
  CHECK(Value(1).boolean() == nullptr);
  const Value object = Value::object({{"b", 1}, {"a", Value::List{1, "two"}}});
  CHECK(object.fields()->front().name == "b");
  CHECK(object.find("a")->list()->size() == 2);
  CHECK(object.find("c") == nullptr);
  CHECK(Value(1).find("a") == nullptr);
}

TEST_CASE("fields are equal in any order, and kinds are told apart") {
  CHECK(Value::object({{"a", 1}, {"b", 2}}) == Value::object({{"b", 2}, {"a", 1}}));
  CHECK_FALSE(Value::object({{"a", 1}}) == Value::object({{"a", 1}, {"b", 2}}));
  CHECK_FALSE(Value::object({{"a", 1}, {"c", 2}}) == Value::object({{"a", 1}, {"b", 2}}));
  CHECK_FALSE(Value(1) == Value(1.0));
  CHECK_FALSE(Value(1) == Value(true));
  CHECK(Value::List{1, 2} == Value::List{1, 2});
  CHECK_FALSE(Value(Value::List{1, 2}) == Value(Value::List{2, 1}));
}

TEST_CASE("the text of a value is JSON in its own order") {
  CHECK(text_of(Value::object(
            {{"z", Value()}, {"a", Value::List{true, 1, 2.5, "q\"\\\n"}}, {"o", Value::object({})}})) ==
        R"({"z": null, "a": [true, 1, 2.5, "q\"\\\u000a"], "o": {}})");
}

}  // namespace value_test
