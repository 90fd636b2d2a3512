// Benchmarks to sets and from scores to their figures.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/benchmarks/benchmark_scores.hpp"
#include "merit/core/error.hpp"
#include "merit/core/visible.hpp"
#include "merit/run/benchmark_evaluation.hpp"
#include "merit/run/spelled_number.hpp"
#include "merit/tokens/steps_of_text.hpp"
#include "merit/tokens/tokenize.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::benchmark_evaluation {

// ---- Rows to examples ---

/// Collects the examples of a benchmark.
struct Collector {
  BenchmarkSet& out;
  const SavedModel& saved;

  template <class Record>
  void add(const Record& record, Index row, ExampleNote note) {
    auto example = tokenize(record, *saved.tokenizer, saved.tokenize, out.set.counts);
    if (!example) return;
    using Example = ExampleOf<Record>;
    if (!std::holds_alternative<std::vector<Example>>(out.set.examples)) {
      out.set.examples.emplace<std::vector<Example>>();
    }
    std::get<std::vector<Example>>(out.set.examples).push_back(std::move(*example));
    out.set.notes.push_back(std::move(note));
    out.row_of.push_back(row);
  }

  void add_pair(const PreferenceRecord& record, Index row, const std::string& subset) {
    add(record, row,
        {plain_text(record.prompt),
         {plain_text(record.chosen), plain_text(record.rejected)},
         subset,
         record.source});
  }

  /// Right completions before wrong ones, as a ranking of two ranks.
  void add_group(const LabelledCompletions& from, Index row, const std::string& subset) {
    RankingRecord record;
    record.source = from.source;
    record.prompt = from.prompt;
    for (Index i = 0; i < from.completions.size(); ++i) {
      record.completions.emplace_back(from.completions[i]);
      record.ranks.push_back(from.correct[i] ? 0 : 1);
    }
    add(record, row, {from.prompt, from.completions, subset, from.source});
  }

  void add_steps(const LabelledSteps& from, Index row, const std::string& subset) {
    StepsRecord record;
    record.source = from.source;
    record.prompt = from.prompt;
    record.completions = from.steps;
    for (const auto& label : from.labels) {
      if (label) {
        record.labels.emplace_back(*label > 0);
      } else {
        record.labels.emplace_back(std::monostate{});
      }
    }
    add(record, row, {from.prompt, from.steps, subset, from.source});
  }

  void add_outcomes(const LabelledCompletions& from, Index row) {
    for (Index i = 0; i < from.completions.size(); ++i) {
      OutcomeRecord record;
      record.source = from.source;
      record.prompt = from.prompt;
      record.completion = from.completions[i];
      record.label = from.correct[i] ? 1 : 0;
      ExampleNote note{from.prompt, {from.completions[i]}, "", from.source};
      if (meaning_of(saved.head) != ScoreMeaning::per_step) {
        add(record, row, std::move(note));
        continue;
      }
      auto steps =
          tokenize(as_steps(record, saved.tokenize), *saved.tokenizer, saved.tokenize, out.set.counts);
      if (!steps) continue;
      if (!std::holds_alternative<std::vector<OutcomeExample>>(out.set.examples)) {
        out.set.examples.emplace<std::vector<OutcomeExample>>();
      }
      std::get<std::vector<OutcomeExample>>(out.set.examples)
          .push_back({std::move(steps->sequence), record.label, 1});
      out.set.notes.push_back(std::move(note));
      out.row_of.push_back(row);
    }
  }

  void operator()(const RewardBenchRow& row, Index i) { add_pair(to_preference(row), i, row.subset); }
  void operator()(const JudgeBenchRow& row, Index i) {
    const std::string_view category = judge_bench_category(row.origin);
    add_pair(to_preference(row), i, category.empty() ? row.origin : std::string(category));
  }
  void operator()(const LlmBarRow& row, Index i) { add_pair(to_preference(row), i, "all"); }
  void operator()(const RewardBench2Row& row, Index i) { add_group(to_completions(row), i, row.subset); }
  void operator()(const RmBenchRow& row, Index i) { add_group(to_completions(row), i, row.domain); }
  void operator()(const ProcessBenchRow& row, Index i) { add_steps(to_steps(row), i, row.subset()); }
  void operator()(const PrmBenchRow& row, Index i) { add_steps(to_steps(row), i, row.classification); }
  void operator()(const Gsm8kRow& row, Index i) { add_outcomes(to_completions(row), i); }
};

