// Heads and losses as the model card (merit.json) names them: {"name": …, a field for each setting}, by their
// fields() (core/field.hpp), and read back. Settings that matter when training begins, and to no score
// afterwards, are in an object "start".
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/field.hpp"
#include "merit/fwd.hpp"
#include "merit/io/json.hpp"
#include "merit/model/model_card.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// What the type of a policy says beside its name and settings.
template <class Policy>
Json constants_of(const Policy&) {
  return Json::object();
}
template <Index Classes>
Json constants_of(const LinearHead<ScoreMeaning::per_step, Classes>&) {
  return {{"classes", Classes}};
}
template <ScoreMeaning Meaning, Index Count>
Json constants_of(const TokenLogitHead<Meaning, Count>&) {
  return {{"meaning", name_of(Meaning)}};
}

/// A policy by its name and all its settings.
template <class Policy>
Json policy_json(const Policy& policy) {
  Json json = Json::object();
  if constexpr (has_fields<Policy>) {
    Policy::fields([&]<class T>(const Field<Policy, T>& field) {
      const T& value = policy.*field.member;
      Json& place = field.use == FieldUse::start ? json[std::string(start_fields)] : json;
      Json& written = place[std::string(field.name)];
      if constexpr (std::is_enum_v<T>) {
        written = name_of(value);
      } else if constexpr (nested_policy<T>) {
        written = policy_json(value);
      } else {
        written = value;
      }
    });
  }
  json.update(constants_of(policy));
  json["name"] = std::string_view(Policy::name());
  return json;
}

template <class... Policies>
Json policy_json(const std::variant<Policies...>& any) {
  return std::visit([](const auto& policy) { return policy_json(policy); }, any);
}

}  // namespace detail

template <class Policy>
void read_settings(const Json& json, const std::string& where, Policy& policy);

namespace detail {

/// The value of a field that is there.
template <class T>
void read_value(const Json& json, const std::string& where, const std::string& field, T& value) {
  if constexpr (std::is_enum_v<T>) {
    const auto name = require<std::string>(json, field, where);
    const auto named = value_named<T>(name);
    if (!named) {
      throw DataError(concat(where, ": field ", quote(field), " is ", quote(name),
                             ", expected one of: ", list_of_names<T>()));
    }
    value = *named;
  } else if constexpr (nested_policy<T>) {
    read_settings(require<Json>(json, field, where), concat(where, ".", field), value);
  } else if constexpr (number_list<T>) {
    using Number = typename T::value_type;
    auto numbers = require<std::vector<Number>>(json, field, where);
    if constexpr (std::is_same_v<T, std::vector<Number>>) {
      value = std::move(numbers);
    } else {
      if (numbers.size() != value.size()) {
        throw DataError(concat(where, ": field ", quote(field), " has ", numbers.size(),
                               " numbers, expected ", value.size()));
      }
      std::copy(numbers.begin(), numbers.end(), value.begin());
    }
  } else {
    value = require<T>(json, field, where);
  }
}

}  // namespace detail

/// Reads the settings of a policy from what policy_json() wrote; what is missing there stays as it is. Throws
/// DataError about the first field that is not what it should be; whether a number makes sense, validate()
/// says.
template <class Policy>
void read_settings(const Json& json, const std::string& where, Policy& policy) {
  const Json constants = detail::constants_of(policy);  // which must outlive its items
  for (const auto& [name, value] : constants.items()) {
    if (json.contains(name) && json[name] != value) {
      throw DataError(concat(where, ": field ", detail::quote(name), " is ", json[name].dump(), ", expected ",
                             value.dump(), ", what a ", Policy::name(), " has"));
    }
  }
  if constexpr (has_fields<Policy>) {
    const Json start = optional<Json>(json, detail::start_fields, where).value_or(Json::object());
    const std::string where_start = concat(where, ".", detail::start_fields);
    Policy::fields([&]<class T>(const Field<Policy, T>& field) {
      const bool at_start = field.use == FieldUse::start;
      const Json& place = at_start ? start : json;
      const std::string& place_name = at_start ? where_start : where;
      const std::string name(field.name);
      const bool demanded = field.use == FieldUse::required || nested_policy<T>;
      if (demanded || optional<Json>(place, name, place_name)) {
        detail::read_value(place, place_name, name, policy.*field.member);
      }
    });
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
