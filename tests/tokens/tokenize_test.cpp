// Borders, ends and truncation, with tokens written out by hand; and counters that add up.
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/rng.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "merit/train/sampling.hpp"
#include "shown_pairs.hpp"

namespace tokenize_test {

using merit::DataCounts;
using merit::Index;
using merit::PreferenceExample;
using merit::PreferenceRecord;
using merit::Sequence;
using merit::Token;
using merit::TokenizeOptions;
using merit::Truncation;
using Messages = std::vector<merit::Message>;

using merit_test::bytes;
using merit_test::eos;
using merit_test::show;
using merit_test::text_record;

/// "chosen / rejected", or what was counted instead.
std::string show(const PreferenceRecord& record, const TokenizeOptions& options = {}) {
  DataCounts counts;
  const auto example = merit::tokenize(record, bytes, options, counts);
  CHECK(counts.records == 1);
  CHECK(counts.kept + counts.dropped_over_long + counts.dropped_equal + counts.dropped_empty == 1);
  CHECK(counts.kept == (example ? 1 : 0));
  if (!example) {
    CHECK(counts.cut_left + counts.cut_right + counts.cut_prompt + counts.tokens == 0);
    return counts.dropped_over_long ? "over long" : counts.dropped_equal ? "equal" : "empty";
  }
  CHECK(counts.tokens == example->chosen.tokens.size() + example->rejected.tokens.size());
  return show(example->chosen) + " / " + show(example->rejected);
}

/// A tokenizer that joins the pair "ab" into one token 300, as merges do; every other byte is itself.
struct JoiningTokenizer {
  void encode(std::string_view text, std::vector<Token>& out) const {
    for (Index i = 0; i < text.size(); ++i) {
      const bool pair = text.substr(i).starts_with("ab");
      out.push_back(pair ? 300 : static_cast<unsigned char>(text[i]));
      i += pair ? 1 : 0;
    }
  }
  Token eos() const { return '.'; }
  Index vocabulary_size() const { return 301; }
  std::string name() const { return "joining"; }
};
static_assert(merit::tokenizer<JoiningTokenizer>);

TEST_CASE(
    "prompt and completion make one sequence with its end, and the border is where the completion begins") {
  CHECK(show(text_record("Q:", "yes", "no")) == "Q:|yes$ / Q:|no$");
  CHECK(show(text_record("", "yes", "no")) == "|yes$ / |no$");
  CHECK(show(text_record("Q:", "yes", "no"), {.append_eos = false}) == "Q:|yes / Q:|no");
}

TEST_CASE("a prompt keeps its border where the completions agree further") {
  CHECK(show(text_record("Q:", "same a", "same b")) == "Q:|same a$ / Q:|same b$");
}

TEST_CASE("without a prompt the common prefix is the prompt, and each side keeps a completion") {
  CHECK(show(text_record({}, "Q: yes", "Q: no")) == "Q: |yes$ / Q: |no$");
  CHECK(show(text_record({}, "Q", "Q more")) == "Q|$ / Q| more$");
  CHECK(show(text_record({}, "Q", "Q more"), {.append_eos = false}) == "|Q / |Q more");
  CHECK(show(text_record({}, "a", "b")) == "|a$ / |b$");
}

TEST_CASE("equal sides are dropped and counted") {
  CHECK(show(text_record("Q", "a", "a")) == "equal");
  CHECK(show(text_record({}, "a", "a")) == "equal");
}

TEST_CASE("where a token crosses the border, the completion begins with it") {
  DataCounts counts;
  const auto example = merit::tokenize(text_record("xa", "b", "c"), JoiningTokenizer{}, {}, counts).value();
  CHECK(example.chosen.tokens == std::vector<Token>{'x', 300, '.'});
  CHECK(example.chosen.completion_begin == 1);
  CHECK(example.rejected.tokens == std::vector<Token>{'x', 'a', 'c', '.'});
  CHECK(example.rejected.completion_begin == 2);
}

TEST_CASE("the end of sequence is not doubled") {
  DataCounts counts;
  const auto example = merit::tokenize(text_record("x", "b.", "c"), JoiningTokenizer{}, {}, counts).value();
  CHECK(example.chosen.tokens == std::vector<Token>{'x', 'b', '.'});
  CHECK(example.rejected.tokens == std::vector<Token>{'x', 'c', '.'});
}

TEST_CASE("a conversation is rendered, and ends as its template ends it") {
  PreferenceRecord record = text_record({}, "", "");
  record.prompt = Messages{{"user", "Hi"}};
  record.chosen = Messages{{"assistant", "Yo"}};
  record.rejected = Messages{{"assistant", "No"}, {"user", "?"}};
  CHECK(show(record) == "user: Hi//assistant: |Yo// / user: Hi//assistant: |No//user: ?//");
  record.chosen = std::string("Yo");
  record.rejected = std::string("No");
  CHECK(show(record) == "user: Hi//assistant: |Yo// / user: Hi//assistant: |No//");
  record.prompt.reset();
  record.chosen = Messages{{"user", "Hi"}, {"assistant", "Yo"}};
  record.rejected = Messages{{"user", "Hi"}, {"assistant", "No"}};
  CHECK(show(record) == "user: Hi//assistant: |Yo// / user: Hi//assistant: |No//");
}

TEST_CASE("without_prompt leaves the completions alone") {
  CHECK(show(text_record("Q:", "yes", "no"), {.without_prompt = true}) == "|yes$ / |no$");
  CHECK(show(text_record({}, "Q: yes", "Q: no"), {.without_prompt = true}) == "|yes$ / |no$");
  CHECK(show(text_record("a long prompt", "yes", "no"), {.max_tokens = 4, .without_prompt = true}) ==
        "|yes$ / |no$");
}

TEST_CASE("sequences of exactly max_tokens are left alone by every policy") {
  for (const auto policy : {Truncation::drop, Truncation::cut_left, Truncation::cut_right,
                            Truncation::keep_completion, Truncation::error}) {
    CHECK(show(text_record("123", "abc", "d"), {.max_tokens = 7, .truncation = policy}) ==
          "123|abc$ / 123|d$");
  }
}

TEST_CASE("drop leaves out what is too long") {
  CHECK(show(text_record("123", "abc", "d"), {.max_tokens = 6}) == "over long");
  CHECK(show(text_record("123", "d", "abc"), {.max_tokens = 6}) == "over long");
}

TEST_CASE("error says where and how long") {
  CHECK_THROWS_WITH_AS(
      show(text_record("123", "abc", "d"), {.max_tokens = 6, .truncation = Truncation::error}),
      "here.jsonl:3: record: found a sequence of 7 tokens, expected at most 6 (truncation "
      "policy error)",
      merit::DataError);
}

TEST_CASE(
    "cut_left_together takes the same from both prompts, then from each completion what it still needs") {
  const auto cut = [](Index limit) {
    return show(text_record("123", "abc", "d"),
                {.max_tokens = limit, .truncation = Truncation::cut_left_together});
  };
  CHECK(cut(6) == "23|abc$ / 23|d$");
  CHECK(cut(5) == "3|abc$ / 3|d$");
  CHECK(cut(4) == "|abc$ / |d$");
  CHECK(cut(3) == "|bc$ / |d$");
  CHECK(cut(2) == "|c$ / |d$");
  CHECK(cut(1) == "equal");  // both are the end of sequence
}

TEST_CASE("cut_right takes the end of each that is too long") {
  const auto cut = [](Index limit) {
    return show(text_record("123", "abc", "d"), {.max_tokens = limit, .truncation = Truncation::cut_right});
  };
  CHECK(cut(6) == "123|abc / 123|d$");
  CHECK(cut(5) == "123|ab / 123|d$");
  CHECK(cut(4) == "123|a / 123|d");
  CHECK(cut(3) == "equal");
  CHECK(cut(1) == "equal");
}

TEST_CASE("keep_completion takes the head of the prompt, and leaves out a completion too long by itself") {
  const auto cut = [](Index limit) {
    return show(text_record("123", "abc", "d"),
                {.max_tokens = limit, .truncation = Truncation::keep_completion});
  };
  CHECK(cut(6) == "23|abc$ / 23|d$");
  CHECK(cut(4) == "|abc$ / |d$");
  CHECK(cut(3) == "over long");
}

TEST_CASE("cut prompts of different token lengths still fit") {
  for (const auto policy : {Truncation::cut_left_together, Truncation::keep_completion}) {
    DataCounts counts;
    // x ab . (border 1) and x a c c . (border 2): one prompt token from both, then one more from the second.
    const auto example = merit::tokenize(text_record("xa", "b", "cc"), JoiningTokenizer{},
                                         {.max_tokens = 3, .truncation = policy}, counts)
                             .value();
    CHECK(example.chosen.tokens == std::vector<Token>{300, '.'});
    CHECK(example.chosen.completion_begin == 0);
    CHECK(example.rejected.tokens == std::vector<Token>{'c', 'c', '.'});
    CHECK(example.rejected.completion_begin == 0);
  }
}

TEST_CASE("cuts are counted by their policy, and the longest before the cut") {
  const auto counted = [](Truncation policy) {
    DataCounts counts;
    merit::tokenize(text_record("123", "abc", "d"), bytes, {.max_tokens = 5, .truncation = policy}, counts);
    CHECK(counts.longest == 7);
    return counts;
  };
  CHECK(counted(Truncation::cut_left).cut_left == 1);
  CHECK(counted(Truncation::cut_left_together).cut_left_together == 1);
  CHECK(counted(Truncation::cut_right).cut_right == 1);
  CHECK(counted(Truncation::keep_completion).cut_prompt == 1);
  CHECK(counted(Truncation::drop).dropped_over_long == 1);
}

TEST_CASE("a completion without a token is dropped and counted") {
  DataCounts counts;
  const merit::WordHashTokenizer words(1000);
  CHECK_FALSE(merit::tokenize(text_record("Q", " ", "a"), words, {.append_eos = false}, counts));
  CHECK(counts.dropped_empty == 1);
  CHECK(merit::tokenize(text_record("Q", " ", "a"), words, {}, counts));  // its end of sequence is one
  CHECK_FALSE(merit::tokenize(text_record({}, " ", "a"), words, {.append_eos = false}, counts));
  CHECK(counts.dropped_empty == 2);
}

TEST_CASE("ids are taken as they are") {
  PreferenceRecord record;
  record.form = merit::RecordForm::ids;
  record.prompt_ids = std::vector<Token>{1, 2};
  record.chosen_ids = {3};
  record.rejected_ids = {4, 256};
  record.source = {"here.jsonl", 3};
  DataCounts counts;
  const auto apart = merit::tokenize(record, bytes, {}, counts).value();
  CHECK(apart.chosen.tokens == std::vector<Token>{1, 2, 3});
  CHECK(apart.chosen.completion_begin == 2);
  CHECK(apart.rejected.tokens == std::vector<Token>{1, 2, 4, 256});

  record.prompt_ids.reset();
  record.chosen_ids = {1, 2, 3};
  record.rejected_ids = {1, 2, 4};
  const auto whole = merit::tokenize(record, bytes, {}, counts).value();
  CHECK(whole.chosen.tokens == std::vector<Token>{1, 2, 3});
  CHECK(whole.chosen.completion_begin == 2);
  CHECK(whole.rejected.completion_begin == 2);

  record.rejected_ids = {1, 257};
  CHECK_THROWS_WITH_AS(merit::tokenize(record, bytes, {}, counts),
                       "here.jsonl:3: field 'rejected_ids[1]': found token 257, expected one below 257, the "
                       "vocabulary of tokenizer bytes",
                       merit::DataError);
  CHECK(counts.records == 2);
}

TEST_CASE("features are passed on") {
  PreferenceRecord record;
  record.form = merit::RecordForm::features;
  record.chosen_features = {1, 2};
  record.rejected_features = {1, 3};
  DataCounts counts;
  const auto example = merit::tokenize(record, bytes, {.max_tokens = 1}, counts).value();
  CHECK(example.chosen.features == std::vector<float>{1, 2});
  CHECK(example.rejected.features == std::vector<float>{1, 3});
  CHECK(example.chosen.tokens.empty());
  record.rejected_features = {1, 2};
  CHECK_FALSE(merit::tokenize(record, bytes, {}, counts));
  CHECK(counts.dropped_equal == 1);
  CHECK(counts.records == 2);
}

TEST_CASE("margin, weight and soft label come along, with their defaults") {
  DataCounts counts;
  PreferenceRecord record = text_record("Q", "a", "b");
  PreferenceExample example = merit::tokenize(record, bytes, {}, counts).value();
  CHECK(example.margin == 0);
  CHECK(example.weight == 1);
  CHECK(example.soft_label == 1);
  record.margin = -1.5;
  record.weight = 0;
  record.soft_label = 0.5;
  example = merit::tokenize(record, bytes, {}, counts).value();
  CHECK(example.margin == -1.5);
  CHECK(example.weight == 0);
  CHECK(example.soft_label == 0.5);
}

TEST_CASE("a completion alone is tokenized as the side of a pair is, and says why it was not kept") {
  merit::CompletionRecord record;
  record.prompt = std::string("123");
  record.completion = std::string("abc");
  const auto with = [&](const TokenizeOptions& options) {
    DataCounts counts;
    const auto result = merit::tokenize(record, bytes, options, counts);
    CHECK(counts.records == 1);
    CHECK(counts.longest == 7);
    CHECK(counts.kept == (result.fate == merit::CompletionFate::kept ? 1 : 0));
    if (result.fate == merit::CompletionFate::over_long) {
      CHECK(counts.dropped_over_long == 1);
      return std::string("over long");
    }
    if (result.fate == merit::CompletionFate::cut_away) {
      CHECK(counts.dropped_cut == 1);
      return std::string("cut away");
    }
    if (result.fate == merit::CompletionFate::empty) {
      CHECK(counts.dropped_empty == 1);
      return std::string("empty");
    }
    return show(result.sequence);
  };
  CHECK(with({}) == "123|abc$");
  CHECK(with({.max_tokens = 6}) == "over long");
  CHECK(with({.max_tokens = 5, .truncation = Truncation::cut_left}) == "3|abc$");
  CHECK(with({.max_tokens = 2, .truncation = Truncation::cut_left}) == "|c$");
  CHECK(with({.max_tokens = 5, .truncation = Truncation::cut_right}) == "123|ab");
  CHECK(with({.max_tokens = 3, .truncation = Truncation::cut_right}) == "cut away");
  CHECK(with({.max_tokens = 2, .truncation = Truncation::cut_right}) == "cut away");
  CHECK(with({.max_tokens = 3, .truncation = Truncation::keep_completion}) == "over long");

  record.prompt.reset();
  DataCounts counts;
  CHECK(show(merit::tokenize(record, bytes, {}, counts).sequence) == "|abc$");
}

TEST_CASE("no sequence is ever longer than allowed, pairs keep sharing their prompt, and counts add up") {
  merit::Rng rng(7);
  const auto random_text = [&](Index most) {
    std::string text(1 + rng.below(most), 'a');
    for (char& c : text) c = static_cast<char>('a' + rng.below(3));
    return text;
  };
  for (const auto policy : {Truncation::drop, Truncation::cut_left_together, Truncation::cut_right,
                            Truncation::keep_completion}) {
    for (Index limit = 1; limit < 20; ++limit) {
      DataCounts counts;
      constexpr Index records = 100;
      for (Index i = 0; i < records; ++i) {
        const auto record = text_record(random_text(12), random_text(12), random_text(12));
        const auto example =
            merit::tokenize(record, bytes, {.max_tokens = limit, .truncation = policy}, counts);
        if (!example) continue;
        const Sequence& c = example->chosen;
        const Sequence& r = example->rejected;
        CHECK(c.tokens.size() <= limit);
        CHECK(r.tokens.size() <= limit);
        CHECK(c.completion_begin < c.tokens.size());
        CHECK(r.completion_begin < r.tokens.size());
        CHECK(c.completion_begin == r.completion_begin);
        CHECK(std::equal(c.tokens.begin(), c.tokens.begin() + static_cast<std::ptrdiff_t>(c.completion_begin),
                         r.tokens.begin()));
      }
      CHECK(counts.records == records);
      CHECK(counts.kept + counts.dropped_over_long + counts.dropped_equal + counts.dropped_empty == records);
      CHECK(counts.cut_left_together + counts.cut_right + counts.cut_prompt <= counts.kept);
    }
  }
}

TEST_CASE("policies have names, and an unknown one is an error that lists them") {
  for (const auto policy : {Truncation::drop, Truncation::cut_left, Truncation::cut_right,
                            Truncation::keep_completion, Truncation::error}) {
    CHECK(merit::truncation_from_name(merit::name_of(policy)) == policy);
  }
  CHECK(merit::name_of(Truncation::keep_completion) == "keep_completion");
  CHECK_THROWS_WITH_AS(
      merit::truncation_from_name("left"),
      "found truncation policy \"left\", expected one of: drop, cut_left, cut_left_together, "
      "cut_right, "
      "keep_completion, error, longest_first",
      merit::ConfigError);
  DataCounts counts;
  CHECK_THROWS_AS(merit::tokenize(text_record("Q", "a", "b"), bytes, {.max_tokens = 0}, counts),
                  merit::ConfigError);
}

TEST_CASE("counts say in one sentence what happened, and add") {
  DataCounts counts;
  counts.records = 10;
  counts.kept = 7;
  counts.cut_left = 2;
  counts.dropped_over_long = 1;
  counts.dropped_equal = 2;
  counts.longest = 600;
  CHECK(
      counts.sentence() ==
      "Of 10 records, 7 were kept, 2 of them cut on the left, 1 dropped as too long, 2 dropped as both sides "
      "were equal; the longest sequence had 600 tokens.");
  DataCounts one;
  one.records = one.kept = one.longest = 1;
  CHECK(one.sentence() == "Of 1 record, 1 was kept; the longest sequence had 1 token.");

  DataCounts each;
  each = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
  DataCounts sum = each;
  sum += each;
  CHECK(sum == DataCounts{2, 4, 6, 8, 10, 12, 14, 16, 18, 10, 22, 24, 26, 28, 30, 32, 34, 36, 38});
  const auto items = each.items();
  for (Index i = 0; i < 19; ++i) CHECK(items[i].second == i + 1);
  CHECK(items[0].first == "records");
  CHECK(items[9].first == "longest");
  CHECK(items[18].first == "steps_with_separator");
  CHECK(
      each.sentence() ==
      "Of 1 record, 2 were kept, 6 of them cut on the left, 7 of them cut on the right, 8 of them with the "
      "head of the prompt cut, 14 of them with all completions tied, 3 dropped as too long, 4 dropped as "
      "both sides were equal, 5 dropped as a completion had no tokens, 11 dropped as rankings of one "
      "completion, 12 dropped as no step had a label; 13 completions equal to another of the same ranking; "
      "15 steps or states have a label, 17 have none, 16 labels were lost by cutting or dropping, 18 steps lost "
      "tokens by cutting, 19 steps hold the separator inside; the longest sequence had 10 tokens.");
}

TEST_CASE("the pairs of one prompt fall on one side of a split") {
  CHECK(merit::split_key(text_record("Q", "a", "b")) == merit::split_key(text_record("Q", "c", "d")));
  CHECK(merit::split_key(text_record("Q", "a", "b")) != merit::split_key(text_record("P", "a", "b")));
  CHECK(merit::split_key(text_record({}, "a", "b")) != merit::split_key(text_record({}, "ab", "")));
  CHECK(merit::split_key(text_record("", "a", "b")) == merit::split_key(text_record({}, "a", "b")));
  PreferenceRecord ids;
  ids.form = merit::RecordForm::ids;
  ids.prompt_ids = std::vector<Token>{1, 23};
  const std::string key = merit::split_key(ids);
  ids.chosen_ids = {4};
  CHECK(merit::split_key(ids) == key);
  ids.prompt_ids = std::vector<Token>{12, 3};
  CHECK(merit::split_key(ids) != key);
}

}  // namespace tokenize_test
