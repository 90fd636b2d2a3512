// Requests in the shapes that clients of other servers send: answers in theirs, and a sentence for what is wrong.
#include "merit/serve/scoring_api.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "run/letter_model.hpp"
#include "serve/letters_api.hpp"

namespace scoring_api_test {

using merit::Json;
using merit::ScoringApi;
using merit_test::cut_letters;
using merit_test::letters;
using merit_test::posted;
using merit_test::refused;
using merit_test::saved_letters;
using merit_test::saved_steps;

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
  CHECK(
      results[3]["error"] ==
      "the request: field 'records', entry 3: field 'prompt': found 3, expected a string or a list of messages");
  CHECK(results[4]["error"] == "no score: too long");
  CHECK(results[5]["error"] ==
        "the request: field 'records', entry 5: found 5, expected a record, which is an object");
  CHECK(results.size() == 6);
}

TEST_CASE("one record alone that has no score refuses the request") {
  ScoringApi api = letters();
  CHECK(refused(api, "/score", {{"records", 5}}) == "the request: field 'records': found 5, expected a list");
  CHECK(refused(api, "/score", {{"prompt", 3}, {"completion", "o"}})
            .starts_with("the request: field 'prompt'"));
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

TEST_CASE("documents of which a limit on length took a part stand last, and are marked") {
  ScoringApi api = letters(cut_letters());
  const std::string long_text(30, 'z');
  const Json texts{"n", long_text, "o"};
  for (const char* path : {"/rerank", "/v1/rerank", "/v2/rerank"}) {
    const Json results = posted(api, path, {{"query", "Q"}, {"documents", texts}})["results"];
    CHECK(results[0]["index"] == 2);
    CHECK(results[1]["index"] == 0);
    CHECK(!results[1].contains("cut"));
    CHECK(results[2]["index"] == 1);
    CHECK(results[2]["score"] == 13);
    CHECK(results[2].value("cut", false));
  }
  const Json of_tei =
      posted(api, "/rerank", {{"query", "Q"}, {"texts", {long_text, "n"}}, {"raw_scores", true}});
  CHECK(of_tei == Json{{{"index", 1}, {"score", 1.0}}, {{"index", 0}, {"score", 13.0}, {"cut", true}}});
  const Json scored = posted(api, "/score", {{"prompt", "Q"}, {"completions", texts}})["results"][0];
  CHECK(scored["order"] == Json{2, 0, 1});
  CHECK(scored["completions"][1].value("cut", false));

  merit::SavedModel steps = saved_steps();
  steps.tokenize.truncation = merit::Truncation::cut_right;
  steps.tokenize.max_tokens = 3;
  ScoringApi of_steps = letters(std::move(steps));
  const Json judged = posted(of_steps, "/pooling", {{"input", "n\nl\n"}})["data"][0];
  CHECK(judged.value("cut", false));
  CHECK(judged.value("rows_judged", 0) == 1);
  CHECK(judged.value("rows_of", 0) == 2);
}

TEST_CASE("a field that is not read is refused, or left where a client of another server may send it") {
  ScoringApi api = letters();
  CHECK(refused(api, "/score", {{"promt", "Q"}, {"completion", "n"}})
            .starts_with("the request: found the field \"promt\", expected one of: prompt, "));
  CHECK(refused(api, "/score", {{"promt", "Q"}, {"completion", "n"}}).ends_with("(did you mean prompt?)"));
  CHECK(refused(api, "/score", {{"records", Json::array()}, {"row", true}}) ==
        "the request: found the field \"row\", expected one of: records, rows (did you mean rows?)");
  CHECK(refused(api, "/score", {{"completion", "n"}, {"row", true}}).ends_with("(did you mean rows?)"));
  const Json each = posted(
      api, "/score",
      {{"records",
        {{{"completion", "n"}, {"sytem", "S"}}, {{"completion", "n"}, {"label", true}, {"id", nullptr}}}}});
  CHECK(each["results"][0]["error"].get<std::string>().starts_with(
      "the request: field 'records', entry 0: found the field \"sytem\", expected one of: "));
  CHECK(each["results"][1]["score"] == 1);

  CHECK(refused(api, "/score", {{"completion", "n"}, {"messages", {{{"role", "user"}, {"content", "Q"}}}}}) ==
        "the request: field 'messages': found it beside completions, expected one of the two");

  // Of the clients of other servers, what they are known to send, and what nobody knows yet.
  posted(api, "/v1/rerank",
         {{"query", "Q"},
          {"documents", {"n"}},
          {"model", "letters"},
          {"user", "u"},
          {"max_tokens_per_doc", 9},
          {"truncate_prompt_tokens", -1},
          {"priority", 0},
          {"some_new_option", 1},
          {"query_id", 7}});
  posted(api, "/rerank",
         {{"query", "Q"}, {"texts", {"n"}}, {"truncate", true}, {"truncation_direction", "right"}});
  posted(api, "/get_reward", {{"query", {"n"}}, {"labels", {"l"}}});
  posted(api, "/pooling",
         {{"input", "n"}, {"encoding_format", "float"}, {"normalize", true}, {"request_id", "1"}});
  // But not what is nearly a field that changes the answer.
  CHECK(refused(api, "/rerank", {{"query", "Q"}, {"documents", {"n"}}, {"top_k", 1}})
            .ends_with("(did you mean top_n?)"));
  CHECK(refused(api, "/rerank", {{"query", "Q"}, {"texts", {"n"}}, {"raw_score", true}})
            .ends_with("(did you mean raw_scores?)"));
  CHECK(
      refused(api, "/get_reward", {{"query", {"n"}}, {"prompt", {""}}}).ends_with("(did you mean prompts?)"));
  CHECK(refused(api, "/v1/score", {{"text_1", "Q"}, {"text_2", "n"}, {"text_3", "n"}})
            .find("did you mean text_") != std::string::npos);
  CHECK(refused(api, "/classify", {{"input", "n"}, {"use_activaton", false}})
            .ends_with("(did you mean use_activation?)"));
  // Nor what asks for an answer that is not given.
  CHECK(refused(api, "/pooling", {{"input", "n"}, {"encoding_format", "base64"}}) ==
        "the request: field 'encoding_format': found \"base64\", expected \"float\"");
  CHECK(refused(api, "/pooling", {{"input", "n"}, {"messages", Json::array()}})
            .ends_with("expected none beside 'messages'"));
  for (const char* field : {"add_generation_prompt", "continue_final_message"}) {
    CHECK(refused(api, "/pooling", {{"messages", {{{"role", "user"}, {"content", "n"}}}}, {field, true}})
              .find("expected false") != std::string::npos);
  }
}

TEST_CASE("probabilities, and the scores of steps beside the head's own logits") {
  ScoringApi api = letters();
  const Json classes = posted(api, "/classify", {{"input", {"n", "l"}}});
  CHECK(classes["data"][0]["label"] == "good");
  CHECK(classes["data"][1]["label"] == "bad");
  CHECK(classes["data"][0]["probs"][0].get<double>() == doctest::Approx(0.7310585786));
  CHECK(posted(api, "/classify", {{"input", "n"}, {"use_activation", false}})["data"][0]["probs"] ==
        Json{1.0});
  const Json whole = posted(api, "/pooling", {{"input", "n"}})["data"][0];
  CHECK(whole["data"] == Json{1.0});
  CHECK(!whole.contains("logits"));

  ScoringApi of_steps = letters(saved_steps());
  const Json pooled = posted(of_steps, "/pooling", {{"input", "n\nl\n"}})["data"][0];
  REQUIRE(pooled["data"].size() == 2);
  CHECK(pooled["data"][0].get<double>() == doctest::Approx(0.7310585786));
  CHECK(pooled["logits"] == Json{1.0, -1.0});
  // The product of the steps' probabilities, as its logarithm.
  CHECK(pooled["score"].get<double>() == doctest::Approx(std::log(0.7310585786 * 0.2689414214)));
  CHECK(pooled["probability"].get<double>() == doctest::Approx(0.7310585786 * 0.2689414214));
  CHECK(posted(of_steps, "/pooling", {{"input", "n\nl\n"}, {"softmax", false}})["data"][0]["data"] ==
        Json{1.0, -1.0});
  const Json rows = posted(of_steps, "/score", {{"completion", "n\nl\n"}, {"rows", true}})["results"][0];
  CHECK(rows["rows"].size() == 2);
  CHECK(rows["logits"] == Json{1.0, -1.0});

  ScoringApi of_tokens = letters(saved_letters(merit::TokenHead{}));
  CHECK(posted(of_tokens, "/pooling", {{"input", "nl"}})["data"][0]["logits"] == Json{1.0, -1.0});
}

/// Classes of a step: 0, 1 and its letter.
struct ClassLetters final : merit_test::LetterModel {
  using LetterModel::LetterModel;
  merit::Index outputs() const override { return 3; }
  std::span<const float> score(const Forest& forest) override {
    all.clear();
    for (const float letter : LetterModel::score(forest)) all.insert(all.end(), {0.0f, 1.0f, letter});
    return all;
  }
  std::span<const float> scores() const override { return all; }
  std::vector<float> all;
};

TEST_CASE("of a step with classes each has its logit") {
  merit::SavedModel saved = saved_steps<3>();
  auto model = std::make_unique<ClassLetters>(saved.head, merit::CrossEntropyLoss{});
  ScoringApi api(merit::Scorer(std::move(saved), std::move(model)));
  const Json pooled = posted(api, "/pooling", {{"input", "n\no\n"}})["data"][0];
  CHECK(pooled["logits"] == Json{{0.0, 1.0, 1.0}, {0.0, 1.0, 2.0}});
  // Neutral counts as good.
  CHECK(pooled["data"][0].get<double>() == doctest::Approx(2 * std::exp(1.0) / (1 + 2 * std::exp(1.0))));
}

TEST_CASE("a model of steps takes a conversation, whose last answer has them") {
  ScoringApi api = letters(saved_steps());
  const auto turn = [](const char* role, const char* content) {
    return Json{{"role", role}, {"content", content}};
  };
  const Json messages{turn("user", "Q"), turn("assistant", "n\nl\n")};
  for (const char* path : {"/pooling", "/score", "/classify"}) {
    const Json answer = posted(api, path, {{"messages", messages}});
    const Json& one = answer[path == std::string("/score") ? "results" : "data"][0];
    CHECK(one["score"].get<double>() == doctest::Approx(std::log(0.7310585786 * 0.2689414214)));
    CHECK(one["tokens"] == std::string("uQan\nl\n").size());
  }
  // Steps that come with the tags that the model is read at are cut there, whatever else divides texts.
  merit::SavedModel saved = saved_steps();
  saved.tokenize.step_separator = "#";
  saved.tokenize.step_split = "\n\n";
  ScoringApi tagged = letters(std::move(saved));
  for (const char* text : {"n\n\nl", "n#l#"}) {
    CHECK(posted(tagged, "/pooling",
                 {{"messages", {turn("user", "Q"), turn("assistant", text)}}})["data"][0]["logits"] ==
          Json{1.0, -1.0});
  }
  // An error says once where it is.
  CHECK(
      refused(api, "/pooling", {{"messages", {turn("user", "Q")}}}) ==
      "the request: found a conversation that ends with the role \"user\", expected the assistant's answer, in which "
      "a model of steps scores each step");
  CHECK(
      refused(api, "/pooling", {{"messages", {turn("assistant", "n\n")}}}) ==
      "the request: found a conversation of an answer alone, expected the messages that it answers before it");
  CHECK(refused(api, "/pooling", {{"messages", {turn("user", "Q"), turn("assistant", "")}}}) ==
        "the request has no score: empty: no tokens in the completion");
  CHECK(refused(api, "/pooling", {{"input", {"n\n", ""}}}) ==
        "the request: field 'input', entry 1 has no score: empty: no tokens in the completion");
  merit::SavedModel turns = saved_steps();
  turns.tokenize.step_layout = merit::StepLayout::chat_turns;
  ScoringApi of_turns = letters(std::move(turns));
  CHECK(refused(of_turns, "/pooling", {{"messages", {turn("user", "Q n"), turn("assistant", "+")}}})
            .ends_with("expected all the steps in the last answer"));
}

TEST_CASE("the calibrated score stands beside the head's own") {
  merit::SavedModel saved = saved_letters(merit::ScalarHead{});
  saved.about.reward_mean = 1;
  saved.about.reward_deviation = 2;
  ScoringApi api = letters(std::move(saved));
  const Json scored = posted(api, "/score", {{"completion", "p"}});
  CHECK(scored["results"][0]["score"] == 3);
  CHECK(scored["results"][0]["calibrated"] == 1);

  // A calibration of pairs is none of one side.
  merit::SavedModel pairs = saved_letters(merit::ScalarHead{});
  pairs.about.loss = {{"name", "pairwise"}};
  pairs.about.calibration = "temperature";
  pairs.about.calibration_scale = 2;
  ScoringApi of_pairs = letters(std::move(pairs));
  CHECK(posted(of_pairs, "/score", {{"completion", "p"}})["results"][0]["calibrated"].is_null());

  // Of steps each is calibrated, and they come together as they do without.
  merit::SavedModel steps = saved_steps();
  steps.about.calibration = "temperature";
  steps.about.calibration_scale = 2;
  ScoringApi of_steps = letters(std::move(steps));
  const Json both = posted(of_steps, "/score", {{"completion", "n\nl\n"}})["results"][0];
  const auto log_sigmoid = [](double x) { return -std::log1p(std::exp(-x)); };
  CHECK(both["score"].get<double>() == doctest::Approx(log_sigmoid(1) + log_sigmoid(-1)));
  CHECK(both["calibrated"].get<double>() == doctest::Approx(log_sigmoid(2) + log_sigmoid(-2)));
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
}

TEST_CASE("before the end health says so, and requests are answered") {
  ScoringApi api = letters();
  CHECK(api.answer("GET", "/health", "").status == 200);
  api.announce_end();
  CHECK(api.answer("GET", "/health", "").status == 503);
  CHECK(posted(api, "/score", {{"completion", "n"}})["results"][0]["score"] == 1);
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
