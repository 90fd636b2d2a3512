// The embedded task as token sequences: what the quickstart and the tests train on, without a file between.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/data/embedded_task.hpp"
#include "merit/data/example.hpp"
#include "merit/text/byte_tokenizer.hpp"

namespace merit::inline MERIT_ABI {

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

}  // namespace merit::inline MERIT_ABI
