// Reports as text and as JSON.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/spelled_number.hpp"
#include "merit/io/json.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/kind_names.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::evaluation_text {

// ---- From reports to JSON ---

inline Json to_json(const std::optional<Estimate>& estimate) {
  return estimate ? merit::to_json(*estimate) : Json(nullptr);
}

inline Json to_json(const PairReport& report) {
  return {{"pairs", report.pairs},
          {"accuracy", merit::to_json(report.accuracy)},
          {"ties", report.ties},
          {"even", report.even},
          {"cut", report.cut},
          {"longer_wins", merit::to_json(report.longer_wins)},
          {"length_ties", report.length_ties},
          {"more_lines_win", to_json(report.more_lines_win)},
          {"loss", report.loss},
          {"mean_margin", report.mean_margin},
          {"min_score", report.min_score},
          {"mean_score", report.mean_score},
          {"max_score", report.max_score}};
}

inline Json to_json(const OrderReport& report) {
  return {{"pair_accuracy", merit::to_json(report.pair_accuracy)}, {"top", merit::to_json(report.top)}};
}

inline Json to_json(const RankingReport& report) {
  Json json = to_json(report.model);
  json.update({{"groups", report.groups},
               {"all_tied", report.all_tied},
               {"pairs", report.pairs},
               {"rank_ties", report.rank_ties},
               {"score_ties", report.score_ties},
               {"cut", report.cut},
               {"top_by_chance", report.top_by_chance},
               {"kendall", merit::to_json(report.kendall)},
               {"spearman", merit::to_json(report.spearman)},
               {"without_correlation", report.without_correlation},
               {"longest", to_json(report.longest)},
               {"shortest", to_json(report.shortest)},
               {"most_lines", report.most_lines ? to_json(*report.most_lines) : Json(nullptr)}});
  return json;
}

inline Json to_json(const AgreementReport& report) {
  return {{"pearson", to_json(report.pearson)},
          {"spearman", to_json(report.spearman)},
          {"pair_accuracy", to_json(report.pair_accuracy)}};
}

inline Json to_json(const RatingsReport& report) {
  Json json = to_json(report.model);
  json.update({{"completions", report.completions},
               {"prompts", report.prompts},
               {"pairs", report.pairs},
               {"mean_squared_error", to_json(report.mean_squared_error)},
               {"error_of_the_mean", report.error_of_the_mean},
               {"length", to_json(report.length)},
               {"lines", to_json(report.lines)}});
  return json;
}

inline Json to_json(const CalibrationReport& report) {
  Json bins = Json::array();
  for (const ReliabilityBin& bin : report.bins) {
    const bool empty = bin.count == 0;  // and has no means
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"count", bin.count},
                    {"weight", bin.weight},
                    {"mean_probability", empty ? Json() : Json(bin.mean_probability)},
                    {"mean_outcome", empty ? Json() : Json(bin.mean_outcome)}});
  }
  return {{"expected_error", report.expected_error},
          {"largest_error", report.largest_error},
          {"brier", report.brier},
          {"cross_entropy", report.cross_entropy},
          {"bins", bins}};
}

inline Json to_json(const OutcomeReport& report) {
  Json curve = Json::array();
  for (const BestOfNPoint& point : report.curve) {
    curve.push_back(
        {{"n", point.n},
         {"chosen", merit::to_json(point.chosen)},
         {"pass", merit::to_json(point.pass)},
         {"majority", report.no_majority.empty() ? merit::to_json(point.majority) : Json(nullptr)}});
  }
  Json baselines = Json::array();
  for (const OutcomeBaseline& baseline : report.baselines) {
    Json one = {{"name", std::string(baseline.name)},
                {"area_under_curve", to_json(baseline.area_under_curve)}};
    for (const Estimate& chosen : baseline.chosen) one["chosen"].push_back(merit::to_json(chosen));
    baselines.push_back(std::move(one));
  }
  return {{"completions", report.completions},
          {"problems", report.problems},
          {"right", report.right},
          {"cut", report.cut},
          {"unseen", report.unseen},
          {"area_under_curve", to_json(report.area_under_curve)},
          {"threshold", report.threshold},
          {"accuracy", merit::to_json(report.accuracy)},
          {"accuracy_of_one_label", report.accuracy_of_one_label},
          {"calibration", to_json(report.calibration)},
          {"calibration_error", merit::to_json(report.calibration_error)},
          {"brier", merit::to_json(report.brier)},
          {"brier_of_the_share", report.brier_of_the_share},
          {"best_of_n", curve},
          {"curve_problems", report.curve_problems},
          {"weighted_majority", to_json(report.weighted_majority)},
          {"no_majority", report.no_majority.empty() ? Json(nullptr) : Json(report.no_majority)},
          {"baselines", baselines}};
}

