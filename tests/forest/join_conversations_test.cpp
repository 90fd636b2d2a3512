// The ranked turns of one conversation become one example, and nothing else does.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/forest/join_conversations.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/record_files.hpp"
#include "stored.hpp"

namespace join_conversations_test {

using merit::Index;
using merit::RankedGroup;
using merit::RankingExample;

RankingExample example(const std::string& prompt, const std::vector<std::string>& completions,
                       double weight = 1) {
  RankedGroup group;
  for (const std::string& completion : completions) {
    merit::Sequence sequence;
    sequence.completion_begin = prompt.size();
    for (const char c : prompt + completion) sequence.tokens.push_back(static_cast<unsigned char>(c));
    group.ranks.push_back(group.completions.size());
    group.completions.push_back(std::move(sequence));
  }
  group.weight = weight;
  return {{std::move(group)}};
}

/// "prompt:weight prompt:weight | …", the groups of each example.
std::string show(const std::vector<RankingExample>& examples) {
  std::string text;
  for (const RankingExample& e : examples) {
    text += text.empty() ? "" : " | ";
    for (const RankedGroup& group : e.groups) {
      const merit::Sequence& s = group.completions[0];
      text += &group == &e.groups[0] ? "" : " ";
      text.append(s.tokens.begin(), s.tokens.begin() + static_cast<std::ptrdiff_t>(s.completion_begin));
      text += merit::concat(':', group.weight);
    }
  }
  return text;
}

TEST_CASE("turns of a conversation become groups of one example, earlier turns first") {
  std::vector<RankingExample> examples{example("Q1 B Q2 ", {"C", "D"}, 2), example("X ", {"a", "b"}, 3),
                                       example("Q1 ", {"A", "B"}, 1), example("Q1 B Q2 D Q3 ", {"E", "F"}, 4),
                                       example("Q3 ", {"A", "B"}, 5)};
  CHECK(merit::join_conversations(examples) == 2);
  CHECK(show(examples) == "Q1 :1 Q1 B Q2 :2 Q1 B Q2 D Q3 :4 | X :3 | Q3 :5");
  CHECK(examples[0].groups[1].completions.size() == 2);
  CHECK(examples[0].groups[1].ranks == std::vector<Index>{0, 1});
  // Once more there is nothing left to join.
  CHECK(merit::join_conversations(examples) == 0);
  CHECK(examples.size() == 3);
}

TEST_CASE("two branches of one conversation join at what they share") {
  std::vector<RankingExample> examples{example("Q B z ", {"1", "2"}, 1), example("Q A y ", {"1", "2"}, 2),
                                       example("Q ", {"A", "B"}, 3)};
  CHECK(merit::join_conversations(examples) == 2);
  CHECK(show(examples) == "Q :3 Q A y :2 Q B z :1");
  examples = {example("Q B z ", {"1", "2"}, 1), example("Q A y ", {"1", "2"}, 2)};
  CHECK(merit::join_conversations(examples) == 0);
}

TEST_CASE("examples of one prompt are joined, ones without a prompt are not") {
  std::vector<RankingExample> examples{example("Q", {"a", "b"}, 1), example("Q", {"c", "d"}, 2)};
  CHECK(merit::join_conversations(examples) == 1);
  CHECK(show(examples) == "Q:1 Q:2");
  examples = {example("", {"a", "b"}), example("", {"c", "d"}), example("Q", {"c", "d"})};
  CHECK(merit::join_conversations(examples) == 0);
  CHECK(examples.size() == 3);
  RankingExample features;
  features.groups.emplace_back();
  features.groups[0].completions.resize(2);
  examples = {features, features};
  CHECK(merit::join_conversations(examples) == 0);
  examples.clear();
  CHECK(merit::join_conversations(examples) == 0);
}

TEST_CASE("joining agrees with comparing every prompt with every other") {
  merit::Rng rng(17);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<RankingExample> examples;
    std::vector<std::string> prompts;
    const Index count = 1 + rng.below(12);
    for (Index i = 0; i < count; ++i) {
      std::string prompt(rng.below(5), 'a');
      for (char& c : prompt) c = static_cast<char>('a' + rng.below(2));
      prompts.push_back(prompt);
      examples.push_back(example(prompt, {"x", "y"}, static_cast<double>(i)));
    }
    // An example stays where no other prompt, nor the same one before it, begins its own.
    Index roots = 0;
    for (Index i = 0; i < count; ++i) {
      bool root = true;
      for (Index j = 0; j < count; ++j) {
        const bool shorter = prompts[j].size() < prompts[i].size() || j < i;
        if (j != i && shorter && !prompts[j].empty() && prompts[i].starts_with(prompts[j])) root = false;
      }
      roots += root ? 1 : 0;
    }
    CHECK(merit::join_conversations(examples) == count - roots);
    CHECK(examples.size() == roots);
    Index groups = 0;
    for (const RankingExample& e : examples) {
      groups += e.groups.size();
      const auto root = merit::detail::prompt_of(e);
      for (const RankedGroup& group : e.groups) {
        CHECK(std::equal(root.begin(), root.end(), group.completions[0].tokens.begin()));
      }
    }
    CHECK(groups == count);
  }
}

TEST_CASE("the conversations of a real file are found") {
  const auto file = merit_test::shared_data("data/oasst_rankings/train.jsonl");
  if (!file) return;
  merit::DataCounts counts;
  auto examples = merit::read_examples<merit::RankingRecord>(*file, merit::ByteTokenizer{}, {}, counts);
  Index completions = 0;
  for (const RankingExample& e : examples) completions += e.groups[0].completions.size();
  const Index joined = merit::join_conversations(examples);
  CHECK(counts.kept == 155);
  // Counted apart from this code, by comparing every prompt with every other.
  CHECK(joined == 82);
  CHECK(examples.size() == counts.kept - joined);
  Index after = 0;
  for (const RankingExample& e : examples) {
    for (const RankedGroup& group : e.groups) after += group.completions.size();
  }
  CHECK(after == completions);
}

}  // namespace join_conversations_test
