// Rewards for trainers: what stands where, what counts, and what is refused before it is learned from.
#include "merit/serve/reward_endpoints.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <utility>

#include "serve/letters_api.hpp"

namespace reward_endpoints_test {

using merit::Json;
using merit::ScoringApi;
using merit_test::cut_letters;
using merit_test::letters;
using merit_test::posted;
using merit_test::refused;
using merit_test::saved_letters;
using merit_test::saved_steps;

TEST_CASE("rewards as OpenRLHF asks for them") {
  ScoringApi api = letters();
  const Json rewards = posted(api, "/get_reward", {{"query", {"abn", "cdo"}}, {"prompts", {"ab", "cd"}}});
  CHECK(rewards["rewards"] == Json{1, 2});
  CHECK(rewards["scores"] == Json{1, 2});
  CHECK(refused(api, "/get_reward", {{"query", {"a", "b"}}, {"prompts", {"a"}}}) ==
        "the request: found 1 prompts and 2 queries, expected as many of both");
  // A prompt that is none of its query's is no part of what is scored, nor is a query without an answer.
  CHECK(
      refused(api, "/get_reward", {{"query", {"abn", "Weißn"}}, {"prompts", {"ab", "Weisen"}}}) ==
      "the request: field 'prompts', entry 1: found \"sen\" from byte 3 on, where its query has \"ßn\", expected a prompt "
      "that its query begins with");
  CHECK(refused(api, "/get_reward", {{"query", {"ab"}}, {"prompts", {"abn"}}})
            .find("found \"n\" from byte 2 on") != std::string::npos);
  CHECK(refused(api, "/get_reward", {{"query", {"ab"}}, {"prompts", {"ab"}}}) ==
        "the request: field 'query', entry 0 has no score: empty: no tokens in the completion");
  CHECK(posted(api, "/get_reward", {{"query", {"abn"}}, {"prompts", {""}}})["rewards"] == Json{1});
  ScoringApi cut = letters(cut_letters());
  const Json marked = posted(cut, "/get_reward", {{"query", {"n", std::string(30, 'o')}}});
  CHECK(marked["rewards"] == Json{1, 2});
  CHECK(marked["extra_logs"] == Json{{"cut", {0, 1}}});
  merit::SavedModel chat = saved_letters(merit::ScalarHead{});
  chat.tokenize.strings_as_chat = true;
  ScoringApi strings = letters(std::move(chat));
  CHECK(refused(strings, "/get_reward", {{"query", {"a"}}})
            .starts_with("/get_reward takes text as a chat template"));
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
  CHECK(
      refused(api, "/rewards",
              {{"rollouts", {{{"completion", "n"}}, {{"chosen", "n"}, {"rejected", "l"}}}}}) ==
      "the request: field 'rollouts', entry 1: found a record of several completions, expected a rollout, which has one");
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"gama", 1}}).ends_with("(did you mean gamma?)"));
  CHECK(refused(api, "/rewards", {{"rollouts", {{{"completion", "n"}, {"values", {1}}}}}})
            .starts_with(
                "the request: field 'rollouts', entry 0: found the field \"values\", expected one of: "));
  CHECK(refused(api, "/rewards", {{"rollouts", rollouts}, {"values", Json::array()}})
            .find("found an empty array") != std::string::npos);
  CHECK(refused(api, "/rewards",
                {{"rollouts", {{{"completion", "n"}}, {{"completion", std::string(30, 'n')}}}}}) ==
        "the request: field 'rollouts', entry 1 has no score: too long");

  ScoringApi of_steps = letters(saved_steps());
  const Json dense =
      posted(of_steps, "/rewards",
             {{"rollouts", {{{"completion", "n\nl\n"}}}}, {"timing", "dense"}, {"worth", "change"}});
  REQUIRE(dense["rewards"][0].size() == 2);
  CHECK(dense["rewards"][0][1].get<double>() == doctest::Approx(0.2689414214 - 0.7310585786));
}

TEST_CASE("a rollout that was cut is marked beside its reward, and has its scores") {
  merit::SavedModel saved = cut_letters();
  saved.about.reward_mean = 1;
  saved.about.reward_deviation = 2;
  ScoringApi api = letters(std::move(saved));
  const Json answer = posted(
      api, "/rewards",
      {{"rollouts", {{{"completion", "o"}}, {{"completion", std::string(30, 'p')}}}}, {"normalised", true}});
  CHECK(answer["rewards"] == Json{{0.5}, {1.0}});
  CHECK(answer["scores"] == Json{2.0, 3.0});
  CHECK(answer["calibrated"] == Json{0.5, 1.0});
  CHECK(answer["cut"] == Json{false, true});
}

