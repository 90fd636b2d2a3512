// Benchmarks to sets.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/benchmark_evaluation.hpp"
#include "merit/records/split_key.hpp"
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
  TokenizeOptions tokenize_options = saved.tokenize;

  void leave_out(const DataCounts& before, Index row, const ExampleNote& note) {
    out.unscored.push_back(
        {row, note.subset, std::string(reason_since(before, out.set.counts)), note.split_key});
  }

  template <class Record>
  void add(const Record& record, Index row, ExampleNote note) {
    note.split_key = split_key(record);
    const DataCounts before = out.set.counts;
    auto example = tokenize(record, *saved.tokenizer, tokenize_options, out.set.counts);
    if (!example) return leave_out(before, row, note);
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
        {.prompt = plain_text(record.prompt),
         .texts = {plain_text(record.chosen), plain_text(record.rejected)},
         .subset = subset,
         .source = record.source});
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
    add(record, row,
        {.prompt = from.prompt, .texts = from.completions, .subset = subset, .source = from.source});
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
    ExampleNote note{.prompt = from.prompt, .texts = from.steps, .subset = subset, .source = from.source};
    if (!from.steps.empty()) return add(record, row, std::move(note));
    note.split_key = split_key(record);
    const DataCounts before = out.set.counts;
    ++out.set.counts.records;
    ++out.set.counts.dropped_empty;
    leave_out(before, row, note);
  }

  void add_outcomes(const LabelledCompletions& from, Index row) {
    for (Index i = 0; i < from.completions.size(); ++i) {
      OutcomeRecord record;
      record.source = from.source;
      record.prompt = from.prompt;
      record.completion = from.completions[i];
      record.label = from.correct[i] ? 1 : 0;
      ExampleNote note{.prompt = from.prompt, .texts = {from.completions[i]}, .source = from.source};
      if (meaning_of(saved.head) != ScoreMeaning::per_step) {
        add(record, row, std::move(note));
        continue;
      }
      note.split_key = split_key(record);
      for (std::string& step : as_steps(record, saved.tokenize).completions)
        note.texts.push_back(std::move(step));
      const DataCounts before = out.set.counts;
      auto steps = tokenize_as_steps(record, *saved.tokenizer, tokenize_options, out.set.counts);
      if (!steps) {
        leave_out(before, row, note);
        continue;
      }
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

}  // namespace detail::benchmark_evaluation

MERIT_INLINE BenchmarkSet read_benchmark_files(const std::vector<std::string>& files,
                                               BenchmarkLayout layout) {
  BenchmarkSet benchmark;
  benchmark.layout = layout;
  benchmark.set.kind = detail::benchmark_evaluation::kind_of_layout(layout);
  std::vector<BenchmarkRow> rows;
  for (const std::string& file : files) {
    benchmark.set.files += (benchmark.set.files.empty() ? "" : ", ") + file;
    for (BenchmarkRow& row : read_benchmark_rows(file)) rows.push_back(std::move(row));
  }
  benchmark.rows = parse_benchmark(rows, layout);
  std::visit(
      [&]<class Row>(std::vector<Row>& list) {
        list = without_repeats(list);
        benchmark.repeats = rows.size() - list.size();
      },
      benchmark.rows);
  // A prompt of Ties without its other one is told now, and not once all is scored.
  if (const auto* rows_of_2 = std::get_if<std::vector<RewardBench2Row>>(&benchmark.rows))
    static_cast<void>(ties_pairs(*rows_of_2));
  return benchmark;
}

MERIT_INLINE void make_examples(BenchmarkSet& benchmark, const SavedModel& saved) {
  detail::benchmark_evaluation::Collector collect{benchmark, saved};
  collect.tokenize_options.to_judge = true;
  std::visit(
      [&](const auto& list) {
        for (Index i = 0; i < list.size(); ++i) collect(list[i], i);
      },
      benchmark.rows);
  if (size_of(benchmark.set.examples) == 0) {
    throw DataError(benchmark.set.files + ": no row to use. " + benchmark.set.account());
  }
}

MERIT_INLINE BenchmarkSet read_benchmark_set(const std::vector<std::string>& files, BenchmarkLayout layout,
                                             const SavedModel& saved) {
  const RecordKind kind = detail::benchmark_evaluation::kind_of_layout(layout);
  if (is_features(saved.backbone)) {
    throw ConfigError("the layout " + std::string(name_of(layout)) +
                      " is text, which the backbone features does not read");
  }
  const ScoreMeaning meaning = meaning_of(saved.head);
  const bool steps = kind == RecordKind::steps;
  const bool completions = kind == RecordKind::outcome;
  if (meaning == ScoreMeaning::per_state || (steps != (meaning == ScoreMeaning::per_step) && !completions)) {
    throw ConfigError("the layout " + std::string(name_of(layout)) + " asks for a model that scores " +
                      (steps         ? "steps"
                       : completions ? "steps, tokens or completions"
                                     : "tokens or completions") +
                      ", but the head of this one is " + name_of(saved.head));
  }
  BenchmarkSet benchmark = read_benchmark_files(files, layout);
  make_examples(benchmark, saved);
  return benchmark;
}

}  // namespace MERIT_ABI
}  // namespace merit
