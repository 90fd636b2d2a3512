// The bodies of evaluation_choice.hpp.
#pragma once

#include <cmath>
#include <string>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/run/evaluation_choice.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE void check_meaning(RecordKind kind, const SavedModel& saved) {
  const ScoreMeaning meaning = meaning_of(saved.head);
  const bool whole = meaning == ScoreMeaning::per_completion || meaning == ScoreMeaning::per_token;
  const bool steps = meaning == ScoreMeaning::per_step;
  std::string fits = whole   ? "preference, judge, ranking, ratings, outcome"
                     : steps ? "steps, outcome"
                             : "value";
  const bool good = kind == RecordKind::rollout   ? meaning == ScoreMeaning::per_state
                    : kind == RecordKind::steps   ? steps
                    : kind == RecordKind::outcome ? whole || steps
                                                  : whole;
  if (good) return;
  throw ConfigError("the head of the model is " + name_of(saved.head) +
                    ", which says nothing about records of the kind " + name_of_kind(kind) +
                    "; it is evaluated on those of: " + fits);
}

MERIT_INLINE double fitted_threshold(const SavedModel& saved, const Reading& reading) {
  if (reading.meaning != ScoreMeaning::per_step || !saved.card) return 0.5;
  const auto fitted = saved.card->other.find("step_threshold");
  if (fitted == saved.card->other.end()) return 0.5;
  const double threshold = fitted->get<double>();  // read_saved_model() saw to it
  if (!reading.calibrated || threshold == 0 || threshold == 1) return threshold;
  return sigmoid(reading.scale * (std::log(threshold) - std::log1p(-threshold)) + reading.offset);
}

MERIT_INLINE TokenizeOptions labels_as_trained(const SavedModel& saved, RecordKind kind) {
  TokenizeOptions tokenize = saved.tokenize;
  if (!saved.card) return tokenize;
  const Json& card = saved.card->other;
  const std::string where = (saved.place / "merit.json").string();
  detail::read_card(where, [&] {
    const auto named = [&](const char* field) { return optional<std::string>(card, field, where); };
    if (named("step_scale") == "ternary") {
      tokenize.step_scale = StepScale::ternary;  // also where no step of these files is bad
    }
    if (const auto neutral = named("neutral_steps")) tokenize.neutral = neutral_steps_from_name(*neutral);
    if (const auto margin = named("margin"); margin && name_of_kind(kind) == saved.card->kind)
      tokenize.margin = ranking_margin(*margin, kind);
    tokenize.gamma = optional<double>(card, "gamma", where).value_or(tokenize.gamma);
    tokenize.lambda = optional<double>(card, "lambda", where).value_or(tokenize.lambda);
  });
  return tokenize;
}

}  // namespace MERIT_ABI
}  // namespace merit
