// How a way of training is cross-validated.
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/eval/resampled_difference.hpp"
#include "merit/eval/steps_report.hpp"
#include "merit/jobs/cross_validation.hpp"
#include "merit/tokens/teaching_part.hpp"
#include "merit/train/sampling.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::cross_validation {

struct Baseline {
  std::string name;
  double value = 0;
};
/// From where to where a figure can be at all, which its interval is cut to.
struct Bounds {
  double low = 0;
  double high = 1;
};
inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr Bounds share{};
inline constexpr Bounds correlation{-1, 1};
inline constexpr Bounds at_most_one{-infinity, 1};

struct Figure {
  std::string name;
  double value = 0;
  Bounds bounds = share;
  std::vector<Baseline> baselines = {};
};

inline Estimate within(const Bounds& bounds, Estimate estimate) {
  estimate.low = std::clamp(estimate.low, bounds.low, bounds.high);
  estimate.high = std::clamp(estimate.high, bounds.low, bounds.high);
  return estimate;
}

/// Of a fold's training prompts, what is kept apart for the threshold of steps.
inline constexpr double share_for_threshold = 0.125;

/// The size of a fold's held-out part over that of its training part.
inline double test_to_train(RecordKind kind, Index folds) {
  const double trained = kind == RecordKind::steps ? 1 - share_for_threshold : 1;
  return 1 / (static_cast<double>(folds - 1) * trained);
}

inline void add(std::vector<Figure>& figures, const char* name, const std::optional<Estimate>& value,
                const std::vector<std::pair<const char*, std::optional<Estimate>>>& baselines,
                const Bounds& bounds = share) {
  if (!value) return;
  Figure figure{name, value->value, bounds};
  for (const auto& [baseline, other] : baselines) {
    if (other) figure.baselines.push_back({baseline, other->value});
  }
  figures.push_back(std::move(figure));
}

inline std::optional<Estimate> opposite(const Estimate& one) {
  return Estimate{1 - one.value, 1 - one.high, 1 - one.low};
}

/// The figures of a report, and beside them what reads nothing.
inline std::vector<Figure> figures_of(const Evaluation& report) {
  std::vector<Figure> figures;
  if (report.pairs) {
    const PairReport& pairs = *report.pairs;
    add(figures, "accuracy", pairs.accuracy,
        {{"longer wins", pairs.longer_wins},
         {"shorter wins", opposite(pairs.longer_wins)},
         {"more lines win", pairs.more_lines_win}});
  } else if (report.rankings) {
    const RankingReport& ranks = *report.rankings;
    const auto lines = [&](Estimate OrderReport::*figure) {
      return ranks.most_lines ? std::optional((*ranks.most_lines).*figure) : std::nullopt;
    };
    add(figures, "pair accuracy", ranks.model.pair_accuracy,
        {{"longer wins", ranks.longest.pair_accuracy},
         {"shorter wins", ranks.shortest.pair_accuracy},
         {"more lines win", lines(&OrderReport::pair_accuracy)}});
    add(figures, "best on top", ranks.model.top,
        {{"longest", ranks.longest.top},
         {"shortest", ranks.shortest.top},
         {"most lines", lines(&OrderReport::top)},
         {"chance", Estimate{ranks.top_by_chance}}});
  } else if (report.ratings) {
    const RatingsReport& ratings = *report.ratings;
    add(figures, "Spearman", ratings.model.spearman,
        {{"length", ratings.length.spearman}, {"lines", ratings.lines.spearman}}, correlation);
    add(figures, "pair accuracy", ratings.model.pair_accuracy,
        {{"longer wins", ratings.length.pair_accuracy}, {"more lines win", ratings.lines.pair_accuracy}});
  } else if (report.outcomes) {
    const OutcomeReport& outcomes = *report.outcomes;
    std::vector<std::pair<const char*, std::optional<Estimate>>> areas;
    for (const OutcomeBaseline& one : outcomes.baselines)
      areas.emplace_back(one.name.data(), one.area_under_curve);
    add(figures, "area under the curve", outcomes.area_under_curve, areas);
    if (outcomes.curve.size() > 1) {
      add(figures, "best of several", outcomes.curve.back().chosen,
          {{"chance", outcomes.curve.front().chosen}});
    }
    add(figures, "accuracy", outcomes.accuracy, {{"one label", Estimate{outcomes.accuracy_of_one_label}}});
  } else if (report.steps) {
    const StepsReport& steps = *report.steps;
    std::vector<std::pair<const char*, std::optional<Estimate>>> f1, exact;
    for (const StepsBaseline& one : steps.baselines) {
      f1.emplace_back(one.name.data(), Estimate{one.f1});
      exact.emplace_back(one.name.data(), Estimate{one.exact});
    }
    add(figures, "first-error F1", steps.f1, f1);
    add(figures, "first error named exactly", steps.exact, exact);
    add(figures, "area under the curve of steps", steps.area_under_curve,
        {{"earlier is good", steps.area_of_earlier}});
    add(figures, "steps judged right", steps.step_accuracy,
        {{"all good", Estimate{steps.step_accuracy_of_all_good}}});
  } else if (report.values) {
    add(figures, "explained variance", report.values->explained_variance, {{"the mean return", Estimate{}}},
        at_most_one);
  }
  return figures;
}

