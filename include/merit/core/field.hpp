// The settings of a policy, each said once: its name, the member that holds it, what it may be, and what it
// means. Validation, the model card, the options of programs and the tables of the READMEs are made of this.
//
//   struct HingeLoss {
//     double margin = 1;
//
//     template <class Visit>
//     static void fields(const Visit& visit) {
//       visit(Field{"margin", &HingeLoss::margin, above(0), "by how much each pair should be won",
//                   "--hinge-margin"});  // the option's name, where it is not the field's
//     }
//     …
//   };
//
// A setting is a bool, a number, an enumeration with enum_names, a list of numbers, or another policy. A
// policy without settings has no fields(). What several settings must be together, the policy's own
// validate() says.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a number, or each number of a list, may be; it is finite in any case.
struct ValueRange {
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  bool above_lowest = false;   // `lowest` itself is not allowed
  bool below_highest = false;  // nor is `highest`
  Index fewest = 0;            // numbers of a list
  Index most = std::numeric_limits<Index>::max();

  bool holds(double value) const {
    return std::isfinite(value) && (above_lowest ? value > lowest : value >= lowest) &&
           (below_highest ? value < highest : value <= highest);
  }
  /// "0 to 0.5", "at least 0 and below 1", "at least 1", "a number above 0", … of a whole number or another.
  std::string text(bool whole) const {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (below_highest) return concat("at least ", lowest, " and below ", highest);
    if (highest != infinity && above_lowest) return concat("above ", lowest, " and at most ", highest);
    if (highest != infinity) return concat(lowest, " to ", highest);
    if (lowest == -infinity) return "a finite number";
    if (above_lowest) return concat("a number above ", lowest);
    return concat(whole ? "at least " : "a number of at least ", lowest);
  }
  /// The same for a list of `least` to `greatest` numbers.
  constexpr ValueRange counted(Index least, Index greatest = std::numeric_limits<Index>::max()) const {
    ValueRange range = *this;
    range.fewest = least;
    range.most = greatest;
    return range;
  }
};

constexpr ValueRange any_value() {
  return {};
}
constexpr ValueRange at_least(double lowest) {
  return {.lowest = lowest};
}
constexpr ValueRange above(double lowest, double highest = std::numeric_limits<double>::infinity()) {
  return {.lowest = lowest, .highest = highest, .above_lowest = true};
}
constexpr ValueRange between(double lowest, double highest) {
  return {.lowest = lowest, .highest = highest};
}

/// From `lowest` on, but not `highest`: what a moving average keeps.
constexpr ValueRange below(double lowest, double highest) {
  return {.lowest = lowest, .highest = highest, .below_highest = true};
}

enum class FieldUse : std::uint8_t {
  usual,     // a file that lacks it means the default
  required,  // a file must have it
  start      // of the parameters when training begins; no score depends on it afterwards
};

/// A list of numbers: std::vector or std::array.
template <class T>
concept number_list = requires(const T& list) {
  { list.size() } -> std::convertible_to<Index>;
  { *list.begin() } -> std::convertible_to<double>;
};

/// Another policy, with fields of its own or without any.
template <class T>
concept nested_policy = std::is_class_v<T> && !number_list<T>;

/// A setting of type T of a policy.
template <class Policy, class T>
struct Field {
  std::string_view name;
  T Policy::*member;
  ValueRange range;
  std::string_view meaning;  // a line of help, without what `range` says
  std::string_view option;   // of the command line, where it is not "--" and the name
  FieldUse use;

  constexpr Field(std::string_view field_name, T Policy::*place, const ValueRange& values,
                  std::string_view help, std::string_view command_line = "",
                  FieldUse purpose = FieldUse::usual)
      : name(field_name), member(place), range(values), meaning(help), option(command_line), use(purpose) {}

  /// The option of the command line that sets it; empty: none.
  std::string command_line() const {
    if (use != FieldUse::usual || nested_policy<T>) return "";
    if (!option.empty()) return std::string(option);
    std::string text = "--";
    for (const char c : name) text += c == '_' ? '-' : c;
    return text;
  }
};

namespace detail {

struct VisitNothing {
  template <class Policy, class T>
  void operator()(const Field<Policy, T>&) const {}
};

/// "at least 1", "1 to 2", "2"
inline std::string count_text(const ValueRange& range) {
  if (range.fewest == range.most) return concat(range.fewest);
  if (range.most == std::numeric_limits<Index>::max()) return concat("at least ", range.fewest);
  return concat(range.fewest, " to ", range.most);
}

template <class T>
void check_number(std::string_view policy, std::string_view field, T value, const ValueRange& range) {
  if constexpr (!std::is_same_v<T, bool>) {
    if (range.holds(static_cast<double>(value))) return;
    throw ConfigError(
        concat(policy, ": ", field, " is ", value, ", expected ", range.text(std::is_integral_v<T>)));
  }
}

}  // namespace detail

/// Whether a policy says what its settings are.
template <class Policy>
concept has_fields = requires {
  Policy::fields(detail::VisitNothing{});
};

/// Throws ConfigError about the first setting of a policy that cannot be: by its fields(), then by its own
/// validate(). A policy need have neither.
template <class Policy>
void validate(const Policy& policy);

/// The part of validate() that fields() says.
template <class Policy>
void check_fields(const Policy& policy) {
  if constexpr (has_fields<Policy>) {
    const std::string_view policy_name = Policy::name();
    Policy::fields([&]<class T>(const Field<Policy, T>& field) {
      const T& value = policy.*field.member;
      const std::string_view name = field.name;
      if constexpr (std::is_enum_v<T>) {
        if (!name_of(value).empty()) return;
        throw ConfigError(concat(policy_name, ": ", name, " is ", static_cast<std::uint64_t>(value),
                                 ", expected one of: ", list_of_names<T>()));
      } else if constexpr (number_list<T>) {
        const Index count = value.size();
        if (count < field.range.fewest || count > field.range.most) {
          throw ConfigError(concat(policy_name, ": ", name, " has ", count, " numbers, expected ",
                                   detail::count_text(field.range)));
        }
        for (Index i = 0; i < count; ++i) {
          detail::check_number(policy_name, concat(name, "[", i, "]"), value[i], field.range);
        }
      } else if constexpr (nested_policy<T>) {
        validate(value);
      } else {
        detail::check_number(policy_name, name, value, field.range);
      }
    });
  }
}

template <class Policy>
void validate(const Policy& policy) {
  check_fields(policy);
  if constexpr (requires { policy.validate(); }) policy.validate();
}

}  // namespace MERIT_ABI
}  // namespace merit
