// Settings said once by fields(): what is refused and how it is named, and the names of enumerations.
#include "merit/core/field.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace field_test {

enum class Colour : std::uint8_t { red, green, blue };
enum class Unnamed : std::uint8_t { one };

}  // namespace field_test

template <>
inline constexpr std::array<std::string_view, 3> merit::enum_names<field_test::Colour>{"red", "green",
                                                                                       "blue"};

namespace field_test {

using namespace merit;

/// A policy with a setting of each kind.
struct Paint {
  double share = 0.5;
  Index coats = 1;
  Colour colour = Colour::red;
  bool dry = true;
  std::vector<double> weights = {1};
  std::array<std::uint32_t, 2> pair{};

  static constexpr const char* name() { return "paint"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"share", &Paint::share, between(0, 1), "of the wall"});
    visit(Field{"coats", &Paint::coats, at_least(1), "of paint"});
    visit(Field{"colour", &Paint::colour, {}, "of the paint"});
    visit(Field{"dry", &Paint::dry, {}, "before the next coat"});
    visit(Field{"weights", &Paint::weights, above(-1).counted(1, 3), "of the coats"});
    visit(Field{"pair", &Paint::pair, any_value(), "of something"});
  }
};

/// A policy whose settings must also agree with each other, and which holds another.
struct House {
  Paint paint = {};
  Index walls = 4;
  Index windows = 0;

  static constexpr const char* name() { return "house"; }
  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"paint", &House::paint, {}, "of the walls"});
    visit(Field{"walls", &House::walls, at_least(3), "of the house", "--sides"});
    visit(Field{"windows", &House::windows, any_value(), "of the house", "", FieldUse::start});
  }
  void validate() const {
    if (windows > walls) throw ConfigError("house: windows are more than walls");
  }
};

struct Plain {
  static constexpr const char* name() { return "plain"; }
};

template <class Policy>
std::string refusal(const Policy& policy) {
  try {
    validate(policy);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("a setting that cannot be is named with what was found and expected") {
  CHECK(refusal(Paint{}) == "accepted");
  CHECK(refusal(Paint{.share = 1}) == "accepted");
  CHECK(refusal(Paint{.share = 1.5}) == "paint: share is 1.5, expected 0 to 1");
  CHECK(refusal(Paint{.share = std::nan("")}) == "paint: share is nan, expected 0 to 1");
  CHECK(refusal(Paint{.coats = 0}) == "paint: coats is 0, expected at least 1");
  CHECK(refusal(Paint{.colour = static_cast<Colour>(3)}) ==
        "paint: colour is 3, expected one of: red, green, blue");
  CHECK(refusal(Paint{.weights = {}}) == "paint: weights has 0 numbers, expected 1 to 3");
  CHECK(refusal(Paint{.weights = {1, 1, 1, 1}}) == "paint: weights has 4 numbers, expected 1 to 3");
  CHECK(refusal(Paint{.weights = {0, -1}}) == "paint: weights[1] is -1, expected a number above -1");
  CHECK(refusal(Paint{.weights = {HUGE_VAL}}) == "paint: weights[0] is inf, expected a number above -1");
}

TEST_CASE("a policy inside another, the policy's own rule, and a policy without settings") {
  CHECK(refusal(House{}) == "accepted");
  CHECK(refusal(House{.paint = {.coats = 0}}) == "paint: coats is 0, expected at least 1");
  CHECK(refusal(House{.walls = 2}) == "house: walls is 2, expected at least 3");
  CHECK(refusal(House{.windows = 5}) == "house: windows are more than walls");
  CHECK(refusal(Plain{}) == "accepted");
  static_assert(has_fields<House> && !has_fields<Plain>);
}

TEST_CASE("what a range says of itself") {
  CHECK(any_value().text(false) == "a finite number");
  CHECK(at_least(0).text(false) == "a number of at least 0");
  CHECK(at_least(2).text(true) == "at least 2");
  CHECK(above(0.5).text(false) == "a number above 0.5");
  CHECK(between(0, 0.5).text(false) == "0 to 0.5");
  CHECK(above(0).holds(std::numeric_limits<double>::denorm_min()));
  CHECK_FALSE(above(0).holds(0));
  CHECK_FALSE(at_least(0).holds(HUGE_VAL));
  CHECK(detail::count_text(any_value().counted(2, 2)) == "2");
  CHECK(detail::count_text(any_value().counted(1)) == "at least 1");
}

TEST_CASE("the option that sets a field is its name, or what it says") {
  std::vector<std::string> options;
  House::fields([&](const auto& field) { options.push_back(field.command_line()); });
  CHECK(options == std::vector<std::string>{"", "--sides", ""});
  CHECK(Field{"two_words", &Paint::share, {}, ""}.command_line() == "--two-words");
}

TEST_CASE("an enumeration's values have their names, both ways") {
  static_assert(name_of(Colour::green) == "green");
  static_assert(value_named<Colour>("blue") == Colour::blue);
  static_assert(!value_named<Colour>("pink"));
  static_assert(name_of(static_cast<Colour>(7)).empty());
  static_assert(named_enum<Colour> && !named_enum<Unnamed>);
  CHECK(list_of_names<Colour>() == "red, green, blue");
}

}  // namespace field_test
