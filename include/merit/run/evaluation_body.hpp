// From scores to the reports of every kind.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/records/stated_answer.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/reading.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::evaluation {

// ---- From scores to reports ---

inline Index completion_length(const Sequence& sequence) {
  return sequence.tokens.size() - std::min(sequence.completion_begin, sequence.tokens.size());
}

/// The lines of an example's completion that are not blank; nothing where its text is not known, as of ids
/// and vectors.
inline std::optional<Index> lines_of(const RecordSet& set, Index example, Index completion) {
  if (set.notes.empty() || completion >= set.notes[example].texts.size()) return std::nullopt;
  return count_lines(set.notes[example].texts[completion]);
}

/// How many examples say what one before them says: with the same text, tokens, labels and weight.
inline Index repeats_in(const RecordSet& set, std::span<const Index> numbers) {
  std::set<std::uint64_t> seen;
  std::visit(
      [&](const auto& examples) {
        for (const Index i : numbers) {
          std::string key;
          const auto add = [&](const auto& value) {
            const auto bytes = std::bit_cast<std::array<char, sizeof(value)>>(value);
            key.append(bytes.begin(), bytes.end());
          };
          if (!set.notes.empty()) {
            key = set.notes[i].prompt;
            for (const std::string& text : set.notes[i].texts) key.append(1, '\0').append(text);
          }
          for_each_sequence(examples[i], [&](const Sequence& sequence) {
            add(sequence.tokens.size());
            for (const Token token : sequence.tokens) add(token);
            for (const float feature : sequence.features) add(feature);
            add(sequence.completion_begin);
          });
          for_each_number(examples[i], add);
          seen.insert(fnv1a(key));
        }
      },
      set.examples);
  return numbers.size() - seen.size();
}

/// The number of each example's prompt: examples of one prompt have one number.
inline std::vector<Index> prompt_numbers(const RecordSet& set, std::span<const Index> numbers) {
  std::vector<std::string> prompts;
  for (const Index i : numbers) {
    prompts.push_back(set.notes.empty() ? std::to_string(i) : set.notes[i].split_key);
  }
  return merit::detail::answer_numbers(prompts);
}

/// What the report of one kind is made of: the examples in question, and where their sequences begin in
/// rows and scores.
struct Part {
  const AnyModel* model;  // or nullptr
  const RecordSet& set;
  const Evaluation& all;
  const Reading& reading;
  double threshold;
  std::vector<Index> numbers;  // of the examples
  std::vector<Index> first;    // (all examples) the number of an example's first sequence
};

inline void report(const Part& part, const std::vector<PreferenceExample>& examples, Evaluation& out) {
  std::vector<PairScores> scores;
  std::vector<PreferenceExample> own;
  std::vector<PairLines> lines;
  double loss = 0;
  double weights = 0;
  for (const Index i : part.numbers) {
    const double chosen = part.all.scores[part.first[i]];
    const double rejected = part.all.scores[part.first[i] + 1];
    scores.push_back({shown_score(chosen, part.reading), shown_score(rejected, part.reading)});
    const double logit = pair_logit(chosen, rejected, part.reading);
    const double p = examples[i].soft_label;
    loss += examples[i].weight * (p * softplus(-logit) + (1 - p) * softplus(logit));
    weights += examples[i].weight;
    own.push_back(examples[i]);
    const auto chosen_lines = lines_of(part.set, i, 0);
    const auto rejected_lines = lines_of(part.set, i, 1);
    if (chosen_lines && rejected_lines) lines.push_back({*chosen_lines, *rejected_lines});
  }
  const bool any = std::any_of(lines.begin(), lines.end(), [](const PairLines& pair) {
    return pair.chosen + pair.rejected > 0;  // ids have no text
  });
  if (!any || lines.size() != scores.size()) lines.clear();
  out.pairs = report_pairs(scores, own, lines, prompt_numbers(part.set, part.numbers));
  if (part.reading.is_normalised()) out.pairs->loss = loss / weights;  // of what is shown, or of P(better)
}

