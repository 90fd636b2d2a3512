// What a cut takes: of each sequence by itself, noted on those that lost tokens; and what is kept to be judged.
#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include "merit/records/record.hpp"
#include "merit/tokens/steps_of_text.hpp"
#include "merit/tokens/tokenize.hpp"
#include "shown_pairs.hpp"

namespace cut_test {

using merit::CompletionFate;
using merit::DataCounts;
using merit::Index;
using merit::PreferenceRecord;
using merit::Sequence;
using merit::TokenizeOptions;
using merit::Truncation;

using merit_test::bytes;
using merit_test::show;
using merit_test::text_record;

TEST_CASE("cut_left cuts each by itself, so that what a completion loses depends on no other") {
  const auto cut = [](Index limit) {
    DataCounts counts;
    const auto example = merit::tokenize(text_record("123", "abc", "d"), bytes,
                                         {.max_tokens = limit, .truncation = Truncation::cut_left}, counts);
    return example ? show(example->chosen) + " / " + show(example->rejected) : std::string("equal");
  };
  CHECK(cut(6) == "23|abc$ / 123|d$");
  CHECK(cut(5) == "3|abc$ / 123|d$");
  CHECK(cut(3) == "|bc$ / 3|d$");
  CHECK(cut(1) == "equal");
  DataCounts counts;
  merit::tokenize(text_record("123", "abc", "d"), bytes,
                  {.max_tokens = 5, .truncation = Truncation::cut_left}, counts);
  CHECK(counts.sharing_lost == 1);
  CHECK(counts.sentence() ==
        "Of 1 record, 1 was kept, 1 of them cut on the left, 1 of them cut each completion by itself, so "
        "that they share no prompt; the longest sequence had 7 tokens.");
}

TEST_CASE("a cut is noted on the sequences that lost tokens alone") {
  DataCounts counts;
  const auto example = merit::tokenize(text_record("123", "abc", "d"), bytes,
                                       {.max_tokens = 5, .truncation = Truncation::cut_right}, counts)
                           .value();
  CHECK(example.chosen.cut);
  CHECK_FALSE(example.rejected.cut);
  const auto bare = merit::tokenize(text_record("123", "abc", "d"), bytes, {.without_prompt = true}, counts);
  CHECK_FALSE(bare.value().chosen.cut);
}

TEST_CASE("sides that are equal, or that a cut made equal, are kept as ties where they are judged") {
  const auto kept = [](const PreferenceRecord& record, TokenizeOptions options) {
    DataCounts counts;
    options.to_judge = true;
    const auto example = merit::tokenize(record, bytes, options, counts);
    CHECK(counts.dropped_equal == 0);
    if (!example) return std::string(merit::reason_since({}, counts));
    CHECK(counts.kept_equal == (example->chosen.tokens == example->rejected.tokens ? 1 : 0));
    return show(example->chosen) + " / " + show(example->rejected);
  };
  CHECK(kept(text_record("1", "a", "a"), {}) == "1|a$ / 1|a$");
  CHECK(kept(text_record("123", "abx", "aby"), {.max_tokens = 5, .truncation = Truncation::cut_right}) ==
        "123|ab / 123|ab");
  // Of the completions nothing is left: the last token is read in their place.
  CHECK(kept(text_record("123", "a", "b"), {.max_tokens = 2, .truncation = Truncation::cut_right}) ==
        "1|2 / 1|2");
  CHECK(kept(text_record("1", "", ""), {.append_eos = false}) == "no tokens in a completion");
}

TEST_CASE("an outcome of which a cut leaves nothing is told from an empty one, and is kept to be judged") {
  merit::OutcomeRecord record;
  record.prompt = std::string("123");
  record.completion = std::string("ab");
  DataCounts counts;
  TokenizeOptions options{.max_tokens = 3, .truncation = Truncation::cut_right, .append_eos = false};
  CHECK_FALSE(merit::tokenize(record, bytes, options, counts));
  CHECK(counts.dropped_cut == 1);
  CHECK(counts.dropped_empty == 0);
  CHECK(merit::reason_since({}, counts) == "nothing is left after the cut");
  CHECK(counts.sentence() ==
        "Of 1 record, 0 were kept, 1 dropped as nothing was left of a completion after the cut; the longest "
        "sequence had 5 tokens.");
  options.to_judge = true;
  const auto example = merit::tokenize(record, bytes, options, counts);
  REQUIRE(example);
  CHECK(example->sequence.cut);
  CHECK(show(example->sequence) == "123|");
  CHECK(counts.cut_right == 1);
  record.completion = std::string();  // from the first: no cut is to blame
  CHECK_FALSE(merit::tokenize(record, bytes, options, counts));
  CHECK(counts.dropped_empty == 1);
}

TEST_CASE("outcomes that are scored by steps have no labels of steps to lose") {
  merit::OutcomeRecord record;
  record.prompt = std::string("123");
  record.completion = std::string("ab\ncd");
  DataCounts counts;
  TokenizeOptions options{.max_tokens = 4, .truncation = Truncation::cut_right};
  CHECK_FALSE(merit::tokenize_as_steps(record, bytes, options, counts));
  CHECK(counts.dropped_cut == 1);
  CHECK(counts.labels_lost == 0);
  options.to_judge = true;
  CHECK(merit::tokenize_as_steps(record, bytes, options, counts).value().sequence.step_ends.empty());
  CHECK(counts.sentence().find("label") == std::string::npos);
}

TEST_CASE("the states that a cut took of a rollout keep their returns, and are counted") {
  merit::RolloutRecord record;
  record.prompt = std::string("12");
  record.completion = std::string("abc");
  record.rewards = {1, 10, 100, 1000};
  const auto unseen = [&](Truncation policy, Index limit, bool to_judge) {
    DataCounts counts;
    const auto example = merit::tokenize(
        record, bytes, {.max_tokens = limit, .truncation = policy, .to_judge = to_judge}, counts);
    const Index states = record.prompt ? 4 : 3;
    CHECK(counts.labels + counts.labels_lost == states);
    if (!example) {
      CHECK(counts.labels == 0);
      return std::string(merit::reason_since({}, counts));
    }
    CHECK(example->returns_unseen.size() == counts.labels_lost);
    std::string text;
    for (const double one : example->returns_unseen) text += merit::concat(one, ' ');
    return text;
  };
  CHECK(unseen(Truncation::cut_right, 6, false) == "");
  CHECK(unseen(Truncation::cut_right, 4, false) == "1100 1000 ");
  CHECK(unseen(Truncation::cut_left, 4, false) == "1111 ");  // its token is there, but not the one before it
  CHECK(unseen(Truncation::cut_left, 3, false) == "1111 1110 ");
  CHECK(unseen(Truncation::keep_completion, 4, false) == "1111 ");
  CHECK(unseen(Truncation::drop, 4, true) == "too long");
  CHECK(unseen(Truncation::cut_right, 2, false) == "nothing is left after the cut");
  CHECK(unseen(Truncation::cut_right, 2, true) == "1111 1110 1100 1000 ");
  CHECK(unseen(Truncation::cut_left, 1, true) == "1111 1110 1100 1000 ");
  record.prompt.reset();
  CHECK(unseen(Truncation::cut_right, 3, true) == "1000 ");
  CHECK(unseen(Truncation::cut_left, 3, true) == "1110 ");
}

TEST_CASE("of completions that are scored each has its own reason, and takes no other with it") {
  const auto fates = [](Truncation policy, std::array<Sequence, 3> sequences) {
    std::array<Sequence*, 3> all{&sequences[0], &sequences[1], &sequences[2]};
    DataCounts counts;
    const auto result =
        merit::detail::shorten_each(all, {.max_tokens = 4, .truncation = policy}, {"here", 1}, counts);
    CHECK(counts.records == 1);
    CHECK(counts.kept == 1);
    std::string text;
    for (Index i = 0; i < result.size(); ++i) {
      text += (text.empty() ? "" : " / ") +
              (result[i] == CompletionFate::kept
                   ? show(sequences[i])
                   : std::string(result[i] == CompletionFate::empty      ? "empty"
                                 : result[i] == CompletionFate::cut_away ? "cut away"
                                                                         : "long"));
    }
    return text;
  };
  const std::array<Sequence, 3> some{Sequence{{'1', '2', 'a'}, 2}, Sequence{{'1', '2', 'b', 'c', 'd'}, 2},
                                     Sequence{{'1', '2'}, 2}};
  CHECK(fates(Truncation::drop, some) == "12|a / long / empty");
  CHECK(fates(Truncation::cut_left, some) == "12|a / 2|bcd / empty");
  CHECK(fates(Truncation::cut_left_together, some) == "2|a / 2|bcd / empty");
  CHECK(fates(Truncation::cut_right, some) == "12|a / 12|bc / empty");
  CHECK(fates(Truncation::keep_completion, some) == "2|a / 2|bcd / empty");
  const std::array<Sequence, 3> behind{Sequence{{'1', '2', 'a'}, 2},
                                       Sequence{{'1', '2', '3', '4', 'b', 'c', 'd'}, 4}, Sequence{{'1'}, 1}};
  CHECK(fates(Truncation::cut_right, behind) == "12|a / cut away / empty");
}

}  // namespace cut_test
