// Record after record to a judge: the record that comes of each, what was said, and in the end the report.
#pragma once

#include <array>
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
  preferences,  // kind preference; ties become none
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

/// Judges records and counts for the report. Template and judge must outlive it.
class RecordJudging {
 public:
  RecordJudging(RecordJudge judge, const JudgeTemplate& with, JudgeReading reading, JudgedForm form)
      : judge_(std::move(judge)), with_(with), reading_(reading), form_(form) {}

  /// A record that cannot be judged, such as one whose prompt is too long, counts as one without a verdict. Throws as
  /// check_record_to_judge().
  JudgedRecord add(const RecordToJudge& record, const SourcePosition& at) {
    check_record_to_judge(record, at, with_, form_);
    JudgedRecord judged;
    const Index prompt = prompts_.try_emplace(record.question, prompts_.size()).first->second;
    const Index pairs = pairs_.size(), replies = replies_.size();
    try {
      with_.task() == JudgeTask::pairwise ? compare(record, prompt, judged) : rate(record, prompt, judged);
    } catch (const DataError& error) {
      judged.error = error.what();
      unjudged_.add(at, at.text() + ": " + error.what());
      pairs_.resize(pairs);
      replies_.resize(replies);
      for_each_pair(record, prompt, [](Index, Index) { return JudgedPair{}; });
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

  void compare(const RecordToJudge& record, Index prompt, JudgedRecord& result) {
    std::vector<double> won(record.answers.size()), compared(record.answers.size());
    PairJudgement last;
    for_each_pair(record, prompt, [&](Index i, Index j) {
      last = judge_.pair({.question = record.question,
                          .answer_a = record.answers[i],
                          .answer_b = record.answers[j],
                          .reference = record.reference});
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

  void rate(const RecordToJudge& record, Index prompt, JudgedRecord& result) {
    std::vector<RatingJudgement> ratings;
    std::vector<std::optional<double>> scores;
    for (Index i = 0; i < record.answers.size(); ++i) {
      ratings.push_back(judge_.answer(
          {.question = record.question, .answer = record.answers[i], .reference = record.reference}));
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
    make_record(record, votes, std::nullopt, scores, result);
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
