// Examples in a file come back as they were, of every kind and size.
#include "merit/train/stored_examples.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "../io/temporary.hpp"
#include "../model/small_examples.hpp"

namespace stored_examples_test {

using namespace merit;
using namespace merit_test;

/// All of an example, number by number.
template <class Example>
std::string bytes_of(const Example& example) {
  std::string bytes;
  detail::stored_examples::AppendBytes{bytes}(example);
  return bytes;
}

template <class Example>
void check_kind(const std::vector<Example>& examples) {
  const TemporaryDirectory directory;
  StoredExamples<Example> stored(directory / "examples");
  CHECK(std::filesystem::is_empty(directory.path()));  // no kill leaves it
  for (const Example& example : examples) stored.add(example);
  REQUIRE(stored.size() == examples.size());
  for (Index i = examples.size(); i-- > 0;) CHECK(bytes_of(stored.at(i)) == bytes_of(examples[i]));
}

TEST_CASE("every kind comes back as it was") {
  auto preferences = random_preferences(5);
  preferences[1].margin = -0.0;
  preferences[2].soft_label = 0.25;
  preferences[3].chosen = {.features = {1.5f, -std::numeric_limits<float>::infinity()}, .cut = true};
  check_kind(preferences);
  auto rankings = random_rankings(5, 2);
  rankings[1].groups.push_back(rankings[2].groups[0]);
  rankings[1].groups[0].margins = {0.5, 0, 1, 2, 3, 4};
  rankings[3].groups.clear();
  check_kind(rankings);
  check_kind(random_outcomes(5));
  auto steps = random_steps(5);
  steps[0].labels_before = {std::nullopt, StepLabel{0.25, 0.5, 0.25}};
  steps[0].labels_behind = {StepLabel{1, 0, 0}};
  check_kind(steps);
  auto rollouts = random_rollouts(5);
  rollouts[2].returns_unseen = {1, 2, 3};
  check_kind(rollouts);
}

TEST_CASE("fields are told from one another") {
  const TemporaryDirectory directory;
  StoredExamples<StepsExample> stored(directory / "examples");
  StepsExample example;
  example.sequence = {.tokens = {7, 8, 9}, .completion_begin = 1, .step_ends = {1, 2}, .cut = true};
  example.labels = {StepLabel{0, 0, 1}, std::nullopt};
  example.weight = 0.5;
  example.labels_behind = {StepLabel{0.25, 0.5, 0.25}};
  stored.add(example);
  const StepsExample read = stored.at(0);
  CHECK(read.sequence.tokens == example.sequence.tokens);
  CHECK(read.sequence.completion_begin == 1);
  CHECK(read.sequence.step_ends == example.sequence.step_ends);
  CHECK(read.sequence.cut);
  CHECK(read.labels == example.labels);
  CHECK(read.weight == 0.5);
  CHECK(read.labels_before.empty());
  CHECK(read.labels_behind == example.labels_behind);
}

TEST_CASE("examples longer than what is written at once, and read while more come") {
  const TemporaryDirectory directory;
  StoredExamples<OutcomeExample> stored(directory / "examples");
  Index bytes = 0;
  for (Index i = 0; i < 40; ++i) {
    OutcomeExample example;
    example.sequence.tokens.assign(i % 7 == 3 ? 400'000 : 10'000 * i, static_cast<Token>(i));
    example.label = static_cast<double>(i);
    bytes += bytes_of(example).size();
    stored.add(example);
    for (const Index j : {Index{0}, i / 2, i}) {
      const OutcomeExample read = stored.at(j);
      CHECK(read.label == static_cast<double>(j));
      CHECK(read.sequence.tokens ==
            std::vector<Token>(j % 7 == 3 ? 400'000 : 10'000 * j, static_cast<Token>(j)));
    }
  }
  CHECK(stored.bytes() == bytes);
}

TEST_CASE("a file that cannot be made is named") {
  CHECK(contains(error_of<IoError>([] { StoredExamples<OutcomeExample>("/proc/no/examples"); }),
                 "/proc/no/examples"));
}

}  // namespace stored_examples_test
