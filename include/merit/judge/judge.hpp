// A judge of answers over anything that writes text, or gives the logits of words: both orders, samples, votes.
#pragma once

#include <cmath>
#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/judge/judge_template.hpp"
#include "merit/judge/verdict.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

// ---- What a judge is given, and what it is ---

/// Two answers to a question.
struct PairToJudge {
  std::string question = {};
  std::string answer_a = {}, answer_b = {};
  std::string reference = {};  // for templates that want one
};

/// One answer to a question.
struct AnswerToJudge {
  std::string question = {};
  std::string answer = {};
  std::string reference = {};
};

/// What a judge wrote.
struct JudgeReply {
  std::string text = {};
  bool cut = false;  // a limit ended it, not the judge
};

/// Something that replies to a prompt: with a text, or with so many replies drawn independently.
template <class Writer>
concept judge_writer = std::is_invocable_r_v<std::string, Writer&, const JudgePrompt&> ||
    std::is_invocable_r_v<std::vector<JudgeReply>, Writer&, const JudgePrompt&, Index>;

/// Something that gives for each of some words the logit with which it would be the next.
template <class Logits>
concept word_logits =
    std::is_invocable_r_v<std::vector<double>, Logits&, const JudgePrompt&, std::span<const std::string>>;

// ---- What comes back ---

/// One reply about two answers, in terms of the answers a and b as they were given, in whichever order they were shown.
struct VoteReading {
  std::optional<JudgeVote> vote = {};
  VerdictFault fault = VerdictFault::none;
  std::optional<double> log_odds = {};  // of a over b, where logits were read
  std::string text = {};
  bool cut = false;
};

/// The replies to both orders.
struct JudgeSample {
  VoteReading given;    // a was shown first
  VoteReading swapped;  // b was

  /// What both orders say; a tie where they differ (Zheng et al. 2023); nothing where either has no verdict.
  std::optional<JudgeVote> vote() const {
    if (!given.vote || !swapped.vote) return std::nullopt;
    return given.vote == swapped.vote ? given.vote : JudgeVote::tie;
  }
  /// Whether both have a verdict, and not the same.
  bool flipped() const { return given.vote && swapped.vote && given.vote != swapped.vote; }
};

/// What a judge said of two answers.
struct PairJudgement {
  std::vector<JudgeSample> samples = {};

  /// Of the samples with a verdict in both orders.
  std::vector<JudgeVote> votes() const {
    std::vector<JudgeVote> list;
    for (const JudgeSample& sample : samples) {
      if (const auto vote = sample.vote()) list.push_back(*vote);
    }
    return list;
  }
  /// The majority's, ties being half a vote for each; nothing without votes.
  std::optional<JudgeVote> verdict() const {
    const std::vector<JudgeVote> list = votes();
    if (list.empty()) return std::nullopt;
    const double share = share_for_a(list);
    return share > 0.5 ? JudgeVote::a : share < 0.5 ? JudgeVote::b : JudgeVote::tie;
  }
  /// Of a over b, the mean of both orders and all samples: what a place adds to either goes out. Nothing where no logits were
  /// read.
  std::optional<double> mean_log_odds() const {
    double sum = 0;
    for (const JudgeSample& sample : samples) {
      if (!sample.given.log_odds || !sample.swapped.log_odds) return std::nullopt;
      sum += *sample.given.log_odds + *sample.swapped.log_odds;
    }
    if (samples.empty()) return std::nullopt;
    return sum / (2 * static_cast<double>(samples.size()));
  }
  /// That a is better, by these log-odds.
  std::optional<double> probability_of_a() const {
    const auto log_odds = mean_log_odds();
    return log_odds ? std::optional(1 / (1 + std::exp(-*log_odds))) : std::nullopt;
  }
  /// The log-odds for a as a number to score by: those of the logits, else of the votes by Laplace's rule of succession, by
  /// which one vote is two to one and a tie is even. Nothing without a verdict.
  std::optional<double> score_of_a() const {
    if (const auto log_odds = mean_log_odds()) return log_odds;
    const std::vector<JudgeVote> list = votes();
    if (list.empty()) return std::nullopt;
    const auto count = static_cast<double>(list.size());
    const double for_a = count * share_for_a(list);
    return std::log((for_a + 1) / (count - for_a + 1));
  }
};

/// One reply about one answer.
struct RatingReading {
  std::optional<double> rating = {};  // 1 to 10 in words; P(good) where logits were read
  VerdictFault fault = VerdictFault::none;
  std::string text = {};
  bool cut = false;
};

/// What a judge said of one answer.
struct RatingJudgement {
  std::vector<RatingReading> samples = {};

  /// Of the samples with a rating; nothing where none has.
  std::optional<double> mean() const {
    double sum = 0, count = 0;
    for (const RatingReading& sample : samples) {
      if (!sample.rating) continue;
      sum += *sample.rating;
      ++count;
    }
    return count == 0 ? std::nullopt : std::optional(sum / count);
  }
};

