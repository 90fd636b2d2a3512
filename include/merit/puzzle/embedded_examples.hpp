// The embedded task as token sequences: what the quickstart and the tests train on, without a file between.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/forest/example.hpp"
#include "merit/puzzle/embedded_records.hpp"
#include "merit/puzzle/embedded_task.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The bytes of prompt and completion and the end of sequence: what `tokenize` makes of the same record.
inline Sequence embedded_sequence(std::string_view prompt, std::string_view completion) {
  const ByteTokenizer tokenizer;
  Sequence sequence;
  tokenizer.encode(prompt, sequence.tokens);
  sequence.completion_begin = sequence.tokens.size();
  tokenizer.encode(completion, sequence.tokens);
  sequence.tokens.push_back(tokenizer.eos());
  return sequence;
}

/// The pairs (embedded_pairs) of problems 0 to `problems` − 1 of a split.
inline std::vector<PreferenceExample> embedded_examples(const EmbeddedTaskOptions& options,
                                                        EmbeddedSplit split, Index problems,
                                                        std::uint64_t seed = 0) {
  std::vector<PreferenceExample> examples;
  for (Index i = 0; i < problems; ++i) {
    const EmbeddedProblem problem = make_embedded_problem(options, split, seed, i);
    for (const EmbeddedPair& pair : embedded_pairs(problem)) {
      PreferenceExample example;
      example.chosen = embedded_sequence(problem.prompt, problem.solutions[pair.chosen].text());
      example.rejected = embedded_sequence(problem.prompt, problem.solutions[pair.rejected].text());
      examples.push_back(std::move(example));
    }
  }
  return examples;
}

/// The solutions of problems 0 to `problems` − 1 with their embedded_ranks(), one group a problem.
inline std::vector<RankingExample> embedded_rankings(const EmbeddedTaskOptions& options, EmbeddedSplit split,
                                                     Index problems, std::uint64_t seed = 0) {
  std::vector<RankingExample> examples;
  for (Index i = 0; i < problems; ++i) {
    const EmbeddedProblem problem = make_embedded_problem(options, split, seed, i);
    RankedGroup group;
    for (const EmbeddedSolution& solution : problem.solutions) {
      group.completions.push_back(embedded_sequence(problem.prompt, solution.text()));
    }
    group.ranks = embedded_ranks(problem);
    examples.push_back({{std::move(group)}});
  }
  return examples;
}

/// The solutions of problems 0 to `problems` − 1, each right or wrong; those of one problem in a row.
inline std::vector<OutcomeExample> embedded_outcomes(const EmbeddedTaskOptions& options, EmbeddedSplit split,
                                                     Index problems, std::uint64_t seed = 0) {
  std::vector<OutcomeExample> examples;
  for (Index i = 0; i < problems; ++i) {
    const EmbeddedProblem problem = make_embedded_problem(options, split, seed, i);
    for (const EmbeddedSolution& solution : problem.solutions) {
      examples.push_back(
          {embedded_sequence(problem.prompt, solution.text()), solution.correct ? 1.0 : 0.0, 1});
    }
  }
  return examples;
}

/// The solutions of problems 0 to `problems` − 1 with a label for each line; those of one problem in a row.
/// Lines are steps, their separator is the end of line. `after` says what the labels after the first wrong
/// line are.
inline std::vector<StepsExample> embedded_steps(const EmbeddedTaskOptions& options, EmbeddedSplit split,
                                                Index problems,
                                                AfterFirstError after = AfterFirstError::unlabelled,
                                                std::uint64_t seed = 0) {
  std::vector<StepsExample> examples;
  for (Index i = 0; i < problems; ++i) {
    const EmbeddedProblem problem = make_embedded_problem(options, split, seed, i);
    for (const EmbeddedSolution& solution : problem.solutions) {
      StepsExample example;
      Sequence& sequence = example.sequence;
      sequence = embedded_sequence(problem.prompt, solution.text());
      for (Index t = sequence.completion_begin; t < sequence.tokens.size(); ++t) {
        if (sequence.tokens[t] == Token{'\n'}) sequence.step_ends.push_back(t);
      }
      for (Index k = 0; k < solution.lines.size(); ++k) {
        const bool later = solution.first_error && k > *solution.first_error;
        const bool right = solution.line_is_right[k] && !(later && after == AfterFirstError::wrong);
        const StepLabel label{right ? 0.0 : 1.0, 0, right ? 1.0 : 0.0};
        const bool unlabelled = later && after == AfterFirstError::unlabelled;
        example.labels.push_back(unlabelled ? std::nullopt : std::optional(label));
      }
      examples.push_back(std::move(example));
    }
  }
  return examples;
}

}  // namespace MERIT_ABI
}  // namespace merit
