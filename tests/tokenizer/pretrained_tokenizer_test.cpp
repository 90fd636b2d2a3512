// Published tokenizers: ids, offsets and text against Hugging Face's tokenizers, in many combinations of
// parts.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"
#include "stored.hpp"

namespace pretrained_tokenizer_test {

using merit::Index;
using merit::Json;
using merit::PretrainedTokenizer;
using merit::Token;

std::filesystem::path golden(const char* name) {
  return merit_test::stored(std::string("tokenizers/") + name);
}

std::vector<Token> encode(const PretrainedTokenizer& tokenizer, std::string_view text) {
  std::vector<Token> ids;
  tokenizer.encode(text, ids);
  return ids;
}

void check(const PretrainedTokenizer& tokenizer, const std::string& text, const Json& expected) {
  CAPTURE(text);
  const auto ids = encode(tokenizer, text);
  CHECK(Json(ids) == expected.at("ids"));
  std::vector<merit::TokenSpan> spans;
  tokenizer.encode(text, spans);
  Json offsets = Json::array();
  for (const auto& span : merit::in_code_points(text, spans)) {
    offsets.push_back(span.begin);
    offsets.push_back(span.end);
  }
  CHECK(offsets == expected.at("offsets"));
  CHECK(ids.size() + tokenizer.before().size() + tokenizer.after().size() == expected.at("all"));
  CHECK(tokenizer.decode({ids.data(), ids.size()}) == expected.at("text").get<std::string>());
  CHECK(tokenizer.decode({ids.data(), ids.size()}, true) == expected.at("plain").get<std::string>());
  for (Index i = 0; i < spans.size(); ++i) CHECK(spans[i].id == ids[i]);
}

TEST_CASE("every combination of parts encodes and decodes as Hugging Face's does") {
  for (const char* name : {"byte_level.json", "normalizers.json", "splits.json", "byte_fallback.json",
                           "suffix.json", "prefix.json", "word_piece.json", "unigram.json"}) {
    const Json file = merit::read_json(golden(name));
    for (const Json& one : file.at("cases")) {
      CAPTURE(name);
      CAPTURE(one.at("name").get<std::string>());
      Json description = file.at("base");
      description.update(one.at("changes"));
      const PretrainedTokenizer tokenizer(description, name);
      REQUIRE(one.at("expected").size() == file.at("texts").size());
      for (Index i = 0; i < file.at("texts").size(); ++i) {
        check(tokenizer, file.at("texts")[i].get<std::string>(), one.at("expected")[i]);
      }
    }
  }
}

/// Every beginning of `text` is cut where the tokenizer says: the parts must give the tokens of the whole.
/// How many bytes of all beginnings need not be encoded again.
Index check_cuts(const PretrainedTokenizer& tokenizer, std::string_view text) {
  const std::vector<Token> whole = encode(tokenizer, text);
  Index settled = 0;
  Index last = 0;
  for (Index count = 0; count <= text.size(); ++count) {
    const Index place = tokenizer.settled(text.substr(0, count));
    REQUIRE(place <= count);
    settled += place;
    if (place == last) continue;
    last = place;
    std::vector<Token> parts = encode(tokenizer, text.substr(0, place));
    tokenizer.encode(text.substr(place), parts);
    CAPTURE(text);
    CAPTURE(place);
    CHECK(parts == whole);
  }
  return settled;
}

TEST_CASE("where a text can be cut whatever follows, the parts give the tokens of the whole") {
  std::string hostile = "We don't stop at a  b\t c \n d e\xCC\x81 f'll A B 12 34 x";
  hostile += " <s>foo bar <mask> baz</s> [CLS] qu ux \xEF\xBC\xA1 b";
  for (const char* name : {"byte_level.json", "normalizers.json", "splits.json", "byte_fallback.json",
                           "suffix.json", "prefix.json", "word_piece.json", "unigram.json"}) {
    const Json file = merit::read_json(golden(name));
    for (const Json& one : file.at("cases")) {
      CAPTURE(name);
      CAPTURE(one.at("name").get<std::string>());
      Json description = file.at("base");
      description.update(one.at("changes"));
      const PretrainedTokenizer tokenizer(description, name);
      for (const Json& text : file.at("texts")) check_cuts(tokenizer, text.get<std::string>());
      check_cuts(tokenizer, hostile);
    }
  }
}

TEST_CASE("a text is not cut where what follows may join it") {
  const auto tokenizer_with = [](const Json& changes) {
    Json description = merit::read_json(golden("byte_level.json")).at("base");
    description.update(changes);
    return PretrainedTokenizer(description, "base");
  };
  const auto settled = [&](const Json& changes, std::string_view text) {
    const PretrainedTokenizer tokenizer = tokenizer_with(changes);
    check_cuts(tokenizer, text);
    return tokenizer.settled(text);
  };
  const auto token = [](const char* content, Json more = Json::object()) {
    Json made = {{"id", 0}, {"content", content}, {"special", true}, {"normalized", false}};
    made.update(more);
    return made;
  };
  const auto added = [&](std::vector<Json> tokens) {
    const Json base = merit::read_json(golden("byte_level.json")).at("base");
    Index next = base.at("model").at("vocab").size();
    for (Json& one : tokens) one["id"] = next++;
    return Json{{"added_tokens", tokens}};
  };
  const Json plain = added({token("<|a|>")});
  CHECK(settled(plain, "one two three") == 7);
  CHECK(settled(plain, "one two th") == 3);  // the last five bytes may begin a token
  CHECK(settled(plain, "one, two. Three!") == 0);
  CHECK(settled(plain, "one <|a|>two.\n") == 4);
  // A longer token may begin earlier and end later than the one that is there.
  CHECK(settled(added({token("<|a|>"), token(". <|a|>.")}), "one. <|a|>") == 0);
  check_cuts(tokenizer_with(added({token("<|a|>"), token(". <|a|>.")})), "one. <|a|> two. <|a|>. two");
  CHECK(settled(added({token("e two")}), "one two three four") == 2);
  CHECK(settled(added({token("e two")}), "one six three four") == 0);
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    CHECK(settled(added({token("<|a|>", {{flag, true}})}), "one <|a|> two three four") == 0);
  }
  // Words that a rule joins over spaces.
  Json joins = plain;
  joins["pre_tokenizer"] = {{"type", "Split"},
                            {"pattern", {{"Regex", "\\p{L}+(?: \\p{L}+)*"}}},
                            {"behavior", "Isolated"},
                            {"invert", false}};
  CHECK(settled(joins, "one two three four") == 0);
}