inline RecordSet some_of(const RecordSet& set, const std::vector<Index>& numbers) {
  RecordSet some{.kind = set.kind, .counts = set.counts, .files = set.files};
  std::visit(
      [&]<class Example>(const std::vector<Example>& examples) {
        std::vector<Example> chosen;
        for (const Index i : numbers) chosen.push_back(examples[i]);
        some.examples = std::move(chosen);
      },
      set.examples);
  if (!set.notes.empty()) {
    for (const Index i : numbers) some.notes.push_back(set.notes[i]);
  }
  return some;
}

/// What a figure was in each fold, with one baseline.
struct Values {
  Bounds bounds;
  std::vector<double> model, difference;
};

/// Figures and baselines in the order in which the first fold has them.
class Table {
 public:
  void add(const std::vector<Figure>& figures) {
    for (const Figure& figure : figures) {
      if (figure.baselines.empty()) add({figure.name, ""}, figure, 0);
      for (const Baseline& baseline : figure.baselines)
        add({figure.name, baseline.name}, figure, baseline.value);
    }
  }
  std::vector<ComparedFigure> compared(double test_to_train) const {
    std::vector<ComparedFigure> result;
    for (const auto& [key, values] : rows_) {
      ComparedFigure& one = result.emplace_back();
      one.name = key.first;
      one.baseline = key.second;
      one.model = within(values.bounds, corrected_resampled_mean(values.model, test_to_train));
      one.difference = corrected_resampled_mean(values.difference, test_to_train);
      one.other = one.model.value - one.difference.value;
      one.folds = values.model.size();
    }
    return result;
  }

 private:
  using Key = std::pair<std::string, std::string>;

  void add(const Key& key, const Figure& figure, double other) {
    auto row = std::ranges::find(rows_, key, &std::pair<Key, Values>::first);
    if (row == rows_.end()) row = rows_.insert(rows_.end(), {key, {figure.bounds, {}, {}}});
    row->second.model.push_back(figure.value);
    row->second.difference.push_back(figure.value - other);
  }

  std::vector<std::pair<Key, Values>> rows_;
};

/// The figures of one fold: a model that has not seen the prompts of `held_out`.
inline std::vector<Figure> judge_fold(const RecordSet& set, const std::vector<Index>& learned,
                                      const std::vector<Index>& apart, const std::vector<Index>& held_out,
                                      const Reading& reading, AnyModel& model, const TrainOptions& training,
                                      const TokenizeOptions& tokenize) {
  const Examples examples = std::visit(
      [&]<class Example>(std::vector<Example>&& judged) -> Examples {
        return teaching_part(std::move(judged), tokenize);
      },
      some_of(set, learned).examples);
  if (size_of(examples) == 0) {
    throw DataError(concat(set.files, ": the ", learned.size(), learned.size() == 1 ? " record" : " records",
                           " of a fold's training part ", learned.size() == 1 ? "teaches" : "teach",
                           " nothing, expected one with completions that differ or a label"));
  }
  model.train(examples, training)->run({});
  double threshold = 0.5;
  if (!apart.empty()) {
    const RecordSet fitted = some_of(set, apart);
    const ScoredSet scored = model.measure(fitted.examples, training.micro_batch_tokens);
    threshold = fit_step_threshold(scored_solutions(fitted, scored.rows, reading)).threshold;
  }
  return figures_of(evaluate(model, some_of(set, held_out), reading, threshold, training.micro_batch_tokens));
}

}  // namespace detail::cross_validation

