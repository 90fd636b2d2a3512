// fields() of every head and loss: that it lists every member, that whatever it allows is written to a card
// and read back equal, that whatever it does not allow is refused by name.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/core/field.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/run/model_set.hpp"

namespace fields_test {

using namespace merit;
using merit_test::contains;
using merit_test::error_of;

/// Calls f(policy) for every head and loss: the compiled set, and what only C++ can compose.
template <class F>
void for_each_policy(const F& f) {
  detail::for_each_type<AnyHead>(f);
  detail::for_each_type<AnyLoss>(f);
  f(LmGainBiasHead{});
  f(LanguageModelHead{});
  f(TokenLogitHead<ScoreMeaning::per_token, 1>{});
  f(JointHead<AttributeHead, ValueHead>{});
  f(RegressionLoss<ScoreMeaning::per_state>{});
  f(LanguageModelLoss{});
  f(JointLoss<PairwiseLoss, CrossEntropyLoss>{});
}

/// Converts to the type of any member.
struct Anything {
  template <class T>
  operator T() const;
};

/// How many members an aggregate has.
template <class Policy, class... Found>
constexpr Index member_count() {
  if constexpr (requires { Policy{Found{}..., Anything{}}; }) {
    return member_count<Policy, Found..., Anything>();
  } else {
    return sizeof...(Found);
  }
}

/// The edges of a range and some numbers within, or numbers without.
template <class T>
std::vector<T> numbers_of(const ValueRange& range, bool allowed) {
  std::vector<T> result;
  if constexpr (std::is_same_v<T, bool>) {
    if (allowed) result = {true, false};
  } else if constexpr (std::is_integral_v<T>) {
    for (const T value : {T{0}, T{1}, T{2}, T{41}, std::numeric_limits<T>::max()}) {
      if (range.holds(static_cast<double>(value)) == allowed) result.push_back(value);
    }
  } else {
    using Limits = std::numeric_limits<double>;
    for (const double value :
         {range.lowest, range.highest, range.lowest - 0.5, range.highest + 0.5, 0.0, 0.1, 1.0 / 3, -2.0,
          Limits::min(), Limits::max(), Limits::quiet_NaN(), Limits::infinity()}) {
      if (range.holds(value) == allowed) result.push_back(value);
    }
  }
  return result;
}

template <class Policy>
std::vector<Policy> variants(const Policy& base, bool allowed);

/// Values that a field may have, or may not.
template <class Policy, class T>
std::vector<T> values_of(const Field<Policy, T>& field, const T& base, bool allowed) {
  std::vector<T> result;
  if constexpr (std::is_enum_v<T>) {
    const Index count = enum_names<T>.size();
    if (!allowed) return {static_cast<T>(count)};
    for (Index i = 0; i < count; ++i) result.push_back(static_cast<T>(i));
  } else if constexpr (detail::nested_policy<T>) {
    result = variants(base, allowed);
  } else if constexpr (detail::number_list<T>) {
    using Number = typename T::value_type;
    const std::vector<Number> numbers = numbers_of<Number>(field.range, allowed);
    if constexpr (std::is_same_v<T, std::vector<Number>>) {
      const std::vector<Number> good = numbers_of<Number>(field.range, true);
      for (const Number number : numbers) {
        result.push_back({number});
        if (field.range.most >= 2) result.push_back({good.front(), number});
      }
      if ((field.range.fewest == 0) == allowed) result.push_back({});
      if (!allowed && field.range.most < 9) result.push_back(std::vector<Number>(9, good.front()));
    } else {
      for (const Number number : numbers) {
        T list{};
        list.back() = number;
        result.push_back(list);
      }
    }
  } else {
    result = numbers_of<T>(field.range, allowed);
  }
  return result;
}

/// Copies of a policy with one field changed, to what it may be or to what it may not.
template <class Policy>
std::vector<Policy> variants(const Policy& base, bool allowed) {
  std::vector<Policy> result;
  if constexpr (has_fields<Policy>) {
    Policy::fields([&](const auto& field) {
      for (const auto& value : values_of(field, base.*field.member, allowed)) {
        result.push_back(base);
        result.back().*field.member = value;
      }
    });
  }
  return result;
}

/// The default, or where that is incomplete something that may be.
template <class Policy>
Policy usable() {
  Policy policy{};
  if constexpr (std::is_same_v<Policy, AnswerLogitHead>) policy.tokens = {3};
  return policy;
}

TEST_CASE("fields() lists every member of every head and loss, each name and option once") {
  for_each_policy([]<class Policy>(const Policy&) {
    INFO(std::string(Policy::name()));
    Index count = 0;
    std::set<std::string> names, options;
    if constexpr (has_fields<Policy>) {
      Policy::fields([&](const auto& field) {
        ++count;
        CHECK_FALSE(field.meaning.empty());
        CHECK(names.insert(std::string(field.name)).second);
        if (const std::string option = field.command_line(); !option.empty()) {
          CHECK(options.insert(option).second);
        }
      });
    }
    CHECK(count == member_count<Policy>());
    CHECK_FALSE(names.contains("name"));  // which a card has for itself
  });
}

TEST_CASE("every value that a field may have is written to a card and read back equal") {
  Index checked = 0;
  for_each_policy([&]<class Policy>(const Policy&) {
    INFO(std::string(Policy::name()));
    const Policy base = usable<Policy>();
    std::vector<Policy> all = variants(base, true);
    all.push_back(base);
    for (const Policy& policy : all) {
      const std::string text = json_text(detail::policy_json(policy), "merit.json");
      INFO(text);
      CHECK_NOTHROW(validate(policy));
      Policy read{};
      read_settings(parse_json(text, "merit.json"), "merit.json", read);
      CHECK(read == policy);
      ++checked;
    }
  });
  CHECK(checked > 200);
}

TEST_CASE("every value that a field may not have is refused, by the names of policy and field") {
  Index checked = 0;
  for_each_policy([&]<class Policy>(const Policy&) {
    if constexpr (has_fields<Policy>) {
      const Policy base = usable<Policy>();
      Policy::fields([&]<class T>(const Field<Policy, T>& field) {
        for (const T& value : values_of(field, base.*field.member, false)) {
          Policy policy = base;
          policy.*field.member = value;
          const std::string error = error_of<ConfigError>([&] { validate(policy); });
          if (detail::nested_policy<T>) {
            CHECK(contains(error, ", expected "));
          } else {
            CHECK(contains(error, std::string(Policy::name()) + ": " + std::string(field.name)));
          }
          ++checked;
        }
      });
    }
  });
  CHECK(checked > 60);
}

TEST_CASE("what a card says wrongly is named with its file, field and what was expected") {
  PlackettLuceLoss ties;
  std::string error = error_of<DataError>([&] {
    read_settings(Json{{"ties", "cox"}}, "merit.json: loss", ties);
  });
  CHECK(error == "merit.json: loss: field \"ties\" is \"cox\", expected one of: efron, breslow");
  ScalarHead scalar;
  error = error_of<DataError>([&] {
    read_settings(Json{{"start", {{"init_deviation", "wide"}}}}, "merit.json: head", scalar);
  });
  CHECK(error == "merit.json: head.start: field \"init_deviation\": expected a number, found \"wide\"");
  TokenLogitHead<> tokens;
  error = error_of<DataError>([&] { read_settings(Json{{"tokens", {1}}}, "merit.json: head", tokens); });
  CHECK(error == "merit.json: head: field \"tokens\" has 1 numbers, expected 2");
  error = error_of<DataError>([&] { read_settings(Json::object(), "merit.json: head", tokens); });
  CHECK(error == "merit.json: head: the field \"tokens\" is missing");
  JointHead<LmGainBiasHead, LanguageModelHead> joint;
  error = error_of<DataError>([&] {
    read_settings(Json{{"first", {{"token", -1}}}}, "merit.json: head", joint);
  });
  CHECK(contains(error, "merit.json: head.first: field \"token\": expected a whole number from 0"));
}

TEST_CASE("what matters at the start alone makes no other model") {
  const Json narrow = detail::policy_json(ScalarHead{.init_deviation = 0.1});
  const Json wide = detail::policy_json(ScalarHead{.init_deviation = 0.2});
  std::vector<std::string> found;
  detail::list_differences("head", narrow, wide, found);
  detail::list_differences("head", Json{{"name", "scalar"}, {"bias", false}}, wide, found);  // an older card
  CHECK(found.empty());
  detail::list_differences("head", detail::policy_json(ScalarHead{.bias = true}), wide, found);
  CHECK(found == std::vector<std::string>{"head.bias is true, expected false"});
}

}  // namespace fields_test
