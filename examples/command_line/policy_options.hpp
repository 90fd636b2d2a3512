// The settings of heads, losses and optimizers as options of the command line, made of their fields().
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/model/lora.hpp"
#include "merit/optim/any_optimizer.hpp"
#include "merit/run/model_set.hpp"
#include "options.hpp"

namespace programs {

/// An option, and the kinds, heads, losses or optimizers that have it.
struct OptionOf {
  std::string option;
  std::vector<std::string> owners;
};

inline std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list.append(list.empty() ? "" : ", ").append(name);
  return list;
}

/// The value of an enumeration that an option names. Throws ConfigError that lists the known ones.
template <class E>
E named_by(const std::string& option, const std::string& name) {
  if (const auto value = merit::value_named<E>(name)) return *value;
  throw merit::ConfigError(option + " is \"" + name + "\", expected one of: " + merit::list_of_names<E>());
}

/// A setting of heads, losses or optimizers as an option, and what the command line says of it.
struct PolicyOption : OptionOf {
  std::vector<OptionOf> meanings;  // what it means to which of its owners
  std::string type;                // "X", "N", "NAME" or "X,X"; empty: a flag
  bool is_list = false;
  std::string (*check)(const std::string&) = nullptr;  // what is wrong with a text; null: not checked here

  bool flag = false;
  std::string text;               // the default until it is given
  std::vector<std::string> list;  // of a list

  /// "share of … (pairwise); share of … (cross_entropy, joint)"
  std::string help() const {
    std::string result;
    for (const auto& [meaning, of] : meanings)
      result += (result.empty() ? "" : "; ") + meaning + " (" + joined(of) + ")";
    return result;
  }
};

template <class T>
struct NumberOf {
  using type = T;
};
template <class T>
requires merit::number_list<T>
struct NumberOf<T> {
  using type = typename T::value_type;
};

/// What a setting of this type means, and what it may be.
template <class T>
std::string meaning_of(std::string_view meaning, const merit::ValueRange& range) {
  std::string text(meaning);
  if constexpr (std::is_enum_v<T>) {
    text += ": " + merit::list_of_names<T>();
  } else if (range.lowest > -1e300 && !std::is_same_v<T, bool>) {
    using Number = typename NumberOf<T>::type;
    text += "; " + range.text(std::is_integral_v<Number>);
  }
  return text;
}

/// Whether the defaults of all owners are the same, so that one is told, or each owner's is told.
enum class Usual { shared, of_each };

/// An option for a setting, with its default where that is the same for all owners. By the setting's type
/// alone, and so compiled once for all policies.
template <class T>
PolicyOption option_for(const std::string& name, const T& value, Usual told) {
  PolicyOption option;
  option.option = name;
  option.is_list = merit::number_list<T>;
  if constexpr (std::is_enum_v<T>) {
    option.type = "NAME";
    option.text = merit::name_of(value);
  } else if constexpr (!std::is_same_v<T, bool>) {
    using Number = typename NumberOf<T>::type;
    option.type = std::is_integral_v<Number> ? "N" : "X";
    option.check = is_number<Number>;
    if constexpr (merit::number_list<T>) {
      option.type += "," + option.type;
    } else {
      if (told == Usual::shared) option.text = merit::concat(value);
    }
  }
  return option;
}

/// Adds an option of `owner`, or an owner to an option that is there. `label` is the owner as the help names it.
inline void add_option(PolicyOption option, const std::string& meaning, const std::string& owner,
                       const std::string& label, std::vector<PolicyOption>& options) {
  auto at = std::ranges::find(options, option.option, &PolicyOption::option);
  if (at == options.end()) at = options.insert(options.end(), std::move(option));
  if (std::ranges::find(at->owners, owner) != at->owners.end()) return;  // of another meaning of scores
  at->owners.push_back(owner);
  auto known = std::ranges::find(at->meanings, meaning, &OptionOf::option);
  if (known == at->meanings.end()) known = at->meanings.insert(known, OptionOf{meaning, {}});
  known->owners.push_back(label);
}

/// A setting of a policy with its default. A flag can only turn something on.
template <class T>
void add_setting(const std::string& owner, const std::string& name, const std::string& meaning,
                 const T& value, Usual told, std::vector<PolicyOption>& options) {
  std::string label = owner;
  if constexpr (std::is_same_v<T, bool>) {
    if (value) return;
  } else if constexpr (std::is_arithmetic_v<T>) {
    if (told == Usual::of_each) label += merit::concat(" ", value);
  }
  if (!name.empty()) add_option(option_for(name, value, told), meaning, owner, label, options);
}

