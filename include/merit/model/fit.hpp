// Which heads and losses make a model: one rule, from what each says of itself.
#pragma once

#include "merit/head/head.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Whether a head and a loss fit, or why they do not.
enum class Fit : std::uint8_t {
  yes,
  other_meaning,   // the loss reads scores of something else than the head gives
  one_score,       // the loss reads one score a row, the head gives several
  several_scores,  // the loss reads a score for each class, the head gives one
  joint_head       // two heads ask for two losses
};

namespace detail {

constexpr Fit fit_of(ScoreMeaning meaning, Index width, ScoreMeaning reads, ScoreWidth reads_width) {
  if (meaning != reads) return Fit::other_meaning;
  // The logits of a whole vocabulary are no numbers to regress on one by one.
  if (meaning == ScoreMeaning::next_token && reads_width != ScoreWidth::several) return Fit::one_score;
  if (reads_width == ScoreWidth::one && width != 1) return Fit::one_score;
  if (reads_width == ScoreWidth::several && width == 1) return Fit::several_scores;
  return Fit::yes;
}

template <class Head, class Loss>
struct FitOf {
  static constexpr Fit value = fit_of(Head::meaning, head_width<Head>, Loss::reads, width_read<Loss>);
  static constexpr ScoreMeaning reads = Loss::reads;  // of the part that does not fit
};
/// Both losses read the scores of one head.
template <class Head, class First, class Second>
struct FitOf<Head, JointLoss<First, Second>> {
  static constexpr Fit first = FitOf<Head, First>::value;
  static constexpr Fit value = first != Fit::yes ? first : FitOf<Head, Second>::value;
  static constexpr ScoreMeaning reads =
      first != Fit::yes ? FitOf<Head, First>::reads : FitOf<Head, Second>::reads;
};
/// Each head has its loss.
template <class HeadA, class HeadB, class LossA, class LossB>
struct FitOf<JointHead<HeadA, HeadB>, JointLoss<LossA, LossB>> {
  static constexpr Fit first = FitOf<HeadA, LossA>::value;
  static constexpr Fit value = first != Fit::yes ? first : FitOf<HeadB, LossB>::value;
  static constexpr ScoreMeaning reads =
      first != Fit::yes ? FitOf<HeadA, LossA>::reads : FitOf<HeadB, LossB>::reads;
};
template <class HeadA, class HeadB, class Loss>
struct FitOf<JointHead<HeadA, HeadB>, Loss> {
  static constexpr Fit value = Fit::joint_head;
  static constexpr ScoreMeaning reads = Loss::reads;
};

}  // namespace detail

/// Whether RewardModel takes this head with this loss.
template <class Head, class Loss>
inline constexpr Fit fit = detail::FitOf<Head, Loss>::value;

}  // namespace MERIT_ABI
}  // namespace merit
