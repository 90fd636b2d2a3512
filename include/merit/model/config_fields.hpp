// The fields of a config.json as they are read, and what every one that is written says.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/model/hf_task.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Fields of one object, with the file's name for errors.
class ConfigFields {
 public:
  ConfigFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  template <class T>
  T require(std::string_view field) const {
    return checked(field, merit::require<T>(object_, field, where_));
  }
  template <class T>
  std::optional<T> optional(std::string_view field) const {
    std::optional<T> value = merit::optional<T>(object_, field, where_);
    if (value) checked(field, *value);
    return value;
  }
  template <class T>
  T value_or(std::string_view field, T otherwise) const {
    return optional<T>(field).value_or(std::move(otherwise));
  }
  bool contains(std::string_view field) const { return object_.contains(field); }
  const Json& object() const { return object_; }
  const std::string& where() const { return where_; }

  /// Where `field` is something that we do not compute.
  [[noreturn]] void refuse(std::string_view field, std::string_view expected) const {
    const auto entry = object_.find(field);
    throw ConfigError(concat(where_, ": field ", quote(field), ": expected ", expected, ", found ",
                             entry == object_.end() ? "nothing" : describe(*entry)));
  }

 private:
  /// Of a size, that it is none which is meant to do harm: products of several still fit.
  template <class T>
  T checked(std::string_view field, T value) const {
    if constexpr (std::is_same_v<T, Index>) {
      constexpr Index most = Index{1} << 40;
      if (value > most) {
        throw ConfigError(
            concat(where_, ": field ", quote(field), " is ", value, ", expected at most ", most));
      }
    }
    return value;
  }

  const Json& object_;
  std::string where_;
};

struct HfActivation {
  std::string_view name;
  ActivationFunction function;
};
/// As transformers calls them; what is written is the first name of a function.
inline constexpr std::array<HfActivation, 12> hf_activations{{
    {"gelu", ActivationFunction::gelu},
    {"gelu_new", ActivationFunction::gelu_tanh},
    {"gelu_pytorch_tanh", ActivationFunction::gelu_tanh},
    {"gelu_fast", ActivationFunction::gelu_tanh},
    {"gelu_python", ActivationFunction::gelu},
    {"gelu_accurate", ActivationFunction::gelu_tanh},
    {"relu", ActivationFunction::relu},
    {"silu", ActivationFunction::silu},
    {"swish", ActivationFunction::silu},
    {"tanh", ActivationFunction::tanh},
    {"leaky_relu", ActivationFunction::leaky_relu},
    {"gelu_10", ActivationFunction::gelu},
}};
constexpr std::string_view hf_activation_name(ActivationFunction function) {
  for (const HfActivation& one : hf_activations)
    if (one.function == function) return one.name;
  return "?";
}

/// The activation that `field` names, or `otherwise` where there is none.
inline ActivationFunction activation_from(const ConfigFields& fields, std::string_view field,
                                          std::string_view otherwise) {
  const std::string name = fields.value_or<std::string>(field, std::string(otherwise));
  for (const HfActivation& one : hf_activations)
    if (one.name == name) return one.function;
  fields.refuse(field,
                "one of gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu, swish, tanh, leaky_relu");
}

/// What every configuration for transformers says. No pad token: then transformers scores the last token of
/// the one sequence it is given, and refuses to guess in a padded batch. With one, it would step over a last
/// token that happens to be it.
inline Json hf_json(std::string_view kind, std::string_view class_prefix, const HfTask& task) {
  Json labels = Json::object();
  Json ids = Json::object();
  for (Index i = 0; i < task.labels; ++i) {
    const std::string name = concat("LABEL_", i);
    labels[std::to_string(i)] = name;
    ids[name] = i;
  }
  return {{"architectures", {concat(class_prefix, task.class_ending)}},
          {"model_type", kind},
          {"id2label", labels},
          {"label2id", ids},
          {"num_labels", task.labels},
          {"torch_dtype", torch_name(task.dtype)},
          {"pad_token_id", nullptr},
          {"bos_token_id", nullptr},
          {"eos_token_id", nullptr}};
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
