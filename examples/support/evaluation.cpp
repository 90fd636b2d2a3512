// The reports of every kind: from scores to figures, and from figures to text and JSON.
#include "evaluation.hpp"

#include <algorithm>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>

#include "merit/data/stated_answer.hpp"
#include "program_text.hpp"

namespace programs {
namespace {

using merit::Estimate;

// ---- From scores to reports ---

Index completion_length(const merit::Sequence& sequence) {
  return sequence.tokens.size() - std::min(sequence.completion_begin, sequence.tokens.size());
}

/// The lines of an example's completion that are not blank; nothing where its text is not known, as of ids
/// and vectors.
std::optional<Index> lines_of(const RecordSet& set, Index example, Index completion) {
  if (set.notes.empty() || completion >= set.notes[example].texts.size()) return std::nullopt;
  return merit::count_lines(set.notes[example].texts[completion]);
}

/// The number of each example's prompt: examples of one prompt have one number.
std::vector<Index> prompt_numbers(const RecordSet& set, std::span<const Index> numbers) {
  std::vector<std::string> prompts;
  for (const Index i : numbers) {
    prompts.push_back(set.notes.empty() ? std::to_string(i) : set.notes[i].prompt);
  }
  return merit::detail::answer_numbers(prompts);
}

/// What the report of one kind is made of: the examples in question, and where their sequences begin in
/// rows and scores.
struct Part {
  const AnyModel& model;
  const RecordSet& set;
  const Evaluation& all;
  const Reading& reading;
  double threshold;
  std::vector<Index> numbers;  // of the examples
  std::vector<Index> first;    // (all examples) the number of an example's first sequence
};

void report(const Part& part, const std::vector<merit::PreferenceExample>& examples, Evaluation& out) {
  std::vector<merit::PairScores> scores;
  std::vector<merit::PreferenceExample> own;
  std::vector<merit::PairLines> lines;
  for (const Index i : part.numbers) {
    scores.push_back({part.all.scores[part.first[i]], part.all.scores[part.first[i] + 1]});
    own.push_back(examples[i]);
    const auto chosen = lines_of(part.set, i, 0);
    const auto rejected = lines_of(part.set, i, 1);
    if (chosen && rejected) lines.push_back({*chosen, *rejected});
  }
  const bool any = std::any_of(lines.begin(), lines.end(), [](const merit::PairLines& pair) {
    return pair.chosen + pair.rejected > 0;  // ids have no text
  });
  if (!any || lines.size() != scores.size()) lines.clear();
  out.pairs = merit::report_pairs(scores, own, lines);
}

void report_ranks(const Part& part, const std::vector<merit::RankingExample>& examples, Evaluation& out) {
  std::vector<merit::ScoredRanking> rankings;
  for (const Index i : part.numbers) {
    Index next = part.first[i];
    Index text = 0;
    for (const merit::RankedGroup& group : examples[i].groups) {
      merit::ScoredRanking& ranking = rankings.emplace_back();
      ranking.ranks = group.ranks;
      for (const merit::Sequence& sequence : group.completions) {
        ranking.scores.push_back(part.all.scores[next++]);
        ranking.lengths.push_back(completion_length(sequence));
        if (const auto lines = lines_of(part.set, i, text++)) ranking.lines.push_back(*lines);
      }
    }
  }
  out.rankings = merit::report_rankings(rankings);
}

void report_numbers(const Part& part, const std::vector<merit::RankingExample>& examples, Evaluation& out) {
  const std::vector<Index> prompts = prompt_numbers(part.set, part.numbers);
  Index attributes = 1;
  std::vector<merit::RatedCompletion> merged;
  std::vector<std::vector<merit::RatedCompletion>> each;
  for (Index p = 0; p < part.numbers.size(); ++p) {
    const Index i = part.numbers[p];
    Index next = part.first[i];
    for (const merit::RankedGroup& group : examples[i].groups) {
      attributes = group.attributes;
      each.resize(attributes);
      for (Index k = 0; k < group.completions.size(); ++k, ++next) {
        const std::span<const double> ratings = std::span(group.ratings).subspan(k * attributes, attributes);
        // Merged as the model merges its own attributes, where it has as many.
        const bool alike = part.all.rows[next].width == attributes && part.all.rows[next].rows() == 1;
        const double rating =
            alike ? part.model.merged(ratings) : std::accumulate(ratings.begin(), ratings.end(), 0.0);
        const Index length = completion_length(group.completions[k]);
        const Index lines = lines_of(part.set, i, next - part.first[i]).value_or(0);
        merged.push_back({part.all.scores[next], rating, prompts[p], length, lines});
        for (Index a = 0; alike && a < attributes; ++a) {
          each[a].push_back({part.all.rows[next].row(0)[a], ratings[a], prompts[p], length, lines});
        }
      }
    }
  }
  out.ratings = merit::report_ratings(merged);
  for (const auto& one : each) {
    if (attributes > 1 && !one.empty()) out.attributes.push_back(merit::report_ratings(one));
  }
}

void report(const Part& part, const std::vector<merit::RankingExample>& examples, Evaluation& out) {
  if (part.set.kind == RecordKind::ratings) {
    report_numbers(part, examples, out);
  } else {
    report_ranks(part, examples, out);
  }
}

void report(const Part& part, const std::vector<merit::OutcomeExample>& examples, Evaluation& out) {
  const std::vector<Index> problems = prompt_numbers(part.set, part.numbers);
  std::vector<merit::ScoredCompletion> completions;
  for (Index p = 0; p < part.numbers.size(); ++p) {
    const Index i = part.numbers[p];
    merit::ScoredCompletion& one = completions.emplace_back();
    one.score = part.all.scores[part.first[i]];
    one.probability = completion_probability(one.score, part.reading);
    one.label = examples[i].label;
    one.problem = problems[p];
    one.length = completion_length(examples[i].sequence);
    if (part.set.notes.empty()) continue;
    const std::string& text = part.set.notes[i].texts[0];
    one.lines = merit::count_lines(text);
    const auto answer = merit::stated_answer(text);
    one.states_answer = answer.has_value();
    one.answer = answer.value_or("");
  }
  merit::OutcomeOptions options;
  options.threshold = part.threshold;
  out.outcomes = merit::report_outcomes(completions, options);
}

void report(const Part& part, const std::vector<merit::StepsExample>&, Evaluation& out) {
  const auto all = scored_solutions(part.set, part.all.rows, part.reading);
  std::vector<merit::ScoredSolution> some;
  for (const Index i : part.numbers) some.push_back(all[i]);
  out.steps = merit::report_steps(some, part.threshold);
}

void report(const Part& part, const std::vector<merit::RolloutExample>& examples, Evaluation& out) {
  std::vector<merit::PredictedReturn> states;
  for (const Index i : part.numbers) {
    const merit::RowScores& rows = part.all.rows[part.first[i]];
    const std::vector<double>& returns = examples[i].returns;
    const Index skipped = returns.size() - rows.rows();  // 1 where the first token has nothing before it
    for (Index t = 0; t < rows.rows(); ++t) states.push_back({rows.row(t)[0], returns[skipped + t], i});
  }
  out.values = merit::report_values(states);
}

/// Fills the report of `out` for the examples of these numbers.
void report_on(const AnyModel& model, const RecordSet& set, const Evaluation& all, std::vector<Index> numbers,
               const Reading& reading, double threshold, Evaluation& out) {
  Part part{model, set, all, reading, threshold, std::move(numbers), {}};
  std::visit(
      [&](const auto& examples) {
        Index sequences = 0;
        for (const auto& example : examples) {
          part.first.push_back(sequences);
          for_each_sequence(example, [&](const merit::Sequence&) { ++sequences; });
        }
        report(part, examples, out);
      },
      set.examples);
}

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

/// The step is good, as far as its label says.
std::optional<bool> is_good(const std::optional<merit::StepLabel>& label, const Reading& reading) {
  if (!label) return std::nullopt;
  return label->good + (reading.neutral_is_good ? label->neutral : 0.0) >= 0.5;
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

double Evaluation::headline() const {
  const auto or_nothing = [](const std::optional<Estimate>& estimate) {
    return estimate ? estimate->value : 0.0;
  };
  if (pairs) return pairs->accuracy.value;
  if (rankings) return rankings->model.pair_accuracy.value;
  if (ratings) return or_nothing(ratings->model.spearman);
  if (outcomes)
    return outcomes->area_under_curve ? outcomes->area_under_curve->value : outcomes->accuracy.value;
  if (steps) return steps->first_errors ? steps->first_errors->f1 : steps->step_accuracy.value;
  if (values) return or_nothing(values->explained_variance);
  return 0;
}

const char* Evaluation::headline_name() const {
  if (pairs) return "accuracy";
  if (rankings) return "pair accuracy";
  if (ratings) return "spearman";
  if (outcomes) return outcomes->area_under_curve ? "area under the curve" : "accuracy";
  if (steps) return steps->first_errors ? "first-error F1" : "step accuracy";
  return "explained variance";
}

Evaluation evaluate(AnyModel& model, const RecordSet& set, const Reading& reading, double threshold,
                    Index token_budget, const merit::OnProgress& on_progress) {
  Evaluation result;
  result.kind = set.kind;
  ScoredSet scored = model.measure(set.examples, token_budget, on_progress);
  result.rows = std::move(scored.rows);
  result.loss = scored.loss;
  for (const merit::RowScores& rows : result.rows)
    result.scores.push_back(completion_score(rows, model, reading));
  std::vector<Index> numbers(size_of(set.examples));
  std::iota(numbers.begin(), numbers.end(), Index{0});
  report_on(model, set, result, std::move(numbers), reading, threshold, result);
  return result;
}

Evaluation evaluate_some(const AnyModel& model, const RecordSet& set, const Evaluation& all,
                         const std::vector<Index>& numbers, const Reading& reading, double threshold) {
  Evaluation result;
  result.kind = set.kind;
  report_on(model, set, all, numbers, reading, threshold, result);
  return result;
}

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

std::vector<merit::ScoredSolution> scored_solutions(const RecordSet& set,
                                                    const std::vector<merit::RowScores>& rows,
                                                    const Reading& reading) {
  const auto& examples = std::get<std::vector<merit::StepsExample>>(set.examples);
  std::vector<Index> numbers(examples.size());
  std::iota(numbers.begin(), numbers.end(), Index{0});
  const std::vector<Index> problems = prompt_numbers(set, numbers);
  std::vector<merit::ScoredSolution> solutions;
  for (Index i = 0; i < examples.size(); ++i) {
    merit::ScoredSolution& solution = solutions.emplace_back();
    solution.scores = row_values(rows[i], reading);
    for (const auto& label : examples[i].labels) solution.good.push_back(is_good(label, reading));
    solution.problem = problems[i];
  }
  return solutions;
}

LabelledLogits labelled_logits(const RecordSet& set, const Evaluation& evaluation, const Reading& reading) {
  LabelledLogits result;
  const auto add = [&](double logit, double label) {
    result.logits.push_back(logit);
    result.labels.push_back(label);
  };
  std::visit(
      [&]<class Example>(const std::vector<Example>& examples) {
        Index next = 0;
        for (const Example& example : examples) {
          if constexpr (std::is_same_v<Example, merit::PreferenceExample>) {
            add(evaluation.scores[next] - evaluation.scores[next + 1], example.soft_label);
            next += 2;
          } else if constexpr (std::is_same_v<Example, merit::RankingExample>) {
            for (const merit::RankedGroup& group : example.groups) {
              for (Index i = 0; i < group.ranks.size(); ++i) {
                for (Index j = i + 1; j < group.ranks.size(); ++j) {
                  if (group.ranks[i] == group.ranks[j]) continue;
                  add(evaluation.scores[next + i] - evaluation.scores[next + j],
                      group.ranks[i] < group.ranks[j] ? 1 : 0);
                }
              }
              next += group.ranks.size();
            }
          } else if constexpr (std::is_same_v<Example, merit::OutcomeExample>) {
            add(completion_logit(evaluation.scores[next], reading), example.label);
            ++next;
          } else if constexpr (std::is_same_v<Example, merit::StepsExample>) {
            for (Index k = 0; k < example.labels.size(); ++k) {
              const auto& label = example.labels[k];
              if (!label) continue;
              const double good = label->good + (reading.neutral_is_good ? label->neutral : 0.0);
              add(logit_of_row(evaluation.rows[next].row(k), reading), std::clamp(good, 0.0, 1.0));
            }
            ++next;
          } else {
            throw merit::ConfigError(
                "a value function gives returns, expected a model whose scores are logits to "
                "calibrate");
          }
        }
      },
      set.examples);
  if (set.kind == RecordKind::ratings) {
    throw merit::ConfigError(
        "ratings are numbers of their own scale, expected a model whose scores are logits to "
        "calibrate");
  }
  return result;
}

}  // namespace programs