inline void report_ranks(const Part& part, const std::vector<RankingExample>& examples, Evaluation& out) {
  const std::vector<Index> prompts = prompt_numbers(part.set, part.numbers);
  std::vector<ScoredRanking> rankings;
  for (Index p = 0; p < part.numbers.size(); ++p) {
    const Index i = part.numbers[p];
    Index next = part.first[i];
    Index text = 0;
    for (const RankedGroup& group : examples[i].groups) {
      ScoredRanking& ranking = rankings.emplace_back();
      ranking.ranks = group.ranks;
      ranking.weight = group.weight;
      ranking.prompt = prompts[p];
      for (const Sequence& sequence : group.completions) {
        ranking.scores.push_back(part.all.scores[next++]);
        ranking.lengths.push_back(completion_length(sequence));
        ranking.cut.push_back(sequence.cut);
        if (const auto lines = lines_of(part.set, i, text++)) ranking.lines.push_back(*lines);
      }
    }
  }
  out.rankings = report_rankings(rankings);
}

/// The mean over pairs of different rank of −log P(the better one is better), as the reading has it; nothing
/// of rankings too long for pairs.
inline std::optional<double> loss_of_ranks(const std::vector<RankingExample>& examples,
                                           std::span<const double> scores, const Reading& reading) {
  double loss = 0;
  double pairs = 0;
  Index next = 0;
  for (const RankingExample& example : examples) {
    for (const RankedGroup& group : example.groups) {
      if (group.ranks.size() > most_completions_in_pairs) return std::nullopt;
      for (Index i = 0; i < group.ranks.size(); ++i) {
        for (Index j = 0; j < group.ranks.size(); ++j) {
          if (group.ranks[i] >= group.ranks[j]) continue;
          loss += group.weight * softplus(-pair_logit(scores[next + i], scores[next + j], reading));
          pairs += group.weight;
        }
      }
      next += group.completions.size();
    }
  }
  return pairs > 0 ? std::optional(loss / pairs) : std::nullopt;
}

/// The mean over labelled completions or steps of the cross-entropy of their probabilities, as the reading has
/// them; nothing of other kinds, and where none is labelled.
inline std::optional<double> loss_of_probabilities(const RecordSet& set, const Evaluation& all,
                                                   const Reading& reading) {
  double loss = 0;
  double weights = 0;
  const auto add = [&](double probability, double label, double weight) {
    const double p = std::clamp(probability, 1e-15, 1 - 1e-15);
    loss -= weight * (label * std::log(p) + (1 - label) * std::log1p(-p));
    weights += weight;
  };
  if (const auto* outcomes = std::get_if<std::vector<OutcomeExample>>(&set.examples)) {
    for (Index i = 0; i < outcomes->size(); ++i)
      if (all.rows[i].rows() != 0)
        add(completion_probability(all.scores[i], reading), (*outcomes)[i].label, (*outcomes)[i].weight);
  } else if (const auto* solutions = std::get_if<std::vector<StepsExample>>(&set.examples)) {
    for (Index i = 0; i < solutions->size(); ++i) {
      const StepsExample& example = (*solutions)[i];
      const std::vector<double> good = row_values(all.rows[i], reading);
      for (Index k = 0; k < example.labels.size(); ++k) {
        const std::optional<StepLabel>& label = example.labels[k];
        if (label) add(good[k], label->good + (reading.neutral_is_good ? label->neutral : 0), example.weight);
      }
    }
  }
  return weights > 0 ? std::optional(loss / weights) : std::nullopt;
}

