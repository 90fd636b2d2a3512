// Rankings, ratings, outcomes, votes and rollouts as examples, with tokens and numbers written out by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/rng.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "shown_sequence.hpp"

namespace tokenize_labelled_test {

using merit::DataCounts;
using merit::Index;
using merit::JudgeVote;
using merit::Sequence;
using merit::Token;
using merit::TokenizeOptions;
using merit::Truncation;
using merit_test::bytes;
using merit_test::eos;
using merit_test::show;
using Numbers = std::vector<double>;

std::string show(const merit::RankedGroup& group) {
  std::string text;
  for (const Sequence& s : group.completions) text += (text.empty() ? "" : " / ") + show(s);
  return text;
}

template <class Record>
Record completions_record(const std::string& prompt, const std::vector<std::string>& completions) {
  Record record;
  record.prompt = prompt;
  for (const std::string& completion : completions) record.completions.emplace_back(completion);
  record.source = {"here.jsonl", 3};
  return record;
}

merit::RankingRecord ranking(const std::string& prompt, const std::vector<std::string>& completions,
                             std::vector<Index> ranks) {
  auto record = completions_record<merit::RankingRecord>(prompt, completions);
  record.ranks = std::move(ranks);
  return record;
}

merit::RatingsRecord ratings(const std::vector<std::string>& completions, Numbers scores,
                             Index attributes = 1) {
  auto record = completions_record<merit::RatingsRecord>("Q", completions);
  record.scores = std::move(scores);
  record.attributes = attributes;
  return record;
}

template <class Record>
Record completion_record(const std::string& prompt, const std::string& completion) {
  Record record;
  record.prompt = prompt;
  record.completion = completion;
  record.source = {"here.jsonl", 3};
  return record;
}

Index sum_of_fates(const DataCounts& counts) {
  return counts.kept + counts.dropped_over_long + counts.dropped_equal + counts.dropped_empty +
         counts.dropped_single + counts.dropped_unlabelled + counts.dropped_cut;
}

TEST_CASE("a ranking becomes one group of completions that share the prompt") {
  DataCounts counts;
  auto record = ranking("Q:", {"yes", "no", "hm"}, {2, 0, 2});
  record.weight = 3;
  const auto example = merit::tokenize(record, bytes, {}, counts).value();
  REQUIRE(example.groups.size() == 1);
  const merit::RankedGroup& group = example.groups[0];
  CHECK(show(group) == "Q:|yes$ / Q:|no$ / Q:|hm$");
  CHECK(group.ranks == std::vector<Index>{2, 0, 2});
  CHECK(group.ratings.empty());
  CHECK(group.margins.empty());
  CHECK(group.weight == 3);
  CHECK(counts.kept == 1);
  CHECK(counts.tokens == 6 + 5 + 5);
  CHECK(counts.longest == 6);
}

TEST_CASE("a ranking under a conversation, in ids and in features") {
  DataCounts counts;
  auto record = ranking("", {"Yo", "No"}, {0, 1});
  record.prompt = std::vector<merit::Message>{{"user", "Hi"}};
  CHECK(show(merit::tokenize(record, bytes, {}, counts).value().groups[0]) ==
        "user: Hi//assistant: |Yo// / user: Hi//assistant: |No//");

  merit::RankingRecord ids;
  ids.form = merit::RecordForm::ids;
  ids.prompt_ids = std::vector<Token>{'Q'};
  ids.completions_ids = {{'a'}, {'b', 'c'}};
  ids.ranks = {0, 1};
  ids.source = {"here.jsonl", 3};
  CHECK(show(merit::tokenize(ids, bytes, {}, counts).value().groups[0]) == "Q|a / Q|bc");
  ids.completions_ids[1][1] = 300;
  CHECK_THROWS_WITH_AS(
      merit::tokenize(ids, bytes, {}, counts),
      "here.jsonl:3: field 'completions_ids[1][1]': found token 300, expected one below 257, "
      "the vocabulary of tokenizer bytes",
      merit::DataError);

  merit::RankingRecord features;
  features.form = merit::RecordForm::features;
  features.completions_features = {{1, 2}, {3, 4}};
  features.ranks = {1, 0};
  const auto example = merit::tokenize(features, bytes, {}, counts).value();
  CHECK(example.groups[0].completions[1].features == std::vector<float>{3, 4});
  CHECK(example.groups[0].completions[1].tokens.empty());
  features.completions_features = {{1, 2}, {1, 2}};
  CHECK_FALSE(merit::tokenize(features, bytes, {}, counts));
  CHECK(counts.dropped_equal == 1);
}

TEST_CASE("records that prefer no completion are kept and counted") {
  DataCounts counts;
  CHECK(merit::tokenize(ranking("Q", {"a", "b", "c"}, {1, 1, 1}), bytes, {}, counts));
  CHECK(counts.all_tied == 1);
  CHECK(merit::tokenize(ranking("Q", {"a", "b", "c"}, {1, 1, 0}), bytes, {}, counts));
  CHECK(counts.all_tied == 1);
  CHECK(merit::tokenize(ratings({"a", "b"}, {2, 2}), bytes, {}, counts));
  CHECK(counts.all_tied == 2);
  CHECK(merit::tokenize(ratings({"a"}, {5}), bytes, {.keep_single_ratings = true}, counts));
  CHECK(counts.all_tied == 2);  // one alone is not tied with another
  merit::JudgeRecord judged;
  judged.prompt = "Q";
  judged.response_a = "a";
  judged.response_b = "b";
  judged.votes = {merit::JudgeVote::a, merit::JudgeVote::b};
  CHECK(merit::tokenize(judged, bytes, {}, counts));
  CHECK(counts.all_tied == 3);
  judged.votes = {merit::JudgeVote::a, merit::JudgeVote::tie};
  CHECK(merit::tokenize(judged, bytes, {}, counts));
  CHECK(counts.all_tied == 3);
  judged.probability_of_a = 0.25;  // says more than the votes
  DataCounts own;
  const auto likelier = merit::tokenize(judged, bytes, {}, own);
  CHECK(likelier->soft_label == 0.75);
  CHECK(likelier->chosen.tokens[1] == 'b');
  judged.probability_of_a.reset();
  judged.response_b = judged.response_a;
  judged.votes = {merit::JudgeVote::tie};
  CHECK_FALSE(merit::tokenize(judged, bytes, {}, counts));  // dropped: not counted among the kept
  CHECK(counts.all_tied == 3);
  CHECK(counts.kept == 6);
  CHECK(counts.sentence().find("6 were kept, 3 of them with all completions tied") != std::string::npos);
}

TEST_CASE("a ranking of one completion is dropped and counted") {
  DataCounts counts;
  CHECK_FALSE(merit::tokenize(ranking("Q", {"a"}, {0}), bytes, {}, counts));
  CHECK(counts.dropped_single == 1);
  CHECK(counts.records == 1);
  CHECK_FALSE(merit::tokenize(ratings({"a"}, {5}), bytes, {}, counts));
  CHECK(counts.dropped_single == 2);
  const auto single = merit::tokenize(ratings({"a"}, {5}), bytes, {.keep_single_ratings = true}, counts);
  REQUIRE(single);
  CHECK(single->groups[0].ratings == Numbers{5});
  CHECK(single->groups[0].ranks == std::vector<Index>{0});
  CHECK(counts.kept == 1);
}

TEST_CASE("rankings of equal completions only are dropped; one equal to another is counted") {
  DataCounts counts;
  CHECK_FALSE(merit::tokenize(ranking("Q", {"a", "a", "a"}, {0, 1, 2}), bytes, {}, counts));
  CHECK(counts.dropped_equal == 1);
  CHECK(counts.equal_completions == 0);
  const auto example = merit::tokenize(ranking("Q", {"a", "b", "a", "b"}, {0, 1, 2, 3}), bytes, {}, counts);
  CHECK(example.value().groups[0].completions.size() == 4);
  CHECK(counts.equal_completions == 2);
}

TEST_CASE("a ranking with a completion without tokens is dropped") {
  DataCounts counts;
  const merit::WordHashTokenizer words(1000);
  CHECK_FALSE(
      merit::tokenize(ranking("Q", {"a", " ", "b"}, {0, 1, 2}), words, {.append_eos = false}, counts));
  CHECK(counts.dropped_empty == 1);
}

TEST_CASE("all completions are cut together") {
  const auto cut = [](Truncation policy, Index limit) {
    DataCounts counts;
    const auto example = merit::tokenize(ranking("123", {"abc", "d", "ef"}, {0, 1, 2}), bytes,
                                         {.max_tokens = limit, .truncation = policy}, counts);
    CHECK(sum_of_fates(counts) == 1);
    CHECK(counts.longest == 7);
    return example ? show(example->groups[0]) : counts.dropped_over_long ? "over long" : "equal";
  };
  CHECK(cut(Truncation::drop, 6) == "over long");
  CHECK(cut(Truncation::cut_left_together, 6) == "23|abc$ / 23|d$ / 23|ef$");
  CHECK(cut(Truncation::cut_left_together, 3) == "|bc$ / |d$ / |ef$");
  CHECK(cut(Truncation::cut_left, 6) == "23|abc$ / 123|d$ / 123|ef$");
  CHECK(cut(Truncation::cut_right, 5) == "123|ab / 123|d$ / 123|ef");
  CHECK(cut(Truncation::cut_right, 3) == "equal");
  CHECK(cut(Truncation::keep_completion, 5) == "3|abc$ / 3|d$ / 3|ef$");
  CHECK(cut(Truncation::keep_completion, 3) == "over long");
}

TEST_CASE("however they are cut, all completions of a ranking share what is left of the prompt") {
  merit::Rng rng(11);
  const auto random_text = [&](Index most) {
    std::string text(1 + rng.below(most), 'a');
    for (char& c : text) c = static_cast<char>('a' + rng.below(3));
    return text;
  };
  for (const auto policy : {Truncation::drop, Truncation::cut_left_together, Truncation::cut_right,
                            Truncation::keep_completion}) {
    for (Index limit = 1; limit < 20; ++limit) {
      DataCounts counts;
      constexpr Index records = 40;
      Index kept_tokens = 0;
      for (Index i = 0; i < records; ++i) {
        const Index size = 1 + rng.below(5);
        std::vector<std::string> completions;
        std::vector<Index> ranks;
        for (Index k = 0; k < size; ++k) {
          completions.push_back(random_text(10));
          ranks.push_back(rng.below(size));
        }
        const auto example = merit::tokenize(ranking(random_text(12), completions, ranks), bytes,
                                             {.max_tokens = limit, .truncation = policy}, counts);
        if (!example) continue;
        const merit::RankedGroup& group = example->groups[0];
        REQUIRE(group.completions.size() == size);
        CHECK(group.ranks == ranks);
        const Sequence& first = group.completions[0];
        const auto prompt_end = first.tokens.begin() + static_cast<std::ptrdiff_t>(first.completion_begin);
        for (const Sequence& s : group.completions) {
          kept_tokens += s.tokens.size();
          CHECK(s.tokens.size() <= limit);
          CHECK(s.completion_begin < s.tokens.size());
          REQUIRE(s.completion_begin == first.completion_begin);
          CHECK(std::equal(first.tokens.begin(), prompt_end, s.tokens.begin()));
        }
      }
      CHECK(counts.records == records);
      CHECK(sum_of_fates(counts) == records);
      CHECK(counts.tokens == kept_tokens);
    }
  }
}

TEST_CASE("ratings give ranks, ties where they are equal, and are kept") {
  DataCounts counts;
  const auto example =
      merit::tokenize(ratings({"a", "b", "c", "d"}, {3, 4.5, 3, 1}), bytes, {}, counts).value();
  CHECK(example.groups[0].ranks == std::vector<Index>{1, 0, 1, 2});
  CHECK(example.groups[0].ratings == Numbers{3, 4.5, 3, 1});
  CHECK(example.groups[0].attributes == 1);
  // Sums of the same numbers in another order are equal, though not to the last bit.
  REQUIRE(0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1);
  const auto several =
      merit::tokenize(ratings({"a", "b", "c"}, {0.1, 0.2, 0.3, 0.3, 0.2, 0.1, 1, 0, 0}, 3), bytes, {}, counts)
          .value();
  CHECK(several.groups[0].ranks == std::vector<Index>{1, 1, 0});
  CHECK(several.groups[0].attributes == 3);
  CHECK(several.groups[0].ratings.size() == 9);
}

TEST_CASE("margins are of the pairs in order, and ties have none") {
  TokenizeOptions options;
  options.margin = [](double better, double worse, Index ranks) {
    return better - worse + 100 * static_cast<double>(ranks);
  };
  DataCounts counts;
  // Ranks 1 0 1: pairs (0,1) and (1,2) are of one rank, (0,2) is a tie.
  const auto rated = merit::tokenize(ratings({"a", "b", "c"}, {3, 5, 3}), bytes, options, counts).value();
  CHECK(rated.groups[0].margins == Numbers{102, 0, 102});
  const auto ranked =
      merit::tokenize(ranking("Q", {"a", "b", "c"}, {0, 4, 1}), bytes, options, counts).value();
  CHECK(ranked.groups[0].margins == Numbers{400, 100, 300});
  options.margin = [](double, double, Index) { return std::numeric_limits<double>::quiet_NaN(); };
  CHECK_THROWS_WITH_AS(merit::tokenize(ranking("Q", {"a", "b"}, {1, 0}), bytes, options, counts),
                       "here.jsonl:3: the margin of completions 1 and 0 is nan, expected a finite number",
                       merit::DataError);
}

TEST_CASE("records made by hand are checked too") {
  DataCounts counts;
  CHECK_THROWS_WITH_AS(merit::tokenize(ranking("Q", {"a", "b"}, {0}), bytes, {}, counts),
                       "here.jsonl:3: field 'ranks': found 1 entry, expected 2", merit::DataError);
  CHECK_THROWS_WITH_AS(merit::tokenize(ratings({"a", "b"}, {0, 1}, 2), bytes, {}, counts),
                       "here.jsonl:3: field 'scores': found 2 entries, expected 4", merit::DataError);
  CHECK_THROWS_WITH_AS(
      merit::tokenize(ranking("Q", {}, {}), bytes, {}, counts),
      "here.jsonl:3: field 'completions': found an empty list, expected at least one completion",
      merit::DataError);
  CHECK(counts == DataCounts{});
}

TEST_CASE("an outcome is a sequence with its label and weight") {
  DataCounts counts;
  auto record = completion_record<merit::OutcomeRecord>("Q:", "yes");
  record.label = 0.25;
  auto example = merit::tokenize(record, bytes, {}, counts).value();
  CHECK(show(example.sequence) == "Q:|yes$");
  CHECK(example.label == 0.25);
  CHECK(example.weight == 1);
  record.weight = 0.5;
  CHECK(merit::tokenize(record, bytes, {}, counts).value().weight == 0.5);
  CHECK_FALSE(merit::tokenize(record, bytes, {.max_tokens = 5}, counts));
  CHECK(counts.dropped_over_long == 1);
  CHECK(counts.records == 3);
  CHECK(counts.kept == 2);
  record.form = merit::RecordForm::features;
  record.completion_features = {1, 2};
  CHECK(merit::tokenize(record, bytes, {}, counts).value().sequence.features == std::vector<float>{1, 2});
}

TEST_CASE("votes make a soft label, and the side with more of them is chosen") {
  merit::JudgeRecord record;
  record.prompt = std::string("Q");
  record.response_a = std::string("a");
  record.response_b = std::string("b");
  record.source = {"here.jsonl", 3};
  const auto of = [&](std::vector<JudgeVote> votes) {
    DataCounts counts;
    record.votes = std::move(votes);
    const auto example = merit::tokenize(record, bytes, {}, counts).value();
    CHECK(counts.kept == 1);
    return show(example.chosen) + " / " + show(example.rejected) + " " + std::to_string(example.soft_label);
  };
  CHECK(of({JudgeVote::a}) == "Q|a$ / Q|b$ 1.000000");
  CHECK(of({JudgeVote::b, JudgeVote::b}) == "Q|b$ / Q|a$ 1.000000");
  CHECK(of({JudgeVote::a, JudgeVote::b, JudgeVote::a, JudgeVote::a}) == "Q|a$ / Q|b$ 0.750000");
  CHECK(of({JudgeVote::b, JudgeVote::tie}) == "Q|b$ / Q|a$ 0.750000");
  CHECK(of({JudgeVote::a, JudgeVote::b}) == "Q|a$ / Q|b$ 0.500000");
  CHECK(of({JudgeVote::tie}) == "Q|a$ / Q|b$ 0.500000");
  record.weight = 2;
  DataCounts counts;
  CHECK(merit::tokenize(record, bytes, {}, counts).value().weight == 2);
  CHECK(merit::tokenize(record, bytes, {}, counts).value().margin == 0);

  // An empty answer is its end of sequence.
  record.response_a = std::string();
  CHECK(of({JudgeVote::b}) == "Q|b$ / Q|$ 1.000000");
  record.response_b = std::string();
  CHECK_FALSE(merit::tokenize(record, bytes, {}, counts));
  CHECK(counts.dropped_equal == 1);

  record.form = merit::RecordForm::ids;
  record.prompt_ids = std::vector<Token>{1};
  record.response_a_ids = {2};
  record.response_b_ids = {999};
  CHECK_THROWS_WITH_AS(
      merit::tokenize(record, bytes, {}, counts),
      "here.jsonl:3: field 'response_b_ids[0]': found token 999, expected one below 257, the "
      "vocabulary of tokenizer bytes",
      merit::DataError);
  record.votes.clear();
  CHECK_THROWS_WITH_AS(merit::tokenize(record, bytes, {}, counts),
                       "here.jsonl:3: field 'votes': found an empty list, expected at least one",
                       merit::DataError);
}

TEST_CASE("returns are discounted rewards, and a reward of the whole is paid at its last token") {
  DataCounts counts;
  auto record = completion_record<merit::RolloutRecord>("Q", "abc");  // a b c $
  record.reward = 8;
  auto example = merit::tokenize(record, bytes, {.gamma = 0.5}, counts).value();
  CHECK(show(example.sequence) == "Q|abc$");
  CHECK(example.returns == Numbers{1, 2, 4, 8});
  CHECK(example.old_values.empty());
  CHECK(merit::tokenize(record, bytes, {}, counts).value().returns == Numbers{8, 8, 8, 8});
  record.reward.reset();
  record.rewards = {1, 0, 2, 4};
  CHECK(merit::tokenize(record, bytes, {.gamma = 0.5}, counts).value().returns == Numbers{2, 2, 4, 4});
}

TEST_CASE("with values, returns are advantages and values") {
  DataCounts counts;
  auto record = completion_record<merit::RolloutRecord>("Q", "ab");
  record.rewards = {1, 2, 4};
  record.values = {3, 5, 7};
  // λ = 1 is the discounted sum, λ = 0 is one step and the next value.
  auto example = merit::tokenize(record, bytes, {.gamma = 0.5, .lambda = 1}, counts).value();
  CHECK(example.returns == Numbers{3, 4, 4});
  CHECK(example.old_values == Numbers{3, 5, 7});
  CHECK(merit::tokenize(record, bytes, {.gamma = 0.5, .lambda = 0}, counts).value().returns ==
        Numbers{1 + 0.5 * 5, 2 + 0.5 * 7, 4});
  // Between: δ = (0.5, 0.5, −3), A = (0.5 + ¼·(0.5 + ¼·(−3)), 0.5 + ¼·(−3), −3).
  CHECK(merit::tokenize(record, bytes, {.gamma = 0.5, .lambda = 0.5}, counts).value().returns ==
        Numbers{3.4375, 4.75, 4});
}

TEST_CASE("numbers of a rollout must be as many as its tokens") {
  DataCounts counts;
  auto record = completion_record<merit::RolloutRecord>("Q", "abc");
  record.rewards = {1, 2, 3};
  CHECK_THROWS_WITH_AS(
      merit::tokenize(record, bytes, {}, counts),
      "here.jsonl:3: field 'rewards': found 3 numbers, expected 4, one for each token of the "
      "completion and its end of sequence",
      merit::DataError);
  CHECK(merit::tokenize(record, bytes, {.append_eos = false}, counts));
  record.rewards = {1, 2, 3, 4};
  record.values = {1};
  CHECK_THROWS_WITH_AS(merit::tokenize(record, bytes, {}, counts),
                       "here.jsonl:3: field 'values': found 1 number, expected 4, one for each token of the "
                       "completion and its end of sequence",
                       merit::DataError);
  record.form = merit::RecordForm::ids;
  record.prompt_ids = std::vector<Token>{1};
  record.completion_ids = {2, 3};
  CHECK_THROWS_WITH_AS(
      merit::tokenize(record, bytes, {}, counts),
      "here.jsonl:3: field 'rewards': found 4 numbers, expected 2, one for each token of the "
      "completion",
      merit::DataError);
  CHECK(counts.records == 1);
  CHECK_THROWS_WITH_AS(merit::tokenize(record, bytes, {.gamma = 1.5}, counts),
                       "gamma: found 1.5, expected 0 to 1", merit::ConfigError);
}

TEST_CASE("a cut rollout keeps the returns of the tokens that are left") {
  auto record = completion_record<merit::RolloutRecord>("12", "abc");
  record.rewards = {1, 10, 100, 1000};
  record.values = {1, 2, 3, 4};
  const auto cut = [&](Truncation policy, Index limit) {
    DataCounts counts;
    return merit::tokenize(record, bytes,
                           {.max_tokens = limit, .truncation = policy, .gamma = 1, .lambda = 1}, counts)
        .value();
  };
  auto example = cut(Truncation::cut_left, 5);
  CHECK(show(example.sequence) == "2|abc$");
  CHECK(example.returns == Numbers{1111, 1110, 1100, 1000});
  example = cut(Truncation::cut_left, 3);
  CHECK(show(example.sequence) == "|bc$");
  CHECK(example.returns == Numbers{1110, 1100, 1000});
  CHECK(example.old_values == Numbers{2, 3, 4});
  example = cut(Truncation::cut_right, 4);
  CHECK(show(example.sequence) == "12|ab");
  CHECK(example.returns == Numbers{1111, 1110});  // the rewards that were cut off are still to come
  CHECK(example.old_values == Numbers{1, 2});
}

TEST_CASE("a rollout of one token in all has no state, and is dropped and counted") {
  auto record = completion_record<merit::RolloutRecord>("12", "abc");
  record.rewards = {1, 10, 100, 1000};
  DataCounts counts;
  CHECK(!merit::tokenize(record, bytes, {.max_tokens = 1, .truncation = Truncation::cut_left}, counts));
  CHECK(counts.dropped_cut == 1);
  CHECK(counts.labels_lost == 4);
  CHECK(counts.kept == 0);
  CHECK(counts.tokens == 0);
  CHECK(merit::tokenize(record, bytes, {.max_tokens = 2, .truncation = Truncation::cut_left}, counts));
  CHECK(counts.kept == 1);
}

TEST_CASE("the records of one prompt fall on one side of a split, whatever their kind") {
  const auto key = [](const auto& record) { return merit::split_key(record); };
  merit::JudgeRecord judge;
  judge.prompt = std::string("Q");
  merit::StepsRecord steps;
  steps.prompt = std::string("Q");
  CHECK(key(ranking("Q", {"a", "b"}, {0, 1})) == "Q");
  CHECK(key(ratings({"a"}, {1})) == "Q");
  CHECK(key(completion_record<merit::OutcomeRecord>("Q", "a")) == "Q");
  CHECK(key(completion_record<merit::RolloutRecord>("Q", "a")) == "Q");
  CHECK(key(judge) == "Q");
  CHECK(key(steps) == "Q");
  merit::RankingRecord features;
  features.form = merit::RecordForm::features;
  features.completions_features = {{1, 2}, {3}};
  const std::string before = key(features);
  features.completions_features = {{1}, {2, 3}};
  CHECK(key(features) != before);
}

}  // namespace tokenize_labelled_test
