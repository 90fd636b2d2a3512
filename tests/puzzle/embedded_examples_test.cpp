// The embedded task in memory is what its written records tokenize to.
#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "merit/puzzle/embedded_examples.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"

namespace embedded_examples_test {

using merit::AfterFirstError;
using merit::EmbeddedSplit;
using merit::Index;

constexpr Index problems = 20;
constexpr std::uint64_t seed = 4;

/// What tokenize() makes of the records that `write` writes of all problems.
template <class Record, class Write>
auto written(EmbeddedSplit split, const Write& write, const merit::TokenizeOptions& options = {}) {
  std::stringstream file;
  for (Index i = 0; i < problems; ++i) write(file, merit::make_embedded_problem({}, split, seed, i));
  merit::RecordReader<Record> reader(file, "embedded");
  merit::DataCounts counts;
  auto examples = merit::read_examples(reader, merit::ByteTokenizer{}, options, counts);
  CHECK(counts.kept == counts.records);
  return examples;
}

/// Checks sequences and numbers of both.
template <class Example>
void check_same(const std::vector<Example>& a, const std::vector<Example>& b) {
  REQUIRE(a.size() == b.size());
  REQUIRE_FALSE(a.empty());
  const auto flatten = [](const Example& example) {
    std::vector<double> all;
    merit::for_each_sequence(example, [&](const merit::Sequence& s) {
      all.push_back(static_cast<double>(s.tokens.size()));
      for (const auto token : s.tokens) all.push_back(token);
      all.push_back(static_cast<double>(s.completion_begin));
      all.push_back(static_cast<double>(s.step_ends.size()));
      for (const Index end : s.step_ends) all.push_back(static_cast<double>(end));
    });
    merit::for_each_number(example, [&](double value) { all.push_back(value); });
    return all;
  };
  for (Index i = 0; i < a.size(); ++i) CHECK(flatten(a[i]) == flatten(b[i]));
}

TEST_CASE("embedded examples of every kind equal the records that are written of them") {
  for (const auto split : {EmbeddedSplit::train, EmbeddedSplit::held_out}) {
    check_same(merit::embedded_examples({}, split, problems, seed),
               written<merit::PreferenceRecord>(split, merit::write_preferences));
    check_same(merit::embedded_rankings({}, split, problems, seed),
               written<merit::RankingRecord>(split, merit::write_ranking));
    check_same(merit::embedded_outcomes({}, split, problems, seed),
               written<merit::OutcomeRecord>(split, merit::write_outcomes));
    for (const auto after : {AfterFirstError::local, AfterFirstError::wrong, AfterFirstError::unlabelled}) {
      const auto write = [&](std::ostream& out, const merit::EmbeddedProblem& problem) {
        merit::write_steps(out, problem, after);
      };
      check_same(merit::embedded_steps({}, split, problems, after, seed),
                 written<merit::StepsRecord>(split, write));
    }
    // Without labels after the first error is what is made when nothing is said, and what the policy leaves.
    const auto local = [](std::ostream& out, const merit::EmbeddedProblem& problem) {
      merit::write_steps(out, problem, AfterFirstError::local);
    };
    check_same(merit::embedded_steps({}, split, problems, AfterFirstError::unlabelled, seed),
               written<merit::StepsRecord>(split, local, {.stop_at_first_error = true}));
  }
  check_same(merit::embedded_steps({}, EmbeddedSplit::train, 5),
             merit::embedded_steps({}, EmbeddedSplit::train, 5, AfterFirstError::unlabelled, 0));
}

TEST_CASE("embedded steps end in line feeds and have a label each") {
  for (const auto& example : merit::embedded_steps({}, EmbeddedSplit::train, 3)) {
    const merit::Sequence& s = example.sequence;
    CHECK(s.step_ends.size() == 6);  // a line a digit
    REQUIRE(s.step_ends.size() == example.labels.size());
    for (const Index end : s.step_ends) CHECK(s.tokens[end] == '\n');
    CHECK(s.step_ends.back() + 2 == s.tokens.size());
    CHECK(example.labels[0].has_value());
  }
}

}  // namespace embedded_examples_test
