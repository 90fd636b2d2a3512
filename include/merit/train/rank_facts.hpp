// What ranks compare before their first step: options, examples, and the weights that they begin with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/comm/agree.hpp"
#include "merit/core/concat.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/field.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/tape/parameters.hpp"
#include "merit/train/train_options.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A setting as text that no other value has: of a number all digits, of which concat() says six.
template <class T>
std::string exact_text(const T& value) {
  if constexpr (std::is_floating_point_v<T>) {
    return shortest(value);
  } else {
    return concat(value);
  }
}

/// The settings of a policy, those of a policy in it under its name.
template <class Policy>
void add_policy_facts(const std::string& name, const Policy& policy, RankFacts& facts) {
  facts.add(name, Policy::name());
  if constexpr (has_fields<Policy>) {
    Policy::fields([&]<class T>(const Field<Policy, T>& field) {
      const T& value = policy.*field.member;
      const std::string inner = concat(name, ".", field.name);
      if constexpr (std::is_enum_v<T>) {
        facts.add(inner, name_of(value));
      } else if constexpr (number_list<T>) {
        std::string list;
        for (const auto& number : value) list += concat(list.empty() ? "" : " ", exact_text(number));
        facts.add(inner, list);
      } else if constexpr (nested_policy<T>) {
        add_policy_facts(inner, value, facts);
      } else {
        facts.add(inner, exact_text(value));
      }
    });
  }
}

inline void add_option_facts(const TrainOptions& options, RankFacts& facts) {
  const auto add = [&](const char* name, const auto& value) { facts.add(name, exact_text(value)); };
  add("epochs", options.epochs);
  add("max_steps", options.max_steps);
  add("batch_size", options.batch_size);
  add("micro_batch_tokens", options.micro_batch_tokens);
  add("max_gradient_norm", options.max_gradient_norm);
  add("learning_rate", options.schedule.peak);
  add("warmup", options.schedule.warmup);
  add("decay", name_of(options.schedule.decay));
  add("floor", options.schedule.floor);
  add("seed", options.seed);
  add("sharing", options.sharing == Sharing::yes ? "yes" : "no");
  add("fixed_tree", options.fixed_tree ? "yes" : "no");
  add("stochastic_rounding", options.stochastic_rounding ? "yes" : "no");
  for (Index p = 0; p < options.parts.size(); ++p)
    add(concat("epochs of part ", p + 1).c_str(), options.parts[p].epochs);
  std::visit([&](const auto& optimizer) { add_policy_facts("optimizer", optimizer, facts); },
             options.optimizer);
}

/// A number that changes when bytes do: eight of them at a time, as there are gigabytes.
inline std::uint64_t hash_of_bytes(std::span<const std::byte> bytes, std::uint64_t hash) {
  for (Index at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

/// All weights, frozen ones too, as they are held.
template <class Backend>
std::uint64_t hash_of_weights(const Parameters<Backend>& parameters) {
  std::uint64_t hash = 0;
  std::vector<std::byte> bytes;
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    const auto weight = parameters.stored(i);
    bytes.resize(stored_bytes(weight.dtype, weight.cols));
    Backend::to_host(parameters.handle(), static_cast<const std::byte*>(weight.data), bytes.data(),
                     bytes.size());
    Backend::wait(parameters.handle());
    hash = hash_of_bytes(bytes, hash);
  }
  return hash;
}

/// When ranks ask each other: with other hooks they would answer other questions.
inline void add_hook_facts(const TrainHooks& hooks, RankFacts& facts) {
  facts.add("evaluate_every", concat(hooks.evaluate_every));
  facts.add("checkpoint_every", concat(hooks.checkpoint_every));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
