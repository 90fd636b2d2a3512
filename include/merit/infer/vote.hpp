// One of several answers: the best-scored, the most frequent, or the one with the most score behind it.
#pragma once

#include <algorithm>
#include <map>
#include <numeric>
#include <ranges>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/aggregate.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What was picked from a list. With ties the first of them is picked; `tied` says which could have been.
struct Pick {
  Index index = 0;          // into the list
  std::vector<Index> tied;  // all that reach the top, in order; the picked one is the first
};

/// The candidate with the highest score (best of N). Throws DataError when there is none or a score is not
/// finite.
inline Pick pick_best(std::span<const double> scores) {
  detail::require_scores("pick_best", scores);
  const double top = *std::max_element(scores.begin(), scores.end());
  Pick pick;
  for (Index i = 0; i < scores.size(); ++i) {
    if (scores[i] == top) pick.tied.push_back(i);
  }
  pick.index = pick.tied.front();
  return pick;
}

/// The outcome of a vote over answers.
struct Vote {
  Pick pick;         // the first candidate of each answer that reaches the top
  double votes = 0;  // behind the winner
  double total = 0;  // cast
};

namespace detail {

/// The number of each candidate's answer: equal answers have one number, in the order of their first
/// candidate.
template <std::ranges::random_access_range Answers>
std::vector<Index> answer_numbers(const Answers& answers) {
  std::map<std::ranges::range_value_t<Answers>, Index> numbers;
  std::vector<Index> result;
  for (const auto& answer : answers)
    result.push_back(numbers.try_emplace(answer, numbers.size()).first->second);
  return result;
}

/// Candidates by ascending weight. Weights added in this order give equal sums for equal sets of weights,
/// whatever the order of the candidates, so that ties are ties.
inline std::vector<Index> by_weight(std::span<const double> weights) {
  std::vector<Index> order(weights.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return weights[a] < weights[b]; });
  return order;
}

inline void require_vote_weights(std::span<const double> weights) {
  require_scores("vote", weights);
  for (const double weight : weights) {
    if (weight < 0) {
      throw DataError(concat("vote: found the weight ", weight,
                             ", expected none below 0; turn scores into probabilities first"));
    }
  }
}

}  // namespace detail

/// The answer with the largest sum of weights (score-weighted majority). Equal answers are added up.
/// `weights` must not be negative: with raw scores below zero, one more vote would count against an answer.
/// Throws DataError for that or when there are no answers, and UsageError when the numbers of both differ.
template <std::ranges::random_access_range Answers>
Vote weighted_majority(const Answers& answers, std::span<const double> weights) {
  const std::vector<Index> numbers = detail::answer_numbers(answers);
  if (numbers.size() != weights.size())
    throw UsageError(concat("vote: found ", weights.size(), " weights, expected ", numbers.size()));
  detail::require_vote_weights(weights);
  std::vector<double> sums(*std::max_element(numbers.begin(), numbers.end()) + 1, 0.0);
  for (const Index i : detail::by_weight(weights)) sums[numbers[i]] += weights[i];
  const double top = *std::max_element(sums.begin(), sums.end());
  Vote vote;
  vote.votes = top;
  vote.total = std::accumulate(sums.begin(), sums.end(), 0.0);
  Index seen = 0;
  for (Index i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != seen) continue;  // not the first candidate of its answer
    ++seen;
    if (sums[numbers[i]] == top) vote.pick.tied.push_back(i);
  }
  vote.pick.index = vote.pick.tied.front();
  return vote;
}

/// The most frequent answer (self-consistency). Throws DataError when there are none.
template <std::ranges::random_access_range Answers>
Vote majority(const Answers& answers) {
  const std::vector<double> ones(std::ranges::size(answers), 1.0);
  return weighted_majority(answers, ones);
}

}  // namespace MERIT_ABI
}  // namespace merit