namespace detail {

inline void require_task(JudgeTask found, JudgeTask expected, Index samples) {
  if (found != expected) throw UsageError("judge: the template has another task than the call");
  if (samples == 0) throw UsageError("judge: found 0 samples, expected at least 1");
}

template <judge_writer Writer>
std::vector<JudgeReply> replies_to(const JudgePrompt& prompt, Writer& write, Index samples) {
  std::vector<JudgeReply> replies;
  if constexpr (std::is_invocable_v<Writer&, const JudgePrompt&, Index>) {
    replies = write(prompt, samples);
  } else {
    while (replies.size() < samples) replies.push_back({write(prompt), false});
  }
  if (replies.size() != samples)
    throw UsageError(concat("judge: found ", replies.size(), " replies, expected ", samples));
  return replies;
}

/// log P(first)/P(second) of the template's two words.
template <word_logits Logits>
double log_odds_of(const JudgeTemplate& with, const JudgePrompt& prompt, Logits& logits) {
  const std::vector<double> found = logits(prompt, std::span<const std::string>(with.words()));
  if (found.size() != 2) throw UsageError(concat("judge: found ", found.size(), " logits, expected 2"));
  if (!std::isfinite(found[0]) || !std::isfinite(found[1]))
    throw DataError(
        concat("the judge has the logits ", found[0], " and ", found[1], ", expected finite numbers"));
  return found[0] - found[1];
}

/// The answer that was shown in that place, in terms of a and b.
inline JudgeVote vote_of_place(JudgeVote place, bool swapped) {
  if (!swapped || place == JudgeVote::tie) return place;
  return place == JudgeVote::a ? JudgeVote::b : JudgeVote::a;
}

inline VoteReading vote_of_reply(JudgeReply reply, bool swapped) {
  const ParsedVerdict<JudgeVote> parsed = parse_vote(reply.text);
  VoteReading reading{
      .vote = parsed.verdict, .fault = parsed.fault, .text = std::move(reply.text), .cut = reply.cut};
  if (reading.vote) reading.vote = vote_of_place(*reading.vote, swapped);
  return reading;
}

inline JudgePrompt prompt_of(const JudgeTemplate& with, const PairToJudge& pair, bool swapped) {
  return with.fill({.question = pair.question,
                    .answer_a = swapped ? pair.answer_b : pair.answer_a,
                    .answer_b = swapped ? pair.answer_a : pair.answer_b,
                    .reference = pair.reference});
}

inline JudgePrompt prompt_of(const JudgeTemplate& with, const AnswerToJudge& one) {
  return with.fill({.question = one.question, .answer = one.answer, .reference = one.reference});
}

}  // namespace detail

// ---- Judging ---

/// Asks in both orders, `samples` times each, and reads the verdicts strictly (verdict.hpp). Throws UsageError for a template
/// that rates, and what `write` throws.
template <judge_writer Writer>
PairJudgement judge_pair(const JudgeTemplate& with, const PairToJudge& pair, Writer&& write,
                         Index samples = 1) {
  detail::require_task(with.task(), JudgeTask::pairwise, samples);
  PairJudgement judgement;
  judgement.samples.resize(samples);
  for (const bool swapped : {false, true}) {
    std::vector<JudgeReply> replies =
        detail::replies_to(detail::prompt_of(with, pair, swapped), write, samples);
    for (Index i = 0; i < samples; ++i) {
      JudgeSample& sample = judgement.samples[i];
      (swapped ? sample.swapped : sample.given) = detail::vote_of_reply(std::move(replies[i]), swapped);
    }
  }
  return judgement;
}

/// The same off the logits of the template's two words where the reply would go on: the likelier names the winner, equal ones
/// a tie. Nothing is written, and there is always a verdict. Throws DataError where a logit is not finite.
template <word_logits Logits>
PairJudgement judge_pair_by_logits(const JudgeTemplate& with, const PairToJudge& pair, Logits&& logits) {
  detail::require_task(with.task(), JudgeTask::pairwise, 1);
  JudgeSample sample;
  for (const bool swapped : {false, true}) {
    const double of_first = detail::log_odds_of(with, detail::prompt_of(with, pair, swapped), logits);
    const JudgeVote place = of_first > 0 ? JudgeVote::a : of_first < 0 ? JudgeVote::b : JudgeVote::tie;
    VoteReading& reading = swapped ? sample.swapped : sample.given;
    reading.vote = detail::vote_of_place(place, swapped);
    reading.log_odds = swapped ? -of_first : of_first;
  }
  return {{std::move(sample)}};
}

/// Asks for a rating of one answer, `samples` times.
template <judge_writer Writer>
RatingJudgement judge_answer(const JudgeTemplate& with, const AnswerToJudge& one, Writer&& write,
                             Index samples = 1) {
  detail::require_task(with.task(), JudgeTask::rating, samples);
  RatingJudgement judgement;
  for (JudgeReply& reply : detail::replies_to(detail::prompt_of(with, one), write, samples)) {
    const ParsedVerdict<int> parsed = parse_rating(reply.text);
    RatingReading reading{.fault = parsed.fault, .text = std::move(reply.text), .cut = reply.cut};
    if (parsed.verdict) reading.rating = *parsed.verdict;
    judgement.samples.push_back(std::move(reading));
  }
  return judgement;
}

/// The probability of the template's first word beside the second, such as of yes beside no.
template <word_logits Logits>
RatingJudgement judge_answer_by_logits(const JudgeTemplate& with, const AnswerToJudge& one, Logits&& logits) {
  detail::require_task(with.task(), JudgeTask::rating, 1);
  const double odds = detail::log_odds_of(with, detail::prompt_of(with, one), logits);
  return {{{.rating = 1 / (1 + std::exp(-odds))}}};
}

}  // namespace MERIT_ABI
}  // namespace merit
