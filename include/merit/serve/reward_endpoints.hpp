// The answers to trainers that ask for rewards.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/serve/known_fields.hpp"
#include "merit/serve/request_fields.hpp"
#include "merit/serve/reward_request.hpp"
#include "merit/serve/serve_reply.hpp"
#include "merit/serve/served_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The completion of a query that begins with its prompt. Throws DataError where it does not: scored with a part of its prompt
/// as the answer, it would have a reward like any other.
inline RecordToScore rollout_of_query(const std::string& query, const std::string& prompt, Index entry) {
  if (query.starts_with(prompt))
    return completion_of(request_position("query", entry), prompt, query.substr(prompt.size()));
  Index same = static_cast<Index>(std::ranges::mismatch(query, prompt).in1 - query.begin());
  while (same > 0 && same < prompt.size() && (static_cast<unsigned char>(prompt[same]) & 0xC0u) == 0x80u)
    --same;
  throw DataError(concat(request_position("prompts", entry).text(), ": found ",
                         quote(std::string_view(prompt).substr(same)), " from byte ", same,
                         " on, where its query has ", quote(std::string_view(query).substr(same)),
                         ", expected a prompt that its query begins with"));
}

/// As OpenRLHF's trainers ask for them.
inline ServeReply answer_get_reward(ServedModel& model, const OrderedJson& body) {
  refuse_misspelt(body, {"query", "prompts"});
  if (model.about().tokenize.strings_as_chat) {
    throw DataError(
        "/get_reward takes text as a chat template has written it, expected a model that reads strings as they are "
        "(without --strings-as-chat)");
  }
  const std::vector<std::string> queries = texts_field(body, {"query"});
  std::vector<std::string> prompts;
  if (has_any_field(body, {"prompts"})) prompts = texts_field(body, {"prompts"});
  if (!prompts.empty() && prompts.size() != queries.size()) {
    throw DataError(concat("the request: found ", prompts.size(), " prompts and ", queries.size(),
                           " queries, expected as many of both"));
  }
  ServedModel::Records records;
  for (Index i = 0; i < queries.size(); ++i) {
    records.push_back(prompts.empty() ? completion_of(request_position("query", i), std::nullopt, queries[i])
                                      : rollout_of_query(queries[i], prompts[i], i));
  }
  Json rewards = Json::array(), normalised = Json::array(), cut = Json::array();
  for (const CompletionScore& one : model.all_scores(std::move(records))) {
    rewards.push_back(model.raw(one));
    normalised.push_back(model.calibrated(one));
    cut.push_back(one.cut ? 1 : 0);
  }
  // The trainer logs the mean of each of extra_logs, which must be numbers, the same ones in each answer.
  return reply({{"rewards", rewards},
                {"scores", rewards},
                {"calibrated", normalised},
                {"extra_logs", {{"cut", cut}}}});
}

/// Refuses rewards by a card that says nothing of what is rewarded.
inline void check_normalised(const RewardRequest& request, const ServedModel& model) {
  if (!request.normalised) return;
  if (!model.calibration()) {
    throw DataError(
        "the request: found normalised rewards asked for, expected a model whose card has a calibration, or mean and "
        "deviation");
  }
  if (request.timing == RewardTiming::dense &&
      !(model.calibration()->calibrated && model.reading().meaning == ScoreMeaning::per_step)) {
    throw DataError(
        "the request: found normalised dense rewards asked for, expected terminal ones, or a model of steps with a "
        "calibration: this card's is of whole completions, and says nothing of their tokens or steps");
  }
}

/// Rewards, advantages and returns of rollouts, and beside them each rollout's score and whether it was cut.
inline ServeReply answer_rewards(ServedModel& model, const OrderedJson& body) {
  const RewardRequest request(body);
  const bool dense = request.timing == RewardTiming::dense;
  if (dense && !model.reading().has_rows())
    throw DataError(
        "the request: found dense rewards asked of a model that scores whole completions, expected terminal ones");
  check_normalised(request, model);
  const OrderedJson* list = find_field(body, "rollouts");
  if (list == nullptr || !list->is_array() || list->empty())
    throw DataError("the request: expected field 'rollouts', a list of records with a completion each");
  ServedModel::Records records;
  for (const OrderedJson& one : *list) {
    const SourcePosition at = request_position("rollouts", records.size());
    records.push_back(record_of_request(one, at));
    if (ServedModel::completions_of(records.back()) == 1) continue;
    throw DataError(
        concat(at.text(), ": found a record of several completions, expected a rollout, which has one"));
  }
  request.check_sizes(records.size());  // before anything is computed
  std::vector<RolloutScore> rollouts;
  Json own = Json::array(), calibrated = Json::array(), cut = Json::array();
  for (CompletionScore& one : model.all_scores(std::move(records))) {
    own.push_back(model.raw(one));
    calibrated.push_back(model.calibrated(one));
    cut.push_back(one.cut);
    rollouts.push_back(
        {.score = request.normalised && !dense ? calibrated.back().get<double>() : model.raw(one),
         .rows =
             request.normalised && dense ? row_values(one.head, *model.calibration()) : std::move(one.rows),
         .steps = one.rows_of});
  }
  Json out = rewards_of(request, rollouts);
  out.update({{"scores", own}, {"calibrated", calibrated}, {"cut", cut}});
  return reply(out);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