/// The kind of record that the rows of a layout become.
inline RecordKind kind_of_layout(BenchmarkLayout layout) {
  using Layout = BenchmarkLayout;
  switch (layout) {
    case Layout::reward_bench:
    case Layout::judge_bench:
    case Layout::llm_bar: return RecordKind::preference;
    case Layout::reward_bench_2:
    case Layout::rm_bench: return RecordKind::ranking;
    case Layout::process_bench:
    case Layout::prm_bench: return RecordKind::steps;
    case Layout::gsm8k_solutions: break;
  }
  return RecordKind::outcome;
}

// ---- Scores to figures ---

/// The scores of each example's sequences.
inline std::vector<std::vector<double>> scores_by_example(const BenchmarkSet& benchmark,
                                                          const Evaluation& evaluation) {
  std::vector<std::vector<double>> scores;
  Index next = 0;
  std::visit(
      [&](const auto& examples) {
        for (const auto& example : examples) {
          auto& own = scores.emplace_back();
          for_each_sequence(example, [&](const Sequence&) { own.push_back(evaluation.scores[next++]); });
        }
      },
      benchmark.set.examples);
  return scores;
}

inline std::string line(const std::string& name, const std::string& what) {
  const std::string shown = visible(name);  // it may be a subset of a file of others
  return "\n" + shown + std::string(shown.size() < 24 ? 24 - shown.size() : 1, ' ') + what;
}

inline void add_subset(const SubsetMean& subset, BenchmarkScores& out) {
  out.json["subsets"][subset.name] = {{"count", subset.count}, {"accuracy", to_json(subset.mean)}};
  out.text += line("  " + subset.name, text_of(subset.mean) + ", of " + std::to_string(subset.count));
}

inline BenchmarkScores reward_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  const auto& examples = std::get<std::vector<PreferenceExample>>(benchmark.set.examples);
  std::vector<std::string> names;
  std::vector<double> chosen, rejected;
  std::vector<Index> chosen_lengths, rejected_lengths;
  for (Index i = 0; i < examples.size(); ++i) {
    names.push_back(benchmark.set.notes[i].subset);
    chosen.push_back(evaluation.scores[2 * i]);
    rejected.push_back(evaluation.scores[2 * i + 1]);
    chosen_lengths.push_back(examples[i].chosen.tokens.size() - examples[i].chosen.completion_begin);
    rejected_lengths.push_back(examples[i].rejected.tokens.size() - examples[i].rejected.completion_begin);
  }
  const auto report = report_reward_bench(names, chosen, rejected, chosen_lengths, rejected_lengths);
  BenchmarkScores out;
  out.json = {{"score", to_json(report.score)},
              {"pairs", report.pairs},
              {"ties", report.ties},
              {"longer_wins", to_json(report.longer_wins)}};
  out.text = line("score", text_of(report.score)) +
             line("longer wins", text_of(report.longer_wins) + ": what the length alone gives");
  for (const SectionScore& section : report.sections) {
    out.json["sections"][section.name] = to_json(section.accuracy);
    out.text += line(section.name, text_of(section.accuracy));
  }
  for (const SubsetMean& subset : report.subsets) add_subset(subset, out);
  return out;
}

inline BenchmarkScores reward_bench_2(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  const auto& rows = std::get<std::vector<RewardBench2Row>>(benchmark.rows);
  const auto scores = scores_by_example(benchmark, evaluation);
  std::vector<std::string> names;
  std::vector<double> credits;
  std::map<Index, TiesScores> ties;  // by row
  for (Index i = 0; i < scores.size(); ++i) {
    const RewardBench2Row& row = rows[benchmark.row_of[i]];
    if (row.ties) {
      const auto middle = scores[i].begin() + static_cast<std::ptrdiff_t>(row.chosen.size());
      ties[benchmark.row_of[i]] = {{scores[i].begin(), middle}, {middle, scores[i].end()}};
    } else {
      names.push_back(row.subset);
      credits.push_back(best_of_four_credit(scores[i]));
    }
  }
  std::vector<TiesProblem> problems;
  for (const auto& [reference, tied] : ties_pairs(rows)) {
    // A prompt that was too long takes its other half with it.
    if (ties.contains(reference) && ties.contains(tied)) problems.push_back({ties[reference], ties[tied]});
  }
  const auto report = report_reward_bench_2(names, credits, problems);
  BenchmarkScores out;
  out.json = {{"score", report.score}};
  out.text = line("score", fixed(report.score, 3));
  for (const SubsetMean& subset : report.subsets) add_subset(subset, out);
  if (report.ties) {
    out.json["ties"] = {{"score", report.ties->score},
                        {"problems", report.ties->problems},
                        {"reference_accuracy", report.ties->reference_accuracy},
                        {"tied_accuracy", report.ties->tied_accuracy}};
    out.text +=
        line("  Ties", fixed(report.ties->score, 3) + ", of " + std::to_string(report.ties->problems));
  }
  return out;
}

