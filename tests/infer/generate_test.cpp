// What a language model writes: transformers' texts, and branches that do not know of each other.
#include "merit/infer/generate.hpp"

#include <doctest/doctest.h>

#include <concepts>
#include <utility>
#include <vector>

#include "merit/backbone/gpt2.hpp"
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
  // With a seed of its own a prompt has its branches wherever it stands.
  options.first_stream = 0;
  options.seeds = {8, 9};
  const auto seeded = generate(session, prompts, options);
  options.seeds = {9};
  const auto own = generate(session, std::span(prompts).subspan(1), options);
  for (Index b = 0; b < 3; ++b) CHECK(seeded[3 + b].tokens == own[b].tokens);
  CHECK_THROWS_WITH_AS(generate(session, prompts, options), "generate: found 1 seeds, expected 2",
                       merit::UsageError);
  options.seeds.clear();
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

TEST_CASE("what is looked up is what followed the last tokens where they stood before") {
  const std::vector<Token> text{1, 2, 3, 4, 1, 2, 5, 1, 2};
  const auto found = [&](Index match, Index count) {
    const auto tokens = detail::looked_up(text, match, count);
    return std::vector<Token>(tokens.begin(), tokens.end());
  };
  CHECK(found(2, 3) == std::vector<Token>{5, 1, 2});
  CHECK(found(2, 4) == std::vector<Token>{3, 4, 1, 2});  // as many do not follow at the last place
  CHECK(found(2, 9) == std::vector<Token>{3, 4, 1, 2, 5, 1, 2});
  CHECK(found(1, 1) == std::vector<Token>{5});
  CHECK(found(3, 2).empty());
  CHECK(found(2, 0).empty());
  CHECK(found(9, 2).empty());
  CHECK(detail::looked_up({}, 1, 2).empty());
}

/// The branches with and without lookup; gives how many proposed tokens were not accepted, and how many were.
template <class Model>
std::pair<Index, Index> check_lookup(Model& model, const std::vector<std::vector<Token>>& prompts,
                                     GenerateOptions options, const OnToken& on_token = {}) {
  Session session(model);
  std::vector<SessionNode> nodes;
  for (const std::vector<Token>& prompt : prompts) nodes.push_back(session.extend({}, prompt));
  const Index held = session.counts().held;
  options.keep = true;
  const auto plain = generate(session, nodes, options, on_token);
  std::vector<std::vector<Token>> kept;
  for (const Generation& one : plain) {
    CHECK(one.proposed == 0);
    kept.push_back(session.tokens(one.node));
    if (one.node != SessionNode{}) session.release(one.node);
  }
  CHECK(session.counts().held == held);

  options.lookup = 4;
  const Index computed = session.counts().computed;
  std::vector<std::vector<Token>> streamed(plain.size());
  const auto found = generate(session, nodes, options, [&](Index branch, Token token) {
    streamed[branch].push_back(token);
    return !on_token || on_token(branch, token);
  });
  Index accepted = 0, proposed = 0, written = 0;
  for (Index b = 0; b < plain.size(); ++b) {
    CHECK(found[b].tokens == plain[b].tokens);
    CHECK(streamed[b] == plain[b].tokens);
    CHECK(found[b].end == plain[b].end);
    if constexpr (std::same_as<typename Model::BackendType, Double>)
      CHECK(found[b].log_probability == plain[b].log_probability);
    CHECK(session.tokens(found[b].node) == kept[b]);
    accepted += found[b].accepted;
    proposed += found[b].proposed;
    written += found[b].tokens.size();
    if (found[b].node != SessionNode{}) session.release(found[b].node);
  }
  CHECK(session.counts().held == held);
  CHECK(session.counts().nodes == prompts.size());
  if (plain.size() == 1 && written != 0 && plain[0].end == GenerationEnd::limit) {
    // The prompt's last token, and in each step one token and what is proposed behind it.
    CHECK(session.counts().computed - computed == 1 + (written - 1 - accepted) + proposed);
  }
  return {proposed - accepted, accepted};
}

TEST_CASE("with lookup each branch is what it is without, in fewer steps") {
  const std::vector<Token> repeating{1, 2, 3, 4, 61, 2, 34, 34, 12, 44, 1, 2, 3, 4};
  const std::vector<std::vector<Token>> one{repeating}, several{repeating, {1, 2, 3, 4}, {5, 6}};
  auto model = stored_writer<Double>("llama_lm_untied");
  GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = 40};
  for (const Index match : {Index{1}, Index{2}}) {
    CAPTURE(match);
    options.lookup_match = match;
    options.sampling = {.temperature = 0};
    const auto [missed, accepted] = check_lookup(model, one, options);
    CHECK(missed > 0);
    CHECK(accepted > 5);
    options.sampling = {.repetition_penalty = 1.1, .temperature = 0.7, .top_k = 8};
    options.branches = 3;
    options.seed = 5;
    CHECK(check_lookup(model, several, options).first > 0);
    options.branches = 1;
  }
  options.lookup_match = 1;
  options.sampling = {.temperature = 0.3};
  options.branches = 4;
  CHECK(check_lookup(model, several, options).second > 10);
  // Ends by a token, by the callback, and at once.
  options.sampling.temperature = 0;
  options.ends = {44};
  check_lookup(model, several, options);
  options.ends = {};
  Index calls = 0;
  check_lookup(model, one, options, [&](Index, Token) { return ++calls % 7 != 0; });
  for (options.max_tokens = 0; options.max_tokens < 12; ++options.max_tokens) {
    options.branches = 1;
    check_lookup(model, one, options);
  }
  auto single = stored_writer<EigenBackend<float>>("llama_lm_untied");
  options.max_tokens = 30;
  check_lookup(single, several, options);

  Session session(model);
  options.lookup_match = 0;
  options.lookup = 1;
  CHECK_THROWS_WITH_AS(generate(session, session.extend({}, repeating), options),
                       "generate: lookup_match is 0, expected at least 1", ConfigError);
}

TEST_CASE("nothing is proposed beyond the positions of a model") {
  RewardModel<Gpt2, LanguageModelHead, LanguageModelLoss, Double> model(
      {.backbone = {.vocabulary_size = 8, .hidden_size = 8, .layers = 1, .heads = 2, .max_positions = 24}});
  const std::vector<Token> prompt{1, 2, 1, 2, 1, 2, 1};
  GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = 18, .lookup_match = 1};
  CHECK(check_lookup(model, {prompt}, options).first + check_lookup(model, {prompt}, options).second > 0);
  // It ends before the positions do, and what is proposed does not go on.
  Index calls = 0;
  options.max_tokens = 99;
  check_lookup(model, {prompt}, options, [&](Index, Token) { return ++calls % 18 != 0; });
}

}  // namespace generate_test
