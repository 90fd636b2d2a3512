// How many of a batch's targets its scores already get right: what a training log shows beside the loss.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "merit/batch/targets.hpp"
#include "merit/core/pair_order.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct RightCount {
  double right = 0;  // a tie is half
  Index counted = 0;

  double share() const { return counted == 0 ? 0.0 : right / static_cast<double>(counted); }
  RightCount& operator+=(const RightCount& other) {
    right += other.right;
    counted += other.counted;
    return *this;
  }
};

namespace detail {

/// 1 for above zero, 0 for below, ½ for zero.
inline double sign_credit(double difference) {
  return difference > 0 ? 1.0 : difference < 0 ? 0.0 : 0.5;
}

/// Groups above it are counted without looking at every pair, for which memory is asked.
inline constexpr Index large_group = 64;

}  // namespace detail

/// Targets without right and wrong: none counted.
template <class Targets, class Score>
RightCount count_right(const Targets&, std::span<const Score>, Index) {
  return {};
}

/// Pairs in the order of their labels; those judged even do not count. scores (R, width).
template <class Score>
RightCount count_right(const PairTargets& targets, std::span<const Score> scores, Index width) {
  RightCount count;
  for (const PairTargets::Pair& pair : targets.pairs) {
    if (pair.soft_label == 0.5) continue;
    const auto margin = static_cast<double>(scores[pair.chosen * width] - scores[pair.rejected * width]);
    count.right += detail::sign_credit(pair.soft_label > 0.5 ? margin : -margin);
    ++count.counted;
  }
  return count;
}

/// Pairs of every group in the right order; ties among ranks do not count.
template <class Score>
RightCount count_right(const RankingTargets& targets, std::span<const Score> scores, Index width) {
  RightCount count;
  for (const RankingTargets::Group& group : targets.groups) {
    const auto items = targets.items_of(group);
    const auto score = [&](const RankingTargets::Item& item) {
      return static_cast<double>(scores[item.row * width]);
    };
    if (items.size() > detail::large_group) {
      std::vector<std::pair<double, double>> all;
      all.reserve(items.size());
      for (const auto& item : items) all.emplace_back(score(item), -static_cast<double>(item.rank));
      const PairOrder order = pair_order(std::move(all));
      count.right += order.credit();
      count.counted += order.decided();
      continue;
    }
    for (Index i = 0; i < items.size(); ++i) {
      for (Index j = i + 1; j < items.size(); ++j) {
        if (items[i].rank == items[j].rank) continue;
        count.right += detail::sign_credit(score(items[i]) - score(items[j]));
        ++count.counted;
      }
    }
  }
  return count;
}

/// Labels on whose side of ½ the score is; a label of ½ does not count.
template <class Score>
RightCount count_right(const BinaryTargets& targets, std::span<const Score> scores, Index width) {
  RightCount count;
  for (const BinaryLabel& label : targets.labels) {
    if (label.label == 0.5) continue;
    const auto score = static_cast<double>(scores[label.row * width]);
    count.right += detail::sign_credit(label.label > 0.5 ? score : -score);
    ++count.counted;
  }
  return count;
}

/// Labels whose likeliest class has the highest score.
template <class Score>
RightCount count_right(const ClassTargets& targets, std::span<const Score> scores, Index width) {
  RightCount count;
  for (Index i = 0; i < targets.labels.size(); ++i) {
    const auto label = targets.probabilities_of(i);
    const Index row = targets.labels[i].row * width;
    Index likeliest = 0;
    Index highest = 0;
    for (Index c = 1; c < label.size(); ++c) {
      if (label[c] > label[likeliest]) likeliest = c;
      if (scores[row + c] > scores[row + highest]) highest = c;
    }
    count.right += likeliest == highest ? 1 : 0;
    ++count.counted;
  }
  return count;
}

/// Of two losses, the first's: it is the reward.
template <class First, class Second, class Score>
RightCount count_right(const JointTargets<First, Second>& targets, std::span<const Score> scores,
                       Index width) {
  return count_right(targets.first, scores, width);
}

}  // namespace MERIT_ABI
}  // namespace merit