inline void report_numbers(const Part& part, const std::vector<RankingExample>& examples, Evaluation& out) {
  const std::vector<Index> prompts = prompt_numbers(part.set, part.numbers);
  Index attributes = 1;
  std::vector<RatedCompletion> merged;
  std::vector<std::vector<RatedCompletion>> each;
  for (Index p = 0; p < part.numbers.size(); ++p) {
    const Index i = part.numbers[p];
    Index next = part.first[i];
    for (const RankedGroup& group : examples[i].groups) {
      attributes = group.attributes;
      each.resize(attributes);
      for (Index k = 0; k < group.completions.size(); ++k, ++next) {
        const std::span<const double> ratings = std::span(group.ratings).subspan(k * attributes, attributes);
        // Merged as the model merges its own attributes, where it has as many.
        const bool alike = part.model != nullptr && part.all.rows[next].width == attributes &&
                           part.all.rows[next].rows() == 1;
        const double rating =
            alike ? part.model->merged(ratings) : std::accumulate(ratings.begin(), ratings.end(), 0.0);
        const Index length = completion_length(group.completions[k]);
        const Index lines = lines_of(part.set, i, next - part.first[i]).value_or(0);
        merged.push_back({shown_score(part.all.scores[next], part.reading), rating, prompts[p], length, lines,
                          group.weight});
        for (Index a = 0; alike && a < attributes; ++a) {
          each[a].push_back(
              {part.all.rows[next].row(0)[a], ratings[a], prompts[p], length, lines, group.weight});
        }
      }
    }
  }
  out.ratings = report_ratings(merged);
  // A deviation from the mean reward, or a probability, is no rating.
  if (part.reading.is_normalised()) out.ratings->mean_squared_error.reset();
  for (const auto& one : each) {
    if (attributes > 1 && !one.empty()) out.attributes.push_back(report_ratings(one));
  }
}

inline void report(const Part& part, const std::vector<RankingExample>& examples, Evaluation& out) {
  if (part.set.kind == RecordKind::ratings) {
    report_numbers(part, examples, out);
  } else {
    report_ranks(part, examples, out);
  }
}

inline void report(const Part& part, const std::vector<OutcomeExample>& examples, Evaluation& out) {
  const std::vector<Index> problems = prompt_numbers(part.set, part.numbers);
  std::vector<ScoredCompletion> completions;
  for (Index p = 0; p < part.numbers.size(); ++p) {
    const Index i = part.numbers[p];
    ScoredCompletion& one = completions.emplace_back();
    one.score = part.all.scores[part.first[i]];
    one.probability = completion_probability(one.score, part.reading);
    one.label = examples[i].label;
    one.problem = problems[p];
    one.weight = examples[i].weight;
    one.cut = examples[i].sequence.cut;
    one.unseen = part.all.rows[part.first[i]].rows() == 0;
    one.length = completion_length(examples[i].sequence);
    if (part.set.notes.empty()) continue;
    const std::string& text = part.set.notes[i].texts[0];
    one.lines = count_lines(text);
    const auto answer = stated_answer(text);
    one.states_answer = answer.has_value();
    one.answer = answer.value_or("");
  }
  OutcomeOptions options;
  options.threshold = part.threshold;
  out.outcomes = report_outcomes(completions, options);
}

inline void report(const Part& part, const std::vector<StepsExample>&, Evaluation& out) {
  const auto all = scored_solutions(part.set, part.all.rows, part.reading);
  std::vector<ScoredSolution> some;
  for (const Index i : part.numbers) some.push_back(all[i]);
  out.steps = report_steps(some, part.threshold);
}

inline void report(const Part& part, const std::vector<RolloutExample>& examples, Evaluation& out) {
  std::vector<PredictedReturn> states;
  for (const Index i : part.numbers) {
    const RowScores& rows = part.all.rows[part.first[i]];
    const std::vector<double>& returns = examples[i].returns;
    const Index skipped = returns.size() - rows.rows();  // 1 where the first token has nothing before it
    for (Index t = 0; t < rows.rows(); ++t)
      states.push_back({rows.row(t)[0], returns[skipped + t], i, examples[i].weight});
    for (const double unseen : examples[i].returns_unseen)
      states.push_back({std::nullopt, unseen, i, examples[i].weight});
  }
  out.values = report_values(states);
}

/// Fills the report of `out` for the examples of these numbers.
inline void report_on(const AnyModel* model, const RecordSet& set, const Evaluation& all,
                      std::vector<Index> numbers, const Reading& reading, double threshold, Evaluation& out) {
  Part part{model, set, all, reading, threshold, std::move(numbers), {}};
  std::visit(
      [&](const auto& examples) {
        Index sequences = 0;
        for (const auto& example : examples) {
          part.first.push_back(sequences);
          for_each_sequence(example, [&](const Sequence&) { ++sequences; });
        }
        report(part, examples, out);
      },
      set.examples);
}

