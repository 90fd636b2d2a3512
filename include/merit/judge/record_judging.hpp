// Record after record to a judge: the record that comes of each, what was said, and in the end the report.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/judge/judge.hpp"
#include "merit/judge/judge_report.hpp"
#include "merit/judge/judge_template.hpp"
#include "merit/judge/record_to_judge.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What becomes of a record that was judged.
enum class JudgedForm : std::uint8_t {
  automatic,    // votes of two answers that were compared, else scores
  votes,        // kind judge
  preferences,  // kind preference, the likelier is chosen; none of those that are as likely
  scores,       // kind ratings: the mean rating, or the share of comparisons won; of one answer kind outcome
};
template <>
inline constexpr std::array<std::string_view, 4> enum_names<JudgedForm>{"automatic", "votes", "preferences",
                                                                        "scores"};

/// How two answers are compared and one is rated, whatever does it: judge_pair() or judge_pair_by_logits(), with a writer.
struct RecordJudge {
  std::function<PairJudgement(const PairToJudge&)> pair = {};
  std::function<RatingJudgement(const AnswerToJudge&)> answer = {};
};

/// What came of one record.
struct JudgedRecord {
  std::optional<OrderedJson> record = {};      // in the form that was asked for; nothing without a verdict
  OrderedJson replies = OrderedJson::array();  // all that the judge said
  std::string error = {};                      // why it could not be judged; empty: it was
  /// One an answer, as a reward model gives them: their differences are log-odds, of logits, or of votes by Laplace's rule
  /// (PairJudgement::score_of_a); ratings stand as they are, P(good) as its log-odds. What has no verdict is put in the wrong
  /// order, as far as the record's labels say which that is: it counts as lost, and improves no figure.
  std::vector<double> scores = {};
};

/// Throws DataError, with the record's place, where the template or the form wants other answers than the record has.
inline void check_record_to_judge(const RecordToJudge& record, const SourcePosition& at,
                                  const JudgeTemplate& with, JudgedForm form) {
  const auto refuse = [&](const std::string& what) { throw DataError(at.text() + ": " + what); };
  const Index answers = record.answers.size();
  if (with.task() == JudgeTask::pairwise && answers < 2)
    refuse("found one answer, expected two or more to compare");
  if (with.wants_reference() && record.reference.empty())
    refuse("found no 'reference', expected the answer that the template's {reference} shows");
  if ((form == JudgedForm::votes || form == JudgedForm::preferences) && answers != 2)
    refuse(concat("found ", answers, answers == 1 ? " answer" : " answers", ", expected two, of which ",
                  name_of(form), " are"));
}

namespace detail {

inline PairToJudge pair_of(const RecordToJudge& record, Index i, Index j) {
  return {.question = record.question,
          .answer_a = record.answers[i],
          .answer_b = record.answers[j],
          .reference = record.reference};
}
inline AnswerToJudge answer_of(const RecordToJudge& record, Index i) {
  return {.question = record.question, .answer = record.answers[i], .reference = record.reference};
}

}  // namespace detail

/// The prompts that judging a record asks, in their order.
inline std::vector<JudgePrompt> prompts_of(const JudgeTemplate& with, const RecordToJudge& record) {
  std::vector<JudgePrompt> prompts;
  const Index answers = record.answers.size();
  for (Index i = 0; i < answers; ++i) {
    if (with.task() == JudgeTask::rating) {
      prompts.push_back(detail::prompt_of(with, detail::answer_of(record, i)));
      continue;
    }
    for (Index j = i + 1; j < answers; ++j) {
      for (const bool swapped : {false, true})
        prompts.push_back(detail::prompt_of(with, detail::pair_of(record, i, j), swapped));
    }
  }
  return prompts;
}

/// Judges records and counts for the report. Template and judge must outlive it.
class RecordJudging {
 public:
  RecordJudging(RecordJudge judge, const JudgeTemplate& with, JudgeReading reading, JudgedForm form)
      : judge_(std::move(judge)), with_(with), reading_(reading), form_(form) {}