inline BenchmarkScores rm_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  const auto scores = scores_by_example(benchmark, evaluation);
  std::vector<std::string> domains;
  std::vector<StyleScores> prompts;
  for (Index i = 0; i < scores.size(); ++i) {
    domains.push_back(benchmark.set.notes[i].subset);
    StyleScores& styles = prompts.emplace_back();
    for (Index s = 0; s < 3; ++s) {
      styles.chosen[s] = scores[i][s];
      styles.rejected[s] = scores[i][3 + s];
    }
  }
  const auto report = report_rm_bench(domains, prompts);
  BenchmarkScores out;
  const auto add = [&](const RmBenchDomain& domain) {
    out.json[domain.name] = {{"prompts", domain.prompts},
                             {"easy", domain.easy},
                             {"normal", domain.normal},
                             {"hard", domain.hard},
                             {"mean", domain.mean}};
    out.text += line(domain.name, fixed(domain.mean, 3) + "; easy " + fixed(domain.easy, 3) + ", normal " +
                                      fixed(domain.normal, 3) + ", hard " + fixed(domain.hard, 3));
  };
  add(report.all);
  for (const RmBenchDomain& domain : report.domains) add(domain);
  return out;
}

inline BenchmarkScores process_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation,
                                     const Reading& reading, double threshold) {
  const auto solutions = scored_solutions(benchmark.set, evaluation.rows, reading);
  std::vector<std::string> names;
  std::vector<FirstErrorSubset> subsets;
  for (Index i = 0; i < solutions.size(); ++i) {
    const std::string& name = benchmark.set.notes[i].subset;
    const auto place = static_cast<Index>(std::find(names.begin(), names.end(), name) - names.begin());
    if (place == names.size()) names.push_back(name), subsets.emplace_back();
    subsets[place].predicted.push_back(first_below(solutions[i].scores, threshold));
    subsets[place].actual.push_back(first_wrong(solutions[i]));
  }
  const auto report = report_process_bench(subsets);
  BenchmarkScores out;
  out.json = {{"mean_f1", report.mean_f1}};
  out.text = line("mean F1", fixed(report.mean_f1, 3) + " at the threshold " + fixed(threshold, 3));
  for (Index s = 0; s < names.size(); ++s) {
    const FirstErrorReport& subset = report.subsets[s];
    out.json["subsets"][names[s]] = {
        {"f1", subset.f1}, {"found", to_json(subset.found)}, {"accepted", to_json(subset.accepted)}};
    out.text +=
        line("  " + names[s], fixed(subset.f1, 3) + "; erroneous found " + fixed(subset.found.value, 3) +
                                  ", correct accepted " + fixed(subset.accepted.value, 3));
  }
  return out;
}

inline BenchmarkScores prm_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation,
                                 const Reading& reading, double threshold) {
  const auto& rows = std::get<std::vector<PrmBenchRow>>(benchmark.rows);
  const auto solutions = scored_solutions(benchmark.set, evaluation.rows, reading);
  std::vector<std::string> classes;
  std::vector<std::vector<double>> scores;
  std::vector<std::vector<bool>> good;
  for (Index i = 0; i < solutions.size(); ++i) {
    const PrmBenchRow& row = rows[benchmark.row_of[i]];
    classes.push_back(row.classification);
    scores.push_back(solutions[i].scores);
    auto& own = good.emplace_back();
    for (const auto& label : solutions[i].good) own.push_back(label.value_or(true));
  }
  const auto counts = count_steps_by_class(classes, scores, good, threshold);
  const auto report = report_prm_bench(counts);
  BenchmarkScores out;
  out.json = {{"prm_score", report.score}};
  out.text = line("PRMScore", fixed(report.score, 3) + " at the threshold " + fixed(threshold, 3));
  for (Index c = 0; c < counts.size(); ++c) {
    out.json["classes"][counts[c].name] = report.classes[c];
    out.text += line("  " + counts[c].name, fixed(report.classes[c], 3));
  }
  return out;
}