/// Whether a labelled step is good, or bad: without one an F1 of such says nothing.
inline bool has_good(const StepsReport& report) {
  return report.step_accuracy_of_all_good > 0;
}
inline bool has_bad(const StepsReport& report) {
  return report.step_accuracy_of_all_good < 1;
}

inline Json to_json(const StepsReport& report) {
  Json json = {{"solutions", report.solutions},
               {"unlabelled", report.unlabelled},
               {"steps", report.steps},
               {"cut", report.cut},
               {"unseen", report.unseen},
               {"threshold", report.threshold},
               {"exact", merit::to_json(report.exact)},
               {"first_error_f1", to_json(report.f1)},
               {"step_accuracy", merit::to_json(report.step_accuracy)},
               {"step_accuracy_of_all_good", report.step_accuracy_of_all_good},
               {"f1_of_good", has_good(report) ? Json(report.f1_of_good) : Json(nullptr)},
               {"f1_of_bad", has_bad(report) ? Json(report.f1_of_bad) : Json(nullptr)},
               {"macro_f1", has_good(report) && has_bad(report) ? Json(report.macro_f1) : Json(nullptr)},
               {"area_under_curve", to_json(report.area_under_curve)},
               {"area_of_earlier", to_json(report.area_of_earlier)},
               {"baselines", Json::array()}};
  json["erroneous"] = report.erroneous;
  json["correct"] = report.correct;
  json["found"] = to_json(report.found);
  json["accepted"] = to_json(report.accepted);
  for (const StepsBaseline& baseline : report.baselines) {
    json["baselines"].push_back({{"name", std::string(baseline.name)},
                                 {"exact", baseline.exact},
                                 {"found", report.found ? Json(baseline.found) : Json(nullptr)},
                                 {"accepted", report.accepted ? Json(baseline.accepted) : Json(nullptr)},
                                 {"f1", report.first_errors ? Json(baseline.f1) : Json(nullptr)}});
  }
  return json;
}

inline Json to_json(const ValueReport& report) {
  return {{"states", report.states},
          {"unseen", report.unseen},
          {"rollouts", report.rollouts},
          {"mean_squared_error", merit::to_json(report.mean_squared_error)},
          {"error_of_the_mean", report.error_of_the_mean},
          {"explained_variance", to_json(report.explained_variance)},
          {"correlation", to_json(report.correlation)}};
}

// ---- From reports to text ---

inline std::string text_of(const std::optional<Estimate>& estimate) {
  return estimate ? merit::text_of(*estimate) : std::string("not defined: nothing varies");
}

/// A line of a report: its name in a column, and what it says.
inline std::string line(const std::string& name, const std::string& what) {
  const std::string shown = visible(name);  // it may be a subset's, of a file of others
  return shown + std::string(shown.size() < 14 ? 14 - shown.size() : 1, ' ') + what;
}
inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& one : lines) text += (text.empty() ? "" : "\n") + one;
  return text;
}

inline std::string text_of(const PairReport& report) {
  const auto ties = [](Index count) {
    return count == 0 ? std::string("no ties") : std::to_string(count) + (count == 1 ? " tie" : " ties");
  };
  return joined(
      {line("accuracy",
            merit::text_of(report.accuracy) + ", " + ties(report.ties) + " in " +
                std::to_string(report.pairs) + (report.pairs == 1 ? " pair" : " pairs") +
                (report.even == 0 ? "" : ", " + std::to_string(report.even) + " judged even and left out") +
                (report.cut == 0 ? "" : ", " + std::to_string(report.cut) + " of which a side was cut")),
       line("longer wins", merit::text_of(report.longer_wins) + ", " + ties(report.length_ties) +
                               ": what the length alone gives"),
       line("more lines", report.more_lines_win
                              ? merit::text_of(*report.more_lines_win) + ": what the format alone gives"
                              : "not known: the completions are not text"),
       line("loss", fixed(report.loss, 4) +
                        " (0.6931 is a coin's): by soft labels and weights, without margins or smoothing"),
       line("mean margin", fixed(report.mean_margin, 4)),
       line("scores", fixed(report.min_score, 4) + " to " + fixed(report.max_score, 4) + ", mean " +
                          fixed(report.mean_score, 4))});
}

