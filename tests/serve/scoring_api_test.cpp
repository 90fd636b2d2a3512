// Requests in the shapes that clients of other servers send: answers in theirs, and a sentence for what is wrong.
#include "merit/serve/scoring_api.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "run/letter_model.hpp"

namespace scoring_api_test {

using merit::Json;
using merit::ScoringApi;

merit::SavedModel saved_letters(merit::AnyHead head) {
  merit::SavedModel saved;
  saved.place = "models/letters/";
  saved.head = std::move(head);
  saved.tokenizer = merit::make_tokenizer("bytes");
  saved.tokenize.append_eos = false;
  saved.tokenize.max_tokens = 20;
  saved.tokenize.truncation = merit::Truncation::drop;
  return saved;
}

ScoringApi letters(merit::SavedModel saved = saved_letters(merit::ScalarHead{}),
                   merit::ServeOptions options = {}) {
  auto model = std::make_unique<merit_test::LetterModel>(saved.head, merit::PairwiseLoss{});
  return ScoringApi(merit::Scorer(std::move(saved), std::move(model)), std::move(options));
}

Json posted(ScoringApi& api, const char* path, const Json& body, int status = 200) {
  const merit::ServeReply reply = api.answer("POST", path, body.dump());
  CHECK_MESSAGE(reply.status == status, reply.body);
  return Json::parse(reply.body);
}
std::string refused(ScoringApi& api, const char* path, const Json& body, int status = 400) {
  return posted(api, path, body, status).at("error").at("message").get<std::string>();
}

TEST_CASE("records are scored as merit_score does, each with its own error") {
  ScoringApi api = letters();
  const Json one = posted(api, "/score", {{"prompt", "Q"}, {"completion", "n"}});
  CHECK(one["results"][0]["score"] == 1);
  CHECK(one["results"][0]["calibrated"].is_null());
  CHECK(one["results"][0]["probability"].get<double>() == doctest::Approx(0.7310585786));
  CHECK(one["model"] == "letters");
  CHECK(one["usage"]["total_tokens"] == 2);

  const Json several = posted(api, "/score",
                              {{"records",
                                {{{"completion", "o"}},
                                 {{"prompt", "Q"}, {"completions", {"a", "z", std::string(30, 'a')}}},
                                 {{"chosen", "n"}, {"rejected", "l"}},
                                 {{"prompt", 3}, {"completion", "o"}},
                                 {{"completion", std::string(30, 'a')}},
                                 5}}});
  const Json& results = several["results"];
  CHECK(results[0]["score"] == 2);
  CHECK(results[1]["completions"][1]["score"] == 13);
  CHECK(results[1]["completions"][2]["score"].is_null());
  CHECK(results[1]["completions"][2]["error"] == "no score: too long");
  CHECK(results[1]["order"] == Json{1, 0});
  CHECK(results[2]["completions"][1]["score"] == -1);
  CHECK(results[3]["error"] ==
        "the request:4: field 'prompt': found 3, expected a string or a list of messages");
  CHECK(results[4]["error"] == "no score: too long");
  CHECK(results[5]["error"] == "the request:6: found 5, expected a record, which is an object");
  CHECK(results.size() == 6);
}

TEST_CASE("one record alone that has no score refuses the request") {
  ScoringApi api = letters();
  CHECK(refused(api, "/score", {{"records", 5}}) == "the request: field 'records': found 5, expected a list");
  CHECK(refused(api, "/score", {{"prompt", 3}, {"completion", "o"}})
            .starts_with("the request:1: field 'prompt'"));
  CHECK(refused(api, "/score", {{"completion", std::string(30, 'a')}}) == "no score: too long");
}

TEST_CASE("texts in pairs as vLLM takes them") {
  ScoringApi api = letters();
  const Json one = posted(api, "/v1/score", {{"model", "letters"}, {"text_1", "Q"}, {"text_2", {"n", "l"}}});
  CHECK(one["data"][0]["score"] == 1);
  CHECK(one["data"][1]["score"] == -1);
  CHECK(one["data"][1]["index"] == 1);
  CHECK(one["data"][1]["object"] == "score");
  const Json both = posted(api, "/score", {{"text_1", {"Q", "R"}}, {"text_2", {"n", "o"}}});
  CHECK(both["data"][1]["score"] == 2);
  CHECK(refused(api, "/score", {{"text_1", {"Q", "R"}}, {"text_2", {"n"}}}) ==
        "the request: found 2 first texts and 1 second ones, expected one first text, or as many of both");
  CHECK(refused(api, "/score", {{"text_1", "Q"}}) ==
        "the request: field 'text_2' is missing, expected a string, or a list of at least one string");
  CHECK(refused(api, "/score", {{"text_1", "Q"}, {"text_2", {"n", std::string(30, 'a')}}}) ==
        "the request: field 'text_2', entry 1 has no score: too long");
}

TEST_CASE("documents are put in order") {
  ScoringApi api = letters();
  const Json all =
      posted(api, "/v1/rerank", {{"query", "Q"}, {"documents", {"a", {{"text", "z"}}, "n"}}, {"top_n", 2}});
  CHECK(all["results"].size() == 2);
  CHECK(all["results"][0]["index"] == 1);
  CHECK(all["results"][0]["score"] == 13);
  CHECK(all["results"][0]["relevance_score"].get<double>() == doctest::Approx(1 / (1 + std::exp(-13.0))));
  CHECK(all["results"][0]["document"]["text"] == "z");
  CHECK(all["results"][1]["index"] == 2);

  const Json of_tei = posted(
      api, "/rerank", {{"query", "Q"}, {"texts", {"l", "n"}}, {"raw_scores", true}, {"return_text", true}});
  CHECK(of_tei ==
        Json{{{"index", 1}, {"score", 1.0}, {"text", "n"}}, {{"index", 0}, {"score", -1.0}, {"text", "l"}}});
  const Json squashed = posted(api, "/rerank", {{"query", "Q"}, {"texts", {"m"}}});
  CHECK(squashed == Json{{{"index", 0}, {"score", 0.5}}});
  CHECK(refused(api, "/rerank", {{"query", "Q"}, {"documents", {"~"}}}) ==
        "the request: field 'documents', entry 0 has no score: the score is not finite");
  CHECK(refused(api, "/rerank", {{"query", {"Q", "R"}}, {"documents", {"n"}}}).find("expected a string") !=
        std::string::npos);
  CHECK(refused(api, "/rerank", {{"query", "Q"}, {"documents", {"n"}}, {"top_n", 0}}) ==
        "the request: field 'top_n': found 0, expected a whole number of at least 1");
}

TEST_CASE("rewards as OpenRLHF asks for them") {
  ScoringApi api = letters();
  const Json rewards = posted(api, "/get_reward", {{"query", {"abn", "cdo"}}, {"prompts", {"ab", "cd"}}});
  CHECK(rewards["rewards"] == Json{1, 2});
  CHECK(rewards["scores"] == Json{1, 2});
  CHECK(refused(api, "/get_reward", {{"query", {"a", "b"}}, {"prompts", {"a"}}}) ==
        "the request: found 1 prompts and 2 queries, expected as many of both");
  merit::SavedModel chat = saved_letters(merit::ScalarHead{});
  chat.tokenize.strings_as_chat = true;
  ScoringApi strings = letters(std::move(chat));
  CHECK(refused(strings, "/get_reward", {{"query", {"a"}}})
            .starts_with("/get_reward takes text as a chat template"));
}

TEST_CASE("probabilities, and the scores of steps") {
  ScoringApi api = letters();
  const Json classes = posted(api, "/classify", {{"input", {"n", "l"}}});
  CHECK(classes["data"][0]["label"] == "good");
  CHECK(classes["data"][1]["label"] == "bad");
  CHECK(classes["data"][0]["probs"][0].get<double>() == doctest::Approx(0.7310585786));
  CHECK(posted(api, "/pooling", {{"input", "n"}})["data"][0]["data"] == Json{1.0});

  merit::SavedModel steps = saved_letters(merit::StepHead<1>{});
  steps.tokenize.step_separator = "\n";
  ScoringApi of_steps = letters(std::move(steps));
  const Json pooled = posted(of_steps, "/pooling", {{"input", "n\nl\n"}});
  REQUIRE(pooled["data"][0]["data"].size() == 2);
  CHECK(pooled["data"][0]["data"][0].get<double>() == doctest::Approx(0.7310585786));
  const Json rows = posted(of_steps, "/score", {{"completion", "n\nl\n"}, {"rows", true}});
  CHECK(rows["results"][0]["rows"].size() == 2);
}

TEST_CASE("the calibrated score stands beside the head's own") {
  merit::SavedModel saved = saved_letters(merit::ScalarHead{});
  saved.about.reward_mean = 1;
  saved.about.reward_deviation = 2;
  ScoringApi api = letters(std::move(saved));
  const Json scored = posted(api, "/score", {{"completion", "p"}});
  CHECK(scored["results"][0]["score"] == 3);
  CHECK(scored["results"][0]["calibrated"] == 1);
}

TEST_CASE("rewards, advantages and returns of rollouts") {
  ScoringApi api = letters();
  const Json rollouts = {{{"prompt", "Q"}, {"completion", "n"}}, {{"prompt", "Q"}, {"completion", "l"}}};
  CHECK(posted(api, "/rewards", {{"rollouts", rollouts}})["rewards"] == Json{{1.0}, {-1.0}});
  // By hand: the rewards are 0, 1 and -1; γ = 1, λ = 0.5.
  const Json both =
      posted(api, "/rewards", {{"rollouts", rollouts}, {"values", {{0.5, 0.25}, {0.0}}}, {"lambda", 0.5}});
  CHECK(both["rewards"] == Json{{0.0, 1.0}, {-1.0}});
  CHECK(both["advantages"] == Json{{-0.25 + 0.5 * 0.75, 0.75}, {-1.0}});
  CHECK(both["returns"] == Json{{0.5 - 0.25 + 0.5 * 0.75, 1.0}, {-1.0}});
  const Json white =
      posted(api, "/rewards", {{"rollouts", rollouts}, {"values", {{0.0}, {0.0}}}, {"whiten", true}});
  CHECK(white["advantages"][0][0].get<double>() == doctest::Approx(std::sqrt(0.5)));
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"values", {{0.5}}}}) ==
        "the request: field 'values': found 1 lists, expected 2, one for each rollout");
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"gamma", 2}}) ==
        "the request: field 'gamma': found 2, expected a number from 0 to 1");
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"timing", "dense"}})
            .find("expected terminal ones") != std::string::npos);
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"timing", "now"}}).find("terminal, dense") !=
        std::string::npos);

  // What says nothing is refused, as is what has no number, and a record that is no rollout.
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"whiten", true}}) ==
        "the request: field 'whiten': found it without 'values', of which advantages are made");
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"worth", "change"}}) ==
        "the request: field 'worth': found it without the timing dense, whose rewards it is of");
  CHECK(
      refused(api, "/rewards", {{"rollouts", rollouts}, {"values", {{0.0}, {1e308, -1e308, 1e308}}}}) ==
      "the request: field 'values', entry 1: its advantages or returns are not finite, expected smaller values");
  CHECK(refused(api, "/rewards",
                {{"rollouts", {{{"completion", "n"}}, {{"chosen", "n"}, {"rejected", "l"}}}}}) ==
        "the request:2: found a record of several completions, expected a rollout, which has one");

  merit::SavedModel steps = saved_letters(merit::StepHead<1>{});
  steps.tokenize.step_separator = "\n";
  ScoringApi of_steps = letters(std::move(steps));
  const Json dense =
      posted(of_steps, "/rewards",
             {{"rollouts", {{{"completion", "n\nl\n"}}}}, {"timing", "dense"}, {"worth", "change"}});
  REQUIRE(dense["rewards"][0].size() == 2);
  CHECK(dense["rewards"][0][1].get<double>() == doctest::Approx(0.2689414214 - 0.7310585786));
}

