// Tokenizer descriptions that are wrong: one clear sentence, and soon.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

namespace tokenizer_errors_test {

using merit::Index;
using merit::Json;
using merit::PretrainedTokenizer;

Json small() {
  return merit::parse_json(
      R"({"version": "1.0", "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})",
      "small");
}

/// What is said about `description`, or what it encodes `text` to.
std::string message_of(const Json& description, std::string_view text = "ab") {
  try {
    const PretrainedTokenizer tokenizer(description, "t.json");
    std::vector<merit::Token> ids;
    tokenizer.encode(text, ids);
    return Json(ids).dump();
  } catch (const merit::Error& error) {
    return error.what();
  }
}
bool says(const std::string& message, std::string_view part) {
  return message.find(part) != message.npos;
}
std::string with(const char* pointer, const Json& value, std::string_view text = "ab") {
  Json description = small();
  description[Json::json_pointer(pointer)] = value;
  return message_of(description, text);
}

TEST_CASE("the small one is right, so that what follows shows what its change does") {
  CHECK(message_of(small()) == "[2]");
  CHECK(message_of(small(), "a<s>b") == "[0,3,1]");
}

TEST_CASE("fields that are missing or of the wrong type") {
  CHECK(says(message_of(Json::array()), "t.json: expected an object, found an empty array"));
  CHECK(says(message_of(Json::object()), "the field \"model\" is missing"));
  CHECK(says(with("/model", Json::object()), "the field \"vocab\" is missing"));
  CHECK(says(with("/model/vocab", 7), "expected an object, found 7"));
  CHECK(says(with("/model/vocab", Json::array()), "expected an object"));
  CHECK(says(with("/model/merges", "a b"), "field \"merges\": expected an array"));
  CHECK(says(with("/version", "2.0"), "found \"2.0\", expected \"1.0\""));
  CHECK(says(with("/model/type", "Bigram"), "found the model \"Bigram\", expected one of: BPE"));
  CHECK(says(with("/model/dropout", 0.1), "dropout"));
  CHECK(says(with("/model/unk_token", "<unk>"), "\"<unk>\", which is not in the vocabulary"));
  CHECK(says(with("/added_tokens/0/id", -1), "a whole number from 0"));
  CHECK(says(with("/added_tokens/0/content", 1), "expected a string"));
}

TEST_CASE("ids out of range or twice, and merges of unknown pieces") {
  CHECK(says(with("/model/vocab/ab", 1), "found the id 1 for both"));
  CHECK(says(with("/model/vocab/ab", 4294967295u), "expected an id from 0 to 65559"));
  CHECK(says(with("/model/vocab/ab", -2), "found -2, expected an id"));
  CHECK(says(with("/model/vocab/ab", 1.5), "found 1.5, expected an id"));
  CHECK(says(with("/added_tokens/0/id", 9), "found the id 9 for \"<s>\", expected 3"));
  CHECK(says(with("/added_tokens/0", {{"id", 1}, {"content", "a"}}), "expected 0, its id in the vocabulary"));
  CHECK(says(with("/model/merges", {"a c"}), "merges[0]: found \"c\", which is not in the vocabulary"));
  CHECK(says(with("/model/merges", {"b a"}), "merges[0]: found \"ba\", which is not in the vocabulary"));
  CHECK(says(with("/model/merges", {"a b", "ab"}), "merges[1]: found \"ab\", expected two pieces"));
  CHECK(says(with("/model/merges", {{"a", "b", "c"}}), "merges[0]"));
  CHECK(says(with("/post_processor", {{"type", "BertProcessing"}, {"sep", {"<s>", 3}}, {"cls", {"x", 77}}}),
             "found the id 77"));
}

TEST_CASE("parts that are unknown are refused by name") {
  for (const char* field : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    CHECK(says(with((std::string("/") + field).c_str(), {{"type", "Sparkle"}}),
               "\"Sparkle\", expected one of: "));
    CHECK(says(with((std::string("/") + field).c_str(), 3), "expected an object, found 3"));
    CHECK(says(with((std::string("/") + field).c_str(), Json::object()), "\"type\" is missing"));
  }
}

TEST_CASE("sequences in each other end in an error before the stack does") {
  Json nested = {{"type", "NFC"}};
  for (int i = 0; i < 100; ++i) nested = Json{{"type", "Sequence"}, {"normalizers", Json::array({nested})}};
  CHECK(says(with("/normalizer", nested), "deeper than 16"));
}

TEST_CASE("hostile regular expressions end in an error") {
  const auto split = [](const std::string& pattern) {
    return Json{
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  CHECK(says(with("/pre_tokenizer", split("(a")), "cannot be read at byte 2"));
  CHECK(says(with("/pre_tokenizer", split("(?R)*")), "regular expression"));
  CHECK(says(with("/pre_tokenizer", split("((a{1,1000}){1,1000}){1,1000}")), "regular expression"));
  CHECK(says(with("/pre_tokenizer", split("(a+)+[^a]"), std::string(60, 'a')), "limit"));
  CHECK(says(with("/pre_tokenizer", split(std::string(100'000, '('))), "cannot be read"));
  CHECK(says(with("/pre_tokenizer", split(std::string(100'000, 'a'))), "cannot be read"));
  CHECK(says(with("/pre_tokenizer", split("\\Ca")), "cannot be read"));
  // Deep, but honest: the interpreter takes over where compiled code has too small a stack.
  CHECK(with("/pre_tokenizer", split("(?:a|b)+"), std::string(20'000, 'a')).size() > 40'000);
}

TEST_CASE("character maps that do not fit") {
  const auto map = [](const std::string& base64) {
    return with("/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", base64}});
  };
  CHECK(says(map("AAAA"), "expected a trie that fits it"));
  CHECK(says(map("*AAA"), "expected base64"));
  CHECK(says(map("AAA"), "groups of four"));
  CHECK(says(map("/////wAAAAA="), "expected a trie that fits it"));
  CHECK(map("BAAAAP////8=") == "[2]");  // one unit that points out of the trie
}

TEST_CASE("unigram vocabularies that are wrong") {
  const auto unigram = [](const Json& vocab, const Json& unknown) {
    return with("/model", {{"type", "Unigram"}, {"vocab", vocab}, {"unk_id", unknown}}, "abc");
  };
  const Json pieces = Json::parse(R"([["<unk>", 0.0], ["a", -1], ["b", -1.5], ["<s>", 0]])");
  CHECK(unigram(pieces, 0) == "[1,2,0]");
  CHECK(says(unigram(pieces, 4), "found 4, expected below 4"));
  CHECK(says(unigram(pieces, nullptr), "no unk_id"));
  CHECK(says(unigram(Json::parse(R"([["a"]])"), 0), "expected a piece and its score"));
  CHECK(says(unigram(Json::parse(R"([["a", "x"]])"), 0), "expected a piece and its score"));
}

TEST_CASE("a file that was cut off anywhere is an error") {
  const std::string text = small().dump();
  for (Index size = 0; size < text.size(); ++size) {
    CHECK_THROWS_AS(PretrainedTokenizer(merit::parse_json(text.substr(0, size), "t.json"), "t.json"),
                    merit::DataError);
  }
}

}  // namespace tokenizer_errors_test