TEST_CASE("tokens that the policy did not write, by both policies") {
  ScoringApi api = letters();
  Json body{{"rollouts", {{{"completion", "n"}}}},
            {"values", {{0.5, 9.0, 0.25}}},
            {"mask", {{1, 0, 1}}},
            {"gamma", 0.5},
            {"lambda", 0.5}};
  // By hand, the reward 1 at the last token: A_2 = 1 − 0.25; skipped, A_0 = 0.5·0.25 − 0.5 + 0.25·A_2.
  const Json skipped = posted(api, "/rewards", body);
  CHECK(skipped["rewards"] == Json{{0.0, 0.0, 1.0}});
  CHECK(skipped["advantages"] == Json{{0.125 - 0.5 + 0.25 * 0.75, 0.0, 0.75}});
  CHECK(skipped["returns"] == Json{{0.125 + 0.25 * 0.75, 0.0, 1.0}});
  // As zero, the token between has value 0 and A_1 = 0.5·0.25 + 0.25·A_2; A_0 = −0.5 + 0.25·A_1.
  body["masked"] = "zero";
  CHECK(posted(api, "/rewards", body)["advantages"] ==
        Json{{-0.5 + 0.25 * (0.125 + 0.25 * 0.75), 0.0, 0.75}});
  // Masked tokens are none of those that are whitened, whose mean may be kept.
  body["masked"] = "skip";
  body["whiten"] = true;
  const double a = 0.125 - 0.5 + 0.25 * 0.75, b = 0.75, scale = 1 / (std::abs(a - b) / std::sqrt(2.0));
  const Json removed = posted(api, "/rewards", body)["advantages"][0];
  CHECK(removed[0].get<double>() == doctest::Approx((a - b) / 2 * scale));
  CHECK(removed[1] == 0);
  body["centre"] = "kept";
  CHECK(posted(api, "/rewards", body)["advantages"][0][0].get<double>() ==
        doctest::Approx((a - b) / 2 * scale + (a + b) / 2));

  CHECK(
      refused(api, "/rewards",
              {{"rollouts", {{{"completion", "n"}}}}, {"values", {{0, 0}}}, {"mask", {{1, 0}}}}) ==
      "the request: field 'mask', entry 0: found 0 for token 1, where the terminal reward stands and would be lost, "
      "expected 1");
  body["mask"] = {{1, 1}};
  CHECK(refused(api, "/rewards", body) ==
        "the request: field 'mask', entry 0: found 2 numbers, expected 3, one for each of its values");
  body["mask"] = {{1, 2, 1}};
  CHECK(refused(api, "/rewards", body) ==
        "the request: field 'mask': found 2, expected a list of a list of 0 and 1 for each rollout");
  CHECK(refused(api, "/rewards",
                {{"rollouts", {{{"completion", "n"}}}}, {"values", {{0}}}, {"masked", "skip"}}) ==
        "the request: field 'masked': found it without 'mask', of whose tokens it is");
  CHECK(
      refused(api, "/rewards", {{"rollouts", {{{"completion", "n"}}}}, {"values", {{0}}}, {"centre", "kept"}})
          .find("without 'whiten'") != std::string::npos);
}

TEST_CASE("the terminal reward stands on the last token or one past it, and nothing behind it counts") {
  ScoringApi api = letters();
  Json body{{"rollouts", {{{"completion", "n"}}}},
            {"values", {{0.5, 0.25, 9.0, 9.0}}},
            {"lengths", {2}},
            {"lambda", 1}};
  const Json last = posted(api, "/rewards", body);
  CHECK(last["rewards"] == Json{{0.0, 1.0, 0.0, 0.0}});
  CHECK(last["advantages"] == Json{{0.5, 0.75, 0.0, 0.0}});
  body["place"] = "one_past";
  const Json past = posted(api, "/rewards", body);
  CHECK(past["rewards"] == Json{{0.0, 0.0, 1.0, 0.0}});
  CHECK(past["advantages"] == Json{{0.5, 0.75, -8.0, 0.0}});
  CHECK(past["returns"] == Json{{1.0, 1.0, 1.0, 0.0}});
  body["lengths"] = {4};  // there is no place behind it
  CHECK(posted(api, "/rewards", body)["rewards"] == Json{{0.0, 0.0, 0.0, 1.0}});
  body["lengths"] = {5};
  CHECK(refused(api, "/rewards", body) ==
        "the request: field 'lengths', entry 0: found 5, expected at most 4, as many as it has values");
  body["lengths"] = {0};
  CHECK(refused(api, "/rewards", body).find("at least 1") != std::string::npos);
  body["lengths"] = {1, 1};
  CHECK(refused(api, "/rewards", body) ==
        "the request: field 'lengths': found 2 numbers, expected 1, one for each rollout");
  body.erase("lengths");
  CHECK(refused(api, "/rewards", body).find("found it without 'lengths'") != std::string::npos);
  body["place"] = "first";
  CHECK(refused(api, "/rewards", body).find("last_token, one_past") != std::string::npos);
}

