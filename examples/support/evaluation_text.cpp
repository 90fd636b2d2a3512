// Reports as text and as JSON.
#include <optional>
#include <string>
#include <vector>

#include "evaluation.hpp"
#include "program_text.hpp"

namespace programs {
namespace {

using merit::Estimate;

// ---- From reports to JSON ---

Json to_json(const std::optional<Estimate>& estimate) {
  return estimate ? programs::to_json(*estimate) : Json(nullptr);
}

Json to_json(const merit::PairReport& report) {
  return {{"pairs", report.pairs},
          {"accuracy", programs::to_json(report.accuracy)},
          {"ties", report.ties},
          {"even", report.even},
          {"longer_wins", programs::to_json(report.longer_wins)},
          {"length_ties", report.length_ties},
          {"more_lines_win", to_json(report.more_lines_win)},
          {"loss", report.loss},
          {"mean_margin", report.mean_margin},
          {"min_score", report.min_score},
          {"mean_score", report.mean_score},
          {"max_score", report.max_score}};
}

Json to_json(const merit::OrderReport& report) {
  return {{"pair_accuracy", programs::to_json(report.pair_accuracy)}, {"top", programs::to_json(report.top)}};
}

Json to_json(const merit::RankingReport& report) {
  Json json = to_json(report.model);
  json.update({{"groups", report.groups},
               {"all_tied", report.all_tied},
               {"pairs", report.pairs},
               {"rank_ties", report.rank_ties},
               {"score_ties", report.score_ties},
               {"top_by_chance", report.top_by_chance},
               {"kendall", to_json(report.kendall)},
               {"spearman", to_json(report.spearman)},
               {"without_correlation", report.without_correlation},
               {"longest", to_json(report.longest)},
               {"shortest", to_json(report.shortest)},
               {"most_lines", report.most_lines ? to_json(*report.most_lines) : Json(nullptr)}});
  return json;
}

Json to_json(const merit::AgreementReport& report) {
  return {{"pearson", to_json(report.pearson)},
          {"spearman", to_json(report.spearman)},
          {"pair_accuracy", to_json(report.pair_accuracy)}};
}

Json to_json(const merit::RatingsReport& report) {
  Json json = to_json(report.model);
  json.update({{"completions", report.completions},
               {"prompts", report.prompts},
               {"pairs", report.pairs},
               {"mean_squared_error", programs::to_json(report.mean_squared_error)},
               {"error_of_the_mean", report.error_of_the_mean},
               {"length", to_json(report.length)},
               {"lines", to_json(report.lines)}});
  return json;
}

Json to_json(const merit::CalibrationReport& report) {
  Json bins = Json::array();
  for (const merit::ReliabilityBin& bin : report.bins) {
    const bool empty = bin.count == 0;  // and has no means
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"count", bin.count},
                    {"mean_probability", empty ? Json() : Json(bin.mean_probability)},
                    {"mean_outcome", empty ? Json() : Json(bin.mean_outcome)}});
  }
  return {{"expected_error", report.expected_error},
          {"largest_error", report.largest_error},
          {"brier", report.brier},
          {"cross_entropy", report.cross_entropy},
          {"bins", bins}};
}

Json to_json(const merit::OutcomeReport& report) {
  Json curve = Json::array();
  for (const merit::BestOfNPoint& point : report.curve) {
    curve.push_back({{"n", point.n},
                     {"chosen", programs::to_json(point.chosen)},
                     {"pass", programs::to_json(point.pass)},
                     {"majority", programs::to_json(point.majority)}});
  }
  Json baselines = Json::array();
  for (const merit::OutcomeBaseline& baseline : report.baselines) {
    Json one = {{"name", std::string(baseline.name)},
                {"area_under_curve", to_json(baseline.area_under_curve)}};
    for (const Estimate& chosen : baseline.chosen) one["chosen"].push_back(programs::to_json(chosen));
    baselines.push_back(std::move(one));
  }
  return {{"completions", report.completions},
          {"problems", report.problems},
          {"right", report.right},
          {"area_under_curve", to_json(report.area_under_curve)},
          {"threshold", report.threshold},
          {"accuracy", programs::to_json(report.accuracy)},
          {"accuracy_of_one_label", report.accuracy_of_one_label},
          {"calibration", to_json(report.calibration)},
          {"calibration_error", programs::to_json(report.calibration_error)},
          {"brier", programs::to_json(report.brier)},
          {"brier_of_the_share", report.brier_of_the_share},
          {"best_of_n", curve},
          {"curve_problems", report.curve_problems},
          {"weighted_majority", to_json(report.weighted_majority)},
          {"baselines", baselines}};
}

