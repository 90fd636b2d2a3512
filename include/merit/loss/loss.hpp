// The contract of a loss: scores to one number and its gradient.
//
// A loss is one aggregate of settings. Scores come to the host (there are few of them: one to a handful for
// each completion, token or step), so a loss is a plain loop over numbers, and a user's own loss is one too.
//
// Requires of value_and_gradient(scores, targets, normaliser, gradient): every row that targets name is < R;
// normaliser is the sum of normaliser(targets) over the whole optimizer step, counted before it starts.
// Ensures: returns this micro-batch's share of the step's loss, so that shares add up to the step's; assigns
// every element of `gradient` (R, k), never adds; finite for |score| up to 1e4.
#pragma once

#include <concepts>
#include <string_view>

#include "merit/core/score_meaning.hpp"
#include "merit/core/view.hpp"

namespace merit::inline MERIT_ABI {

template <class Loss, class Score>
concept loss = std::copyable<Loss> &&
    requires(const Loss& settings, MatrixView<const Score> scores, const typename Loss::Targets& targets,
             double normaliser, MatrixView<Score> gradient, typename Loss::Targets& mutable_targets) {
  { Loss::reads } -> std::convertible_to<ScoreMeaning>;
  { Loss::name() } -> std::convertible_to<std::string_view>;
  settings.validate();
  { settings.normaliser(targets) } -> std::convertible_to<double>;
  { settings.value_and_gradient(scores, targets, normaliser, gradient) } -> std::convertible_to<double>;
  mutable_targets.clear();
};

}  // namespace merit::inline MERIT_ABI
