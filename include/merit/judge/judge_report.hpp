// How good a judge is: agreement with labels, what its verdicts owe to the place of an answer, and what could not be read,
// each apart, beside preferring the longer answer.
#pragma once

#include <algorithm>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/io/json.hpp"
#include "merit/judge/judge.hpp"
#include "merit/judge/verdict.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A reply without its text.
struct JudgedReply {
  VerdictFault fault = VerdictFault::none;
  bool cut = false;  // a limit ended it
  std::optional<bool> for_first =
      {};            // whether it names the answer that was shown first; nothing: no winner, or no places
  Index prompt = 0;  // replies about one prompt have one number
  double weight = 1;
};

inline JudgedReply judged_reply(const RatingReading& reading, Index prompt, double weight = 1) {
  return {.fault = reading.fault, .cut = reading.cut, .for_first = {}, .prompt = prompt, .weight = weight};
}

/// Two answers with what the judge and the labels say of them, and the replies about them.
struct JudgedPair {
  std::optional<JudgeVote> verdict = {};
  Index read_both = 0;                     // samples with a verdict in both orders
  Index flips = 0;                         // of them, the orders differ
  std::vector<JudgedReply> replies = {};   // their prompt and weight are the pair's
  std::optional<double> probability = {};  // that a is better, where logits were read
  std::optional<double> label = {};        // the share of labels for a; nothing: there are none
  Index length_a = 0, length_b = 0;        // in any unit
  Index prompt = 0;                        // pairs of one prompt have one number
  double weight = 1;
};

/// Of a comparison; label, lengths, prompt and weight are still to be given.
inline JudgedPair judged_pair(const PairJudgement& judgement) {
  JudgedPair pair{.verdict = judgement.verdict(), .probability = judgement.probability_of_a()};
  for (const JudgeSample& sample : judgement.samples) {
    pair.read_both += sample.vote() ? 1 : 0;
    pair.flips += sample.flipped() ? 1 : 0;
    for (const bool swapped : {false, true}) {
      const VoteReading& reading = swapped ? sample.swapped : sample.given;
      JudgedReply reply{.fault = reading.fault, .cut = reading.cut};
      if (reading.vote && *reading.vote != JudgeVote::tie)
        reply.for_first = *reading.vote == (swapped ? JudgeVote::b : JudgeVote::a);
      pair.replies.push_back(reply);
    }
  }
  return pair;
}

/// Of two ratings: the higher mean is better. Their replies are of single answers, and given to the report apart.
inline JudgedPair judged_pair(const RatingJudgement& a, const RatingJudgement& b) {
  JudgedPair pair;
  const std::optional<double> of_a = a.mean(), of_b = b.mean();
  if (of_a && of_b)
    pair.verdict = *of_a > *of_b ? JudgeVote::a : *of_a < *of_b ? JudgeVote::b : JudgeVote::tie;
  return pair;
}

/// All from counts over the whole set, in which a pair counts as much as its weight; intervals are over prompts. A figure
/// of which nothing is known is absent.
struct JudgeReport {
  Index pairs = 0;
  Index without_verdict = 0;  // no sample was read in both orders, or a rating is missing
  Index ties = 0;             // verdicts that name nobody

  Index replies = 0;
  Index absent = 0, contradictory = 0, off_scale = 0;  // of them, without a verdict, by why
  Index cut = 0;                                       // ended by a limit, whatever was read
  Estimate parse_failures;                             // the share of replies without a verdict

  Index read_both = 0;            // samples with a verdict in both orders
  std::optional<Estimate> flips;  // of them, the share in which the orders differ: these are ties
  Index decided_replies = 0;      // replies that name a winner
  std::optional<Estimate>
      first_place;  // of them, the share that names the answer shown first; ½: no position bias

  Index labelled = 0;     // pairs with a label
  Index even_labels = 0;  // of them, those for whom neither is better
  /// Of the labelled pairs of which one is better: a verdict for it counts 1, a tie ½, none 0.
  std::optional<Estimate> agreement;
  Index winners = 0;                             // of those pairs, verdicts that name a winner
  std::optional<Estimate> agreement_of_winners;  // of these alone
  std::optional<Estimate> same_verdict;          // of all labelled pairs: a, b or a tie as the label has it
  std::optional<Estimate> agreement_of_logits;   // as `agreement`, by the mean log-odds of both orders
  std::optional<Estimate> longer_wins;           // as `agreement`, of preferring the longer answer
};

