// A prompt that stands inside the conversations too is read once.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/records/jsonl.hpp"
#include "merit/records/split_key.hpp"

namespace repeated_prompt_test {

using Messages = std::vector<merit::Message>;

template <class Record>
Record read(const std::string& line) {
  std::istringstream in(line);
  merit::RecordReader<Record> reader(in, "in.jsonl");
  return reader.next().value();
}

std::string turn(std::string_view role, std::string_view content) {
  return merit::concat(R"({"role":")", role, R"(","content":")", content, R"("})");
}
std::string pair(const std::string& prompt, const std::string& chosen, const std::string& rejected) {
  return merit::concat(R"({"prompt":)", prompt, R"(,"chosen":[)", chosen, R"(],"rejected":[)", rejected,
                       "]}");
}

const std::string hi = turn("user", "Hi");
const std::string hello = turn("assistant", "Hello");
const std::string go = turn("assistant", "Go");
const Messages asked = {{"user", "Hi"}};

void check(const std::string& line, const Messages& prompt) {
  CAPTURE(line);
  const auto record = read<merit::PreferenceRecord>(line);
  CHECK(std::get<Messages>(record.prompt.value()) == prompt);
  CHECK(std::get<Messages>(record.chosen) == Messages{{"assistant", "Hello"}});
  CHECK(std::get<Messages>(record.rejected) == Messages{{"assistant", "Go"}});
}

TEST_CASE("turns of the prompt that the completions repeat are taken out of them") {
  check(pair("[" + hi + "]", hello, go), asked);
  check(pair("[" + hi + "]", hi + "," + hello, hi + "," + go), asked);
  check(pair("[" + hi + "]", hi + "," + hello, go), asked);  // each side by itself
  const std::string system = turn("system", "S");
  const Messages with_system = {{"system", "S"}, {"user", "Hi"}};
  check(pair("[" + system + "," + hi + "]", system + "," + hi + "," + hello, system + "," + hi + "," + go),
        with_system);
  check(pair("[" + system + "," + hi + "]", hi + "," + hello, hi + "," + go), with_system);
}

TEST_CASE("a prompt that is a string and a turn of the conversations becomes that turn") {
  check(pair("\"Hi\"", hi + "," + hello, hi + "," + go), asked);  // as UltraFeedback is published
  const std::string before = turn("user", "One") + "," + turn("assistant", "Two") + "," + hi;
  check(pair("\"Hi\"", before + "," + hello, before + "," + go),
        {{"user", "One"}, {"assistant", "Two"}, {"user", "Hi"}});
  const auto once = read<merit::PreferenceRecord>(pair("\"Hi\"", hi + "," + hello, hi + "," + go));
  CHECK(split_key(once) == split_key(read<merit::PreferenceRecord>(pair("[" + hi + "]", hello, go))));
}

/// Each side's conversation: the prompt and what is left of the side.
Messages whole(const merit::PreferenceRecord& record, const merit::TextOrMessages& side) {
  Messages all = std::get<Messages>(record.prompt.value());
  const Messages& rest = std::get<Messages>(side);
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

TEST_CASE(
    "a prompt that the user says again later ends where it is first said, so that each side keeps its own") {
  const std::string first = hi + "," + turn("assistant", "zzzz") + "," + hi + "," + hello;
  const Messages chosen = {{"user", "Hi"}, {"assistant", "zzzz"}, {"user", "Hi"}, {"assistant", "Hello"}};
  const Messages rejected = {{"user", "Hi"}, {"assistant", "Go"}};
  const auto record = read<merit::PreferenceRecord>(pair("\"Hi\"", first, hi + "," + go));
  CHECK(std::get<Messages>(record.prompt.value()) == asked);
  CHECK(whole(record, record.chosen) == chosen);
  CHECK(whole(record, record.rejected) == rejected);
  const auto turned = read<merit::PreferenceRecord>(pair("\"Hi\"", hi + "," + go, first));
  CHECK(whole(turned, turned.chosen) == rejected);
  CHECK(whole(turned, turned.rejected) == chosen);
}

TEST_CASE("sides that say other things before the prompt have no one prompt") {
  const std::string before = turn("user", "One") + "," + turn("assistant", "Two") + "," + hi;
  const std::string other = turn("user", "One") + "," + turn("assistant", "Three") + "," + hi;
  for (const std::string& rejected : {other + "," + go, hi + "," + go, go}) {
    CHECK_THROWS_WITH_AS(read<merit::PreferenceRecord>(pair("\"Hi\"", before + "," + hello, rejected)),
                         doctest::Contains("another conversation up to the prompt than in 'chosen'"),
                         merit::DataError);
  }
  CHECK_THROWS_WITH_AS(read<merit::RankingRecord>(R"({"prompt":"Hi","ranks":[0,1],"completions":[[)" + hi +
                                                  "," + hello + "],[" + before + "," + go + "]]}"),
                       doctest::Contains("completions[1]"), merit::DataError);
  check(pair("\"Hi\"", hi + "," + hello, go), asked);  // a side without it answers it
}

TEST_CASE("a turn is a repeated one where all of it is the same") {
  const auto call = [](const char* name, const char* more = "") {
    return merit::concat(R"({"role":"assistant","content":"","tool_calls":[{"name":")", name, "\"}]", more,
                         "}");
  };
  const std::string prompt = "[" + hi + "," + call("f") + "]";
  const auto other = read<merit::PreferenceRecord>(
      pair(prompt, call("g") + "," + hello, call("f", R"(,"name":null)") + "," + go));
  CHECK(std::get<Messages>(other.chosen).size() == 2);  // another call
  CHECK(std::get<Messages>(other.rejected) == Messages{{"assistant", "Go"}});
  const std::string named = R"({"role":"user","content":"Hi","name":"Ann"})";
  const std::string parts = R"({"role":"user","content":[{"type":"text","text":"Hi"}]})";
  const auto names =
      read<merit::PreferenceRecord>(pair("[" + hi + "]", named + "," + hello, parts + "," + go));
  CHECK(std::get<Messages>(names.chosen).size() == 2);
  CHECK(std::get<Messages>(names.rejected).size() == 1);
}

TEST_CASE("completions of other kinds repeat it as well") {
  const auto outcome =
      read<merit::OutcomeRecord>(R"({"prompt":"Hi","label":true,"completion":[)" + hi + "," + hello + "]}");
  CHECK(std::get<Messages>(outcome.prompt.value()) == asked);
  CHECK(std::get<Messages>(outcome.completion) == Messages{{"assistant", "Hello"}});
  const auto ranking = read<merit::RankingRecord>(R"({"prompt":"Hi","ranks":[0,1],"completions":[[)" + hi +
                                                  "," + hello + "],[" + hi + "," + go + "]]}");
  CHECK(std::get<Messages>(ranking.prompt.value()) == asked);
  CHECK(std::get<Messages>(ranking.completions[1]) == Messages{{"assistant", "Go"}});
}

TEST_CASE("what only looks alike stays") {
  const auto record = read<merit::PreferenceRecord>(
      pair("[" + hi + "]", turn("user", "Hi there") + "," + hello, turn("assistant", "Hi") + "," + go));
  CHECK(std::get<Messages>(record.chosen).size() == 2);
  CHECK(std::get<Messages>(record.rejected).size() == 2);
  // The last message is the answer, also where it says what was asked.
  const auto echo = read<merit::PreferenceRecord>(pair("[" + hi + "]", hi, go));
  CHECK(std::get<Messages>(echo.chosen).size() == 1);
  std::istringstream in(pair("\"Hi\"", hello, go));
  merit::PreferenceReader reader(in, "in.jsonl");
  CHECK_THROWS_WITH_AS(reader.next(), doctest::Contains("a list of messages under a prompt that is a string"),
                       merit::DataError);
}

}  // namespace repeated_prompt_test