inline std::string text_of(const RankingReport& report) {
  const std::string no_order =
      report.without_correlation == 0
          ? ""
          : concat("; ", report.without_correlation, " of ", report.groups,
                   report.groups == 1 ? " group has" : " groups have", " equal scores alone, which count 0");
  const std::string cut =
      report.cut == 0 ? ""
                      : concat("; ", report.cut, report.cut == 1 ? " completion was" : " completions were",
                               " cut and ranked below those read whole");
  return joined(
      {line("pairs", merit::text_of(report.model.pair_accuracy) + " in order, of " +
                         std::to_string(report.pairs) + " of different rank in " +
                         std::to_string(report.groups) + " groups"),
       line("best on top",
            merit::text_of(report.model.top) + ", by chance " + fixed(report.top_by_chance, 3) + cut),
       line("kendall", merit::text_of(report.kendall) + no_order),
       line("spearman", merit::text_of(report.spearman) + no_order),
       line("longest", merit::text_of(report.longest.pair_accuracy) + " of pairs, best on top " +
                           fixed(report.longest.top.value, 3) + ": what the length alone gives"),
       line("shortest", merit::text_of(report.shortest.pair_accuracy) + " of pairs, best on top " +
                            fixed(report.shortest.top.value, 3)),
       line("most lines", report.most_lines
                              ? merit::text_of(report.most_lines->pair_accuracy) + " of pairs, best on top " +
                                    fixed(report.most_lines->top.value, 3) + ": what the format alone gives"
                              : "not known: the completions are not text")});
}

inline std::string text_of(const RatingsReport& report) {
  return joined(
      {line("spearman", text_of(report.model.spearman) + ", of " + std::to_string(report.completions) +
                            " completions of " + std::to_string(report.prompts) + " prompts"),
       line("pearson", text_of(report.model.pearson)),
       line("pairs", text_of(report.model.pair_accuracy) + " in order, of " + std::to_string(report.pairs) +
                         " of one prompt"),
       line("squared error", report.mean_squared_error
                                 ? merit::text_of(*report.mean_squared_error) + "; of always the mean " +
                                       fixed(report.error_of_the_mean, 3)
                                 : "not defined: normalised scores are on another scale than the ratings"),
       line("length", "spearman " + text_of(report.length.spearman) + ", pairs " +
                          text_of(report.length.pair_accuracy) + ": what the length alone gives"),
       line("lines", "spearman " + text_of(report.lines.spearman) + ", pairs " +
                         text_of(report.lines.pair_accuracy) + ": what the format alone gives")});
}

inline std::string text_of(const OutcomeReport& report) {
  std::vector<std::string> lines{
      line("area", text_of(report.area_under_curve) + " under the curve, of " +
                       std::to_string(report.completions) + " completions of " +
                       std::to_string(report.problems) + " problems, " + fixed(report.right, 3) + " right"),
      line("accuracy", merit::text_of(report.accuracy) + " at " + fixed(report.threshold, 3) +
                           "; of always one label " + fixed(report.accuracy_of_one_label, 3)),
      line("calibration", merit::text_of(report.calibration_error) + " expected error"),
      line("brier",
           merit::text_of(report.brier) + "; of always the share " + fixed(report.brier_of_the_share, 3))};
  if (report.cut != 0) {
    lines.push_back(line("cut", concat(report.cut, " of ", report.completions,
                                       " completions, chosen after those read whole; of ", report.unseen,
                                       " nothing was left to read: judged wrong")));
  }
  if (!report.curve.empty()) {
    const BestOfNPoint& last = report.curve.back();
    lines.push_back(
        line("best of " + std::to_string(last.n),
             merit::text_of(last.chosen) + "; chance " + fixed(report.curve.front().chosen.value, 3) +
                 ", oracle " + fixed(last.pass.value, 3) +
                 (report.weighted_majority ? ", majority " + fixed(last.majority.value, 3) + ", weighted " +
                                                 fixed(report.weighted_majority->value, 3)
                                           : std::string())));
    if (!report.no_majority.empty()) lines.push_back(line("majority", "not defined: " + report.no_majority));
  }
  for (const OutcomeBaseline& baseline : report.baselines) {
    lines.push_back(
        line(std::string(baseline.name),
             " area " + (baseline.area_under_curve ? fixed(baseline.area_under_curve->value, 3) : "-") +
                 (baseline.chosen.empty() ? "" : ", best of N " + fixed(baseline.chosen.back().value, 3))));
  }
  return joined(lines);
}