TEST_CASE("the rewards of steps stand at the tokens where the steps end") {
  ScoringApi api = letters(saved_steps());
  const double good = 0.7310585786, bad = 0.2689414214;
  Json body{{"rollouts", {{{"completion", "n\nl\n"}}}},
            {"timing", "dense"},
            {"values", {{0, 0, 0, 0, 0}}},
            {"step_ends", {{1, 4}}}};
  const Json rewards = posted(api, "/rewards", body)["rewards"][0];
  REQUIRE(rewards.size() == 5);
  CHECK(rewards[1].get<double>() == doctest::Approx(good));
  CHECK(rewards[2] == 0);
  CHECK(rewards[4].get<double>() == doctest::Approx(bad));
  body["worth"] = "change";
  CHECK(posted(api, "/rewards", body)["rewards"][0][4].get<double>() == doctest::Approx(bad - good));
  body["mask"] = {{1, 1, 0, 0, 1}};
  posted(api, "/rewards", body);
  body["mask"] = {{1, 0, 1, 1, 1}};
  CHECK(
      refused(api, "/rewards", body) ==
      "the request: field 'step_ends', entry 0: found 1, which the mask takes out with the step's reward, expected a "
      "token of the policy");
  body.erase("mask");
  for (const Json& ends : {Json{1, 5}, Json{4, 1}, Json{1, 1}}) {
    body["step_ends"] = Json::array({ends});
    CHECK(refused(api, "/rewards", body).find("expected ascending places under 5") != std::string::npos);
  }
  body["step_ends"] = {{1, 2, 4}};
  CHECK(refused(api, "/rewards", body) ==
        "the request: field 'step_ends', entry 0: found 3 places, expected 2, one for each step");
  body.erase("step_ends");
  CHECK(
      refused(api, "/rewards", body) ==
      "the request: field 'values', entry 0: found 5 values, expected 2, one for each step of the rollout, or 'step_ends' "
      "that say at which tokens they end");
  CHECK(refused(api, "/rewards",
                {{"rollouts", {{{"completion", "n\n"}}}}, {"values", {{0}}}, {"step_ends", {{0}}}})
            .find("found it without the timing dense") != std::string::npos);

  merit::SavedModel saved = saved_steps();
  saved.tokenize.truncation = merit::Truncation::cut_right;
  saved.tokenize.max_tokens = 3;
  ScoringApi cut = letters(std::move(saved));
  CHECK(refused(cut, "/rewards",
                {{"rollouts", {{{"completion", "n\nl\n"}}}},
                 {"timing", "dense"},
                 {"values", {{0, 0}}},
                 {"step_ends", {{0, 1}}}})
            .ends_with("expected 1, one for each step that the cut left"));

  // Of tokens, those of the mask have none.
  ScoringApi of_tokens = letters(saved_letters(merit::TokenHead{}));
  Json tokens{
      {"rollouts", {{{"completion", "nl"}}}}, {"timing", "dense"}, {"values", {{0, 0}}}, {"mask", {{0, 1}}}};
  const Json masked = posted(of_tokens, "/rewards", tokens)["rewards"][0];
  CHECK(masked[0] == 0);
  CHECK(masked[1].get<double>() == doctest::Approx(bad));
  tokens["worth"] = "change";
  CHECK(refused(of_tokens, "/rewards", tokens).find("found change beside a mask") != std::string::npos);
  tokens.erase("worth");
  tokens["step_ends"] = {{0, 1}};
  CHECK(refused(of_tokens, "/rewards", tokens).find("a model that scores no steps") != std::string::npos);
}

TEST_CASE("dense rewards by the card are those of calibrated steps, and of nothing else") {
  merit::SavedModel steps = saved_steps();
  steps.about.calibration = "platt";
  steps.about.calibration_scale = 2;
  steps.about.calibration_offset = 1;
  ScoringApi api = letters(std::move(steps));
  const Json body{{"rollouts", {{{"completion", "n\nl\n"}}}}, {"timing", "dense"}, {"normalised", true}};
  const Json rewards = posted(api, "/rewards", body)["rewards"][0];
  CHECK(rewards[0].get<double>() == doctest::Approx(1 / (1 + std::exp(-3.0))));
  CHECK(rewards[1].get<double>() == doctest::Approx(1 / (1 + std::exp(1.0))));

  merit::SavedModel tokens = saved_letters(merit::TokenHead{});
  tokens.about.calibration = "temperature";
  ScoringApi of_tokens = letters(std::move(tokens));
  CHECK(refused(of_tokens, "/rewards", body).find("says nothing of their tokens or steps") !=
        std::string::npos);
  ScoringApi none = letters(saved_steps());
  CHECK(refused(none, "/rewards", body).find("expected a model whose card has a calibration") !=
        std::string::npos);
}

}  // namespace reward_endpoints_test
