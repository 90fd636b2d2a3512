// What a preference record's fields become.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

#include "merit/records/jsonl.hpp"
#include "merit/records/record.hpp"

namespace record_test {

using Messages = std::vector<merit::Message>;
using Ids = std::vector<merit::Token>;

merit::PreferenceRecord read(const std::string& line) {
  std::istringstream in(line);
  merit::PreferenceReader reader(in, "one.jsonl");
  return reader.next().value();
}

TEST_CASE("text fields are taken as they stand, escapes resolved") {
  const auto r =
      read(R"({"prompt": "a\n\u00e9", "chosen": "\ud83d\ude00", "rejected": "x\u0000y", "id": 7})");
  CHECK(r.form == merit::RecordForm::text);
  CHECK(std::get<std::string>(r.prompt.value()) == "a\n\xC3\xA9");
  CHECK(std::get<std::string>(r.chosen) == "\xF0\x9F\x98\x80");
  CHECK(std::get<std::string>(r.rejected) == std::string("x\0y", 3));
  CHECK_FALSE(r.margin);
  CHECK_FALSE(r.weight);
  CHECK_FALSE(r.soft_label);
  CHECK(r.source.text() == "one.jsonl:1");
}

TEST_CASE("a prompt that is absent, null or empty differs only in being given") {
  CHECK_FALSE(read(R"({"chosen": "a", "rejected": "b"})").prompt);
  CHECK_FALSE(read(R"({"prompt": null, "chosen": "a", "rejected": "b"})").prompt);
  CHECK(read(R"({"prompt": "", "chosen": "a", "rejected": "b"})").prompt);
}

TEST_CASE("numbers are read, whole or not, and null counts as absent") {
  const auto r = read(R"({"chosen": "a", "rejected": "b", "margin": -2, "weight": 0, "soft_label": 0.5})");
  CHECK(r.margin == -2);
  CHECK(r.weight == 0);
  CHECK(r.soft_label == 0.5);
  CHECK_FALSE(read(R"({"chosen": "a", "rejected": "b", "margin": null})").margin);
  CHECK(read(R"({"chosen": "a", "rejected": "b", "soft_label": 1})").soft_label == 1);
}

TEST_CASE("conversations keep their messages, and what a message has besides as it was written") {
  const auto r = read(
      R"({"prompt": [{"role": "user", "content": "Hi"}], )"
      R"("chosen": [{"role": "assistant", "content": ""}], "rejected": [{"role": "assistant", "content": "No"}]})");
  CHECK(std::get<Messages>(r.prompt.value()) == Messages{{"user", "Hi"}});
  CHECK(std::get<Messages>(r.chosen) == Messages{{"assistant", ""}});
  CHECK(std::get<Messages>(r.rejected) == Messages{{"assistant", "No"}});
  const auto mixed =
      read(R"({"prompt": [{"role": "user", "content": "Hi"}], "chosen": "Yes", "rejected": "No"})");
  CHECK(std::get<std::string>(mixed.chosen) == "Yes");

  const auto more = read(
      R"({"prompt": [{"role": "user", "name": "Ann", "content": "Hi"}, {"role": "user", "content": null},)"
      R"({"role": "user", "content": [{"type": "text", "text": "x"}]}, {"role": "assistant", "tool_calls": [)"
      R"({"function": {"name": "f", "arguments": {"z": 1, "a": 2.5}}}]}], "chosen": "Yes", "rejected": "No"})");
  const auto prompt = std::get<Messages>(more.prompt.value());
  CHECK(prompt[0].content == "Hi");
  CHECK(text_of(prompt[0].whole) == R"({"role": "user", "name": "Ann", "content": "Hi"})");
  CHECK(text_of(prompt[1].whole) == R"({"role": "user", "content": null})");
  CHECK(text_of(prompt[2].whole) == R"({"role": "user", "content": [{"type": "text", "text": "x"}]})");
  CHECK(prompt[3].content.empty());
  CHECK(text_of(*prompt[3].whole.find("tool_calls")) ==
        R"([{"function": {"name": "f", "arguments": {"z": 1, "a": 2.5}}}])");  // in the order written
}

TEST_CASE(
    "tools and variables of the template are kept in the order written; tools may be text that is JSON") {
  const std::string rest =
      R"("prompt": [{"role": "user", "content": "Hi"}], "chosen": "Yes", "rejected": "No"})";
  const auto r =
      read(R"({"tools": [{"z": 1, "a": 2}], "chat_template_kwargs": {"enable_thinking": false}, )" + rest);
  CHECK(text_of(r.inputs.tools) == R"([{"z": 1, "a": 2}])");
  CHECK(text_of(r.inputs.variables) == R"({"enable_thinking": false})");
  CHECK(text_of(read(R"({"tools": "[{\"z\": 1, \"a\": 2}]", )" + rest).inputs.tools) ==
        R"([{"z": 1, "a": 2}])");
  CHECK_THROWS_WITH(read(R"({"tools": {"a": 1}, )" + rest),
                    "one.jsonl:1: field 'tools': found an object, expected a list of tools");
  CHECK_THROWS_WITH(read(R"({"chat_template_kwargs": [], )" + rest),
                    "one.jsonl:1: field 'chat_template_kwargs': found an empty array, expected an object");
}

TEST_CASE("ids and features are lists of numbers") {
  const auto ids =
      read(R"({"prompt_ids": [], "chosen_ids": [0, 4294967295], "rejected_ids": [2], "chosen": null})");
  CHECK(ids.form == merit::RecordForm::ids);
  CHECK(ids.prompt_ids.value().empty());
  CHECK(ids.chosen_ids == Ids{0, 4294967295u});
  CHECK(ids.rejected_ids == Ids{2});

  const auto features =
      read(R"({"chosen_features": [1, -2.5], "rejected_features": [0, 1e30], "weight": 2})");
  CHECK(features.form == merit::RecordForm::features);
  CHECK(features.chosen_features == std::vector<float>{1.0f, -2.5f});
  CHECK(features.rejected_features == std::vector<float>{0.0f, 1e30f});
  CHECK(features.weight == 2);
}

}  // namespace record_test