/// Throws DataError that names the record of the first score that is no number; `rows` are of its sequences in order.
inline void require_finite(const RecordSet& set, const std::vector<RowScores>& rows) {
  const auto bad = std::ranges::find_if(rows, [](const RowScores& scores) {
    return std::ranges::any_of(scores.values, [](double value) { return !std::isfinite(value); });
  });
  if (bad == rows.end() || set.notes.empty()) return;  // without notes the report names a number
  auto left = static_cast<Index>(bad - rows.begin());
  std::visit(
      [&](const auto& examples) {
        for (Index i = 0; i < examples.size(); ++i) {
          Index sequences = 0;
          for_each_sequence(examples[i], [&](const Sequence&) { ++sequences; });
          if (left < sequences) {
            throw DataError(
                concat(set.notes[i].source.text(), ": the model gives a score that is not a finite number"));
          }
          left -= sequences;
        }
      },
      set.examples);
}

/// The step is good, as far as its label says.
inline std::optional<bool> is_good(const std::optional<StepLabel>& label, const Reading& reading) {
  if (!label) return std::nullopt;
  return label->good + (reading.neutral_is_good ? label->neutral : 0.0) >= 0.5;
}

/// The counts of a set, and the report of all of it.
inline void report_all(const AnyModel* model, const RecordSet& set, const Reading& reading, double threshold,
                       Evaluation& out) {
  out.read = set.counts.records + set.unread.count();
  out.left_out = out.read - set.counts.kept;
  std::vector<Index> numbers(size_of(set.examples));
  std::iota(numbers.begin(), numbers.end(), Index{0});
  out.repeats = repeats_in(set, numbers);
  try {
    report_on(model, set, out, std::move(numbers), reading, threshold, out);
  } catch (const DataError& error) {
    throw set.files.empty() ? error : DataError(concat(set.files, ": ", error.what()));
  }
}

}  // namespace detail::evaluation

