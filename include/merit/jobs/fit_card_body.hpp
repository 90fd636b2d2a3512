// What is measured of a finished model and kept in its card.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/core/error.hpp"
#include "merit/eval/calibration.hpp"
#include "merit/eval/steps_report.hpp"
#include "merit/forest/pack_by_budget.hpp"
#include "merit/infer/normalise.hpp"
#include "merit/jobs/run_listener.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/reading.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::training_run {

/// Calls f(scored) for the rows of all examples of a set, or in parts for those of a batch at a time where the examples
/// are stored: the same batches, so the same numbers.
template <class F>
void measure_in_parts(AnyModel& model, const RecordSet& set, Index token_budget, RunListener& listener,
                      const F& f) {
  if (!set.stored)
    return f(
        model.measure(set.examples, token_budget, [&](Index done, Index) { listener.progress(done, ""); }));
  std::visit(
      [&]<class Example>(const StoredExamples<Example>& list) {
        std::vector<Index> costs;
        for (Index i = 0; i < list.size(); ++i) costs.push_back(shared_tokens(list.at(i), sharing_of(model)));
        const std::vector<Index> cuts = pack_by_budget(costs, token_budget);
        const Index batches = cuts.size() - 1;
        for (Index g = 0; g < batches;) {
          const Index end = std::min(batches, g + model.comm().size());  // one for each
          std::vector<Example> some;
          for (Index i = cuts[g]; i < cuts[end]; ++i) some.push_back(list.at(i));
          f(model.measure(Examples(std::move(some)), token_budget));
          listener.progress(cuts[end], "");
          g = end;
        }
      },
      *set.stored);
}

/// Mean and deviation of the rewards over the training set.
inline void measure_rewards(AnyModel& model, const RecordSet& train, Index token_budget,
                            RunListener& listener, ModelCard& card) {
  const Reading reading = reading_of(model.described(card), model.meaning(), false);
  listener.begin("measuring rewards", train.size(), 0);
  std::vector<double> rewards;
  measure_in_parts(model, train, token_budget, listener, [&](const ScoredSet& set) {
    for (const RowScores& rows : set.rows) rewards.push_back(completion_score(rows, model, reading));
  });
  listener.end();
  try {
    const Normalisation fitted = fit_normalisation(rewards);
    card.reward_mean = fitted.mean;
    card.reward_deviation = fitted.deviation;
    if (!number_fault(card).empty()) card.reward_mean = card.reward_deviation = std::nullopt;
  } catch (const DataError&) {  // they are all equal: there is nothing to divide by
  }
}

/// Fits the calibration called `asked`, or what is usual for the kind, and for steps the threshold under which one
/// counts as wrong, which it returns. One that cannot be fitted is said, and the card stays without.
inline std::optional<double> fit_calibration(AnyModel& model, const RecordSet& set, const std::string& asked,
                                             Index token_budget, RunListener& listener, ModelCard& card) {
  const Reading reading = reading_of(model.described(card), model.meaning(), false);
  try {
    const Evaluation evaluation = evaluate(model, set, reading, 0.5, token_budget);
    const LabelledLogits logits = labelled_logits(set, evaluation, reading);
    const bool pairs = evaluation.pairs || evaluation.rankings;
    const std::string name = !asked.empty() ? asked : pairs ? "temperature" : "platt";
    if (name == "temperature") {
      card.calibration_scale = 1 / fit_temperature(logits.logits, logits.labels, logits.weights).value;
    } else {
      const PlattScaling platt =
          fit_platt(logits.logits, logits.labels, PlattTargets::smoothed, logits.weights);
      if (!(platt.slope > 0)) {
        throw DataError(concat("the slope that fits best is ", platt.slope,
                               ", which would turn the order of the scores round, expected one above 0"));
      }
      card.calibration_scale = platt.slope;
      card.calibration_offset = platt.intercept;
    }
    if (const std::string fault = number_fault(card); !fault.empty()) {
      card.calibration_scale = 1;
      card.calibration_offset = 0;
      throw DataError(fault);
    }
    card.calibration = name;
    if (!evaluation.steps) return std::nullopt;
    const double threshold = fit_step_threshold(scored_solutions(set, evaluation.rows, reading)).threshold;
    card.other["step_threshold"] = threshold;
    return threshold;
  } catch (const DataError& error) {
    const std::string why = error.what();
    listener.remark(
        concat("there is no calibration: ", why.starts_with(set.files) ? why : concat(set.files, ": ", why)));
  }
  return std::nullopt;
}

}  // namespace detail::training_run
}  // namespace MERIT_ABI
}  // namespace merit
