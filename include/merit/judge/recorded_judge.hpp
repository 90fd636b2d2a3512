// A judge that says again what was written down of it, so that a run that was interrupted goes on with what it has paid for.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/judge/judge.hpp"
#include "merit/judge/record_judging.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::recorded_judge {

/// What JudgedRecord::replies has of one record, reply after reply, and the error behind them.
class Replies {
 public:
  Replies(Json replies, std::string error, std::string where)
      : replies_(std::move(replies)), error_(std::move(error)), where_(std::move(where)) {}

  /// The replies from the next on that have the same value of a field: those that one call had.
  std::vector<Json> next(const char* field) {
    if (at_ == replies_.size() && !error_.empty()) throw DataError(error_);
    if (at_ == replies_.size()) throw UsageError(where_ + ": found too few replies of one record");
    const Json value = require<Json>(replies_[at_], field, where_);
    std::vector<Json> some;
    while (at_ < replies_.size() && replies_[at_].value(field, Json()) == value)
      some.push_back(replies_[at_++]);
    return some;
  }

  VoteReading vote_of(const Json& reply) const {
    VoteReading reading{.fault = fault_of(reply),
                        .log_odds = optional<double>(reply, "log_odds", where_),
                        .text = require<std::string>(reply, "text", where_),
                        .cut = reply.contains("cut")};
    if (const auto vote = optional<std::string>(reply, "vote", where_))
      reading.vote = *vote == "a" ? JudgeVote::a : *vote == "b" ? JudgeVote::b : JudgeVote::tie;
    return reading;
  }
  RatingReading rating_of(const Json& reply) const {
    return {.rating = optional<double>(reply, "rating", where_),
            .fault = fault_of(reply),
            .text = require<std::string>(reply, "text", where_),
            .cut = reply.contains("cut")};
  }

 private:
  VerdictFault fault_of(const Json& reply) const {
    const auto name = optional<std::string>(reply, "fault", where_);
    return name ? value_from_name<VerdictFault>("fault", *name) : VerdictFault::none;
  }

  Json replies_;
  std::string error_, where_;
  Index at_ = 0;
};

}  // namespace detail::recorded_judge

/// The judge that gives one record the judgements of which `replies` are JudgedRecord::replies, and `error` its error; for
/// RecordJudging::add_again(). `where` is their place, for errors: it throws DataError for what is not as it is written.
inline RecordJudge recorded_judge(Json replies, const std::string& error, const std::string& where) {
  const auto all = std::make_shared<detail::recorded_judge::Replies>(std::move(replies), error, where);
  return {[all, where](const PairToJudge&) {
            const std::vector<Json> said = all->next("answers");
            if (said.size() % 2 != 0) throw DataError(where + ": found a reply to one order alone");
            PairJudgement judgement;
            for (Index i = 0; i < said.size(); i += 2)
              judgement.samples.push_back({all->vote_of(said[i]), all->vote_of(said[i + 1])});
            return judgement;
          },
          [all](const AnswerToJudge&) {
            RatingJudgement judgement;
            for (const Json& one : all->next("answer")) judgement.samples.push_back(all->rating_of(one));
            return judgement;
          }};
}

}  // namespace MERIT_ABI
}  // namespace merit