inline std::string text_of(const StepsReport& report) {
  std::vector<std::string> lines{
      line("steps", merit::text_of(report.step_accuracy) + " judged right, of " +
                        std::to_string(report.steps) + " in " + std::to_string(report.solutions) +
                        " solutions; calling all good " + fixed(report.step_accuracy_of_all_good, 3)),
      line("area", text_of(report.area_under_curve) +
                       " under the curve of steps; of the step's place alone " +
                       (report.area_of_earlier ? fixed(report.area_of_earlier->value, 3) : "not defined")),
      line("step F1", (has_good(report) ? fixed(report.f1_of_good, 3) : "- (there are none)") + " of good, " +
                          (has_bad(report) ? fixed(report.f1_of_bad, 3) + " of bad ones"
                                           : "- of bad ones (there are none)")),
      line("first error",
           merit::text_of(report.exact) + " named exactly, at the threshold " + fixed(report.threshold, 3))};
  if (report.cut != 0) {
    lines.push_back(
        line("cut", concat(report.cut, report.cut == 1 ? " solution" : " solutions", " of ", report.solutions,
                           ", of which ", report.unseen,
                           report.unseen == 1 ? " labelled step was" : " labelled steps were",
                           " not seen: judged wrong, and no solution accepted that was not read")));
  }
  if (!report.first_errors) {
    const auto& defined = report.found ? report.found : report.accepted;
    lines.push_back(
        line("first F1",
             concat("not defined: no solution is ", report.found ? "correct" : "erroneous",
                    report.found ? "; found " : "; accepted ", defined ? fixed(defined->value, 3) : "-",
                    " of ", report.found ? report.erroneous : report.correct)));
  } else {
    lines.push_back(
        line("first F1", text_of(report.f1) + ": found " + fixed(report.first_errors->found.value, 3) +
                             " of " + std::to_string(report.first_errors->erroneous) +
                             " erroneous, accepted " + fixed(report.first_errors->accepted.value, 3) +
                             " of " + std::to_string(report.first_errors->correct) + " correct"));
  }
  for (const StepsBaseline& baseline : report.baselines) {
    lines.push_back(line(std::string(baseline.name), fixed(baseline.exact, 3) + " named exactly, F1 " +
                                                         fixed(baseline.f1, 3) + ": without looking"));
  }
  return joined(lines);
}

inline std::string text_of(const ValueReport& report) {
  return joined(
      {line(
           "explained",
           text_of(report.explained_variance) + " of the variance of returns, in " +
               std::to_string(report.states) + " states of " + std::to_string(report.rollouts) + " rollouts" +
               (report.unseen == 0 ? ""
                                   : concat("; ", report.unseen, " of them cut and not seen: judged wrong"))),
       line("correlation", text_of(report.correlation)),
       line("squared error", merit::text_of(report.mean_squared_error) + "; of always the mean " +
                                 fixed(report.error_of_the_mean, 3))});
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

}  // namespace detail::evaluation_text

MERIT_INLINE Json to_json(const DataCounts& counts) {
  Json json = Json::object();
  for (const auto& [name, value] : counts.items()) json[std::string(name)] = value;
  return json;
}

MERIT_INLINE Json to_json(const RecordSet& set) {
  Json json = to_json(set.counts);
  json["unread"] = set.unread.count();
  return json;
}

MERIT_INLINE Json to_json(const Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

MERIT_INLINE Json to_json(const Evaluation& evaluation) {
  Json json;
  detail::evaluation_text::with_report(
      evaluation, [&](const auto& report) { json = detail::evaluation_text::to_json(report); });
  json["kind"] = name_of_kind(evaluation.kind);
  json["read"] = evaluation.read;
  json["left_out"] = evaluation.left_out;
  json["repeats"] = evaluation.repeats;
  if (evaluation.loss && !evaluation.pairs) json["loss"] = *evaluation.loss;
  for (const RatingsReport& one : evaluation.attributes)
    json["attributes"].push_back(detail::evaluation_text::to_json(one));
  return json;
}

MERIT_INLINE std::string text_of(const Estimate& estimate) {
  return fixed(estimate.value, 3) + " (95% interval " + fixed(estimate.low, 3) + " to " +
         fixed(estimate.high, 3) + ")";
}

MERIT_INLINE std::string text_of(const Evaluation& evaluation) {
  std::string text;
  detail::evaluation_text::with_report(
      evaluation, [&](const auto& report) { text = detail::evaluation_text::text_of(report); });
  if (evaluation.repeats != 0) {
    const std::string note =
        concat("; ", evaluation.repeats, evaluation.repeats == 1 ? " record repeats" : " records repeat",
               " another, and each counts");
    text.insert(std::min(text.find('\n'), text.size()), note);
  }
  if (evaluation.left_out != 0) {  // beside the first figure, whose denominator it tells
    const std::string what = evaluation.kind == RecordKind::steps ? " solutions" : " records";
    const std::string note = concat("; of ", evaluation.read - evaluation.left_out, " of ", evaluation.read,
                                    what, " read; ", evaluation.left_out, " dropped");
    text.insert(std::min(text.find('\n'), text.size()), note);
  }
  if (evaluation.loss && !evaluation.pairs)
    text += '\n' + detail::evaluation_text::line("loss", fixed(*evaluation.loss, 4));
  for (Index a = 0; a < evaluation.attributes.size(); ++a) {
    text +=
        '\n' + detail::evaluation_text::line(
                   "attribute " + std::to_string(a),
                   " spearman " + detail::evaluation_text::text_of(evaluation.attributes[a].model.spearman));
  }
  return text;
}

}  // namespace MERIT_ABI
}  // namespace merit