MERIT_INLINE CrossValidation cross_validate(const RecordSet& set, const Reading& reading,
                                            const MakeModel& make, const CrossValidationOptions& options,
                                            const OnProgress& on_progress) {
  if (options.folds < 2)
    throw ConfigError(concat("cross-validation: folds is ", options.folds, ", expected at least 2"));
  if (options.seeds == 0) throw ConfigError("cross-validation: seeds is 0, expected at least 1");
  if (!set.parts.empty())
    throw ConfigError(set.files + ": found epochs of files that are cross-validated on, expected none");
  const Index records = size_of(set.examples);
  std::vector<std::string> prompts;
  for (Index i = 0; i < records; ++i)
    prompts.push_back(set.notes.empty() ? std::to_string(i) : set.notes[i].split_key);
  const Index distinct = std::set<std::string_view>(prompts.begin(), prompts.end()).size();
  if (distinct < options.folds) {
    throw DataError(concat(set.files, ": found ", distinct, " prompts, expected at least as many as folds, ",
                           options.folds, ", as the records of one prompt are held out together"));
  }
  detail::cross_validation::Table table;
  Index done = 0;
  for (Index seed = 0; seed < options.seeds; ++seed) {
    // Prompts in an order of the seed, dealt out in turn: no fold is empty.
    std::map<std::string_view, Index> fold_of;
    for (const std::string& prompt : prompts) fold_of.try_emplace(prompt, 0);
    const std::vector<Index> order = epoch_order(distinct, options.training.seed + seed, 0);
    Index place = 0;
    for (auto& [prompt, fold] : fold_of) fold = order[place++] % options.folds;
    TrainOptions training = options.training;
    training.seed += seed;
    for (Index fold = 0; fold < options.folds; ++fold) {
      std::vector<Index> learned, apart, held_out;
      for (Index i = 0; i < records; ++i) {
        const bool fits =
            set.kind == RecordKind::steps &&
            merit::held_out(prompts[i], detail::cross_validation::share_for_threshold, training.seed);
        (fold_of.at(prompts[i]) == fold ? held_out : fits ? apart : learned).push_back(i);
      }
      const auto model = make(training.seed);
      table.add(detail::cross_validation::judge_fold(set, learned, apart, held_out, reading, *model, training,
                                                     options.tokenize));
      ++done;
      if (on_progress) on_progress(done, options.folds * options.seeds);
    }
  }
  const Index read = set.counts.records + set.unread.count();
  return {options,
          records,
          distinct,
          read,
          read - set.counts.kept,
          table.compared(detail::cross_validation::test_to_train(set.kind, options.folds))};
}

MERIT_INLINE Json to_json(const CrossValidation& result) {
  Json figures = Json::array();
  for (const ComparedFigure& one : result.figures) {
    Json figure = {{"figure", one.name}, {"model", to_json(one.model)}, {"folds", one.folds}};
    if (!one.baseline.empty()) {
      figure["baseline"] = one.baseline;
      figure["value"] = one.other;
      figure["difference"] = to_json(one.difference);
    }
    figures.push_back(std::move(figure));
  }
  return {{"folds", result.options.folds}, {"seeds", result.options.seeds}, {"records", result.records},
          {"read", result.read},           {"left_out", result.left_out},   {"prompts", result.prompts},
          {"figures", std::move(figures)}};
}

MERIT_INLINE std::string text_of(const CrossValidation& result) {
  std::string text = concat(
      "Of ", result.records, " records with ", result.prompts, " prompts each was held out once for each of ",
      result.options.seeds, result.options.seeds == 1 ? " seed" : " seeds", ", in ", result.options.folds,
      " folds of their prompts",
      result.left_out == 0 ? "" : concat("; ", result.left_out, " of ", result.read, " read were dropped"),
      ". Means over all folds; 95% intervals by the corrected resampled t-test.");
  std::string last;
  for (const ComparedFigure& one : result.figures) {
    if (one.name != last) text += "\n\n" + one.name + "  " + text_of(one.model);
    last = one.name;
    if (one.baseline.empty()) continue;
    const bool better = one.difference.low > 0, worse = one.difference.high < 0;
    const auto signed_text = [](double value) { return (value < 0 ? "" : "+") + fixed(value, 3); };
    text += concat("\n  ", one.baseline, " ", fixed(one.other, 3), ": the model's less this ",
                   signed_text(one.difference.value), " (", signed_text(one.difference.low), " to ",
                   signed_text(one.difference.high),
                   better  ? ")"
                   : worse ? "), worse"
                           : "), no difference shown");
  }
  return text;
}

}  // namespace MERIT_ABI
}  // namespace merit
