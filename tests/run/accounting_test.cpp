// Every record that is read is scored, or counted with a reason; and no figure rises where a record that counts
// as right is replaced by one that was cut, by one of equal sides, or by an empty one.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "letter_model.hpp"
#include "merit/core/rng.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/tokens/teaching_part.hpp"

namespace accounting_test {

using merit::DataCounts;
using merit::Index;
using merit::RecordKind;
using merit::Truncation;

constexpr Truncation policies[] = {Truncation::drop, Truncation::cut_left, Truncation::cut_left_together,
                                   Truncation::cut_right, Truncation::keep_completion};

std::string word(merit::Rng& rng, Index most) {
  std::string text(rng.below(most + 1), 'a');
  for (char& c : text) c = static_cast<char>('a' + rng.below(26));
  return text;
}

/// One line of a kind, of texts of up to 8 letters, some of them empty.
std::string line_of(RecordKind kind, merit::Rng& rng) {
  const std::string begin = "{\"prompt\": \"" + word(rng, 4) + "\", ";
  const auto text = [&] { return '"' + word(rng, 8) + '"'; };
  switch (kind) {
    case RecordKind::preference: return begin + "\"chosen\": " + text() + ", \"rejected\": " + text() + "}\n";
    case RecordKind::judge:
      return begin + "\"response_a\": " + text() + ", \"response_b\": " + text() + ", \"votes\": [\"a\"]}\n";
    case RecordKind::ranking:
      return begin + "\"completions\": [" + text() + ", " + text() + "], \"ranks\": [0, 1]}\n";
    case RecordKind::ratings:
      return begin + "\"completions\": [" + text() + ", " + text() + "], \"scores\": [2, 1]}\n";
    case RecordKind::outcome:
      return begin + "\"completion\": " + text() + ", \"label\": " + (rng.below(2) ? "true" : "false") +
             "}\n";
    case RecordKind::steps:
      return begin + "\"completions\": [" + text() + ", " + text() + "], \"labels\": [true, " +
             (rng.below(2) ? "true" : "false") + "]}\n";
    case RecordKind::rollout: break;
  }
  return begin + "\"completion\": " + text() + ", \"reward\": 1}\n";
}

Index reasons(const DataCounts& counts) {
  return counts.dropped_over_long + counts.dropped_equal + counts.dropped_empty + counts.dropped_single +
         counts.dropped_unlabelled + counts.dropped_cut;
}

TEST_CASE("what is read of every kind under every policy is kept, or counted with a reason") {
  merit::Rng rng(13);
  for (const RecordKind kind :
       {RecordKind::preference, RecordKind::judge, RecordKind::ranking, RecordKind::ratings,
        RecordKind::outcome, RecordKind::steps, RecordKind::rollout}) {
    for (const Truncation policy : policies) {
      for (const bool to_judge : {false, true}) {
        CAPTURE(merit::name_of(policy));
        std::string lines = line_of(kind, rng);
        for (int i = 0; i < 30; ++i) lines += i % 10 == 9 ? "{broken\n" : line_of(kind, rng);
        merit::RecordSetOptions options;
        options.source.on_error = merit::OnError::skip;
        options.tokenize.max_tokens = 7;
        options.tokenize.truncation = policy;
        options.tokenize.to_judge = to_judge;
        const merit::RecordSet set = merit_test::read_lines(kind, lines, options);
        CHECK(set.counts.records + set.unread.count() == 31);
        CHECK(set.unread.count() == 3);
        CHECK(set.account().starts_with("Of 31 records, "));
        CHECK(set.account().find(", 3 left out as they could not be read") != std::string::npos);
        CHECK(merit::to_json(set).at("unread") == 3);
        CHECK(set.unread.reasons().at(0).count + 0 >= 1);
        CHECK(set.counts.kept == merit::size_of(set.examples));
        CHECK(set.counts.kept == set.notes.size());
        CHECK(set.counts.records == set.counts.kept + reasons(set.counts));
        if (to_judge) CHECK(set.counts.dropped_equal == 0);
      }
    }
  }
}

TEST_CASE("what is scored of every kind under every policy has a score, or a reason of its own") {
  merit::Rng rng(14);
  for (const Truncation policy : policies) {
    merit::SavedModel saved;
    saved.head = merit::ScalarHead{};
    saved.tokenizer = merit::make_tokenizer("bytes");
    saved.tokenize.append_eos = false;
    saved.tokenize.max_tokens = 7;
    saved.tokenize.truncation = policy;
    merit_test::LetterModel model(saved.head, merit::PairwiseLoss{});
    const merit::Reading reading;
    merit::RecordScorer scorer(model, saved, reading, 64);
    for (int i = 0; i < 100; ++i) {
      merit::CompletionsRecord record;
      record.prompt = word(rng, 4);
      for (Index k = 1 + rng.below(4); k > 0; --k) record.completions.emplace_back(word(rng, 8));
      scorer.add(record);
      const merit::RecordScores scores = scorer.flush().at(0);
      if (!scores.dropped.empty()) {
        CHECK(scores.completions.empty());
        continue;
      }
      CHECK(scores.completions.size() == record.completions.size());
      Index scored = 0;
      for (const merit::CompletionScore& one : scores.completions) scored += one.dropped.empty() ? 1 : 0;
      CHECK(scored >= 1);
      CHECK(scores.order().size() == scored);
      for (Index a = 0; a < scores.completions.size(); ++a) {
        for (Index b = 0; b < a; ++b) {
          if (record.completions[a] != record.completions[b]) continue;
          CHECK(scores.completions[a].score == scores.completions[b].score);
          CHECK(scores.ranks()[a] == scores.ranks()[b]);
        }
      }
    }
    CHECK(scorer.counts().records == 100);
    CHECK(scorer.counts().records == scorer.counts().kept + reasons(scorer.counts()));
  }
}

/// Whether two lists have the same sequences with the same numbers.
template <class Example>
bool alike(const std::vector<Example>& a, const std::vector<Example>& b) {
  const auto numbers = [](const std::vector<Example>& examples) {
    std::vector<double> all;
    for (const Example& example : examples) {
      merit::for_each_number(example, [&](double number) { all.push_back(number); });
      merit::for_each_sequence(example, [&](const merit::Sequence& one) {
        all.insert(all.end(), one.tokens.begin(), one.tokens.end());
        all.insert(all.end(), one.step_ends.begin(), one.step_ends.end());
        all.push_back(static_cast<double>(one.completion_begin));
      });
      all.push_back(-7);
    }
    return all;
  };
  return numbers(a) == numbers(b);
}

TEST_CASE("of what is read to be judged the part that teaches is what training reads") {
  merit::Rng rng(15);
  for (const RecordKind kind :
       {RecordKind::preference, RecordKind::judge, RecordKind::ranking, RecordKind::ratings,
        RecordKind::outcome, RecordKind::steps, RecordKind::rollout}) {
    for (const Truncation policy : policies) {
      for (const bool last : {false, true}) {
        CAPTURE(merit::name_of(policy));
        std::string lines = "{\"prompt\": \"Q\", \"chosen\": \"a\", \"rejected\": \"a\"}\n";
        if (kind != RecordKind::preference) lines.clear();
        for (int i = 0; i < 60; ++i) lines += line_of(kind, rng);
        merit::RecordSetOptions options;
        options.tokenize.max_tokens = 7;
        options.tokenize.truncation = policy;
        merit::RecordSetOptions judged = options;
        judged.tokenize.to_judge = true;
        options.tokenize.last_step_only = last;
        options.tokenize.stop_at_first_error = !last;
        const merit::RecordSet learned = merit_test::read_lines(kind, lines, options);
        const merit::RecordSet all = merit_test::read_lines(kind, lines, judged);
        CHECK(size_of(all.examples) >= size_of(learned.examples));
        std::visit(
            [&]<class Example>(const std::vector<Example>& list) {
              const auto part = merit::teaching_part(list, options.tokenize);
              CHECK(alike(part, std::get<std::vector<Example>>(learned.examples)));
            },
            all.examples);
      }
    }
  }
}

double headline_of(RecordKind kind, const std::string& lines, Truncation policy) {
  merit::RecordSetOptions options;
  options.tokenize.max_tokens = 8;
  options.tokenize.truncation = policy;
  options.tokenize.to_judge = true;
  options.tokenize.step_scale = merit::StepScale::binary;
  const merit::RecordSet set = merit_test::read_lines(kind, lines, options);
  const bool steps = kind == RecordKind::steps;
  const bool outcomes = kind == RecordKind::outcome;
  merit_test::LetterModel model(
      steps      ? merit::AnyHead(merit::StepHead<1>{})
      : outcomes ? merit::AnyHead(merit::TokenHead{})
                 : merit::ScalarHead{},
      steps ? merit::AnyLoss(merit::BinaryCrossEntropyLoss<merit::ScoreMeaning::per_step>{})
            : merit::PairwiseLoss{});
  return merit::evaluate(model, set, merit::reading_of({}, model.meaning(), false), 0.5, 8192).headline();
}

TEST_CASE("no headline rises where a right record is replaced by a cut, equal or empty one") {
  struct Case {
    RecordKind kind;
    std::string others;
    std::string right;
    std::vector<std::string> worse;
  };
  const auto pair = [](const std::string& chosen, const std::string& rejected) {
    return "{\"prompt\": \"Q\", \"chosen\": \"" + chosen + "\", \"rejected\": \"" + rejected + "\"}\n";
  };
  const auto ranking = [](const std::string& best, const std::string& other) {
    return "{\"prompt\": \"Q\", \"completions\": [\"" + best + "\", \"" + other + "\"], \"ranks\": [0, 1]}\n";
  };
  const auto outcome = [](const std::string& prompt, const std::string& completion,
                          const std::string& label) {
    return "{\"prompt\": \"" + prompt + "\", \"completion\": \"" + completion + "\", \"label\": " + label +
           "}\n";
  };
  const auto steps = [](const std::string& completions, const std::string& labels) {
    return "{\"prompt\": \"Q\", \"completions\": " + completions + ", \"labels\": " + labels + "}\n";
  };
  const std::vector<Case> cases = {
      {RecordKind::preference,
       pair("z", "b") + pair("b", "z"),
       pair("y", "c"),
       {pair("y", "y"), pair("y", ""), pair("", ""), pair("aaaaaaaaaay", "aaaaaaaaaac")}},
      {RecordKind::ranking,
       ranking("z", "b") + ranking("b", "z"),
       ranking("y", "c"),
       {ranking("y", "y"), ranking("y", ""), ranking("aaaaaaaaaay", "aaaaaaaaaac")}},
      {RecordKind::outcome,
       outcome("Q", "z", "true") + outcome("Q", "b", "false") + outcome("Q", "b", "true"),
       outcome("Q", "y", "true"),
       {outcome("a prompt as long", "y", "true"), outcome("Q", "bbbbbbbbbbby", "true")}},
      {RecordKind::steps,
       steps(R"(["z"])", "[1]") + steps(R"(["z", "a"])", "[1, 0]") + steps(R"(["a"])", "[1]") +
           steps(R"(["z"])", "[0]"),
       steps(R"(["y", "a"])", "[1, 0]"),
       {steps(R"(["y", "y", "y", "y", "a"])", "[1, 1, 1, 1, 0]"), steps(R"(["", "a"])", "[1, 0]"),
        steps(R"(["yyyyyyyyyyy", "a"])", "[1, 0]")}},
  };
  for (const Case& one : cases) {
    for (const Truncation policy : policies) {
      CAPTURE(merit::name_of(policy));
      const double before = headline_of(one.kind, one.others + one.right, policy);
      for (const std::string& worse : one.worse) {
        CAPTURE(worse);
        CHECK(headline_of(one.kind, one.others + worse, policy) <= before);
      }
    }
  }
}

merit::Evaluation evaluated(RecordKind kind, const std::string& lines, merit::AnyHead head,
                            merit::RecordSetOptions options = {}) {
  options.tokenize.max_tokens = 8;
  options.tokenize.truncation = Truncation::cut_right;
  options.tokenize.to_judge = true;
  const merit::RecordSet set = merit_test::read_lines(kind, lines, options);
  merit_test::LetterModel model(head, merit::BinaryCrossEntropyLoss<merit::ScoreMeaning::per_token>{});
  return merit::evaluate(model, set, merit::reading_of({}, model.meaning(), false), 0.5, 8192);
}

TEST_CASE("an outcome of which a cut leaves nothing is a miss, by a model of tokens and by one of steps") {
  const std::string lines = R"({"prompt": "Q", "completion": "z", "label": true}
{"prompt": "P", "completion": "b", "label": false}
{"prompt": "a prompt as long", "completion": "z", "label": true}
)";
  merit::RecordSetOptions by_steps;
  by_steps.wants_steps = true;
  for (const bool steps : {false, true}) {
    const merit::Evaluation found =
        steps ? evaluated(RecordKind::outcome, lines, merit::StepHead<1>{}, by_steps)
              : evaluated(RecordKind::outcome, lines, merit::TokenHead{});
    REQUIRE(found.outcomes);
    CHECK(found.outcomes->completions == 3);
    CHECK(found.outcomes->unseen == 1);
    CHECK(found.outcomes->accuracy.value == doctest::Approx(2.0 / 3));
    CHECK(found.left_out == 0);
    CHECK(merit::to_json(found).at("unseen") == 1);
    CHECK(merit_test::contains(
        merit::text_of(found),
        "1 of 3 completions, chosen after those read whole; of 1 nothing was left to read: judged wrong"));
  }
}

TEST_CASE("states behind the cut stand beside the figure, and make it no better") {
  const std::string others = R"({"prompt": "Q", "completion": "nn", "reward": 1}
{"prompt": "Q", "completion": "mm", "reward": 0}
)";
  const auto long_one = [](const std::string& prompt) {
    return "{\"prompt\": \"" + prompt + "\", \"completion\": \"nnnnnnnnnn\", \"reward\": 1}\n";
  };
  const merit::Evaluation some = evaluated(RecordKind::rollout, others + long_one("Q"), merit::ValueHead{});
  REQUIRE(some.values);
  CHECK(some.values->states == 14);
  CHECK(some.values->unseen == 3);
  CHECK(merit_test::contains(merit::text_of(some),
                             "14 states of 3 rollouts; 3 of them cut and not seen: judged wrong"));
  CHECK(merit::to_json(some).at("unseen") == 3);
  const merit::Evaluation none =
      evaluated(RecordKind::rollout, others + long_one("a prompt as long"), merit::ValueHead{});
  CHECK(none.values->states == 14);
  CHECK(none.values->unseen == 10);
  CHECK(none.values->explained_variance->value < some.values->explained_variance->value);
}

}  // namespace accounting_test
