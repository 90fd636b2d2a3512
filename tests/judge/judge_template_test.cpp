// Templates of judges: slots, what each gives, and what is said of those that are none.
#include "merit/judge/judge_template.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace judge_template_test {

using merit::JudgeReading;
using merit::JudgeSlots;
using merit::JudgeTask;
using merit::JudgeTemplate;

JudgeTemplate own(const std::string& text) {
  return JudgeTemplate({{"user", text}}, {}, "mine.txt");
}
std::string error_of(const std::string& text) {
  try {
    own(text);
  } catch (const merit::ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("slots are filled once, whatever stands in what fills them") {
  const JudgeTemplate pair =
      own("Q {question} 1 {answer_a} 2 {answer_b} again {answer_a} {\"json\": {}} { question }");
  CHECK(pair.task() == JudgeTask::pairwise);
  CHECK(!pair.wants_reference());
  const JudgeSlots slots{
      .question = "{answer_b}", .answer_a = "{question}", .answer_b = "b}", .answer = {}, .reference = {}};
  const merit::JudgePrompt prompt = pair.fill(slots);
  REQUIRE(prompt.messages.size() == 1);
  CHECK(prompt.messages[0].role == "user");
  CHECK(prompt.messages[0].content ==
        "Q {answer_b} 1 {question} 2 b} again {question} {\"json\": {}} { question }");
  CHECK(prompt.reply.empty());
}

TEST_CASE("a template that is no text is refused before anything is judged") {
  CHECK_THROWS_WITH_AS(merit::JudgeTemplate({{"user", "{answer} \xff"}}, "", "mine"),
                       "mine: byte 9 is no UTF-8, expected a template of text", merit::ConfigError);
  CHECK_NOTHROW(merit::JudgeTemplate({{"user", "{answer} \xC3\xA9\xF0\x9F\x98\x80"}}, "", "mine"));
}

TEST_CASE("a template is one of pairs or of single answers") {
  CHECK(own("{question} {answer}").task() == JudgeTask::rating);
  CHECK(own("{question} {answer} {reference}").wants_reference());
  CHECK(
      error_of("{question} {answer_a}") ==
      "mine.txt: found the slots {question}, {answer_a}, expected {answer_a} and {answer_b} to compare, or {answer} to rate");
  CHECK(error_of("{answer} {answer_a} {answer_b}")
            .find("expected {answer_a} and {answer_b} to compare, or {answer}") != std::string::npos);
  CHECK(error_of("nothing") ==
        "mine.txt: found no slots, expected {answer_a} and {answer_b} to compare, or {answer} to rate");
  CHECK(
      error_of("{question} {answer_a} {answer_b} {refrence}") ==
      "mine.txt: found the slot {refrence}, expected one of: question, answer_a, answer_b, answer, reference");
  CHECK_THROWS_AS(JudgeTemplate({}, {}, "mine.json"), merit::ConfigError);
}

TEST_CASE("templates of ours ask for what is read") {
  for (const char* name : {"pairwise", "rating", "reference"}) {
    const std::string called = name;
    for (const JudgeReading reading : {JudgeReading::words, JudgeReading::logits}) {
      CAPTURE(called);
      const JudgeTemplate ours = merit::judge_template(called, reading);
      CHECK((ours.task() == JudgeTask::rating) == (called == "rating"));
      CHECK(ours.wants_reference() == (called == "reference"));
      const merit::JudgePrompt prompt =
          ours.fill({"the-question", "the-first", "the-second", "the-answer", "the-reference"});
      std::string all;
      for (const merit::Message& message : prompt.messages) all += message.content;
      CHECK(all.find("the-question") != all.npos);
      CHECK((all.find("the-reference") != all.npos) == (called == "reference"));
      if (called == "rating") {
        CHECK(all.find("the-answer") != all.npos);
        CHECK(all.find(reading == JudgeReading::words ? "[[" : "yes") != all.npos);
      } else {
        CHECK(all.find("the-first") < all.find("the-second"));
        CHECK(all.find("the-second") != all.npos);
        CHECK(all.find("[[A]]") != all.npos);
      }
      CHECK(ours.words()[0] == (called == "rating" ? "yes" : "A"));
      CHECK(ours.words()[1] == (called == "rating" ? "no" : "B"));
      CHECK(prompt.reply == (called != "rating" && reading == JudgeReading::logits ? "[[" : ""));
    }
  }
  CHECK_THROWS_AS(merit::judge_template("other", JudgeReading::words), merit::ConfigError);
}

TEST_CASE("templates of a file: text, or messages in JSON") {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "merit_judge_template_test";
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / name) << text;
    return (folder / name).string();
  };
  const JudgeTemplate text =
      merit::judge_template(write("t.txt", "{question}\n{answer}\n"), JudgeReading::words);
  CHECK(text.fill({"q", "", "", "a", ""}).messages[0].content == "q\na\n");
  const JudgeTemplate json = merit::judge_template(
      write(
          "t.json",
          R"({"messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "{answer_a} {answer_b}"}],
                          "reply": "Better: ", "words": ["one", "two"]})"),
      JudgeReading::logits);
  const merit::JudgePrompt prompt = json.fill({"", "x", "y", "", ""});
  REQUIRE(prompt.messages.size() == 2);
  CHECK(prompt.messages[0].content == "Judge.");
  CHECK(prompt.messages[1].content == "x y");
  CHECK(prompt.reply == "Better: ");
  CHECK(json.words()[1] == "two");
  const auto fails = [&](const char* name, const std::string& content, const std::string& part) {
    CAPTURE(content);
    std::string found;
    try {
      merit::judge_template(write(name, content), JudgeReading::words);
    } catch (const merit::Error& error) {
      found = error.what();
    }
    CHECK(found.find(part) != found.npos);
  };
  fails("u.json", "{}", "messages");
  fails("u.json", R"({"messages": [{"role": "user"}]})", "content");
  fails("u.json", R"({"messages": [{"role": "user", "content": "{answer}"}], "word": 1})", "word");
  fails("u.json", R"({"messages": [{"role": "user", "content": "{answer}"}], "words": ["yes"]})", "two");
  fails("u.json", R"({"messages": [{"role": "user", "content": "{answer}"}], "words": ["yes", "yes"]})",
        "two different words");
  std::filesystem::remove_all(folder);
  CHECK_THROWS_AS(merit::judge_template((folder / "none.txt").string(), JudgeReading::words),
                  merit::ConfigError);
}

}  // namespace judge_template_test