  /// A record that cannot be judged, such as one whose prompt is too long, counts as one without a verdict. Throws as
  /// check_record_to_judge().
  JudgedRecord add(const RecordToJudge& record, const SourcePosition& at) {
    return add_again(record, at, judge_);
  }
  /// The same of a record that another judge says something of, such as one that was judged before (recorded_judge.hpp).
  JudgedRecord add_again(const RecordToJudge& record, const SourcePosition& at, const RecordJudge& judge) {
    check_record_to_judge(record, at, with_, form_);
    JudgedRecord judged;
    const Index prompt = prompts_.try_emplace(record.question, prompts_.size()).first->second;
    const Index pairs = pairs_.size(), replies = replies_.size();
    try {
      with_.task() == JudgeTask::pairwise ? compare(judge, record, prompt, judged)
                                          : rate(judge, record, prompt, judged);
    } catch (const DataError& error) {
      judged.error = error.what();
      unjudged_.add(at, at.text() + ": " + error.what());
      pairs_.resize(pairs);
      replies_.resize(replies);
      judged.scores.assign(record.answers.size(), 0);
      for_each_pair(record, prompt, [&](Index i, Index j) {
        add_odds(lost(record, i, j), i, j, judged.scores);
        return JudgedPair{};
      });
    }
    ++(judged.record ? written_ : not_written_);
    return judged;
  }

  /// Throws DataError where nothing could be judged.
  JudgeReport report() const { return report_judge(pairs_, replies_); }
  /// Records that could not be judged, by reason.
  const UnreadRecords& unjudged() const { return unjudged_; }
  Index written() const { return written_; }          // records that came of it
  Index not_written() const { return not_written_; }  // those of which none did

 private:
  /// Counts what judged(i, j) says of each two answers, with what the record says of them.
  template <class Judged>
  void for_each_pair(const RecordToJudge& record, Index prompt, const Judged& judged) {
    for (Index i = 0; i < record.answers.size(); ++i) {
      for (Index j = i + 1; j < record.answers.size(); ++j) {
        JudgedPair pair = judged(i, j);
        pair.label = record.label(i, j);
        pair.length_a = record.answers[i].size();
        pair.length_b = record.answers[j].size();
        pair.prompt = prompt;
        pair.weight = record.weight;
        pairs_.push_back(std::move(pair));
      }
    }
  }

  /// The score of a pair without a verdict: one vote for the worse answer, as the record has it.
  static double lost(const RecordToJudge& record, Index i, Index j) {
    const double label = record.label(i, j).value_or(0.5), one_vote = std::log(2.0);
    return label > 0.5 ? -one_vote : label < 0.5 ? one_vote : 0;
  }
  /// Log-odds of i over j to both: halves of two answers, shares of several, whose differences fit all pairs best.
  static void add_odds(double odds, Index i, Index j, std::vector<double>& scores) {
    const double share = odds / static_cast<double>(scores.size());
    scores[i] += share;
    scores[j] -= share;
  }

  void compare(const RecordJudge& judge, const RecordToJudge& record, Index prompt, JudgedRecord& result) {
    std::vector<double> won(record.answers.size()), compared(record.answers.size());
    result.scores.assign(record.answers.size(), 0);
    PairJudgement last;
    for_each_pair(record, prompt, [&](Index i, Index j) {
      last = judge.pair(detail::pair_of(record, i, j));
      for (const JudgeSample& sample : last.samples) {
        note_vote(i, j, sample.given, "a", result);
        note_vote(i, j, sample.swapped, "b", result);
      }
      if (const auto verdict = last.verdict()) {
        const double credit = *verdict == JudgeVote::a ? 1 : *verdict == JudgeVote::b ? 0 : 0.5;
        won[i] += credit;
        won[j] += 1 - credit;
        ++compared[i];
        ++compared[j];
      }
      const auto odds = last.score_of_a();
      add_odds(odds ? *odds : lost(record, i, j), i, j, result.scores);
      return judged_pair(last);
    });
    std::vector<std::optional<double>> scores;
    for (Index i = 0; i < won.size(); ++i)
      scores.push_back(compared[i] == 0 ? std::nullopt : std::optional(won[i] / compared[i]));
    if (record.answers.size() == 2) {
      make_record(record, last.votes(), last.probability_of_a(), scores, result);
    } else {
      make_record(record, {}, std::nullopt, scores, result);
    }
  }