Json gpt2(const std::filesystem::path& folder) {
  Json description = merit::read_json(golden("byte_level.json")).at("base");
  description["model"]["vocab"] = merit::read_json(folder / "encoder.json");
  description["model"]["merges"] = Json::array();
  const std::string lines = merit::read_file(folder / "vocab.bpe");
  for (Index begin = lines.find('\n') + 1; begin < lines.size();) {
    const Index end = std::min(lines.find('\n', begin), lines.size());
    description["model"]["merges"].push_back(lines.substr(begin, end - begin));
    begin = end + 1;
  }
  description["added_tokens"] = {{{"id", 50256}, {"content", "<|endoftext|>"}, {"special", true}}};
  return description;
}

TEST_CASE("published tokenizers give Hugging Face's ids") {
  const auto tokenizers = merit_test::shared_data("tokenizers");
  if (!tokenizers) return;
  const Json expected = merit::read_json(golden("shared_ids.json"));
  for (const char* name : {"gpt2", "minimind", "qwen3"}) {
    const auto folder = *tokenizers / name;
    CAPTURE(name);
    const bool files = std::string_view(name) == "gpt2";
    const PretrainedTokenizer tokenizer(files ? gpt2(folder) : merit::read_json(folder / "tokenizer.json"),
                                        name);
    const std::string_view prompt = "Which of the two is the better answer, and why do you think so";
    CHECK(tokenizer.settled(prompt) > prompt.size() / 3);
    for (Index i = 0; i < expected.at("texts").size(); ++i) {
      const auto text = expected.at("texts")[i].get<std::string>();
      CAPTURE(text);
      check_cuts(tokenizer, text);
      const auto ids = encode(tokenizer, text);
      CHECK(Json(ids) == expected.at(name)[i]);
      if (std::string_view(name) != "qwen3") CHECK(tokenizer.decode({ids.data(), ids.size()}) == text);
    }
  }
}