namespace detail::judge_report {

/// Numbers with a prompt and a weight each, of which the weighted mean is a figure.
class Figure {
 public:
  void add(double value, Index prompt, double weight) {
    values_.push_back(value);
    prompts_.push_back(prompt);
    weights_.push_back(weight);
    sum_ += weight;
  }
  Index size() const { return values_.size(); }
  /// Nothing where nothing has a weight.
  std::optional<Estimate> mean() const {
    if (sum_ == 0) return std::nullopt;
    return mean_over_prompts(values_, prompts_, weights_);
  }

 private:
  std::vector<double> values_, weights_;
  std::vector<Index> prompts_;
  double sum_ = 0;
};

/// 1 where the better one is named, ½ for a tie.
inline double credit(JudgeVote verdict, double label) {
  if (verdict == JudgeVote::tie) return 0.5;
  return (verdict == JudgeVote::a) == (label > 0.5) ? 1 : 0;
}
template <class Number>
JudgeVote vote_by(Number a, Number b) {
  return a > b ? JudgeVote::a : a < b ? JudgeVote::b : JudgeVote::tie;
}

}  // namespace detail::judge_report

/// The report. `replies`: those of single answers, beside those of the pairs. Throws DataError where there are neither
/// pairs nor replies, or none of a weight above 0.
inline JudgeReport report_judge(std::span<const JudgedPair> pairs,
                                std::span<const JudgedReply> replies = {}) {
  using namespace detail::judge_report;
  JudgeReport report;
  Figure failures, flips, first_place, agreement, of_winners, same, of_logits, longer;
  const auto add_reply = [&](const JudgedReply& reply, Index prompt, double weight) {
    ++report.replies;
    report.cut += reply.cut ? 1 : 0;
    report.absent += reply.fault == VerdictFault::absent ? 1 : 0;
    report.contradictory += reply.fault == VerdictFault::contradictory ? 1 : 0;
    report.off_scale += reply.fault == VerdictFault::off_scale ? 1 : 0;
    failures.add(reply.fault == VerdictFault::none ? 0 : 1, prompt, weight);
    if (reply.for_first) first_place.add(*reply.for_first ? 1 : 0, prompt, weight);
  };
  for (const JudgedReply& reply : replies) add_reply(reply, reply.prompt, reply.weight);
  for (const JudgedPair& pair : pairs) {
    const Index prompt = pair.prompt;
    const double weight = pair.weight;
    ++report.pairs;
    report.without_verdict += pair.verdict ? 0 : 1;
    report.ties += pair.verdict == JudgeVote::tie ? 1 : 0;
    report.read_both += pair.read_both;
    for (const JudgedReply& reply : pair.replies) add_reply(reply, prompt, weight);
    for (Index i = 0; i < pair.read_both; ++i) flips.add(i < pair.flips ? 1 : 0, prompt, weight);
    if (!pair.label) continue;
    ++report.labelled;
    const double label = *pair.label;
    same.add(pair.verdict == vote_by(label, 0.5) ? 1 : 0, prompt, weight);
    if (label == 0.5) {
      ++report.even_labels;
      continue;
    }
    agreement.add(pair.verdict ? credit(*pair.verdict, label) : 0, prompt, weight);
    if (pair.verdict && *pair.verdict != JudgeVote::tie)
      of_winners.add(credit(*pair.verdict, label), prompt, weight);
    if (pair.probability) of_logits.add(credit(vote_by(*pair.probability, 0.5), label), prompt, weight);
    longer.add(credit(vote_by(pair.length_a, pair.length_b), label), prompt, weight);
  }
  if (report.replies == 0) throw DataError("there is nothing that was judged, expected at least one reply");
  const std::optional<Estimate> failed = failures.mean();
  if (!failed) throw DataError("all that was judged has the weight 0");
  report.parse_failures = *failed;
  report.flips = flips.mean();
  report.decided_replies = first_place.size();
  report.first_place = first_place.mean();
  report.agreement = agreement.mean();
  report.winners = of_winners.size();
  report.agreement_of_winners = of_winners.mean();
  report.same_verdict = same.mean();
  report.agreement_of_logits = of_logits.mean();
  report.longer_wins = longer.mean();
  return report;
}