/// The settings of a policy with its defaults, and of those in it.
template <class Policy>
void add_options(const std::string& owner, const Policy& usual, std::vector<PolicyOption>& options,
                 Usual told = Usual::shared) {
  if constexpr (merit::has_fields<Policy>) {
    Policy::fields([&]<class T>(const merit::Field<Policy, T>& field) {
      const T& value = usual.*field.member;
      if constexpr (merit::nested_policy<T>) {
        add_options(owner, value, options, told);
      } else {
        add_setting(owner, field.command_line(), meaning_of<T>(field.meaning, field.range), value, told,
                    options);
      }
    });
  }
}

template <class T>
void set_number(const std::string& text, T& value) {
  value = *number_from<T>(text);  // which the command line has checked
}

/// The options of the heads that are trained, or of the losses.
inline std::vector<PolicyOption> head_settings() {
  std::vector<PolicyOption> options;
  merit::for_each_type<merit::AnyHead>([&]<class Head>(const Head& head) {
    constexpr std::string_view name = merit::name_in_set<Head>();
    for (const merit::PolicyPair& pair : merit::policy_pairs) {
      if (pair.head == name && pair.is_trained()) return add_options(std::string(name), head, options);
    }
  });
  return options;
}
inline std::vector<PolicyOption> loss_settings() {
  std::vector<PolicyOption> options;
  merit::for_each_type<merit::AnyLoss>(
      [&](const auto& loss) { add_options(std::string(loss.name()), loss, options); });
  return options;
}

inline std::vector<PolicyOption> lora_settings() {
  std::vector<PolicyOption> options;
  add_options(std::string(merit::Lora::name()), merit::Lora{}, options);
  return options;
}

inline std::vector<PolicyOption> optimizer_settings() {
  std::vector<PolicyOption> options;
  merit::for_each_type<merit::AnyOptimizer>([&](const auto& optimizer) {
    add_options(std::string(optimizer.name()), optimizer, options, Usual::of_each);
  });
  return options;
}

/// Declares them. They must stay where they are.
inline void declare(CommandLine& line, std::vector<PolicyOption>& options) {
  for (PolicyOption& option : options) {
    const Check check = option.check != nullptr ? Check(option.check) : Check();
    if (option.type.empty()) {
      line.flag(option.option, option.flag, option.help());
    } else if (option.is_list) {
      line.texts(option.option, option.list, option.type, option.help(), Several::commas, check);
    } else {
      line.text(option.option, option.text, option.type, option.help(), check);
    }
  }
}

/// Whether the command line has an option.
using Given = std::function<bool(const std::string&)>;

/// The option of that name, where it was given; null otherwise.
inline const PolicyOption* find_given(std::span<const PolicyOption> options, const std::string& name,
                                      const Given& given) {
  const auto at = std::ranges::find(options, name, &PolicyOption::option);
  return at == options.end() || !given(name) ? nullptr : &*at;
}

/// Sets a setting to what an option says.
template <class T>
void set_value(const PolicyOption& option, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    value = option.flag;
  } else if constexpr (std::is_enum_v<T>) {
    value = named_by<T>(option.option, option.text);
  } else if constexpr (std::is_arithmetic_v<T>) {
    set_number(option.text, value);
  } else if constexpr (requires { value.resize(0); }) {
    value.resize(option.list.size());
    for (std::size_t i = 0; i < value.size(); ++i) set_number(option.list[i], value[i]);
  }
}

/// Sets what was given among the options. Throws ConfigError for a name that is none.
template <class Policy>
void set_from(std::span<const PolicyOption> options, const Given& given, Policy& policy) {
  if constexpr (merit::has_fields<Policy>) {
    Policy::fields([&]<class T>(const merit::Field<Policy, T>& field) {
      T& value = policy.*field.member;
      if constexpr (merit::nested_policy<T>) {
        set_from(options, given, value);
      } else if (const PolicyOption* option = find_given(options, field.command_line(), given)) {
        set_value(*option, value);
      }
    });
  }
}

/// Options of another kind, head, loss or optimizer may not be given. `what` is one of these words, `name`
/// which.
template <class Options>
void check_owners(const Options& options, const std::string& what, const std::string& name,
                  const Given& given) {
  for (const OptionOf& one : options) {
    if (!given(one.option) || std::ranges::find(one.owners, name) != one.owners.end()) continue;
    throw merit::ConfigError(one.option + " is given, but the " + what + " is " + name +
                             "; it is an option of: " + joined(one.owners));
  }
}

}  // namespace programs
