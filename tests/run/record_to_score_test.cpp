// Lines told by their fields: what is scored of each.
#include "merit/run/record_to_score.hpp"

#include <doctest/doctest.h>

#include <string>
#include <variant>

#include "io/temporary.hpp"
#include "merit/core/error.hpp"

namespace record_to_score_test {

using merit::DataError;
using merit_test::error_of;

merit::RecordToScore parsed(const std::string& line, bool to_order = false) {
  return merit::parse_record_to_score(merit::OrderedJson::parse(line), {"in", 7}, to_order);
}

TEST_CASE("each form by its fields, judged and unjudged") {
  CHECK(std::holds_alternative<merit::CompletionRecord>(parsed(R"({"prompt": "p", "completion": "a"})")));
  CHECK(std::holds_alternative<merit::PreferenceRecord>(
      parsed(R"({"chosen_ids": [1], "rejected_ids": [2], "prompt_ids": [3]})")));
  const auto judged = parsed(R"({"prompt": "p", "response_a": "a", "response_b": "b"})");
  REQUIRE(std::holds_alternative<merit::JudgeRecord>(judged));
  CHECK(std::get<merit::JudgeRecord>(judged).votes.size() == 1);
  CHECK(std::holds_alternative<merit::StepsRecord>(
      parsed(R"({"prompt": "p", "completions": ["a"], "labels": [1]})")));
  const auto several = parsed(R"({"prompt": "p", "completions": ["a", "b"], "labels": [1, 1]})", true);
  REQUIRE(std::holds_alternative<merit::CompletionsRecord>(several));
  CHECK(std::get<merit::CompletionsRecord>(several).completions.size() == 2);
  CHECK(std::get<merit::CompletionsRecord>(several).source.line == 7);
  CHECK(error_of<DataError>([] { parsed(R"({"prompt": "p", "completion": "a"})", true); }) ==
        "in:7: found a record without 'completions', expected several to put in order");
}

TEST_CASE("a conversation with its options") {
  const auto conversation = merit::parse_conversation(
      merit::OrderedJson::parse(
          R"({"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": true})"),
      {"in", 1});
  REQUIRE(conversation.messages.size() == 1);
  CHECK(conversation.options.add_generation_prompt);
  CHECK_FALSE(conversation.options.continue_final_message);
  CHECK(error_of<DataError>([] {
          merit::parse_conversation(merit::OrderedJson::parse(R"({"messages": "hi"})"), {"in", 1});
        }) == "in:1: field 'messages': found a string, expected a list of messages");
}

}  // namespace record_to_score_test