MERIT_INLINE double Evaluation::headline() const {
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

MERIT_INLINE const char* Evaluation::headline_name() const {
  if (pairs) return "accuracy";
  if (rankings) return "pair accuracy";
  if (ratings) return "spearman";
  if (outcomes) return outcomes->area_under_curve ? "area under the curve" : "accuracy";
  if (steps) return steps->first_errors ? "first-error F1" : "step accuracy";
  return "explained variance";
}

MERIT_INLINE Evaluation evaluate(AnyModel& model, const RecordSet& set, const Reading& reading,
                                 double threshold, Index token_budget, const OnProgress& on_progress) {
  Evaluation result;
  result.kind = set.kind;
  ScoredSet scored = model.measure(set.examples, token_budget, on_progress);
  result.rows = std::move(scored.rows);
  detail::evaluation::require_finite(set, result.rows);
  result.loss = scored.loss;
  if (result.loss && !std::isfinite(*result.loss)) result.loss.reset();  // of labels of which none was seen
  for (const RowScores& rows : result.rows) {
    result.scores.push_back(rows.rows() == 0 ? 0.0 : completion_score(rows, model, reading));
  }
  if (result.loss && reading.is_normalised()) {  // as its scores are read
    const auto* groups = std::get_if<std::vector<RankingExample>>(&set.examples);
    const bool ranked = groups != nullptr && reading.compares;
    if (ranked) result.loss = detail::evaluation::loss_of_ranks(*groups, result.scores, reading);
    if (groups != nullptr && !ranked) result.loss.reset();  // the squared error is told
    if (result.kind == RecordKind::outcome || result.kind == RecordKind::steps)
      result.loss = detail::evaluation::loss_of_probabilities(set, result, reading);
  }
  detail::evaluation::report_all(&model, set, reading, threshold, result);
  return result;
}

MERIT_INLINE Evaluation evaluate_scores(const RecordSet& set, std::span<const double> scores,
                                        const Reading& reading, double threshold) {
  Evaluation result;
  result.kind = set.kind;
  result.scores.assign(scores.begin(), scores.end());
  for (const double score : scores) result.rows.push_back({.values = {score}});
  detail::evaluation::report_all(nullptr, set, reading, threshold, result);
  return result;
}

MERIT_INLINE Evaluation evaluate_some(const AnyModel* model, const RecordSet& set, const Evaluation& all,
                                      const std::vector<Index>& numbers, const Reading& reading,
                                      double threshold) {
  Evaluation result;
  result.kind = set.kind;
  result.repeats = detail::evaluation::repeats_in(set, numbers);
  detail::evaluation::report_on(model, set, all, numbers, reading, threshold, result);
  return result;
}

MERIT_INLINE std::vector<ScoredSolution> scored_solutions(const RecordSet& set,
                                                          const std::vector<RowScores>& rows,
                                                          const Reading& reading) {
  const auto& examples = std::get<std::vector<StepsExample>>(set.examples);
  std::vector<Index> numbers(examples.size());
  std::iota(numbers.begin(), numbers.end(), Index{0});
  const std::vector<Index> problems = detail::evaluation::prompt_numbers(set, numbers);
  std::vector<ScoredSolution> solutions;
  for (Index i = 0; i < examples.size(); ++i) {
    ScoredSolution& solution = solutions.emplace_back();
    const StepsExample& example = examples[i];
    solution.scores = row_values(rows[i], reading);
    for (const auto* labels : {&example.labels_before, &example.labels, &example.labels_behind}) {
      for (const auto& label : *labels) solution.good.push_back(detail::evaluation::is_good(label, reading));
    }
    solution.problem = problems[i];
    solution.unseen_before = example.labels_before.size();
    solution.unseen_behind = example.labels_behind.size();
    solution.weight = example.weight;
  }
  return solutions;
}

MERIT_INLINE LabelledLogits labelled_logits(const RecordSet& set, const Evaluation& evaluation,
                                            const Reading& reading) {
  LabelledLogits result;
  const auto add = [&](double logit, double label, double weight) {
    result.logits.push_back(logit);
    result.labels.push_back(label);
    result.weights.push_back(weight);
  };
  std::visit(
      [&]<class Example>(const std::vector<Example>& examples) {
        Index next = 0;
        for (const Example& example : examples) {
          if constexpr (std::is_same_v<Example, PreferenceExample>) {
            add(evaluation.scores[next] - evaluation.scores[next + 1], example.soft_label, example.weight);
            next += 2;
          } else if constexpr (std::is_same_v<Example, RankingExample>) {
            for (const RankedGroup& group : example.groups) {
              if (group.ranks.size() > most_completions_in_pairs) {
                throw DataError(concat("a ranking has ", group.ranks.size(),
                                       " completions, expected at most ", most_completions_in_pairs,
                                       " to calibrate on, as every pair of them is looked at"));
              }
              for (Index i = 0; i < group.ranks.size(); ++i) {
                for (Index j = i + 1; j < group.ranks.size(); ++j) {
                  if (group.ranks[i] == group.ranks[j]) continue;
                  add(evaluation.scores[next + i] - evaluation.scores[next + j],
                      group.ranks[i] < group.ranks[j] ? 1 : 0, group.weight);
                }
              }
              next += group.ranks.size();
            }
          } else if constexpr (std::is_same_v<Example, OutcomeExample>) {
            if (evaluation.rows[next].rows() != 0)  // else a cut took it whole
              add(completion_logit(evaluation.scores[next], reading), example.label, example.weight);
            ++next;
          } else if constexpr (std::is_same_v<Example, StepsExample>) {
            for (Index k = 0; k < example.labels.size(); ++k) {
              const auto& label = example.labels[k];
              if (!label) continue;
              const double good = label->good + (reading.neutral_is_good ? label->neutral : 0.0);
              add(logit_of_row(evaluation.rows[next].row(k), reading), std::clamp(good, 0.0, 1.0),
                  example.weight);
            }
            ++next;
          } else {
            throw ConfigError(
                "a value function gives returns, expected a model whose scores are logits to "
                "calibrate");
          }
        }
      },
      set.examples);
  if (set.kind == RecordKind::ratings) {
    throw ConfigError(
        "ratings are numbers of their own scale, expected a model whose scores are logits to "
        "calibrate");
  }
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