inline BenchmarkScores by_subset(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  std::vector<std::string> names;
  std::vector<double> credits;
  for (Index i = 0; i < benchmark.set.notes.size(); ++i) {
    names.push_back(benchmark.set.notes[i].subset);
    credits.push_back(pair_credit(evaluation.scores[2 * i], evaluation.scores[2 * i + 1]));
  }
  const auto report = report_subsets(names, credits);
  BenchmarkScores out;
  out.json = {{"accuracy", to_json(report.mean)}, {"mean_of_subsets", report.mean_of_subsets}};
  out.text = line("accuracy", text_of(report.mean));
  for (const SubsetMean& subset : report.subsets) add_subset(subset, out);
  return out;
}

}  // namespace detail::benchmark_evaluation

MERIT_INLINE BenchmarkSet read_benchmark_set(const std::vector<std::string>& files, BenchmarkLayout layout,
                                             const SavedModel& saved) {
  BenchmarkSet benchmark;
  benchmark.layout = layout;
  benchmark.set.kind = detail::benchmark_evaluation::kind_of_layout(layout);
  if (is_features(saved.backbone)) {
    throw ConfigError("the layout " + std::string(name_of(layout)) +
                      " is text, which the backbone features does not read");
  }
  const ScoreMeaning meaning = meaning_of(saved.head);
  const bool steps = benchmark.set.kind == RecordKind::steps;
  const bool completions = benchmark.set.kind == RecordKind::outcome;
  if (meaning == ScoreMeaning::per_state || (steps != (meaning == ScoreMeaning::per_step) && !completions)) {
    throw ConfigError("the layout " + std::string(name_of(layout)) + " asks for a model that scores " +
                      (steps         ? "steps"
                       : completions ? "steps, tokens or completions"
                                     : "tokens or completions") +
                      ", but the head of this one is " + name_of(saved.head));
  }
  std::vector<BenchmarkRow> rows;
  for (const std::string& file : files) {
    benchmark.set.files += (benchmark.set.files.empty() ? "" : ", ") + file;
    for (BenchmarkRow& row : read_benchmark_rows(file)) rows.push_back(std::move(row));
  }
  benchmark.rows = parse_benchmark(rows, layout);
  if (auto* prm = std::get_if<std::vector<PrmBenchRow>>(&benchmark.rows)) *prm = without_repeats(*prm);
  detail::benchmark_evaluation::Collector collect{benchmark, saved};
  std::visit(
      [&](const auto& list) {
        for (Index i = 0; i < list.size(); ++i) collect(list[i], i);
      },
      benchmark.rows);
  if (size_of(benchmark.set.examples) == 0) {
    throw DataError(benchmark.set.files + ": no row to use. " + benchmark.set.counts.sentence());
  }
  return benchmark;
}

MERIT_INLINE BenchmarkScores benchmark_scores(const BenchmarkSet& benchmark, const Evaluation& evaluation,
                                              const Reading& reading, double threshold) {
  using Layout = BenchmarkLayout;
  BenchmarkScores out;
  switch (benchmark.layout) {
    case Layout::reward_bench: out = detail::benchmark_evaluation::reward_bench(benchmark, evaluation); break;
    case Layout::reward_bench_2:
      out = detail::benchmark_evaluation::reward_bench_2(benchmark, evaluation);
      break;
    case Layout::rm_bench: out = detail::benchmark_evaluation::rm_bench(benchmark, evaluation); break;
    case Layout::process_bench:
      out = detail::benchmark_evaluation::process_bench(benchmark, evaluation, reading, threshold);
      break;
    case Layout::prm_bench:
      out = detail::benchmark_evaluation::prm_bench(benchmark, evaluation, reading, threshold);
      break;
    case Layout::judge_bench:
    case Layout::llm_bar: out = detail::benchmark_evaluation::by_subset(benchmark, evaluation); break;
    case Layout::gsm8k_solutions: break;  // the report of outcomes is all there is
  }
  const std::string name(name_of(benchmark.layout));
  if (out.json.is_null()) out.json = Json::object();
  out.json["layout"] = name;
  out.text = "layout " + name + out.text;
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
