// The bodies of ranking_report.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/pair_order.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/correlation.hpp"
#include "merit/eval/ranking_report.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE PairCredits pair_credits(std::span<const double> scores, std::span<const Index> ranks) {
  std::vector<std::pair<double, double>> items;
  items.reserve(ranks.size());
  for (Index i = 0; i < ranks.size(); ++i) items.emplace_back(scores[i], -static_cast<double>(ranks[i]));
  const PairOrder order = pair_order(std::move(items));
  return {order.credit(), static_cast<double>(order.decided()), order.tied_second + order.tied_both,
          order.tied_first};
}

MERIT_INLINE double top_credit(std::span<const double> scores, std::span<const Index> ranks) {
  const Index best = *std::min_element(ranks.begin(), ranks.end());
  const Pick pick = pick_best(scores);
  double right = 0;
  for (const Index i : pick.tied) right += ranks[i] == best ? 1 : 0;
  return right / static_cast<double>(pick.tied.size());
}

/// A number for each group's prompt: groups without one have their own.
inline std::vector<Index> prompts_of(std::span<const ScoredRanking* const> groups) {
  std::vector<std::pair<bool, Index>> keys;
  for (Index i = 0; i < groups.size(); ++i)
    keys.emplace_back(groups[i]->prompt.has_value(), groups[i]->prompt.value_or(i));
  return answer_numbers(keys);
}

/// The error of groups of which none can be used.
[[noreturn]] inline void refuse_groups(Index groups, Index all_tied) {
  const std::string found = concat("found ", groups, groups == 1 ? " group" : " groups", " of completions, ");
  if (all_tied == groups)
    throw DataError(found + "all of them tied, expected at least one with two different ranks");
  throw DataError(concat(found, groups - all_tied,
                         " of them with two different ranks, which have the weight 0, ",
                         "expected at least one with two different ranks and a weight above 0"));
}

}  // namespace detail

MERIT_INLINE RankingReport report_rankings(std::span<const ScoredRanking> rankings) {
  RankingReport report;
  std::vector<const ScoredRanking*> groups;
  for (const ScoredRanking& group : rankings) {
    detail::require_scores("report_rankings", group.scores);
    if (group.ranks.size() != group.scores.size() || group.lengths.size() != group.scores.size()) {
      throw UsageError(concat("report_rankings: found ", group.ranks.size(), " ranks and ",
                              group.lengths.size(), " lengths, expected ", group.scores.size(),
                              ", one a completion"));
    }
    if (!group.lines.empty() && group.lines.size() != group.scores.size()) {
      throw UsageError(concat("report_rankings: found lines of ", group.lines.size(),
                              " completions, expected ", group.scores.size(), " or none"));
    }
    if (!group.cut.empty() && group.cut.size() != group.scores.size()) {
      throw UsageError(concat("report_rankings: found marks of what was cut of ", group.cut.size(),
                              " completions, expected ", group.scores.size(), " or none"));
    }
    const auto [low, high] = std::minmax_element(group.ranks.begin(), group.ranks.end());
    if (*low == *high) {
      ++report.all_tied;
    } else if (group.weight > 0) {
      groups.push_back(&group);
    }
  }
  if (groups.empty()) detail::refuse_groups(rankings.size(), report.all_tied);
  report.groups = groups.size();
  const std::vector<Index> prompts = detail::prompts_of(groups);
  double all_weights = 0;
  for (const ScoredRanking* group : groups) all_weights += group->weight;
  std::vector<double> kendalls, spearmans, weights;
  for (const ScoredRanking* group : groups) {
    const detail::PairCredits some = detail::pair_credits(group->scores, group->ranks);
    report.pairs += static_cast<Index>(some.pairs);
    report.rank_ties += some.rank_ties;
    report.score_ties += some.score_ties;
    report.cut += static_cast<Index>(std::count(group->cut.begin(), group->cut.end(), true));
    const std::vector<double> equal(group->scores.size(), 0.0);
    report.top_by_chance += group->weight * detail::top_credit(equal, group->ranks) / all_weights;
    std::vector<double> goodness;
    for (const Index rank : group->ranks) goodness.push_back(-static_cast<double>(rank));
    const double kendall = detail::kendall_or_nan(group->scores, goodness);
    const bool equal_scores = std::isnan(kendall);
    report.without_correlation += equal_scores ? 1 : 0;
    weights.push_back(group->weight);
    kendalls.push_back(equal_scores ? 0 : kendall);
    spearmans.push_back(equal_scores ? 0 : detail::spearman_or_nan(group->scores, goodness));
  }
  report.kendall = detail::mean_over_prompts(kendalls, prompts, weights);
  report.spearman = detail::mean_over_prompts(spearmans, prompts, weights);
  const auto judge = [](std::vector<Index> ScoredRanking::*counts, double sign) {
    return [counts, sign](const ScoredRanking& group) {
      std::vector<double> scores;
      for (const Index count : group.*counts) scores.push_back(sign * static_cast<double>(count));
      return scores;
    };
  };
  const auto report_judge = [&](const auto& numbers) {
    return detail::report_order(groups, prompts, numbers, numbers);
  };
  report.model = detail::report_order(
      groups, prompts, [](const ScoredRanking& group) { return group.scores; },
      [](const ScoredRanking& group) {
        return group.cut.empty() ? group.scores : choice_keys(group.scores, group.cut);
      });
  report.longest = report_judge(judge(&ScoredRanking::lengths, 1));
  report.shortest = report_judge(judge(&ScoredRanking::lengths, -1));
  if (std::none_of(groups.begin(), groups.end(),
                   [](const ScoredRanking* group) { return group->lines.empty(); }))
    report.most_lines = report_judge(judge(&ScoredRanking::lines, 1));
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