TEST_CASE("what is no request is refused by a status and a sentence") {
  ScoringApi api = letters(saved_letters(merit::ScalarHead{}), {.name = "own", .max_records = 3});
  CHECK(api.answer("POST", "/score", "{").status == 400);
  CHECK(api.answer("POST", "/score", "[1]").status == 400);
  CHECK(api.answer("POST", "/score", std::string(500, '[')).status == 400);
  CHECK(api.answer("GET", "/score", "").status == 405);
  const merit::ServeReply none = api.answer("GET", "/nothing", "");
  CHECK(none.status == 404);
  CHECK(none.body.find("expected one of: /score") != std::string::npos);
  CHECK(refused(api, "/score", {{"model", "letters"}, {"completion", "n"}}, 404) ==
        "the request: found the model \"letters\", expected \"own\", which is served here");
  CHECK(refused(api, "/rerank", {{"query", "Q"}, {"documents", {"n", "n", "n", "n"}}}) ==
        "the request: found 4 completions, expected at most 3");
  api.close();
  CHECK(api.answer("GET", "/health", "").status == 503);
  CHECK(refused(api, "/score", {{"completion", "n"}}, 503) ==
        "no more is scored: the program is about to end");
}

TEST_CASE("health, models and metrics") {
  ScoringApi api = letters();
  CHECK(api.answer("GET", "/health", "").status == 200);
  CHECK(Json::parse(api.answer("GET", "/v1/models", "").body)["data"][0]["id"] == "letters");
  posted(api, "/score", {{"completion", "no"}});
  posted(api, "/score", {{"completion", 3}}, 400);
  const std::string metrics = api.answer("GET", "/metrics", "").body;
  const auto says = [&](const char* line) { CHECK_MESSAGE(metrics.find(line) != std::string::npos, line); };
  says("merit_records_scored_total 1\n");
  says("merit_tokens_scored_total 2\n");
  says("merit_records_waiting 0\n");
  says("merit_requests_total{endpoint=\"/score\",status=\"200\"} 1\n");
  says("merit_requests_total{endpoint=\"/score\",status=\"400\"} 1\n");
  says("merit_request_seconds_count{endpoint=\"/score\"} 2\n");
  says("merit_request_seconds_bucket{endpoint=\"/score\",le=\"+Inf\"} 2\n");
}

}  // namespace scoring_api_test