TEST_CASE("the special tokens around a text, the end of a sequence, names and pieces") {
  const Json file = merit::read_json(golden("word_piece.json"));
  const PretrainedTokenizer tokenizer(file.at("base"), "word_piece.json");
  CHECK(tokenizer.before() == std::vector<Token>{1});
  CHECK(tokenizer.after() == std::vector<Token>{2});
  CHECK(tokenizer.eos() == 2);
  CHECK(!tokenizer.bos());
  CHECK(tokenizer.with_bos(1).bos() == Token{1});
  CHECK(tokenizer.with_eos(0).eos() == 0);
  CHECK_THROWS_AS(tokenizer.with_eos(1'000'000), merit::ConfigError);
  CHECK(tokenizer.find("[CLS]") == Token{1});
  CHECK(tokenizer.piece(2) == "[SEP]");
  CHECK(tokenizer.is_special(2));
  CHECK(!tokenizer.find("no such piece"));
  CHECK(tokenizer.vocabulary_size() == file.at("base").at("model").at("vocab").size());

  Json other = file.at("base");
  other["padding"] = {{"pad_id", 0}};
  CHECK(PretrainedTokenizer(other, "").name() == tokenizer.name());
  other["normalizer"]["lowercase"] = false;
  CHECK(PretrainedTokenizer(other, "").name() != tokenizer.name());
  CHECK(tokenizer.name().size() == std::string_view("pretrained:0123456789abcdef").size());

  const merit::AnyTokenizer any = tokenizer;
  CHECK(any.before() == tokenizer.before());
  CHECK(PretrainedTokenizer(merit::read_json(golden("unigram.json")).at("base"), "").truncation() ==
        Index{5});
}

TEST_CASE("bytes that are no UTF-8 survive a byte-level model and are U+FFFD for others") {
  const PretrainedTokenizer bytes(merit::read_json(golden("byte_level.json")).at("base"), "byte_level.json");
  for (const std::string text :
       {"\xFF", "a\xC3", "\x80\x80 the \xF0\x9F\x98", "\xED\xA0\x80x", "ok \xC0\xAF<mask>\xFE"}) {
    const auto ids = encode(bytes, text);
    CHECK(bytes.decode_bytes({ids.data(), ids.size()}) == text);
    CHECK(merit::first_invalid_utf8(bytes.decode({ids.data(), ids.size()})) ==
          bytes.decode({ids.data(), ids.size()}).size());
    std::vector<merit::TokenSpan> spans;
    bytes.encode(text, spans);
    for (const auto& span : spans) CHECK((span.begin <= span.end && span.end <= text.size()));
  }
  const PretrainedTokenizer words(merit::read_json(golden("byte_fallback.json")).at("base"),
                                  "byte_fallback.json");
  CHECK(encode(words, "the \xFF\xE2\x82 x") == encode(words, "the \xEF\xBF\xBD\xEF\xBF\xBD x"));
  std::vector<merit::TokenSpan> spans;
  words.encode("\xE2\x82!", spans);
  CHECK(spans.back().end == 3);
}

// Ids and offsets as tokenizers 0.23.3 gives them: a byte without a token is lost and moves what is behind
// it.
TEST_CASE("bytes that a byte-level vocabulary lacks") {
  const PretrainedTokenizer tokenizer(
      Json::parse(
          R"({"model": {"type": "BPE", "vocab": {"]": 0, "\u011b": 1, "a": 2, "aa": 3}, "merges": ["a a"]},
                      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
                                        "use_regex": false}})"),
      "small.json");
  const auto shown = [&](std::string_view text) {
    std::vector<merit::TokenSpan> spans;
    tokenizer.encode(text, spans);
    std::string all;
    for (const auto& span : spans) all += merit::concat(span.id, ':', span.begin, '-', span.end, ' ');
    return all;
  };
  CHECK(shown("\x04]\x1b") == "0:0-1 1:0-2 ");
  CHECK(shown("a\x04"
              "aa]") == "3:0-2 2:1-2 0:2-3 ");
  CHECK(shown("aa\x1b]") == "3:0-2 1:2-3 0:3-4 ");
  CHECK(shown("b").empty());
}

TEST_CASE("several threads share one tokenizer and its cache") {
  const Json file = merit::read_json(golden("byte_level.json"));
  const PretrainedTokenizer tokenizer(file.at("base"), "byte_level.json");
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (Index t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 20; ++round) {
        for (Index i = 0; i < file.at("texts").size(); ++i) {
          const auto ids = encode(tokenizer, file.at("texts")[i].get_ref<const std::string&>());
          wrong[t] += Json(ids) != file.at("cases")[0].at("expected")[i].at("ids");
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}

TEST_CASE("a long word takes time as its length does") {
  const PretrainedTokenizer tokenizer(merit::read_json(golden("byte_level.json")).at("base"),
                                      "byte_level.json");
  std::string text;
  while (text.size() < 200'000) text += "thethewordreader";
  const auto ids = encode(tokenizer, text);
  CHECK(tokenizer.decode({ids.data(), ids.size()}) == text);
  CHECK(encode(tokenizer, std::string(200'000, ' ')).size() > 0);
}

}  // namespace pretrained_tokenizer_test
