// The contract of a loss: scores to one number and its gradient.
//
// A loss is an aggregate of settings, targets that are flat lists of plain structs, and a term: a function of
// one unit of the targets (a pair, a ranked group, a labelled row) from its scores to its part of the loss
// and a slope for each score. Whoever runs the loop over units (evaluate_loss.hpp on a host) gathers the
// scores and adds up the slopes, so a term is arithmetic alone.
//
//   targets.unit_count()    how many units there are
//   targets.unit(i)         unit i, a plain struct; what it points to belongs to the targets
//   unit.size()             how many scores it reads; one that reads none says nothing and is skipped
//   unit.place(j)           where its score j stands; several units may read one score
//   loss.term(unit, normaliser, numbers)
//                           the unit's share of the step's loss, a UnitLoss. Reads numbers.scores[j] and
//                           assigns numbers.slopes[j], its derivative by them, for every j < unit.size()
//
// A term allocates nothing, keeps nothing and throws nothing: what it needs beside scores and slopes is
// numbers.scratch, `scratch_per_score` doubles for each score of the unit (none if the loss does not say).
// Marked MERIT_CALLABLE, it runs on a device too (device_loss.hpp), over a Targets::View of the same lists, such as
// UnitList; there a loss is copied byte by byte, so one with a list among its settings gives by plain() a
// struct that only points to it, and has the term. What can be wrong with targets is said before the loop, by
// check_columns(targets, columns), if the loss has that.
//
// A loss may also be a loop of its own over a host's numbers, and then has no term:
//
//   loss.value_and_gradient(scores, targets, normaliser, gradient)
//                           this micro-batch's share of the loss; assigns every element of `gradient` (R, k),
//                           never adds
//
// Both require that every row that targets name is < R, and that normaliser is the sum of
// normaliser(targets) over the whole optimizer step, counted before it starts; so that shares add up to the
// step's loss however it is cut. Both are finite for |score| up to 1e4.
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

namespace merit {
inline namespace MERIT_ABI {

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

/// Where a score stands among those of a micro-batch, (R, k).
struct ScorePlace {
  std::uint32_t row = 0;
  std::uint32_t column = 0;
};

/// Targets that are one list of units, wherever it is.
template <class Unit>
struct UnitList {
  const Unit* units = nullptr;
  Index count = 0;

  MERIT_CALLABLE Index unit_count() const { return count; }
  MERIT_CALLABLE const Unit& unit(Index i) const { return units[i]; }
  /// Calls f(list, its length) with each list, which f may put elsewhere.
  template <class F>
  void for_each_list(const F& f) {
    f(units, count);
  }
};

/// What a term reads and writes, for a unit of n scores.
struct UnitNumbers {
  const double* scores = nullptr;  // (n)
  double* slopes = nullptr;        // (n), to be assigned
  double* scratch = nullptr;       // (n · scratch_per_score), of any content
};

/// A unit's share of the step's loss is factor · value. Whoever adds it up multiplies: a compiler that fuses
/// the two then does so for every loss alike, and losses that are equal stay so to the bit.
struct UnitLoss {
  double factor = 0;  // in general the unit's weight by the normaliser
  double value = 0;
};

/// scratch_per_score, or 0.
template <class Loss>
inline constexpr Index scratch_per_score = [] {
  if constexpr (requires { Loss::scratch_per_score; }) {
    return Index{Loss::scratch_per_score};
  } else {
    return Index{0};
  }
}();

/// What has the term: loss.plain(), or the loss itself.
template <class Loss>
decltype(auto) plain_loss(const Loss& loss) {
  if constexpr (requires { loss.plain(); }) {
    return loss.plain();
  } else {
    return (loss);
  }
}

/// Whether the libraries of device backends hold the loop over a loss's units (device_loss.hpp); of another the scores come
/// to the host. For a loss of one's own: true beside a unit that includes the backend's body and instantiates B::for_each
/// for DeviceTermsOf it.
template <class Loss>
inline constexpr bool has_device_loop = false;

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

/// A loss that is a term of each unit of its targets.
template <class Loss>
concept term_loss = requires(const Loss& settings, const typename Loss::Targets& targets,
                             const UnitNumbers& numbers) {
  { targets.unit_count() } -> std::convertible_to<Index>;
  { targets.unit(Index{}).size() } -> std::convertible_to<Index>;
  { targets.unit(Index{}).place(Index{}) } -> std::same_as<ScorePlace>;
  { plain_loss(settings).term(targets.unit(Index{}), double{}, numbers) } -> std::same_as<UnitLoss>;
};

/// A loss that is a loop of its own.
template <class Loss, class Score>
concept loop_loss = requires(const Loss& settings, MatrixView<const Score> scores,
                             const typename Loss::Targets& targets, MatrixView<Score> gradient) {
  {
    settings.value_and_gradient(scores, targets, settings.normaliser(targets), gradient)
    } -> std::convertible_to<double>;
};

template <class Loss, class Score>
concept loss = std::copyable<Loss> && requires(const Loss& settings, const typename Loss::Targets& targets,
                                               typename Loss::Targets& mutable_targets) {
  { Loss::reads } -> std::convertible_to<ScoreMeaning>;
  { Loss::name() } -> std::convertible_to<std::string_view>;
  { settings.normaliser(targets) } -> std::default_initializable;
  { is_positive(settings.normaliser(targets)) } -> std::convertible_to<bool>;
  { is_finite(settings.normaliser(targets)) } -> std::convertible_to<bool>;
  requires requires(NormaliserOf<Loss> sum) {
    sum += settings.normaliser(targets);
  };
  mutable_targets.clear();
} &&(is_joint_loss<Loss> || term_loss<Loss> || loop_loss<Loss, Score>);

}  // namespace MERIT_ABI
}  // namespace merit
