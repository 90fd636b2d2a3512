// The JSON-lines reader: what it accepts, and one clear sentence for everything else.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/records/jsonl.hpp"
#include "stored.hpp"

namespace jsonl_test {

using merit::PreferenceReader;
using merit::PreferenceRecord;

const std::string good = R"({"prompt": "p", "chosen": "a", "rejected": "b"})";

std::vector<PreferenceRecord> read_all(const std::string& text, merit::JsonLinesOptions options = {}) {
  std::istringstream in(text);
  PreferenceReader reader(in, "in.jsonl", options);
  std::vector<PreferenceRecord> records;
  while (auto record = reader.next()) records.push_back(std::move(*record));
  return records;
}

template <class Reader>
std::string error_of_next(Reader& reader) {
  try {
    reader.next();
  } catch (const merit::DataError& error) {
    return error.what();
  }
  return "no error";
}

/// What is said of `line` as the second line of a file whose first and third are good.
std::string error_of(const std::string& line, merit::JsonLinesOptions options = {}) {
  std::istringstream in(good + "\n" + line + "\n" + good + "\n");
  PreferenceReader reader(in, "in.jsonl", options);
  REQUIRE(reader.next());
  const std::string message = error_of_next(reader);
  REQUIRE_MESSAGE(reader.next(), "the line after the error was not read");
  CHECK(reader.position().line == 3);
  CHECK_FALSE(reader.next());
  return message;
}

std::string nested(std::size_t depth) {  // arrays in one another, under a field that is ignored
  return R"({"chosen": "a", "rejected": "b", "x": )" + std::string(depth, '[') + std::string(depth, ']') +
         "}";
}

TEST_CASE("every malformed line is one sentence with file, line, what was found and what was expected") {
  struct Case {
    std::string name;
    std::string line;
    std::string expected;  // after "in.jsonl:2: "
  };
  const std::string x = R"("rejected": "b")";  // the rest of a preference record
  const std::vector<Case> cases{
      // Not JSON, or not an object.
      {"cut short", R"({"chosen": "a", "rejected)",
       "not valid JSON at column 26: the text ends before its JSON does"},
      {"no closing brace", R"({"chosen": "a", "rejected": "b")", "the text ends before its JSON does"},
      {"open array", R"({"chosen": [1, 2)", "the text ends before its JSON does"},
      {"only a brace", "{", "the text ends before its JSON does"},
      {"not JSON", "hello", "not valid JSON at column 1"},
      {"single quotes", "{'chosen': 'a'}", "not valid JSON at column 2"},
      {"no quotes around a key", "{chosen: 1}", "not valid JSON at column 2"},
      {"no colon", R"({"chosen" "a"})", "not valid JSON at column 13"},
      {"two commas", R"({"chosen": "a",, "rejected": "b"})", "not valid JSON at column 16"},
      {"comma at the end", R"({"chosen": "a",})", "not valid JSON at column 16"},
      {"a comment", R"({"chosen": "a" /* b */})", "not valid JSON at column 16"},
      {"a number with a leading zero", R"({"margin": 01})", "not valid JSON at column "},
      {"a bare control character", "{\"chosen\": \"a\x01\"}", "not valid JSON at column 14"},
      {"a bare tab in a string", "{\"chosen\": \"a\tb\"}", "not valid JSON at column 14"},
      {"an unknown escape", R"({"chosen": "\x"})", "not valid JSON at column 14"},
      {"half a surrogate pair", R"({"chosen": "\ud800"})", "not valid JSON at column "},
      {"text after the object", good + " x",
       "not valid JSON at column 49: more text after the end of the value"},
      {"two objects in a line", good + good, "not valid JSON at column 48: more text after the end"},
      {"NaN", R"({"margin": NaN})", "not valid JSON at column 12: NaN, which JSON does not have"},
      {"Infinity", R"({"margin": Infinity})", "column 12: Infinity, which JSON"},
      {"-Infinity", R"({"margin": -Infinity})", "column 13: Infinity, which JSON"},
      {"nan", R"({"margin": nan})", "column 12: nan, which JSON"},
      {"a number that overflows", R"({"margin": 1e999})",
       "not valid JSON at column 16: a number too large for a double"},
      {"invalid UTF-8 in a string", "{\"chosen\": \"\xFF\"}",
       "not valid JSON at column 13: bytes that are not UTF-8"},
      {"Latin-1", "{\"chosen\": \"caf\xE9\"}", "not valid JSON at column 16: bytes that are not UTF-8"},
      {"invalid UTF-8 outside", "\x80", "not valid JSON at column 1: bytes that are not UTF-8"},
      {"UTF-16", std::string("\xFF\xFE{\0", 4), "not valid JSON at column 1: bytes that are not UTF-8"},
      {"a NUL byte", std::string("\0", 1), "not valid JSON at column 1: a zero byte"},
      {"text after a NUL byte", good + std::string("\0x", 2), "not valid JSON at column 48: a zero byte"},
      {"an array", "[" + good + "]", "record: found an array of 1, expected one JSON object"},
      {"an empty array", "[]", "record: found an empty array, expected one JSON object"},
      {"a string", R"("chosen")", "record: found \"chosen\", expected one JSON object"},
      {"a number", "17", "record: found 17, expected one JSON object"},
      {"null", "null", "record: found null, expected one JSON object"},
      {"nested too deep", nested(200), "objects and arrays are nested deeper than 128 levels"},
      {"nested a million deep", R"({"x":)" + std::string(1000000, '['), "nested deeper than 128 levels"},
      {"objects a million deep",
       [] {
         std::string text;
         for (int i = 0; i < 1000000; ++i) text += R"({"a":)";
         return text;
       }(),
       "nested deeper than 128 levels"},
      {"a key twice", R"({"chosen": "a", "chosen": "c", "rejected": "b"})",
       "the key \"chosen\" occurs twice in one object"},
      {"a key twice inside", R"({"chosen": "a", "rejected": "b", "x": [{"y": 1, "y": 1}]})",
       "the key \"y\" occurs twice"},
      // Text.
      {"no fields", "{}", "field 'chosen': found no such field, expected a string or a list of messages"},
      {"no chosen", R"({"prompt": "p", "rejected": "b"})", "field 'chosen': found no such field, expected"},
      {"no rejected", R"({"prompt": "p", "chosen": "a"})", "field 'rejected': found no such field, expected"},
      {"chosen null", R"({"chosen": null, "rejected": "b"})",
       "field 'chosen': found null, expected a string"},
      {"chosen a number", R"({"chosen": 3.5, "rejected": "b"})", "field 'chosen': found 3.5,"},
      {"chosen true", R"({"chosen": true, "rejected": "b"})",
       "field 'chosen': found true, expected a string"},
      {"chosen an object", R"({"chosen": {}, "rejected": "b"})", "field 'chosen': found an object, expected"},
      {"prompt a number", R"({"prompt": 1, "chosen": "a", "rejected": "b"})", "field 'prompt': found 1"},
      // Conversations.
      {"no messages", R"({"chosen": [], "rejected": "b"})",
       "field 'chosen': found an empty list of messages"},
      {"no messages in the prompt", R"({"prompt": [], "chosen": "a", "rejected": "b"})",
       "field 'prompt': found an empty list of messages, expected at least one message"},
      {"a message that is a string", R"({"chosen": ["a"], "rejected": "b"})",
       "field 'chosen[0]': found \"a\", expected a message with role and content"},
      {"a message without role", R"({"chosen": [{"content": "a"}], "rejected": "b"})",
       "field 'chosen[0].role': found no such field, expected a string"},
      {"a message with an empty role", R"({"chosen": [{"role": "", "content": "a"}], "rejected": "b"})",
       "field 'chosen[0].role': found an empty string"},
      {"a message without content", R"({"chosen": [{"role": "user"}], "rejected": "b"})",
       "field 'chosen[0].content': found no such field"},
      {"content a number", R"({"chosen": [{"role": "user", "content": 1}], "rejected": "b"})",
       "field 'chosen[0].content': found 1, expected a string, a list of parts, or null"},
      {"content an object",
       R"({"chosen": [{"role":"user","content":"x"},{"role":"user","content":{"type":"text"}}], "rejected": "b"})",
       "field 'chosen[1].content': found an object, expected a string, a list of parts, or null"},
      {"one side a conversation", R"({"chosen": [{"role": "user", "content": "a"}], "rejected": "b"})",
       "field 'rejected': found a string beside 'chosen' that is a list of messages, expected both of one "
       "kind"},
      {"the other side a conversation", R"({"chosen": "a", "rejected": [{"role": "user", "content": "a"}]})",
       "field 'rejected': found a list of messages beside 'chosen' that is a string"},
      {"a conversation under a string",
       R"({"prompt": "p", "chosen": [{"role": "user", "content": "a"}], "rejected": "b"})",
       "field 'chosen': found a list of messages under a prompt that is a string"},
      // Numbers.
      {"margin a string", R"({"margin": "1", "chosen": "a", )" + x + "}",
       "field 'margin': found \"1\", expected a number"},
      {"margin true", R"({"margin": true, "chosen": "a", )" + x + "}",
       "field 'margin': found true, expected"},
      {"weight negative", R"({"weight": -0.5, "chosen": "a", )" + x + "}",
       "field 'weight': found -0.5, expected a number of 0 or more"},
      {"weight a list", R"({"weight": [1], "chosen": "a", )" + x + "}",
       "field 'weight': found an array of 1"},
      {"soft_label above 1", R"({"soft_label": 1.5, "chosen": "a", )" + x + "}",
       "field 'soft_label': found 1.5, expected a probability of 0 to 1"},
      {"soft_label below 0", R"({"soft_label": -1, "chosen": "a", )" + x + "}",
       "field 'soft_label': found -1, expected a probability of 0 to 1"},
      // Ids.
      {"ids not a list", R"({"chosen_ids": 3, "rejected_ids": [1]})",
       "field 'chosen_ids': found 3, expected a list of token ids"},
      {"ids a string", R"({"chosen_ids": "1 2", "rejected_ids": [1]})", "field 'chosen_ids': found \"1 2\""},
      {"an id negative", R"({"chosen_ids": [1, -2], "rejected_ids": [1]})",
       "field 'chosen_ids[1]': found -2, expected an integer of 0 to 4294967295"},
      {"an id too large", R"({"chosen_ids": [4294967296], "rejected_ids": [1]})",
       "field 'chosen_ids[0]': found 4294967296"},
      {"an id far too large", R"({"chosen_ids": [18446744073709551616], "rejected_ids": [1]})",
       "field 'chosen_ids[0]': found 1.8"},
      {"an id with a fraction", R"({"chosen_ids": [1], "rejected_ids": [1.5]})",
       "field 'rejected_ids[0]': found 1.5, expected an integer"},
      {"an id in a string", R"({"chosen_ids": [1], "rejected_ids": [1, 2, "3"]})",
       "field 'rejected_ids[2]': found \"3\""},
      {"ids of one side", R"({"chosen_ids": [1]})", "field 'rejected_ids': found no such field"},
      {"prompt ids wrong", R"({"prompt_ids": [null], "chosen_ids": [1], "rejected_ids": [2]})",
       "field 'prompt_ids[0]': found null"},
      {"text and ids", R"({"chosen": "a", "rejected": "b", "chosen_ids": [1], "rejected_ids": [2]})",
       "field 'chosen_ids': found it beside 'chosen', expected a record of text, of ids, or of features "
       "alone"},
      {"text on one side, ids on the other", R"({"chosen": "a", "rejected_ids": [2]})",
       "field 'rejected_ids': found it beside 'chosen'"},
      {"prompt in text, sides in ids", R"({"prompt": "p", "chosen_ids": [1], "rejected_ids": [2]})",
       "field 'chosen_ids': found it beside 'prompt'"},
      // Features.
      {"features not a list", R"({"chosen_features": "x", "rejected_features": [1]})",
       "field 'chosen_features': found \"x\", expected a list of numbers"},
      {"no features", R"({"chosen_features": [], "rejected_features": []})",
       "field 'chosen_features': found an empty list"},
      {"features of two lengths", R"({"chosen_features": [1, 2, 3], "rejected_features": [1, 2]})",
       "field 'rejected_features': found 2 numbers, expected 3 as in 'chosen_features'"},
      {"a feature null", R"({"chosen_features": [1, null], "rejected_features": [1, 2]})",
       "field 'chosen_features[1]': found null, expected a number that fits"},
      {"a feature too large", R"({"chosen_features": [1e39], "rejected_features": [1]})",
       "field 'chosen_features[0]': found 1e+39, expected a number that fits 32-bit floats"},
      {"features on one side", R"({"chosen_features": [1]})",
       "field 'rejected_features': found no such field"},
      {"features and text", R"({"chosen": "a", "rejected": "b", "chosen_features": [1]})",
       "field 'chosen_features': found it beside 'chosen'"},
      {"features and ids", R"({"chosen_ids": [1], "rejected_features": [1]})",
       "field 'rejected_features': found it beside 'chosen_ids'"},
      {"features after text", R"({"chosen_features": [1, 2], "rejected_features": [3, 4]})",
       "record: found 2 features, expected a record without features as in line 1"},
      // Records of other kinds.
      {"a ranking", R"({"prompt": "p", "completions": ["a"], "ranks": [0]})",
       "field 'chosen': found no such field but the fields completions and ranks of a record of kind "
       "ranking"},
      {"ratings", R"({"prompt": "p", "completions": ["a"], "scores": [0]})", "of a record of kind ratings"},
      {"steps", R"({"prompt": "p", "completions": ["a"], "labels": [0]})", "of a record of kind steps"},
      {"an outcome", R"({"prompt": "p", "completion": "a", "label": true})", "of a record of kind outcome"},
      {"a rollout", R"({"prompt": "p", "completion": "a", "rewards": [1]})", "of a record of kind rollout"},
      {"a rollout with one reward", R"({"prompt": "p", "completion": "a", "reward": 1})", "of kind rollout"},
      {"a judge record", R"({"prompt": "p", "response_a": "a", "response_b": "b"})",
       "of a record of kind judge"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const std::string message = error_of(c.line);
    CAPTURE(message);
    CHECK(message.starts_with("in.jsonl:2: "));
    CHECK(message.find(c.expected) != std::string::npos);
    const bool is_json = message.find("in.jsonl:2: not valid JSON at column ") == std::string::npos;
    CHECK((message.find(": found ") != std::string::npos) == is_json);
    CHECK((message.find(", expected ") != std::string::npos) == is_json);
    CHECK(message.size() < 300);
    CHECK(message.find('\n') == std::string::npos);
  }
  MESSAGE(cases.size(), " kinds of malformed lines");
  CHECK(cases.size() >= 60);
}

TEST_CASE("empty lines are skipped but counted, and line ends of every kind are accepted") {
  const auto records = read_all("\xEF\xBB\xBF" + good + "\r\n\r\n  \t\n\n" + good + "\n" + good);
  REQUIRE(records.size() == 3);
  CHECK(records[0].source.text() == "in.jsonl:1");
  CHECK(records[1].source.line == 5);
  CHECK(records[2].source.line == 6);
  CHECK(std::get<std::string>(records[2].rejected) == "b");
}

TEST_CASE("an input without records has none") {
  CHECK(read_all("").empty());
  CHECK(read_all("\n\n").empty());
  CHECK(read_all("\xEF\xBB\xBF").empty());
  CHECK(read_all(" ").empty());
}

TEST_CASE("a line at the limit is read, one byte more is an error, and the next line is read again") {
  const merit::JsonLinesOptions options{.max_line_bytes = good.size()};
  CHECK(read_all(good + "\n" + good, options).size() == 2);
  const std::string message = error_of(good + " ", options);
  CHECK(message == "in.jsonl:2: record: found a line of more than 47 bytes, expected a shorter one");
  CHECK(error_of(good + std::string(100000, ' '), options) == message);

  std::istringstream last(good + "  ");  // too long, and without an end
  PreferenceReader reader(last, "in.jsonl", options);
  CHECK(error_of_next(reader).starts_with("in.jsonl:1: record: found a line of more than"));
  CHECK_FALSE(reader.next());
}

TEST_CASE("nesting up to the limit is read") {
  CHECK(read_all(nested(127)).size() == 1);
  CHECK(error_of(nested(128)).find("nested deeper than 128 levels") != std::string::npos);
  CHECK(read_all(nested(500), {.max_depth = 501}).size() == 1);
}

TEST_CASE("the same key in different objects is no repetition") {
  CHECK(read_all(R"({"chosen": "a", "rejected": "b", "x": [{"y": 1}, {"y": 1}], "y": {"x": 1}})").size() ==
        1);
}

TEST_CASE("features keep one width through a file") {
  std::istringstream in(
      "{\"chosen_features\": [1, 2], \"rejected_features\": [3, 4]}\n"
      "{\"chosen_features\": [1, 2, 5], \"rejected_features\": [3, 4, 5]}\n" +
      good);
  PreferenceReader reader(in, "in.jsonl");
  REQUIRE(reader.next());
  CHECK(error_of_next(reader) == "in.jsonl:2: record: found 3 features, expected 2 features as in line 1");
  CHECK(error_of_next(reader) ==
        "in.jsonl:3: record: found a record without features, expected 2 features as in line 1");
}

TEST_CASE("a file that cannot be read is an error with its name") {
  CHECK_THROWS_WITH_AS(PreferenceReader{"no/such/file.jsonl"},
                       "no/such/file.jsonl: cannot be opened: No such file or directory", merit::IoError);
  const std::string folder = std::filesystem::temp_directory_path().string();
  CHECK_THROWS_AS(PreferenceReader{folder}, merit::IoError);
}

TEST_CASE("a record is given out before the next line is complete") {
  // A source that has one line and then refuses to go on, as a pipe whose writer is still at work.
  struct OneLine : std::streambuf {
    explicit OneLine(std::string text) : text_(std::move(text)) {
      setg(text_.data(), text_.data(), text_.data() + text_.size());
    }
    int_type underflow() override { throw std::logic_error("read past the line"); }
    std::string text_;
  } source(good + "\n");
  std::istream in(&source);
  PreferenceReader reader(in, "pipe");
  CHECK(reader.next());
}

TEST_CASE("completion records are read in their three forms") {
  std::istringstream in(
      "{\"prompt\": \"p\", \"completion\": \"c\"}\n{\"completion_ids\": [3]}\n"
      "{\"prompt\": \"p\"}\n{\"completion\": \"\"}\n{\"chosen\": \"a\", \"rejected\": \"b\"}\n");
  merit::CompletionReader reader(in, "in.jsonl");
  auto record = reader.next();
  REQUIRE(record);
  CHECK(std::get<std::string>(record->completion) == "c");
  record = reader.next();
  REQUIRE(record);
  CHECK(record->form == merit::RecordForm::ids);
  CHECK(record->completion_ids == std::vector<merit::Token>{3});
  CHECK(error_of_next(reader).starts_with("in.jsonl:3: field 'completion': found no such field, expected"));
  record = reader.next();
  REQUIRE(record);
  CHECK(std::get<std::string>(record->completion).empty());  // the tokenizer knows whether it has a token
  CHECK(error_of_next(reader).find("of a record of kind preference") != std::string::npos);
}

TEST_CASE("the real files are read to the last line") {
  const auto data = merit_test::shared_data("data");
  if (!data) return;
  struct File {
    std::string name;
    std::size_t records;
  };
  for (const File& file : {File{"hh_harmless/train.jsonl", 1604}, File{"hh_harmless/eval.jsonl", 247},
                           File{"llmbar/train.jsonl", 405}, File{"llmbar/eval.jsonl", 53}}) {
    PreferenceReader reader{*data / file.name};
    std::size_t count = 0;
    while (const auto record = reader.next()) {
      ++count;
      CHECK(record->source.line == count);
      CHECK(record->prompt);
    }
    CHECK(count == file.records);
  }
  for (const std::string name : {"oasst_rankings", "finegrained_rankings", "prometheus_ratings", "pandalm",
                                 "gsm8k_outcomes", "bigbench_mistake_steps"}) {
    PreferenceReader reader{*data / name / "train.jsonl"};
    CHECK(error_of_next(reader).find("of a record of kind ") != std::string::npos);
  }
}

}  // namespace jsonl_test
