// What is reported about ranked groups: pairs in the right order, the best at the top, rank correlations, and
// the same for judges that only look at length or format.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/pair_order.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/correlation.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/rerank.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The completions of one prompt with their scores, ranks, lengths and lines.
struct ScoredRanking {
  std::vector<double> scores;
  std::vector<Index> ranks;       // 0 is best; equal ranks are a tie
  std::vector<Index> lengths;     // in tokens
  std::vector<Index> lines{};     // that are not blank; empty: not known
  std::vector<bool> cut{};        // not read whole: below those that were, on top; empty: none
  double weight = 1;              // how much the group counts; 0: nowhere
  std::optional<Index> prompt{};  // groups of one prompt have one number; nothing: a prompt of its own
};

/// How well some judge orders groups.
struct OrderReport {
  Estimate pair_accuracy;  // of all pairs of different rank; equal scores ½
  Estimate top;            // the top-scored is of the best rank; ties share, cut ones are below the others
};

struct RankingReport {
  Index groups = 0;      // with at least two different ranks, and a weight above 0
  Index all_tied = 0;    // groups without, left out
  Index pairs = 0;       // of different rank
  Index rank_ties = 0;   // pairs of one rank, which do not count
  Index score_ties = 0;  // pairs of different rank with equal scores
  Index cut = 0;         // completions that were not read whole
  OrderReport model;
  double top_by_chance = 0;       // mean share of completions of the best rank, weighted
  Estimate kendall;               // τ-b of scores and ranks, mean over groups
  Estimate spearman;              // the same
  Index without_correlation = 0;  // groups whose scores are all equal: no order is known, which counts 0
  OrderReport longest;            // preferring the longer completion
  OrderReport shortest;           // preferring the shorter one
  std::optional<OrderReport>
      most_lines;  // preferring the one of more lines; nothing where they are not known
};

namespace detail {

/// Credit over the pairs of a group that differ in rank, and their number.
struct PairCredits {
  double credit = 0;
  double pairs = 0;
  Index rank_ties = 0;
  Index score_ties = 0;
};

PairCredits pair_credits(std::span<const double> scores, std::span<const Index> ranks);

/// The share of those with the top score that are of the best rank.
double top_credit(std::span<const double> scores, std::span<const Index> ranks);

/// What a judge reaches over groups, with `prompts` the number of each one's; `score(group)` gives its numbers
/// for the completions of one, and `choice(group)` those by which it chooses the best.
template <class Score, class Choice>
OrderReport report_order(std::span<const ScoredRanking* const> groups, std::span<const Index> prompts,
                         const Score& score, const Choice& choice) {
  std::vector<double> credits, pairs, tops, weights;
  for (const ScoredRanking* group : groups) {
    const std::vector<double> scores = score(*group);
    const PairCredits some = pair_credits(scores, group->ranks);
    credits.push_back(group->weight * some.credit);
    pairs.push_back(group->weight * some.pairs);
    tops.push_back(top_credit(choice(*group), group->ranks));
    weights.push_back(group->weight);
  }
  const std::vector<Index> numbers = answer_numbers(prompts);
  return {ratio_by_groups(credits, pairs, numbers, members_of(numbers).size()),
          mean_over_prompts(tops, prompts, weights)};
}

}  // namespace detail

/// The report of scored groups; intervals are over prompts. A group whose ranks are all equal says nothing and
/// is left out, counted. Throws DataError when no group is left or a score is not finite, UsageError when a
/// group has not one rank and one length for each score, or lines or cuts of another number than 0 or that.
RankingReport report_rankings(std::span<const ScoredRanking> rankings);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/eval/ranking_report_body.hpp"
#endif
