// Models of ours as judges: what they are shown, the logits of the two words, replies that depend on their prompt alone.
#include "merit/run/model_judge.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/temporary.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/infer/session.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/run/load_saved_model.hpp"
#include "merit/run/read_saved_model.hpp"

namespace model_judge_test {

using merit::JudgePrompt;
using merit::Token;

using Model = merit::RewardModel<merit::Llama, merit::LanguageModelHead, merit::LanguageModelLoss,
                                 merit::EigenBackend<float>>;

/// A language model of bytes in a folder without a card.
struct Published {
  Published() {
    merit::write_model(temporary.path(), model), std::filesystem::remove(temporary.path() / "merit.json");
  }
  Model model{{.backbone = {.vocabulary_size = 257,
                            .hidden_size = 16,
                            .intermediate_size = 24,
                            .layers = 2,
                            .heads = 2,
                            .kv_heads = 1,
                            .init_deviation = 0.5},
               .seed = 5}};
  merit_test::TemporaryDirectory temporary;
};

const merit::JudgeTemplate compares({{"system", "Judge."}, {"user", "{answer_a}|{answer_b}"}}, "[[", "t");
const merit::PairToJudge two{.question = "q", .answer_a = "yes", .answer_b = "no!", .reference = {}};

std::string text_of(const std::vector<Token>& tokens) {
  std::string text;
  for (const Token token : tokens) text += static_cast<char>(token);
  return text;
}

TEST_CASE("the logits are those of the words behind the prompt, in their order") {
  Published published;
  const merit::OpenOptions options = merit::open_for_words({.tokenizer = "bytes"}, compares);
  const merit::SavedModel saved = merit::read_saved_model(published.temporary.path(), options);
  const auto model = merit::load_saved_model(saved).model;
  merit::LogitJudge judge(*model, saved);
  merit::Session session(published.model);
  for (int again = 0; again < 2; ++again) {  // the second time of what is kept
    for (const bool swapped : {false, true}) {
      const JudgePrompt prompt = merit::detail::prompt_of(compares, two, swapped);
      const std::vector<Token> tokens = merit::judge_tokens(saved, prompt, 0);
      CHECK(text_of(tokens) == std::string("system: Judge.\n\nuser: ") + (swapped ? "no!|yes" : "yes|no!") +
                                   "\n\nassistant: [[");
      session.extend({}, tokens);
      const std::vector<double> found = judge(prompt, std::span<const std::string>(compares.words()));
      CHECK(found[0] == doctest::Approx(static_cast<double>(session.scores()['A'])).epsilon(1e-4));
      CHECK(found[1] == doctest::Approx(static_cast<double>(session.scores()['B'])).epsilon(1e-4));
    }
  }
  const merit::PairJudgement judged = merit::judge_pair_by_logits(compares, two, judge);
  CHECK(judged.verdict().has_value());
  CHECK(judged.probability_of_a().has_value());
  CHECK_THROWS_AS(
      merit::read_saved_model(published.temporary.path(),
                              merit::open_for_words({.tokenizer = "bytes"},
                                                    merit::JudgeTemplate({{"user", "{answer}"}}, "", "t"))),
      merit::ConfigError);  // yes is no one byte
}

TEST_CASE("a reply begins as the template says, and depends on its prompt and the seed alone") {
  Published published;
  merit::TextWriter writer = merit::open_writer(published.temporary.path(), {.tokenizer = "bytes"});
  const merit::WriteOptions options{.max_tokens = 6, .seed = 3};
  merit::WritingJudge judge(writer, options);
  const JudgePrompt first = merit::detail::prompt_of(compares, two, false);
  const JudgePrompt second = merit::detail::prompt_of(compares, two, true);
  const auto replies = judge(first, 3);
  REQUIRE(replies.size() == 3);
  for (const merit::JudgeReply& reply : replies) CHECK(reply.text.starts_with("[["));
  CHECK(replies[0].text != replies[1].text);
  judge(second, 2);
  const auto again = judge(first, 3);
  for (merit::Index i = 0; i < 3; ++i) CHECK(again[i].text == replies[i].text);
  CHECK(replies[0].cut == (replies[0].text.size() >= 8));  // six bytes behind [[
  merit::WritingJudge other(writer, {.max_tokens = 6, .seed = 4});
  CHECK(other(first, 1)[0].text != replies[0].text);
  // What it writes is no verdict.
  const merit::PairJudgement judged = merit::judge_pair(compares, two, judge, 2);
  CHECK(!judged.verdict());
  CHECK(judged.samples[0].given.fault == merit::VerdictFault::absent);
}

TEST_CASE("what is expected is written together, and says what it says alone") {
  Published published;
  merit::TextWriter writer = merit::open_writer(published.temporary.path(), {.tokenizer = "bytes"});
  for (const double temperature : {0.0, 1.0}) {
    const merit::WriteOptions options{.sampling = {.temperature = temperature}, .max_tokens = 6, .seed = 3};
    std::vector<JudgePrompt> prompts;
    for (const char* answer :
         {"no!", "yes", "perhaps", "no!"}) {  // the same again, and the same in both orders
      const merit::PairToJudge pair{.question = "q", .answer_a = "yes", .answer_b = answer, .reference = {}};
      for (const bool swapped : {false, true})
        prompts.push_back(merit::detail::prompt_of(compares, pair, swapped));
    }
    const merit::Index samples = temperature == 0 ? 1 : 3;
    merit::WritingJudge alone(writer, options);
    std::vector<std::vector<merit::JudgeReply>> expected;
    for (const JudgePrompt& prompt : prompts) expected.push_back(alone(prompt, samples));
    for (const merit::Index batch : {merit::Index{1}, merit::Index{200}, merit::Index{8192}}) {
      merit::WritingJudge together(writer, options, batch);
      for (const JudgePrompt& prompt : prompts) together.expect(prompt, samples);
      CHECK(together.is_full() == (batch < 8192));
      for (merit::Index i = 0; i < prompts.size(); ++i) {
        const auto replies = together(prompts[i], samples);
        REQUIRE(replies.size() == samples);
        for (merit::Index s = 0; s < samples; ++s) CHECK(replies[s].text == expected[i][s].text);
      }
      CHECK(!together.is_full());
    }
  }
  merit::WritingJudge small(writer, {.max_tokens = ~merit::Index{0}});
  small.expect(merit::detail::prompt_of(compares, two, false),
               1);  // too long, which is told where it is asked
  CHECK(!small.is_full());
  CHECK_THROWS_AS(small(merit::detail::prompt_of(compares, two, false), 1), merit::DataError);
}

}  // namespace model_judge_test
