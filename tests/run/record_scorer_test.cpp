// Records to scores: each completion has a score or a reason of its own, and what was cut is marked.
#include "merit/run/record_scorer.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "letter_model.hpp"
#include "merit/run/reading.hpp"

namespace record_scorer_test {

using merit::Index;
using merit::RankCut;
using merit::RecordScores;
using merit::Truncation;

merit::SavedModel letters(Index max_tokens, Truncation truncation, bool append_eos = false) {
  merit::SavedModel saved;
  saved.head = merit::ScalarHead{};
  saved.tokenizer = merit::make_tokenizer("bytes");
  saved.tokenize.append_eos = append_eos;
  saved.tokenize.max_tokens = max_tokens;
  saved.tokenize.truncation = truncation;
  return saved;
}

merit::CompletionsRecord several(const std::string& prompt, const std::vector<std::string>& completions) {
  merit::CompletionsRecord record;
  record.prompt = prompt;
  for (const std::string& one : completions) record.completions.emplace_back(one);
  return record;
}

template <class Record>
RecordScores scored(const merit::SavedModel& saved, const Record& record,
                    const merit::Reading& reading = {}) {
  merit_test::LetterModel model(saved.head, merit::PairwiseLoss{});
  merit::RecordScorer scorer(model, saved, reading, 8192);
  scorer.add(record);
  CHECK(scorer.counts().records >= 1);
  return scorer.flush().at(0);
}

TEST_CASE("equal answers have equal scores and share a rank") {
  const merit::SavedModel saved = letters(100, Truncation::drop);
  const RecordScores same = scored(saved, several("Q", {"z", "z", "b", "z"}));
  CHECK(same.dropped.empty());
  CHECK(same.completions[0].score == 13);
  CHECK(same.order() == std::vector<Index>{0, 1, 3, 2});
  CHECK(same.ranks() == std::vector<std::optional<Index>>{0, 0, 1, 0});
  const RecordScores all = scored(saved, several("Q", {"z", "z"}));
  CHECK(all.ranks() == std::vector<std::optional<Index>>{0, 0});

  merit::PreferenceRecord pair;
  pair.prompt = "Q";
  pair.chosen = pair.rejected = std::string("z");
  CHECK(scored(saved, pair).completions.at(1).score == 13);
  pair.prompt.reset();
  CHECK(scored(saved, pair).completions.at(0).score == 13);
}

TEST_CASE("a completion that is too long or empty has a reason, and the others an order") {
  const RecordScores some = scored(letters(4, Truncation::drop), several("Q", {"b", "zzzzzz", "z", ""}));
  CHECK(some.dropped.empty());
  CHECK(some.completions[1].dropped == "too long");
  CHECK(some.completions[3].dropped == "empty: no tokens in the completion");
  CHECK(some.completions[0].score == -11);
  CHECK(some.order() == std::vector<Index>{2, 0});
  CHECK(some.ranks() == std::vector<std::optional<Index>>{1, std::nullopt, 0, std::nullopt});

  // By itself the completion has room, or has none.
  const RecordScores kept =
      scored(letters(4, Truncation::keep_completion), several("Qqq", {"b", "zzzz", "zzzzz"}));
  CHECK(kept.completions[1].dropped.empty());
  CHECK(kept.completions[2].dropped == "too long");

  const RecordScores none = scored(letters(4, Truncation::drop), several("Q", {"zzzzzz"}));
  CHECK(none.completions.empty());
  CHECK(none.dropped == "too long");
  CHECK(none.order().empty());
}

TEST_CASE("an empty completion with an end of sequence has one token and a score") {
  const merit::SavedModel saved = letters(100, Truncation::drop, true);
  const RecordScores both = scored(saved, several("Q", {"", "z"}));
  CHECK(both.dropped.empty());
  CHECK(both.completions[0].dropped.empty());
  CHECK(both.completions[0].score == both.completions[1].score);  // of the end of sequence
}

TEST_CASE("what was cut is marked, and ranks below what was read whole unless asked otherwise") {
  const merit::SavedModel saved = letters(4, Truncation::cut_right);
  const RecordScores some = scored(saved, several("Q", {"b", "mmzzzz", "c"}));
  CHECK(some.completions[1].cut);
  CHECK_FALSE(some.completions[0].cut);
  CHECK(some.completions[1].score == 13);
  CHECK(some.order() == std::vector<Index>{2, 0, 1});
  CHECK(some.order(RankCut::as_scored) == std::vector<Index>{1, 2, 0});
  CHECK(some.ranks() == std::vector<std::optional<Index>>{1, 2, 0});

  merit::CompletionRecord one;
  one.prompt = "Q";
  one.completion = std::string("zzzzzz");
  CHECK(scored(saved, one).completions.at(0).cut);
}

TEST_CASE("what one completion loses to cut_left depends on no other") {
  const merit::SavedModel alone = letters(4, Truncation::cut_left);
  const RecordScores some = scored(alone, several("QQQ", {"b", "zzzzzz"}));
  CHECK_FALSE(some.completions[0].cut);
  CHECK(some.completions[1].cut);
  const RecordScores together =
      scored(letters(4, Truncation::cut_left_together), several("QQQ", {"b", "zzzzzz"}));
  CHECK(together.completions[0].cut);
}

TEST_CASE("of steps a cut took is said how many were judged") {
  merit::SavedModel saved = letters(6, Truncation::cut_right);
  saved.head = merit::StepHead<1>{};
  merit::Reading reading;
  reading.meaning = merit::ScoreMeaning::per_step;
  reading.aggregation = merit::Aggregation::minimum;
  merit::StepsRecord steps;
  steps.prompt = "Q";
  steps.completions = {"z", "z", "a"};
  steps.labels = {true, true, false};
  const RecordScores judged = scored(saved, steps, reading);
  CHECK(judged.completions.at(0).cut);
  CHECK(judged.completions[0].rows.size() == 2);
  CHECK(judged.completions[0].rows_of == 3);
  CHECK(judged.completions[0].head.values == std::vector<double>{13, 13});  // as the head says them
  const RecordScores several_texts = scored(saved, several("Q", {"z\nz\na", "y", ""}), reading);
  CHECK(several_texts.completions[0].rows_of == 3);
  CHECK(several_texts.completions[2].dropped == "empty: no tokens in the completion");
  CHECK(several_texts.order() == std::vector<Index>{1, 0});
  // One of which no step is left was cut, and has steps.
  const RecordScores lost = scored(saved, several("Q", {"y", "zzzzzzzz\nz"}), reading);
  CHECK(lost.completions[1].dropped == "no step is left after the cut");
  CHECK(lost.completions[1].cut);
  CHECK(lost.completions[1].rows_of == 2);
}

TEST_CASE("a completion of which a cut leaves nothing is not called empty") {
  const merit::SavedModel saved = letters(4, Truncation::cut_right);
  merit::CompletionRecord one;
  one.prompt = "QQQQQQ";
  one.completion = std::string("z");
  CHECK(scored(saved, one).dropped == "nothing is left after the cut");
  CHECK(scored(saved, several("QQQQQQ", {"z", ""})).dropped == "nothing is left after the cut");
  one.completion = std::string();
  CHECK(scored(saved, one).dropped == "empty: no tokens in the completion");
}

TEST_CASE("a record that could not be read keeps its place") {
  const merit::SavedModel saved = letters(100, Truncation::drop);
  merit_test::LetterModel model(saved.head, merit::PairwiseLoss{});
  const merit::Reading reading;
  merit::RecordScorer scorer(model, saved, reading, 8192);
  scorer.add(several("Q", {"z"}));
  scorer.add_error({"f", 2}, "f:2: not valid JSON");
  scorer.add(several("Q", {"b"}));
  const auto all = scorer.flush();
  REQUIRE(all.size() == 3);
  CHECK(all[1].error == "f:2: not valid JSON");
  CHECK(all[1].source.line == 2);
  CHECK(all[2].completions.at(0).score == -11);
}

TEST_CASE("the calibration of a model that compares is of pairs, and one side has no probability") {
  merit::ModelCard card;
  card.loss = {{"name", "pairwise"}};
  card.calibration = "temperature";
  card.calibration_scale = 0.5;
  const merit::Reading reading = merit::reading_of(card, merit::ScoreMeaning::per_completion, true);
  CHECK(reading.compares);
  const merit::SavedModel saved = letters(100, Truncation::drop);
  merit::PreferenceRecord pair;
  pair.prompt = "Q";
  pair.chosen = std::string("q");    // 4
  pair.rejected = std::string("o");  // 2
  const RecordScores scores = scored(saved, pair, reading);
  CHECK(scores.completions[0].score == 4);
  CHECK(scores.first_better.value() == doctest::Approx(1 / (1 + std::exp(-1.0))));
  CHECK_FALSE(scored(saved, pair).first_better);
  card.reward_mean = 1;
  card.reward_deviation = 2;
  const merit::Reading both = merit::reading_of(card, merit::ScoreMeaning::per_completion, true);
  CHECK(scored(saved, pair, both).completions[0].score == 1.5);
  CHECK(scored(saved, pair, both).first_better.value() == doctest::Approx(1 / (1 + std::exp(-1.0))));
  card.loss = {{"name", "binary_cross_entropy"}};
  const merit::Reading outcome = merit::reading_of(card, merit::ScoreMeaning::per_completion, true);
  CHECK_FALSE(outcome.standardised);
  CHECK(scored(saved, pair, outcome).completions[0].score == doctest::Approx(1 / (1 + std::exp(-2.0))));
}

}  // namespace record_scorer_test