/// One sentence or figure a line.
inline std::string text_of(const JudgeReport& report) {
  std::string text;
  const auto line = [&](const std::string& said) { text.append(text.empty() ? "" : "\n").append(said); };
  const auto percent = [](const Estimate& estimate) {
    char number[96];
    std::snprintf(number, sizeof number, "%.1f%% [%.1f, %.1f]", 100 * estimate.value, 100 * estimate.low,
                  100 * estimate.high);
    return std::string(number);
  };
  const auto share = [](const Estimate& estimate) {
    char number[32];
    std::snprintf(number, sizeof number, "%.1f%%", 100 * estimate.value);
    return std::string(number);
  };
  line(concat("parse failures: ", share(report.parse_failures), " of ", report.replies,
              report.replies == 1 ? " reply has" : " replies have", " no verdict (", report.absent,
              " say none, ", report.contradictory, " different ones, ", report.off_scale,
              " a number off the scale); ", report.cut, " were cut by the limit on tokens"));
  if (report.pairs != 0) {
    line(concat("pairs: ", report.pairs, ", of them ", report.without_verdict, " without a verdict and ",
                report.ties, report.ties == 1 ? " tie" : " ties"));
  }
  if (report.flips)
    line(concat("flips with the order: ", percent(*report.flips), " of ", report.read_both, " read in both"));
  if (report.first_place) {
    line(concat("position: the answer shown first is named by ", percent(*report.first_place), " of ",
                report.decided_replies, " replies with a winner; 50% is no bias"));
  }
  if (report.labelled != 0) {
    line(concat("labels: ", report.labelled, " pairs, of them ", report.even_labels, " even"));
    if (report.agreement) {
      line(concat("agreement: ", percent(*report.agreement),
                  " where one is better; a tie counts half, no verdict nothing"));
    }
    if (report.agreement_of_winners) {
      line(concat("agreement of verdicts that name a winner: ", percent(*report.agreement_of_winners), " of ",
                  report.winners));
    }
    if (report.agreement_of_logits)
      line("agreement by the mean logits of both orders: " + percent(*report.agreement_of_logits));
    if (report.same_verdict && report.even_labels != 0)
      line("same verdict, ties among them: " + percent(*report.same_verdict));
    if (report.longer_wins) line("for comparison, the longer answer: " + percent(*report.longer_wins));
  }
  return text;
}

/// The same as one object; a figure has value, low and high, one that is not known is null.
inline Json to_json(const JudgeReport& report) {
  const auto figure = [](const std::optional<Estimate>& estimate) {
    return estimate ? Json{{"value", estimate->value}, {"low", estimate->low}, {"high", estimate->high}}
                    : Json(nullptr);
  };
  return {{"pairs", report.pairs},
          {"without_verdict", report.without_verdict},
          {"ties", report.ties},
          {"replies", report.replies},
          {"absent", report.absent},
          {"contradictory", report.contradictory},
          {"off_scale", report.off_scale},
          {"cut", report.cut},
          {"parse_failures", figure(report.parse_failures)},
          {"read_both", report.read_both},
          {"flips", figure(report.flips)},
          {"decided_replies", report.decided_replies},
          {"first_place", figure(report.first_place)},
          {"labelled", report.labelled},
          {"even_labels", report.even_labels},
          {"agreement", figure(report.agreement)},
          {"winners", report.winners},
          {"agreement_of_winners", figure(report.agreement_of_winners)},
          {"same_verdict", figure(report.same_verdict)},
          {"agreement_of_logits", figure(report.agreement_of_logits)},
          {"longer_wins", figure(report.longer_wins)}};
}

}  // namespace MERIT_ABI
}  // namespace merit
