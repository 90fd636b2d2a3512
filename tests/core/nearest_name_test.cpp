// What was probably meant.
#include "merit/core/nearest_name.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

namespace nearest_name_test {

using merit::edit_distance;
using merit::nearest_name;

constexpr std::array<std::string_view, 5> names = {"learning-rate", "lr", "batch-size", "epochs", "eval"};

TEST_CASE("the distance counts letters put in, left out, replaced, and neighbours swapped") {
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("epohcs", "epochs") == 1);
  CHECK(edit_distance("ca", "abc") == 3);  // a pair once swapped is not edited again
  CHECK(edit_distance("same", "same") == 0);
}

TEST_CASE("a slip finds its name, something else none") {
  CHECK(nearest_name("lerning-rate", names) == "learning-rate");
  CHECK(nearest_name("learning_rate", names) == "learning-rate");
  CHECK(nearest_name("epoch", names) == "epochs");
  CHECK(nearest_name("rl", names) == "lr");
  CHECK(nearest_name("temperature", names).empty());
  CHECK(nearest_name("x", names).empty());
}

TEST_CASE("the beginning of a name finds it where nothing is nearer") {
  CHECK(nearest_name("learn", names) == "learning-rate");
  CHECK(nearest_name("eva", names) == "eval");
  CHECK(nearest_name("le", names) == "lr");  // nearer than what begins with it
}

}  // namespace nearest_name_test
