// The contract of a loss: scores to one number and its gradient.
//
// A loss is one aggregate of settings. Scores come to the host (there are few of them: one to a handful for
// each completion, token or step), so a loss is a plain loop over numbers, and a user's own loss is one too.
//
// Requires of value_and_gradient(scores, targets, normaliser, gradient): every row that targets name is < R;
// normaliser is the sum of normaliser(targets) over the whole optimizer step, counted before it starts.
// Ensures: returns this micro-batch's share of the step's loss, so that shares add up to the step's; assigns
// every element of `gradient` (R, k), never adds; finite for |score| up to 1e4.
//
// Its settings are listed once, by fields() (core/field.hpp); a loss without any needs none.
//
// `reads` says what one score is about, `reads_width` how many a row has; a loss without it takes any number.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <utility>

#include "merit/core/score_meaning.hpp"
#include "merit/core/view.hpp"

namespace merit::inline MERIT_ABI {

/// How many scores of a row a loss reads.
enum class ScoreWidth : std::uint8_t {
  one,      // the only one
  several,  // one for each of two classes or more
  any
};

/// reads_width, or `any`.
template <class Loss>
inline constexpr ScoreWidth width_read = [] {
  if constexpr (requires { Loss::reads_width; }) {
    return Loss::reads_width;
  } else {
    return ScoreWidth::any;
  }
}();

/// What a loss divides by: a number, or for a loss of several parts one for each.
template <class Loss>
using NormaliserOf =
    decltype(std::declval<const Loss&>().normaliser(std::declval<const typename Loss::Targets&>()));

inline bool is_positive(double normaliser) {
  return normaliser > 0;
}
inline bool is_finite(double normaliser) {
  return std::isfinite(normaliser);
}

/// Whether a loss is a JointLoss: two losses, each with targets, normaliser and weight of its own.
template <class Loss>
inline constexpr bool is_joint_loss = false;
template <class First, class Second>
struct JointLoss;
template <class First, class Second>
inline constexpr bool is_joint_loss<JointLoss<First, Second>> = true;

namespace detail {

/// What a loss of one's own has beside what all have: the body.
template <class Loss, class Score>
concept has_value_and_gradient = requires(const Loss& settings, MatrixView<const Score> scores,
                                          const typename Loss::Targets& targets, MatrixView<Score> gradient) {
  {
    settings.value_and_gradient(scores, targets, settings.normaliser(targets), gradient)
    } -> std::convertible_to<double>;
};

}  // namespace detail

template <class Loss, class Score>
concept loss = std::copyable<Loss> && requires(const Loss& settings, const typename Loss::Targets& targets,
                                               typename Loss::Targets& mutable_targets) {
  { Loss::reads } -> std::convertible_to<ScoreMeaning>;
  { Loss::name() } -> std::convertible_to<std::string_view>;
  { settings.normaliser(targets) } -> std::default_initializable;
  { is_positive(settings.normaliser(targets)) } -> std::convertible_to<bool>;
  mutable_targets.clear();
  requires is_joint_loss<Loss> || detail::has_value_and_gradient<Loss, Score>;
};

}  // namespace merit::inline MERIT_ABI