Json to_json(const merit::StepsReport& report) {
  Json json = {{"solutions", report.solutions},
               {"unlabelled", report.unlabelled},
               {"steps", report.steps},
               {"threshold", report.threshold},
               {"exact", programs::to_json(report.exact)},
               {"first_error_f1", to_json(report.f1)},
               {"step_accuracy", programs::to_json(report.step_accuracy)},
               {"step_accuracy_of_all_good", report.step_accuracy_of_all_good},
               {"f1_of_good", report.f1_of_good},
               {"f1_of_bad", report.f1_of_bad},
               {"macro_f1", report.macro_f1},
               {"area_under_curve", to_json(report.area_under_curve)},
               {"area_of_earlier", to_json(report.area_of_earlier)},
               {"baselines", Json::array()}};
  if (report.first_errors) {
    json["erroneous"] = report.first_errors->erroneous;
    json["correct"] = report.first_errors->correct;
    json["found"] = programs::to_json(report.first_errors->found);
    json["accepted"] = programs::to_json(report.first_errors->accepted);
  }
  for (const merit::StepsBaseline& baseline : report.baselines) {
    json["baselines"].push_back({{"name", std::string(baseline.name)},
                                 {"exact", baseline.exact},
                                 {"found", baseline.found},
                                 {"accepted", baseline.accepted},
                                 {"f1", baseline.f1}});
  }
  return json;
}

Json to_json(const merit::ValueReport& report) {
  return {{"states", report.states},
          {"rollouts", report.rollouts},
          {"mean_squared_error", programs::to_json(report.mean_squared_error)},
          {"error_of_the_mean", report.error_of_the_mean},
          {"explained_variance", to_json(report.explained_variance)},
          {"correlation", to_json(report.correlation)}};
}

// ---- From reports to text ---

std::string text_of(const std::optional<Estimate>& estimate) {
  return estimate ? programs::text_of(*estimate) : std::string("not defined: nothing varies");
}

/// A line of a report: its name in a column, and what it says.
std::string line(const std::string& name, const std::string& what) {
  return name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + what;
}
std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& one : lines) text += (text.empty() ? "" : "\n") + one;
  return text;
}

std::string text_of(const merit::PairReport& report) {
  const auto ties = [](Index count) {
    return count == 0 ? std::string("no ties") : std::to_string(count) + (count == 1 ? " tie" : " ties");
  };
  return joined(
      {line("accuracy",
            programs::text_of(report.accuracy) + ", " + ties(report.ties) + " in " +
                std::to_string(report.pairs) + (report.pairs == 1 ? " pair" : " pairs") +
                (report.even == 0 ? "" : ", " + std::to_string(report.even) + " judged even and left out")),
       line("longer wins", programs::text_of(report.longer_wins) + ", " + ties(report.length_ties) +
                               ": what the length alone gives"),
       line("more lines", report.more_lines_win
                              ? programs::text_of(*report.more_lines_win) + ": what the format alone gives"
                              : "not known: the completions are not text"),
       line("loss", fixed(report.loss, 4) + " (0.6931 is a coin's)"),
       line("mean margin", fixed(report.mean_margin, 4)),
       line("scores", fixed(report.min_score, 4) + " to " + fixed(report.max_score, 4) + ", mean " +
                          fixed(report.mean_score, 4))});
}

std::string text_of(const merit::RankingReport& report) {
  return joined({line("pairs", programs::text_of(report.model.pair_accuracy) + " in order, of " +
                                   std::to_string(report.pairs) + " of different rank in " +
                                   std::to_string(report.groups) + " groups"),
                 line("best on top",
                      programs::text_of(report.model.top) + ", by chance " + fixed(report.top_by_chance, 3)),
                 line("kendall", text_of(report.kendall)), line("spearman", text_of(report.spearman)),
                 line("longest", programs::text_of(report.longest.pair_accuracy) + " of pairs, best on top " +
                                     fixed(report.longest.top.value, 3) + ": what the length alone gives"),
                 line("shortest", programs::text_of(report.shortest.pair_accuracy) +
                                      " of pairs, best on top " + fixed(report.shortest.top.value, 3)),
                 line("most lines",
                      report.most_lines
                          ? programs::text_of(report.most_lines->pair_accuracy) + " of pairs, best on top " +
                                fixed(report.most_lines->top.value, 3) + ": what the format alone gives"
                          : "not known: the completions are not text")});
}

std::string text_of(const merit::RatingsReport& report) {
  return joined(
      {line("spearman", text_of(report.model.spearman) + ", of " + std::to_string(report.completions) +
                            " completions of " + std::to_string(report.prompts) + " prompts"),
       line("pearson", text_of(report.model.pearson)),
       line("pairs", text_of(report.model.pair_accuracy) + " in order, of " + std::to_string(report.pairs) +
                         " of one prompt"),
       line("squared error", programs::text_of(report.mean_squared_error) + "; of always the mean " +
                                 fixed(report.error_of_the_mean, 3)),
       line("length", "spearman " + text_of(report.length.spearman) + ", pairs " +
                          text_of(report.length.pair_accuracy) + ": what the length alone gives"),
       line("lines", "spearman " + text_of(report.lines.spearman) + ", pairs " +
                         text_of(report.lines.pair_accuracy) + ": what the format alone gives")});
}