  void rate(const RecordJudge& judge, const RecordToJudge& record, Index prompt, JudgedRecord& result) {
    std::vector<RatingJudgement> ratings;
    std::vector<std::optional<double>> scores;
    for (Index i = 0; i < record.answers.size(); ++i) {
      ratings.push_back(judge.answer(detail::answer_of(record, i)));
      scores.push_back(ratings.back().mean());
      for (const RatingReading& reading : ratings.back().samples) {
        replies_.push_back(judged_reply(reading, prompt, record.weight));
        OrderedJson said{{"answer", i}, {"text", reading.text}};
        said["rating"] = reading.rating ? OrderedJson(*reading.rating) : OrderedJson(nullptr);
        note(std::move(said), reading.fault, reading.cut, result);
      }
    }
    std::vector<JudgeVote> votes;
    for_each_pair(record, prompt, [&](Index i, Index j) {
      JudgedPair pair = judged_pair(ratings[i], ratings[j]);
      if (pair.verdict) votes.push_back(*pair.verdict);
      return pair;
    });
    rate_scores(record, scores, result.scores);
    make_record(record, votes, std::nullopt, scores, result);
  }

  /// Ratings as scores. An answer without one stands below those that have one where it is better than another, else above.
  void rate_scores(const RecordToJudge& record, const std::vector<std::optional<double>>& ratings,
                   std::vector<double>& scores) const {
    std::vector<double> known;
    for (const auto& rating : ratings) {
      scores.push_back(0);
      if (!rating) continue;
      const double p = std::clamp(*rating, 1e-15, 1 - 1e-15);
      scores.back() = reading_ == JudgeReading::logits ? std::log(p / (1 - p)) : *rating;
      known.push_back(scores.back());
    }
    if (known.empty()) known.push_back(0);
    const auto [low, high] = std::minmax_element(known.begin(), known.end());
    for (Index i = 0; i < ratings.size(); ++i) {
      if (ratings[i]) continue;
      bool better = false;
      for (Index j = 0; j < ratings.size(); ++j) better |= j != i && record.label(i, j).value_or(0.5) > 0.5;
      scores[i] = better ? *low - 1 : *high + 1;
    }
  }
  static void note(OrderedJson said, VerdictFault fault, bool cut, JudgedRecord& result) {
    if (fault != VerdictFault::none) said["fault"] = name_of(fault);
    if (cut) said["cut"] = true;
    result.replies.push_back(std::move(said));
  }
  static void note_vote(Index i, Index j, const VoteReading& reading, const char* first,
                        JudgedRecord& result) {
    OrderedJson said{{"answers", {i, j}}, {"shown_first", first}, {"text", reading.text}};
    if (reading.log_odds) said["log_odds"] = *reading.log_odds;
    said["vote"] = reading.vote ? OrderedJson(name_of_vote(*reading.vote)) : OrderedJson(nullptr);
    note(std::move(said), reading.fault, reading.cut, result);
  }

  void make_record(const RecordToJudge& record, const std::vector<JudgeVote>& votes,
                   std::optional<double> probability, const std::vector<std::optional<double>>& scores,
                   JudgedRecord& result) const {
    const bool two_compared = with_.task() == JudgeTask::pairwise && record.answers.size() == 2;
    const JudgedForm form = form_ != JudgedForm::automatic ? form_
                            : two_compared                 ? JudgedForm::votes
                                                           : JudgedForm::scores;
    if (form == JudgedForm::votes && !votes.empty()) result.record = record_of_votes(record, votes);
    if (form == JudgedForm::preferences) {
      const double share = probability ? *probability : votes.empty() ? 0.5 : share_for_a(votes);
      if (share != 0.5) result.record = record_of_preference(record, share);
    }
    if (form == JudgedForm::scores) {
      Index known = 0;
      for (const auto& score : scores) known += score ? 1 : 0;
      if (record.answers.size() == 1 && known == 1) {
        const bool of_ten = reading_ == JudgeReading::words;
        result.record = record_of_label(record, of_ten ? (*scores[0] - 1) / 9 : *scores[0]);
      } else if (known > 1) {
        result.record = record_of_scores(record, scores);
      }
    }
    if (result.record && probability) (*result.record)["probability_of_a"] = *probability;
  }

  RecordJudge judge_;
  const JudgeTemplate& with_;
  JudgeReading reading_;
  JudgedForm form_;
  std::map<std::string, Index> prompts_;
  std::vector<JudgedPair> pairs_;
  std::vector<JudgedReply> replies_;
  UnreadRecords unjudged_;
  Index written_ = 0, not_written_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
