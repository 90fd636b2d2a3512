// From what a judge said to the reports of reward models.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/jobs/judge_evaluation.hpp"
#include "merit/run/file_kind.hpp"
#include "merit/run/kind_names.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::judge_evaluation {

/// How texts become tokens of which no more is wanted than how many they are.
inline TokenizeOptions lengths_alone() {
  return {.to_judge = true, .keep_single_ratings = true};
}

inline PlacedRecord pair_of(const PreferenceRecord& pair) {
  return {{{"prompt", std::get<std::string>(*pair.prompt)},
           {"chosen", std::get<std::string>(pair.chosen)},
           {"rejected", std::get<std::string>(pair.rejected)}},
          pair.source};
}
inline PlacedRecord group_of(const LabelledCompletions& group) {
  OrderedJson ranks = OrderedJson::array();
  for (const bool correct : group.correct) ranks.push_back(correct ? 0 : 1);
  return {{{"prompt", group.prompt}, {"completions", group.completions}, {"ranks", ranks}}, group.source};
}

}  // namespace detail::judge_evaluation

MERIT_INLINE std::vector<PlacedRecord> records_to_judge(const BenchmarkSet& benchmark) {
  std::vector<PlacedRecord> records;
  std::visit(
      [&]<class Row>(const std::vector<Row>& rows) {
        for (const Row& row : rows) {
          if constexpr (requires { to_preference(row); }) {
            records.push_back(detail::judge_evaluation::pair_of(to_preference(row)));
          } else if constexpr (requires { to_preferences(row); }) {
            records.push_back(detail::judge_evaluation::group_of(to_completions(row)));
          } else {
            throw ConfigError(concat("the layout ", name_of(benchmark.layout),
                                     " has no answers of which one is better, expected one of: reward_bench, "
                                     "reward_bench_2, rm_bench, judge_bench, llm_bar"));
          }
          if constexpr (requires { row.subset; }) records.back().object["subset"] = row.subset;
        }
      },
      benchmark.rows);
  return records;
}

MERIT_INLINE JudgedSet::JudgedSet(BenchmarkSet benchmark, const AnyTokenizer& tokenizer)
    : benchmark_(std::move(benchmark)) {
  SavedModel answers;
  answers.head = ScalarHead{};
  answers.tokenizer = tokenizer;
  answers.tokenize = detail::judge_evaluation::lengths_alone();
  make_examples(*benchmark_, answers);
  record_of_ = benchmark_->row_of;
}

MERIT_INLINE JudgedSet::JudgedSet(const std::string& file, const AnyTokenizer& tokenizer,
                                  const RecordSourceOptions& source, const std::string& subset_field,
                                  std::span<const SourcePosition> judged) {
  const RecordKind kind = kind_of_file(file, source).kind;
  if (kind != RecordKind::preference && kind != RecordKind::judge && kind != RecordKind::ranking &&
      kind != RecordKind::ratings) {
    throw DataError(
        concat(file, ": found records of the kind ", name_of_kind(kind),
               ", expected preference, judge, ranking or ratings, by which a judge is evaluated"));
  }
  records_ = read_record_set({file}, tokenizer,
                             {.kind = kind,
                              .tokenize = detail::judge_evaluation::lengths_alone(),
                              .notes = true,
                              .subset_field = subset_field,
                              .source = source});
  if (kind != RecordKind::ratings) require_preferences(records_, "to evaluate on");
  std::map<std::pair<Index, Index>, Index> places;  // line, and the number in it
  for (Index i = 0; i < judged.size(); ++i) places[{judged[i].line, judged[i].record}] = i;
  for (const ExampleNote& note : records_.notes) {
    const auto place = places.find({note.source.line, note.source.record});
    if (place == places.end()) {
      throw DataError(note.source.text() +
                      ": found a record that a judge cannot be shown, expected none in a file by which it is "
                      "evaluated as a reward model is");
    }
    record_of_.push_back(place->second);
  }
}

MERIT_INLINE Evaluation JudgedSet::evaluate(std::span<const JudgedScores> judged) const {
  std::vector<double> scores;
  std::visit(
      [&](const auto& examples) {
        for (Index i = 0; i < examples.size(); ++i) {
          Index count = 0;
          for_each_sequence(examples[i], [&](const Sequence&) { ++count; });
          const JudgedScores& own = judged[record_of_[i]];
          if (own.scores.size() != count)
            throw UsageError(concat("judge: found ", own.scores.size(), " scores, expected ", count));
          // Of a judged pair the answer with more of the votes stands first in its example.
          if (set().kind == RecordKind::judge && own.share_for_first.value_or(1) < 0.5) {
            scores.insert(scores.end(), own.scores.rbegin(), own.scores.rend());
          } else {
            scores.insert(scores.end(), own.scores.begin(), own.scores.end());
          }
        }
      },
      set().examples);
  Evaluation evaluation = evaluate_scores(set(), scores, {.compares = true}, 0.5);
  // A judge's scale is its own.
  if (evaluation.ratings) evaluation.ratings->mean_squared_error.reset();
  return evaluation;
}

}  // namespace MERIT_ABI
}  // namespace merit