std::string text_of(const merit::OutcomeReport& report) {
  std::vector<std::string> lines{
      line("area", text_of(report.area_under_curve) + " under the curve, of " +
                       std::to_string(report.completions) + " completions of " +
                       std::to_string(report.problems) + " problems, " + fixed(report.right, 3) + " right"),
      line("accuracy", programs::text_of(report.accuracy) + " at " + fixed(report.threshold, 3) +
                           "; of always one label " + fixed(report.accuracy_of_one_label, 3)),
      line("calibration", programs::text_of(report.calibration_error) + " expected error"),
      line("brier",
           programs::text_of(report.brier) + "; of always the share " + fixed(report.brier_of_the_share, 3))};
  if (!report.curve.empty()) {
    const merit::BestOfNPoint& last = report.curve.back();
    lines.push_back(
        line("best of " + std::to_string(last.n),
             programs::text_of(last.chosen) + "; chance " + fixed(report.curve.front().chosen.value, 3) +
                 ", oracle " + fixed(last.pass.value, 3) +
                 (report.weighted_majority ? ", majority " + fixed(last.majority.value, 3) + ", weighted " +
                                                 fixed(report.weighted_majority->value, 3)
                                           : std::string())));
  }
  for (const merit::OutcomeBaseline& baseline : report.baselines) {
    lines.push_back(
        line(std::string(baseline.name),
             " area " + (baseline.area_under_curve ? fixed(baseline.area_under_curve->value, 3) : "-") +
                 (baseline.chosen.empty() ? "" : ", best of N " + fixed(baseline.chosen.back().value, 3))));
  }
  return joined(lines);
}

std::string text_of(const merit::StepsReport& report) {
  std::vector<std::string> lines{
      line("steps", programs::text_of(report.step_accuracy) + " judged right, of " +
                        std::to_string(report.steps) + " in " + std::to_string(report.solutions) +
                        " solutions; calling all good " + fixed(report.step_accuracy_of_all_good, 3)),
      line("area", text_of(report.area_under_curve) +
                       " under the curve of steps; of the step's place alone " +
                       (report.area_of_earlier ? fixed(report.area_of_earlier->value, 3) : "not defined")),
      line("step F1",
           fixed(report.f1_of_good, 3) + " of good, " + fixed(report.f1_of_bad, 3) + " of bad ones"),
      line("first error", programs::text_of(report.exact) + " named exactly, at the threshold " +
                              fixed(report.threshold, 3))};
  if (report.first_errors) {
    lines.push_back(
        line("first F1", text_of(report.f1) + ": found " + fixed(report.first_errors->found.value, 3) +
                             " of " + std::to_string(report.first_errors->erroneous) +
                             " erroneous, accepted " + fixed(report.first_errors->accepted.value, 3) +
                             " of " + std::to_string(report.first_errors->correct) + " correct"));
  }
  for (const merit::StepsBaseline& baseline : report.baselines) {
    lines.push_back(line(std::string(baseline.name), fixed(baseline.exact, 3) + " named exactly, F1 " +
                                                         fixed(baseline.f1, 3) + ": without looking"));
  }
  return joined(lines);
}

std::string text_of(const merit::ValueReport& report) {
  return joined({line("explained", text_of(report.explained_variance) + " of the variance of returns, in " +
                                       std::to_string(report.states) + " states of " +
                                       std::to_string(report.rollouts) + " rollouts"),
                 line("correlation", text_of(report.correlation)),
                 line("squared error", programs::text_of(report.mean_squared_error) +
                                           "; of always the mean " + fixed(report.error_of_the_mean, 3))});
}

/// Calls f(report) for the one that is there.
template <class F>
void with_report(const Evaluation& evaluation, const F& f) {
  if (evaluation.pairs) f(*evaluation.pairs);
  if (evaluation.rankings) f(*evaluation.rankings);
  if (evaluation.ratings) f(*evaluation.ratings);
  if (evaluation.outcomes) f(*evaluation.outcomes);
  if (evaluation.steps) f(*evaluation.steps);
  if (evaluation.values) f(*evaluation.values);
}

}  // namespace

Json to_json(const merit::DataCounts& counts) {
  Json json = Json::object();
  for (const auto& [name, value] : counts.items()) json[std::string(name)] = value;
  return json;
}

Json to_json(const Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

Json to_json(const Evaluation& evaluation) {
  Json json;
  with_report(evaluation, [&](const auto& report) { json = to_json(report); });
  json["kind"] = name_of_kind(evaluation.kind);
  if (evaluation.loss && !evaluation.pairs) json["loss"] = *evaluation.loss;
  for (const merit::RatingsReport& one : evaluation.attributes) json["attributes"].push_back(to_json(one));
  return json;
}

std::string text_of(const Estimate& estimate) {
  return fixed(estimate.value, 3) + " (95% interval " + fixed(estimate.low, 3) + " to " +
         fixed(estimate.high, 3) + ")";
}

std::string text_of(const Evaluation& evaluation) {
  std::string text;
  with_report(evaluation, [&](const auto& report) { text = text_of(report); });
  if (evaluation.loss && !evaluation.pairs) text += '\n' + line("loss", fixed(*evaluation.loss, 4));
  for (Index a = 0; a < evaluation.attributes.size(); ++a) {
    text += '\n' + line("attribute " + std::to_string(a),
                        " spearman " + text_of(evaluation.attributes[a].model.spearman));
  }
  return text;
}

}  // namespace programs
