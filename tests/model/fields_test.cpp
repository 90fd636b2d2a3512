// fields() of every head, loss and optimizer: that it lists every member, that whatever it allows is written
// to a card and read back equal, that whatever it does not allow is refused by name.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/core/field.hpp"
#include "merit/io/file.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/optim/any_optimizer.hpp"
#include "merit/run/model_set.hpp"

namespace fields_test {

using namespace merit;
using merit_test::contains;
using merit_test::error_of;

/// Calls f(policy) for every head, loss and optimizer: the compiled set, and what only C++ can compose.
template <class F>
void for_each_policy(const F& f) {
  for_each_type<AnyHead>(f);
  for_each_type<AnyLoss>(f);
  f(LmGainBiasHead{});
  f(LanguageModelHead{});
  f(TokenLogitHead<ScoreMeaning::per_token, 1>{});
  f(JointHead<AttributeHead, ValueHead>{});
  f(RegressionLoss<ScoreMeaning::per_state>{});
  f(LanguageModelLoss{});
  f(JointLoss<PairwiseLoss, CrossEntropyLoss>{});
  for_each_type<AnyOptimizer>(f);
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
  } else if constexpr (nested_policy<T>) {
    result = variants(base, allowed);
  } else if constexpr (number_list<T>) {
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
  if constexpr (std::is_same_v<Policy, Sgd>) policy.momentum = 0.5;  // without which there is no Nesterov
  return policy;
}

TEST_CASE("fields() lists every member of every head, loss and optimizer, each name and option once") {
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
          if (nested_policy<T>) {
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
  StepHead<3> ternary;
  error = error_of<DataError>([&] { read_settings(Json{{"classes", 2}}, "merit.json: head", ternary); });
  CHECK(error == "merit.json: head: field \"classes\" is 2, expected 3, what a step_ternary has");
  JointHead<LmGainBiasHead, LanguageModelHead> joint;
  error = error_of<DataError>([&] {
    read_settings(Json{{"first", {{"token", -1}}}}, "merit.json: head", joint);
  });
  CHECK(contains(error, "merit.json: head.first: field \"token\": expected a whole number from 0"));
}

TEST_CASE("fields() lists every member of every backbone") {
  for_each_type<BackboneConfig>([]<class Backbone>(const Backbone&) {
    INFO(std::string(Backbone::name()));
    Index count = 0;
    Backbone::fields([&](const auto& field) {
      ++count;
      CHECK_FALSE(field.meaning.empty());
    });
    CHECK(count == member_count<Backbone>());
  });
}

TEST_CASE(
    "each pair of the compiled set names a head and a loss that fit, once, and each kind has a usual one") {
  std::set<std::string> seen;
  for (const PolicyPair& pair : policy_pairs) {
    INFO(std::string(pair.head), " with ", std::string(pair.loss));
    CHECK(seen.insert(std::string(pair.head) + " " + std::string(pair.loss)).second);
    const auto head = head_named(std::string(pair.head));
    REQUIRE(head.has_value());
    CHECK(loss_named(std::string(pair.loss), *head).has_value());
  }
  for (Index i = 0; i < enum_names<RecordKind>.size(); ++i) {
    const auto kind = static_cast<RecordKind>(i);
    INFO(std::string(name_of(kind)));
    Index usual = 0;
    for (const PolicyPair& pair : policy_pairs) usual += pair.usual.has(kind) ? 1 : 0;
    CHECK(usual == 1);
    for_each_pair(kind, [&](const PolicyPair& pair) { CHECK(pair.is_trained()); });
  }
  for_each_type<AnyHead>([](const auto& head) { CHECK_NOTHROW(some_loss(AnyHead(head))); });
}

// ---- The tables of the READMEs ---

/// What a field may be.
template <class Policy, class T>
std::string allowed_text(const Field<Policy, T>& field) {
  if constexpr (std::is_same_v<T, bool>) {
    return "true, false";
  } else if constexpr (std::is_enum_v<T>) {
    return list_of_names<T>();
  } else {
    const bool any = field.range.lowest == any_value().lowest;
    if constexpr (number_list<T>) {
      const std::string count =
          field.range.fewest == 0 ? "numbers" : detail::count_text(field.range) + " numbers";
      using Number = typename T::value_type;
      return any ? count : count + ", each " + field.range.text(std::is_integral_v<Number>);
    } else {
      if (any && std::is_integral_v<T>) return "a whole number";
      return field.range.text(std::is_integral_v<T>);
    }
  }
}

struct SettingRow {
  std::string setting;
  std::string rest;  // of the row
  std::vector<std::string> owners;
};

/// A row for each setting of a policy; what several share is one.
template <class Policy>
void append_rows_of(const std::string& owner, bool has_options, std::vector<SettingRow>& rows) {
  if constexpr (has_fields<Policy>) {
    const Policy usual{};
    const Json json = detail::policy_json(usual);
    Policy::fields([&]<class T>(const Field<Policy, T>& field) {
      if constexpr (!nested_policy<T>) {
        const std::string name(field.name);
        const Json value = (field.use == FieldUse::start ? json.at("start") : json).at(name);
        const bool has_option = has_options && !field.command_line().empty() && value != Json(true);
        const SettingRow row{name,
                             " | " + allowed_text(field) + " | " +
                                 (field.use == FieldUse::required ? "" : "`" + value.dump() + "`") + " | " +
                                 (has_option ? "`" + field.command_line() + "`" : "") + " | " +
                                 std::string(field.meaning) + " |\n",
                             {}};
        auto same = rows.begin();
        while (same != rows.end() && (same->setting != row.setting || same->rest != row.rest)) ++same;
        if (same == rows.end()) same = rows.insert(same, row);
        if (same->owners.empty() || same->owners.back() != owner) same->owners.push_back(owner);
      }
    });
  }
}

std::string table_of(const std::string& whose, const std::vector<SettingRow>& rows) {
  std::string table =
      "| setting | of the " + whose + " | may be | default | option | means |\n|---|---|---|---|---|---|\n";
  for (const SettingRow& row : rows) {
    std::string owners;
    for (const std::string& owner : row.owners) owners += (owners.empty() ? "" : ", ") + owner;
    table += "| `" + row.setting + "` | " + owners + row.rest;
  }
  return table;
}

/// Between the marks in a room's README must stand the table.
void check_shown(const std::string& room, const std::string& table) {
  const char* named = std::getenv("MERIT_GOLDEN");
  const std::filesystem::path golden = named != nullptr ? named : "tests/golden";
  const std::string text = read_file(golden / "../../include/merit" / room / "README.md");
  const std::string begin_mark = "<!-- settings: made by tests/model/fields_test.cpp -->\n";
  const auto begin = text.find(begin_mark);
  const auto end = text.find("<!-- end of settings -->");
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  const auto from = begin + begin_mark.size();
  INFO("between the marks in include/merit/", room, "/README.md must stand:\n", table);
  const bool same = text.substr(from, end - from) == table;
  CHECK(same);
}

TEST_CASE("the READMEs show the settings of heads, losses and optimizers as fields() says") {
  std::vector<SettingRow> heads;
  for_each_type<AnyHead>([&]<class Head>(const Head&) {
    bool trained = false;
    for (const PolicyPair& pair : policy_pairs)
      trained = trained || (pair.head == name_in_set<Head>() && pair.is_trained());
    append_rows_of<Head>(std::string(Head::name()), trained, heads);
  });
  append_rows_of<LmGainBiasHead>("lm_gain_bias", true, heads);
  check_shown("head", table_of("heads", heads));
  std::vector<SettingRow> losses;
  for_each_type<AnyLoss>(
      [&]<class Loss>(const Loss&) { append_rows_of<Loss>(std::string(Loss::name()), true, losses); });
  check_shown("loss", table_of("losses", losses));
  std::vector<SettingRow> optimizers;
  for_each_type<AnyOptimizer>([&]<class Optimizer>(const Optimizer&) {
    append_rows_of<Optimizer>(std::string(Optimizer::name()), true, optimizers);
  });
  check_shown("optim", table_of("optimizers", optimizers));
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
