// The contract of a backbone: tokens to hidden rows.
//
// A backbone is two structs. The outer one, `Llama`, is an aggregate of numbers a user may change, copyable
// and independent of any machine, which lists them by fields() (core/field.hpp). The inner one,
// `Llama::Bound<B>`, lives with a model on backend B: it declares the parameters in its constructor and
// computes.
//
// Requires of forward(tape, forest): the forest is valid (built by ForestBuilder), wants at least one row,
// and outlives the step; its tokens are below the vocabulary size (the model checks them once). Ensures: a
// variable (R, hidden_width()), one row for each of forest.rows in their order; a row depends on nothing but
// the tokens on its own path, or for a backbone that is not causal its own tree. Such a backbone says so by
// `Sight sight() const`: then every sequence is a tree by itself.
#pragma once

#include <cmath>
#include <concepts>
#include <limits>
#include <optional>
#include <string_view>

#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What merit needs to know of a backbone, on backend B.
template <class Backbone, class B>
concept backbone = std::copyable<Backbone> && requires(const Backbone& settings) {
  // "llama", "gpt2", …: the name in a configuration file.
  { settings.name() } -> std::convertible_to<std::string_view>;
  // Tokens at or above this number are refused; 0 for a backbone that reads no tokens.
  { settings.token_limit() } -> std::convertible_to<Index>;
  // Positions at or above this number are refused; 0 for no limit.
  { settings.position_limit() } -> std::convertible_to<Index>;
  requires requires(typename Backbone::template Bound<B> bound,
                    const typename Backbone::template Bound<B> constant, Parameters<B>& parameters,
                    Tape<B>& tape, const typename BackendTypes<B>::Forest& forest) {
    requires std::constructible_from < typename Backbone::template Bound<B>,
    const Backbone&, Parameters<B>& > ;
    // The width d of a hidden row.
    { constant.hidden_width() } -> std::convertible_to<Index>;
    { bound.forward(tape, forest) } -> std::same_as<Var>;
  };
};

/// A backbone of a language model: unembedding() gives the parameter slice (V, d) that makes logits of hidden
/// rows. Throws ConfigError where the settings leave it out. One that caps its logits has a logit_soft_cap()
/// beside it, 0 for none.
template <class Backbone, class B>
concept unembedding_backbone = backbone<Backbone, B> &&
    requires(const typename Backbone::template Bound<B> bound) {
  { bound.unembedding() } -> std::same_as<ParameterSlice>;
};

namespace detail {

/// Throws ConfigError about a number of a backbone's settings that is not finite, which no file could hold.
inline void check_finite(std::string_view what, double value) {
  if (!std::isfinite(value)) throw ConfigError(concat(what, " is ", value, ", expected a finite number"));
}

/// The same, also about a number below 0.
inline void check_not_negative(std::string_view what, double value) {
  check_finite(what, value);
  if (value < 0) throw ConfigError(concat(what, " is ", value, ", expected at least 0"));
}

}  // namespace detail

/// How a weight matrix starts: normal with the given deviation, or with 1/sqrt(inputs) where that is 0, which
/// keeps the size of what flows through it whatever its width. (0.02, usual in large models, stalls narrow
/// ones.)
inline Init initial_weight(double deviation, Index inputs) {
  return Init::normal(deviation > 0 ? deviation : 1 / std::sqrt(static_cast<double>(inputs)));
}

/// More layers than anybody has: each takes memory before its size is looked at.
inline constexpr double most_layers = 10000;
/// As a backbone's `recompute`: each of its layers.
inline constexpr Index all_layers = std::numeric_limits<Index>::max();
namespace detail {
inline constexpr std::string_view recompute_help =
    "the first N of the layers that are trained compute their activations twice, which saves memory";
}  // namespace detail

/// What a token of a backbone sees: its path, or where its settings have a sight() that says so, its whole tree.
template <class Backbone>
Sight sight_of(const Backbone& settings) {
  if constexpr (requires { settings.sight(); }) {
    return settings.sight();
  } else {
    return Sight::path;
  }
}

/// The token behind which the second segment of a pair begins, for a backbone that embeds segments; nothing for others.
template <class Backbone>
std::optional<Token> pair_separator_of(const Backbone& settings) {
  if constexpr (requires { settings.pair_separator(); }) {
    return settings.pair_separator();
  } else {
    return std::nullopt;
  }
}

/// The token that a backbone's table of positions does not count, see set_places(); nothing for others.
template <class Backbone>
std::optional<Token> uncounted_token_of(const Backbone& settings) {
  if constexpr (requires { settings.uncounted_token(); }) {
    return settings.uncounted_token();
  } else {
    return std::nullopt;
  }
}

/// What the class in transformers of a backbone with a linear head of completions calls that head: "score", or what the
/// settings' head_name() says.
template <class Backbone>
std::string_view head_name_of(const Backbone& settings) {
  if constexpr (requires { settings.head_name(); }) {
    return settings.head_name();
  } else {
    return "score";
  }
}

/// What a backbone reads: tokens, or feature vectors.
template <class Backbone>
inline constexpr bool reads_features = requires {
  requires Backbone::reads_features;
};

/// The same for one whose settings alone tell.
template <class Backbone>
bool wants_features(const Backbone& settings) {
  if constexpr (requires { settings.wants_features(); }) {
    return settings.wants_features();
  } else {
    return reads_features<Backbone>;
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
