// What a language model writes: transformers' texts, and branches that do not know of each other.
#include "merit/infer/generate.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/infer/session.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/hf_config.hpp"
#include "stored.hpp"

namespace generate_test {

using namespace merit;
template <class Backend>
using Writer = RewardModel<Llama, LanguageModelHead, LanguageModelLoss, Backend>;
using Double = ReferenceBackend<double>;

template <class Backend>
Writer<Backend> stored_writer(const std::string& name) {
  Llama llama = read_backbone_config<Llama>(merit_test::stored(name));
  llama.unembedding = !llama.tied_embedding;
  Writer<Backend> model({.backbone = llama, .initial = Initial::from_file, .scores_only = true});
  load_model_parameters(merit_test::stored(name), model);
  return model;
}

template <class Backend>
void check_texts() {
  const Json golden = read_json(merit_test::stored("generation.json"));
  for (const char* const name : {"llama_lm_tied", "llama_lm_untied"}) {
    auto model = stored_writer<Backend>(name);
    Session session(model);
    for (const Json& text : golden.at("texts")) {
      if (text.at("model") != name) continue;
      CAPTURE(text.dump());
      const auto expected = text.at("tokens").get<std::vector<Token>>();
      const SessionNode prompt = session.extend({}, text.at("prompt").get<std::vector<Token>>());
      const auto written =
          generate(session, prompt,
                   {.sampling = {.repetition_penalty = text.at("repetition_penalty"), .temperature = 0},
                    .max_tokens = expected.size()});
      CHECK(written[0].tokens == expected);
      CHECK(written[0].end == GenerationEnd::limit);
    }
    CHECK(session.counts().nodes == 6);  // the prompts
  }
}

TEST_CASE("the most likely tokens are those that transformers writes") {
  check_texts<Double>();
  check_texts<EigenBackend<float>>();
}

TEST_CASE("a branch is the same whatever is written beside it, and another with another seed") {
  auto model = stored_writer<Double>("llama_lm_untied");
  Session session(model);
  const SessionNode prompt = session.extend({}, std::vector<Token>{1, 2, 3, 4});
  GenerateOptions options{.sampling = {.temperature = 1.5}, .branches = 5, .max_tokens = 12, .seed = 3};
  std::vector<std::vector<Token>> streamed(5);
  const auto five = generate(session, prompt, options, [&](Index branch, Token token) {
    streamed[branch].push_back(token);
    return true;
  });
  CHECK(session.counts().held == 4);
  options.branches = 1;
  const auto one = generate(session, prompt, options);
  CHECK(one[0].tokens == five[0].tokens);
  CHECK(one[0].log_probability == five[0].log_probability);
  for (Index b = 0; b < 5; ++b) CHECK(streamed[b] == five[b].tokens);
  CHECK(five[1].tokens != five[0].tokens);
  options.seed = 4;
  CHECK(generate(session, prompt, options)[0].tokens != one[0].tokens);
}

TEST_CASE("behind several prompts each branch is what it is behind its own, by its number among all") {
  auto model = stored_writer<Double>("llama_lm_untied");
  Session session(model);
  const std::vector<SessionNode> prompts{session.extend({}, std::vector<Token>{1, 2, 3, 4}),
                                         session.extend({}, std::vector<Token>{5, 6})};
  GenerateOptions options{
      .sampling = {.repetition_penalty = 1.3, .temperature = 1.5}, .branches = 3, .max_tokens = 8};
  const auto all = generate(session, prompts, options);
  REQUIRE(all.size() == 6);
  options.first_stream = 3;
  const auto second = generate(session, prompts[1], options);
  for (Index b = 0; b < 3; ++b) {
    CHECK(all[3 + b].tokens == second[b].tokens);
    CHECK(all[3 + b].log_probability == second[b].log_probability);
  }
  CHECK(all[3].tokens != all[0].tokens);
  CHECK(session.counts().held == 6);
  CHECK(generate(session, std::span<const SessionNode>(), options).empty());
}

TEST_CASE("branches end at their tokens, by the callback, or at the limit, and may be kept") {
  auto model = stored_writer<Double>("llama_lm_untied");
  Session session(model);
  const SessionNode prompt = session.extend({}, std::vector<Token>{1, 2, 3, 4});
  // 61, 2, 34, 34, 12, 44, 24, … as transformers has them
  GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = 7, .ends = {12}, .keep = true};
  const Generation ended = generate(session, prompt, options)[0];
  CHECK(ended.tokens == std::vector<Token>{61, 2, 34, 34});
  CHECK(ended.end == GenerationEnd::end_token);
  CHECK(session.tokens(ended.node) == std::vector<Token>{1, 2, 3, 4, 61, 2, 34, 34});
  // The logits at its end are those that made the end token the most likely.
  const auto logits = session.scores_at(std::span(&ended.node, 1));
  CHECK(std::max_element(logits.begin(), logits.end()) - logits.begin() == 12);
  session.release(ended.node);
  CHECK(session.counts().held == 4);

  const Generation stopped =
      generate(session, prompt, options, [](Index, Token token) { return token != 34; })[0];
  CHECK(stopped.tokens == std::vector<Token>{61, 2, 34});
  CHECK(stopped.end == GenerationEnd::stopped);
  CHECK(session.tokens(stopped.node) == std::vector<Token>{1, 2, 3, 4, 61, 2});

  options.ends = {};
  options.keep = false;
  const Generation limited = generate(session, prompt, options)[0];
  CHECK(limited.tokens == std::vector<Token>{61, 2, 34, 34, 12, 44, 24});
  CHECK(limited.end == GenerationEnd::limit);
  CHECK(limited.log_probability < 0);
  options.max_tokens = 0;
  CHECK(generate(session, prompt, options)[0].tokens.empty());
  options.branches = 0;
  CHECK_THROWS_WITH_AS(generate(session, prompt, options), "generate: branches is 0, expected at least 1",
                       ConfigError);
  CHECK_THROWS_AS(generate(session, SessionNode{}), UsageError);
}

}  // namespace generate_test
