// Steps: where each ends, what its label means, and what a cut takes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/rng.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "shown_steps.hpp"

namespace tokenize_steps_test {

using namespace merit_test;
using merit::DataCounts;
using merit::NeutralSteps;
using merit::StepScale;
using merit::TokenizeOptions;
using merit::Truncation;

std::string labels_of(std::vector<Written> labels, const TokenizeOptions& options) {
  DataCounts counts;
  const std::vector<std::string> steps(labels.size(), "s");
  const auto example = merit::tokenize(steps_record("Q", steps, std::move(labels)), bytes, options, counts);
  return example ? show(example->labels) : "unlabelled";
}

/// A tokenizer that joins "ab", "b\n" and "\n\n" into one token, as merges do; every other byte is itself.
struct JoiningTokenizer {
  void encode(std::string_view text, std::vector<Token>& out) const {
    for (Index i = 0; i < text.size(); ++i) {
      Token token = static_cast<unsigned char>(text[i]);
      for (const auto& [pair, id] : {std::pair{"ab", 300}, {"b\n", 301}, {"\n\n", 302}}) {
        if (text.substr(i).starts_with(pair)) token = static_cast<Token>(id);
      }
      i += token >= 300 ? 1 : 0;
      out.push_back(token);
    }
  }
  Token eos() const { return 303; }
  Index vocabulary_size() const { return 304; }
  std::string name() const { return "joining"; }
};

TEST_CASE("every step ends in the separator, whose last token is its place") {
  DataCounts counts;
  const auto record = steps_record("Q", {"one", "two"}, {true, false});
  auto example = merit::tokenize(record, bytes, {}, counts).value();
  CHECK(show(example.sequence) == "Q/|one/'two/'$");
  CHECK(show(example.labels) == "+-");
  CHECK(example.weight == 1);
  example = merit::tokenize(record, bytes, {.step_separator = "; "}, counts).value();
  CHECK(show(example.sequence) == "Q; |one; 'two; '$");
  example = merit::tokenize(record, bytes, {.append_eos = false}, counts).value();
  CHECK(show(example.sequence) == "Q/|one/'two/'");
  CHECK(counts.labels == 6);
  CHECK(counts.tokens == 11 + 14 + 10);
}

/// Bytes, with "^" as the token that begins a sequence, which nothing puts there by itself.
struct BytesWithBos : merit::ByteTokenizer {
  std::optional<Token> bos() const { return '^'; }
};

TEST_CASE("as TRL has it: what begins a sequence, the prompt as it stands, and nothing behind the steps") {
  DataCounts counts;
  const TokenizeOptions trl{.step_layout = merit::StepLayout::trl};
  const auto record = steps_record("Q", {"one", "two"}, {true, false});
  CHECK(show(merit::tokenize(record, bytes, trl, counts)->sequence) == "Q|one/'two/'");
  CHECK(show(merit::tokenize(record, BytesWithBos(), trl, counts)->sequence) == "^Q|one/'two/'");
  CHECK(show(merit::tokenize(record, BytesWithBos(), {}, counts)->sequence) == "Q/|one/'two/'$");
  const auto empty = steps_record("", {"one"}, {true});
  CHECK(show(merit::tokenize(empty, BytesWithBos(), trl, counts)->sequence) == "^|one/'");
  CHECK(merit::step_layout_from_name(name_of(trl.step_layout)) == trl.step_layout);
  CHECK_THROWS_AS(merit::step_layout_from_name("TRL"), merit::ConfigError);
}

TEST_CASE("a step that holds the separator inside is one step, and counted") {
  DataCounts counts;
  const auto tokenized = [&](std::vector<std::string> steps, const TokenizeOptions& options) {
    const std::vector<Written> labels(steps.size(), true);
    return show(
        merit::tokenize(steps_record("Q", std::move(steps), labels), bytes, options, counts)->sequence);
  };
  CHECK(tokenized({"a\nb", "c"}, {}) == "Q/|a/b/'c/'$");
  CHECK(counts.steps_with_separator == 1);
  CHECK(tokenized({"\na\n", "\n", "b"}, {}) ==
        "Q/|a/'/'b/'$");  // at its ends it is the one that ends the step
  CHECK(counts.steps_with_separator == 1);
  CHECK(tokenized({"a\nb;c;d", ";e"}, {.step_separator = ";"}) == "Q;|a/b;c;d;'e;'$");
  CHECK(counts.steps_with_separator == 2);
  CHECK(counts.sentence().find("2 steps hold the separator inside") != std::string::npos);
  StepsRecord ids;
  ids.form = merit::RecordForm::ids;
  ids.completions_ids = {{'a', '\n', 'b', '\n'}};
  ids.labels = {true};
  CHECK(merit::tokenize(ids, bytes, {}, counts));
  CHECK(counts.steps_with_separator == 2);  // ids say themselves where a step ends
}

TEST_CASE("a prompt that ends in the separator, or is empty, gets no other") {
  DataCounts counts;
  const auto shown = [&](const std::string& prompt) {
    return show(merit::tokenize(steps_record(prompt, {"s"}, {true}), bytes, {}, counts).value().sequence);
  };
  CHECK(shown("Q\n") == "Q/|s/'$");
  CHECK(shown("Q") == "Q/|s/'$");
  CHECK(shown("") == "|s/'$");
}

TEST_CASE("steps under a conversation are the assistant's message") {
  DataCounts counts;
  auto record = steps_record("", {"one", "two"}, {true, true});
  record.prompt = std::vector<merit::Message>{{"user", "Hi"}};
  CHECK(show(merit::tokenize(record, bytes, {}, counts).value().sequence) ==
        "user: Hi//assistant: |one/'two/'//");
}

TEST_CASE("steps in ids are taken as they are, each ending in its place") {
  StepsRecord record = steps_record("", {}, {true, null});
  record.form = merit::RecordForm::ids;
  record.prompt_ids = std::vector<Token>{'Q'};
  record.completions_ids = {{'a', 'b'}, {'c'}};
  DataCounts counts;
  const auto example = merit::tokenize(record, bytes, {}, counts).value();
  CHECK(show(example.sequence) == "Q|ab'c'");
  CHECK(show(example.labels) == "+.");
  record.completions_ids[1] = {999};
  CHECK_THROWS_WITH_AS(
      merit::tokenize(record, bytes, {}, counts),
      "here.jsonl:3: field 'completions_ids[1][0]': found token 999, expected one below 257, "
      "the vocabulary of tokenizer bytes",
      merit::DataError);
}

TEST_CASE("a separator without tokens is an error") {
  DataCounts counts;
  const auto record = steps_record("Q", {"s"}, {true});
  CHECK_THROWS_WITH_AS(merit::tokenize(record, bytes, {.step_separator = ""}, counts),
                       "steps without separators: found an empty step_separator that tokenizer bytes gives "
                       "no tokens, expected one with at least one token, where the step's score is read",
                       merit::ConfigError);
  CHECK_THROWS_WITH_AS(merit::tokenize(record, merit::WordHashTokenizer(100), {}, counts),
                       "steps without separators: found a step_separator that tokenizer words:100 gives no "
                       "tokens, expected one with at least one token, where the step's score is read",
                       merit::ConfigError);
}

TEST_CASE("the place of a label does not depend on how text merges across borders") {
  // Whatever the tokenizer joins, a step is its own tokens and the separator's own tokens.
  merit::Rng rng(5);
  const auto random_text = [&] {
    std::string text(1 + rng.below(6), 'a');
    for (char& c : text) c = "ab\n"[rng.below(3)];
    return text;
  };
  const auto check = [&](const auto& tokenizer, const std::string& separator) {
    const auto encode = [&](const std::string& text) {
      std::vector<Token> tokens;
      tokenizer.encode(text, tokens);
      return tokens;
    };
    for (int trial = 0; trial < 200; ++trial) {
      std::vector<std::string> steps;
      for (Index k = 1 + rng.below(5); k > 0; --k) steps.push_back(random_text());
      const std::vector<Written> labels(steps.size(), true);
      DataCounts counts;
      const auto example = merit::tokenize(steps_record(random_text(), steps, labels), tokenizer,
                                           {.step_separator = separator}, counts)
                               .value();
      const Sequence& s = example.sequence;
      REQUIRE(s.step_ends.size() == steps.size());
      Index begin = s.completion_begin;
      for (Index k = 0; k < steps.size(); ++k) {
        std::vector<Token> expected = encode(merit::bare_step(steps[k], separator));
        const std::vector<Token> tail = encode(separator);
        expected.insert(expected.end(), tail.begin(), tail.end());
        REQUIRE(s.step_ends[k] == begin + expected.size() - 1);
        CHECK(std::equal(expected.begin(), expected.end(),
                         s.tokens.begin() + static_cast<std::ptrdiff_t>(begin)));
        begin = s.step_ends[k] + 1;
      }
    }
  };
  check(JoiningTokenizer{}, "\n");
  check(JoiningTokenizer{}, "\n\n");
  check(JoiningTokenizer{}, "ab");
  check(bytes, "\n");
  check(merit::WordHashTokenizer(1000), " ; ");
  check(merit::WordHashTokenizer(1000), "ab ab");
}

TEST_CASE("labels mean what the scale says") {
  const TokenizeOptions automatic;
  TokenizeOptions binary;
  binary.step_scale = StepScale::binary;
  TokenizeOptions ternary;
  ternary.step_scale = StepScale::ternary;
  for (const TokenizeOptions& options : {automatic, binary, ternary}) {
    CHECK(labels_of({true, false, 1.0, null, StepLabel{0.5, 0.25, 0.25}}, options) == "+-+.(0.5 0.25 0.25)");
  }
  CHECK(labels_of({-1.0, 0.0, 1.0}, ternary) == "-0+");
  CHECK(labels_of({0.25, 0.0, 1.0}, binary) == "(0.75 0 0.25)-+");
  CHECK(labels_of({-1.0, 1.0}, automatic) == "-+");
  CHECK(labels_of({0.25, 1.0}, automatic) == "(0.75 0 0.25)+");
  CHECK_THROWS_WITH_AS(labels_of({true, -1.0}, binary),
                       "here.jsonl:3: field 'labels[1]': found -1, expected a probability of 0 to 1, the "
                       "numbers of the step scale binary",
                       merit::DataError);
  CHECK_THROWS_WITH_AS(labels_of({true, 0.5}, ternary),
                       "here.jsonl:3: field 'labels[1]': found 0.5, expected -1, 0 or 1, the numbers of the "
                       "step scale ternary",
                       merit::DataError);
  CHECK_THROWS_WITH_AS(
      labels_of({1.0, 0.0}, automatic),
      "here.jsonl:3: field 'labels[1]': found 0, expected a step scale, binary where 0 is bad "
      "or ternary where 0 is neutral, rather than automatic",
      merit::DataError);
}

TEST_CASE("neutral steps are kept, good, bad or unlabelled") {
  const std::vector<Written> labels{StepLabel{0.25, 0.5, 0.25}, StepLabel{0, 1, 0}, true};
  const auto with = [&](NeutralSteps neutral) {
    TokenizeOptions options;
    options.neutral = neutral;
    return labels_of(labels, options);
  };
  CHECK(with(NeutralSteps::keep) == "(0.25 0.5 0.25)0+");
  CHECK(with(NeutralSteps::as_good) == "(0.25 0 0.75)++");
  CHECK(with(NeutralSteps::as_bad) == "(0.75 0 0.25)-+");
  CHECK(with(NeutralSteps::unlabelled) == "(0.5 0 0.5).+");
}

TEST_CASE("labels may stop at the first error, or be of the last step alone") {
  TokenizeOptions stop;
  stop.stop_at_first_error = true;
  CHECK(labels_of({true, false, true, false}, stop) == "+-..");
  CHECK(labels_of({true, null, true}, stop) == "+.+");
  CHECK(labels_of({0.5, 0.25, 1.0}, stop) == "(0.5 0 0.5)(0.75 0 0.25).");
  stop.step_scale = StepScale::ternary;
  CHECK(labels_of({0.0, 1.0}, stop) == "0+");
  stop.neutral = NeutralSteps::as_bad;  // comes first
  CHECK(labels_of({0.0, 1.0}, stop) == "-.");

  TokenizeOptions last;
  last.last_step_only = true;
  CHECK(labels_of({true, true, false}, last) == "..-");
  CHECK(labels_of({true, false, null}, last) == ".-.");
  last.stop_at_first_error = true;
  CHECK(labels_of({true, false, true}, last) == ".-.");
}

TEST_CASE("a completion without any label is dropped and counted") {
  DataCounts counts;
  CHECK_FALSE(merit::tokenize(steps_record("Q", {"a", "b"}, {null, null}), bytes, {}, counts));
  CHECK(counts.dropped_unlabelled == 1);
  CHECK(counts.records == 1);
  CHECK(counts.kept == 0);
  CHECK(counts.tokens == 0);
  CHECK(counts.unlabelled == 0);
}

TEST_CASE("labels that are cut off are counted, and the others keep their steps") {
  // Q / a b / c d / e f / $: steps of three tokens behind a prompt of two.
  const auto record = steps_record("Q", {"ab", "cd", "ef"}, {true, null, false});
  const auto cut = [&](Truncation policy, Index limit, DataCounts& counts) {
    const auto example = merit::tokenize(record, bytes, {.max_tokens = limit, .truncation = policy}, counts);
    CHECK(counts.records == 1);
    CHECK(counts.longest == 12);
    CHECK(counts.labels + counts.labels_lost == 2);
    return example ? show(example->sequence) + " " + show(example->labels) : std::string("dropped");
  };
  const auto check = [&](Truncation policy, Index limit, const std::string& expected, Index labels,
                         Index unlabelled, Index steps_cut) {
    CAPTURE(limit);
    DataCounts counts;
    CHECK(cut(policy, limit, counts) == expected);
    CHECK(counts.labels == labels);
    CHECK(counts.unlabelled == unlabelled);
    CHECK(counts.steps_cut == steps_cut);
  };
  check(Truncation::cut_right, 12, "Q/|ab/'cd/'ef/'$ +.-", 2, 1, 0);
  check(Truncation::cut_right, 11, "Q/|ab/'cd/'ef/' +.-", 2, 1, 0);
  check(Truncation::cut_right, 10, "Q/|ab/'cd/'ef +.", 1, 1, 1);
  check(Truncation::cut_right, 7, "Q/|ab/'cd +", 1, 0, 2);
  check(Truncation::cut_right, 5, "Q/|ab/' +", 1, 0, 2);
  check(Truncation::cut_right, 4, "dropped", 0, 0, 0);
  check(Truncation::cut_right, 2, "dropped", 0, 0, 0);
  check(Truncation::cut_left, 10, "|ab/'cd/'ef/'$ +.-", 2, 1, 0);
  check(Truncation::cut_left, 9, "|b/'cd/'ef/'$ +.-", 2, 1, 1);
  check(Truncation::cut_left, 8, "|/'cd/'ef/'$ +.-", 2, 1, 1);
  check(Truncation::cut_left, 7, "|cd/'ef/'$ .-", 1, 1, 1);
  check(Truncation::cut_left, 3, "|f/'$ -", 1, 0, 3);
  check(Truncation::cut_left, 1, "dropped", 0, 0, 0);
  check(Truncation::keep_completion, 10, "|ab/'cd/'ef/'$ +.-", 2, 1, 0);
  check(Truncation::keep_completion, 9, "dropped", 0, 0, 0);
  check(Truncation::drop, 11, "dropped", 0, 0, 0);

  DataCounts counts;
  cut(Truncation::cut_right, 4, counts);
  CHECK(counts.dropped_cut == 1);
  counts = {};
  cut(Truncation::cut_right, 2, counts);
  CHECK(counts.dropped_cut == 1);
  counts = {};
  cut(Truncation::drop, 11, counts);
  CHECK(counts.dropped_over_long == 1);
  CHECK(
      counts.sentence() ==
      "Of 1 record, 0 were kept, 1 dropped as too long; 0 steps or states have a label, 2 labels were lost by cutting "
      "or dropping; the longest sequence had 12 tokens.");
}

TEST_CASE("the labels of steps that a cut took stay beside those of the steps that have rows") {
  const auto record = steps_record("Q", {"ab", "cd", "ef"}, {true, null, false});
  const auto cut = [&](Truncation policy, Index limit, bool to_judge) {
    DataCounts counts;
    const auto example = merit::tokenize(
        record, bytes, {.max_tokens = limit, .truncation = policy, .to_judge = to_judge}, counts);
    CHECK(counts.records == 1);
    CHECK(counts.kept + counts.dropped_cut + counts.dropped_unlabelled == 1);
    if (!example) return std::string(merit::reason_since({}, counts));
    CHECK(example->labels.size() == example->sequence.step_ends.size());
    CHECK(example->sequence.cut == (limit < 12));
    return show(example->labels_before) + "|" + show(example->labels) + "|" + show(example->labels_behind);
  };
  CHECK(cut(Truncation::cut_right, 12, false) == "|+.-|");
  CHECK(cut(Truncation::cut_right, 11, false) == "|+.-|");
  CHECK(cut(Truncation::cut_right, 10, false) == "|+.|-");
  CHECK(cut(Truncation::cut_right, 5, false) == "|+|.-");
  CHECK(cut(Truncation::cut_left, 7, false) == "+|.-|");
  CHECK(cut(Truncation::cut_left, 3, false) == "+.|-|");
  // Where nothing labelled is left there is nothing to learn, but a solution to be judged.
  CHECK(cut(Truncation::cut_right, 4, false) == "nothing is left after the cut");
  CHECK(cut(Truncation::cut_right, 4, true) == "||+.-");
  CHECK(cut(Truncation::cut_right, 2, true) == "||+.-");
  CHECK(cut(Truncation::cut_left, 1, true) == "+.-||");
}

TEST_CASE("without the prompt, places move with the tokens") {
  DataCounts counts;
  const auto example = merit::tokenize(steps_record("Question", {"ab", "c"}, {true, false}), bytes,
                                       {.without_prompt = true}, counts)
                           .value();
  CHECK(show(example.sequence) == "|ab/'c/'$");
  CHECK(counts.steps_cut == 0);
}

TEST_CASE("no cut ever parts a label from its step, and counts add up") {
  // The label of a step is the number in its text.
  merit::Rng rng(3);
  for (const auto policy :
       {Truncation::drop, Truncation::cut_left, Truncation::cut_right, Truncation::keep_completion}) {
    for (Index limit = 1; limit < 30; ++limit) {
      DataCounts counts;
      Index given = 0;
      for (int trial = 0; trial < 20; ++trial) {
        std::vector<std::string> steps;
        std::vector<Written> labels;
        for (Index k = 1 + rng.below(6); k > 0; --k) {
          const Index kind = rng.below(3);
          steps.push_back(std::string(rng.below(3), 'x') + "-+."[kind]);
          labels.push_back(kind == 2 ? Written(null) : Written(kind == 1));
          given += kind == 2 ? 0 : 1;
        }
        const auto example = merit::tokenize(steps_record(std::string(rng.below(8), 'Q'), steps, labels),
                                             bytes, {.max_tokens = limit, .truncation = policy}, counts);
        if (!example) continue;
        const Sequence& s = example->sequence;
        CHECK(s.tokens.size() <= limit);
        REQUIRE(s.step_ends.size() == example->labels.size());
        for (Index k = 0; k < s.step_ends.size(); ++k) {
          const Index end = s.step_ends[k];
          REQUIRE(end < s.tokens.size());
          CHECK(s.tokens[end] == '\n');
          CHECK(end >= s.completion_begin);
          if (end == 0) continue;  // only the separator is left
          CHECK(show({example->labels[k]})[0] == static_cast<char>(s.tokens[end - 1]));
        }
      }
      CHECK(counts.labels + counts.labels_lost == given);
      CHECK(counts.records == 20);
      CHECK(counts.kept + counts.dropped_over_long + counts.dropped_cut + counts.dropped_unlabelled == 20);
    }
  }
}

TEST_CASE("policies for steps have names") {
  for (const auto scale : {StepScale::automatic, StepScale::binary, StepScale::ternary}) {
    CHECK(merit::step_scale_from_name(merit::name_of(scale)) == scale);
  }
  for (const auto neutral :
       {NeutralSteps::keep, NeutralSteps::as_good, NeutralSteps::as_bad, NeutralSteps::unlabelled}) {
    CHECK(merit::neutral_steps_from_name(merit::name_of(neutral)) == neutral);
  }
  CHECK_THROWS_WITH_AS(merit::step_scale_from_name("3"),
                       "found step scale \"3\", expected one of: automatic, binary, ternary",
                       merit::ConfigError);
  CHECK_THROWS_WITH_AS(
      merit::neutral_steps_from_name("good"),
      "found policy for neutral steps \"good\", expected one of: keep, as_good, as_bad, unlabelled",
      merit::ConfigError);
}

TEST_CASE("steps made by hand are checked too") {
  DataCounts counts;
  CHECK_THROWS_WITH_AS(merit::tokenize(steps_record("Q", {"a"}, {true, true}), bytes, {}, counts),
                       "here.jsonl:3: field 'labels': found 2 entries, expected 1", merit::DataError);
  CHECK_THROWS_WITH_AS(merit::tokenize(steps_record("Q", {}, {}), bytes, {}, counts),
                       "here.jsonl:3: field 'completions': found an empty list, expected at least one step",
                       merit::DataError);
}

}  // namespace tokenize_steps_test
