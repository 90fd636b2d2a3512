// Malformed vocabularies: each ends in one clear error.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/text/bpe_files.hpp"
#include "merit/text/gguf_vocabulary.hpp"
#include "merit/text/llama2c_vocabulary.hpp"
#include "merit/text/sentencepiece_description.hpp"
#include "merit/text/tiktoken_file.hpp"
#include "merit/text/wordpiece_file.hpp"

namespace vocabulary_errors_test {

using namespace merit;
using namespace merit_test;

void check_has(const std::string& message, std::string_view part) {
  CAPTURE(message);
  CHECK(message.find(part) != message.npos);
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(0x80u | (value & 0x7Fu));
  return bytes += static_cast<char>(value);
}
std::string number(std::uint64_t field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}
std::string bytes(std::uint64_t field, const std::string& text) {
  return varint(field << 3 | 2) + varint(text.size()) + text;
}
std::string little(std::uint32_t bits) {
  std::string text;
  for (int i = 0; i < 4; ++i) text += static_cast<char>(bits >> (8 * i) & 0xFFu);
  return text;
}
std::string piece(const std::string& text, float score, std::uint64_t type) {
  return bytes(
      1, bytes(1, text) + varint(2 << 3 | 5) + little(std::bit_cast<std::uint32_t>(score)) + number(3, type));
}

const std::string unknown = piece("<unk>", 0, 2);
const std::string unigram = bytes(2, number(3, 1));
const std::string bpe = bytes(2, number(3, 2));

void describe_bytes(const std::string& text) {
  describe_sentencepiece(parse_sentencepiece(text, "m"), "m");
}

TEST_CASE("a SentencePiece model that is cut off or no protocol buffer") {
  const std::string whole = unknown + piece("a", -1, 1) + piece("b", -2, 1) + unigram;
  describe_bytes(whole);
  for (Index size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    std::string message;
    try {
      describe_bytes(whole.substr(0, size));  // whole only where it ends between two fields
      CHECK((size >= unknown.size()));
    } catch (const DataError& error) {
      CHECK(std::string_view(error.what()).starts_with("m: "));
    }
  }
  const auto error = [](const std::string& text) {
    return error_of<DataError>([&] { describe_bytes(text); });
  };
  check_has(error(""), "no piece");
  check_has(error(std::string(11, '\xFF')), "more than");
  check_has(error(std::string("\x0A") + std::string(9, '\xFF') + "\x01"), "a length of 18446744073709551615");
  check_has(error(std::string("\x0A\x7F") + "abc"), "a length of 127 where 3 bytes are left");
  check_has(error("\x0B"), "wire type 3");
  check_has(error("\x02"), "field with the number 0");
  check_has(error("\x0D\x01"), "within a number");
  check_has(error(number(1, 5)), "expected a message");
  check_has(error(bytes(1, number(1, 5))), "expected text");
  check_has(error(bytes(1, bytes(2, "x"))), "expected a float");
}

TEST_CASE("a SentencePiece model that cannot be used") {
  const auto error = [](const std::string& text) {
    return error_of<DataError>([&] { describe_bytes(text); });
  };
  check_has(error(piece("a", -1, 1)), "no piece is of the type unknown");
  check_has(error(unknown + unknown), "both unknown");
  check_has(error(unknown + piece("a", -1, 1) + piece("a", -2, 1)), "occurs twice");
  check_has(error(unknown + piece("a", -1, 1) + piece("a", -2, 1) + bpe), "occurs twice");
  check_has(error(unknown + piece("\xFF\xFE", -1, 1)), "expected UTF-8");
  check_has(error(unknown + piece(std::string(2000, 'a'), -1, 1)), "2000 bytes");
  check_has(error(unknown + piece("a", -1, 9)), "type 9");
  check_has(error(unknown + piece("", -1, 1)), "without text");
  check_has(error(unknown + piece("a", std::numeric_limits<float>::quiet_NaN(), 1)), "score");
  check_has(error(unknown + piece("a", std::numeric_limits<float>::infinity(), 1)), "score");
  check_has(error(unknown + bytes(2, number(3, 3))), "of words");
  check_has(error(unknown + bytes(2, number(3, 4))), "of characters");
  check_has(error(unknown + bytes(2, number(3, 7))), "model type 7");
  check_has(error(unknown + bytes(2, number(24, 1))), "treat_whitespace_as_suffix");
  check_has(error_of<DataError>(
                [&] { describe_sentencepiece(parse_sentencepiece(unknown, "m"), "m", {.add_bos = true}); }),
            "begins a sequence");
}

TEST_CASE("bytes at random are never more than an error") {
  std::mt19937 random(7);
  const std::string whole = unknown + piece("ab", -1, 1) + piece("a", -2, 4) + bpe + bytes(3, number(4, 0));
  for (int i = 0; i < 5000; ++i) {
    std::string text = whole;
    for (int changes = 0; changes < 3; ++changes) text[random() % text.size()] = static_cast<char>(random());
    try {
      describe_bytes(text);
    } catch (const DataError&) {
    }
  }
}

TEST_CASE("a vocabulary of llama2.c that is cut off or something else") {
  std::string whole = little(7);
  const auto add = [](std::string& to, std::string_view text, float score = 0) {
    to += little(std::bit_cast<std::uint32_t>(score)) + little(static_cast<std::uint32_t>(text.size()));
    to += text;
  };
  for (const char* text : {"<unk>", "\n<s>\n", "\n</s>\n"}) add(whole, text);
  for (int byte = 0; byte < 256; ++byte) {
    const std::string_view digits = "0123456789ABCDEF";
    const auto high = static_cast<Index>(byte) / 16;
    add(whole, std::string{'<', '0', 'x', digits[high], digits[static_cast<Index>(byte) % 16], '>'});
  }
  const auto error = [](const std::string& text) {
    return error_of<DataError>([&] { describe_llama2c_vocabulary(text, "t"); });
  };
  describe_llama2c_vocabulary(whole, "t");
  check_has(error(""), "ends at byte 0");
  check_has(error(whole.substr(0, 15)), "length 5");
  check_has(error(whole.substr(0, 20)), "within a score");
  check_has(error(whole.substr(0, 6)), "within a score");
  check_has(error(little(7)), "0 pieces");
  std::string twice = whole;
  add(twice, "a");
  add(twice, "a");
  check_has(error(twice), "occurs twice");
  check_has(error(whole + little(0) + little(8) + "12345678"), "length 8");
  check_has(error(whole + little(0) + little(0xFFFFFFFF) + "1"), "length 4294967295");
  check_has(error(whole + little(0x7FC00000) + little(1) + "a"), "nan");
  std::string other = whole;
  other[4 + 8 + 5 + 8 + 5 + 8 + 6 + 8] = 'x';
  check_has(error(other), "expected <0x00>");
}

TEST_CASE("files of ranks") {
  const auto error = [](std::string_view text) {
    return error_of<DataError>([&] { describe_tiktoken(text, "r", {.split_rule = "gpt-2"}); });
  };
  check_has(error(""), "no rank");
  check_has(error("IQ== 0\nI!== 1\n"), "r line 2");
  check_has(error("IQ==\n"), "expected base64, a space and a rank");
  check_has(error("IQ== -1\n"), "a rank");
  check_has(error("IQ== 99999999999999\n"), "a rank");
  check_has(error("IQ== 0\nIg== 0\n"), "the rank 0 occurs twice");
  check_has(error("IQ== 0\nIQ== 1\n"), "occurs twice");
  check_has(error(" 0\n"), "empty piece");
  check_has(error("IQ== 0\n"), "single byte 0");
  std::string all;
  for (Index byte = 0; byte < 256; ++byte) {
    all += detail::base64_text(std::string(1, static_cast<char>(byte))) + " " + std::to_string(byte) + "\n";
  }
  describe_tiktoken(all, "r", {.split_rule = "gpt-2"});
  check_has(error_of<DataError>([&] { describe_tiktoken(all, "r"); }), "256 ranks");
  check_has(error_of<DataError>([&] { describe_tiktoken(all, "r", {.split_rule = "none"}); }), "\"none\"");
  check_has(error_of<DataError>([&] {
              describe_tiktoken(all, "r", {.split_rule = "gpt-2", .specials = {{.content = "<e>", .id = 3}}});
            }),
            "the id 3");
}

TEST_CASE("vocab.json and merges.txt") {
  const TemporaryDirectory folder;
  const auto error = [&](std::string_view vocabulary, std::string_view merges, BpeFilesOptions options = {}) {
    put(folder / "v", vocabulary);
    put(folder / "m", merges);
    return error_of<DataError>([&] { describe_bpe_files(folder / "v", folder / "m", options); });
  };
  const std::string_view good = R"({"a": 0, "b": 1, "ab": 2})";
  put(folder / "v", good);
  put(folder / "m", "#version: 0.2\r\na b\r\n\r\n");
  CHECK(describe_bpe_files(folder / "v", folder / "m")["model"]["merges"].size() == 1);
  check_has(error("[]", ""), "expected an object");
  check_has(error(R"({"a": 0, "a": 1})", ""), "occurs twice");
  check_has(error(R"({"a": 0, "b": 0})", ""), "another piece's as well");
  check_has(error(R"({"a": -1})", ""), "whole number");
  check_has(error(R"({"a": 4294967296})", ""), "whole number");
  check_has(error(R"({"a": 0.5})", ""), "whole number");
  check_has(error(R"({"the</w>": 0})", ""), "CLIP");
  check_has(error(good, "a b\nab\n"), "m line 2");
  check_has(error(good, "a b a\n"), "two pieces");
  check_has(error(good, " b\n"), "two pieces");
  check_has(error(good, "a c\n"), "\"c\" is not in the vocabulary");
  check_has(error(good, "b a\n"), "\"ba\" is not in the vocabulary");
  check_has(error(good, "\xFF\xFE a\n"), "not in the vocabulary");
  check_has(error(good, "a b\n", {.split_rule = "gtp-2"}), "\"gtp-2\", expected one of");
}

TEST_CASE("vocab.txt") {
  const auto error = [](std::string_view text) {
    return error_of<DataError>([&] { describe_wordpiece_file(text, "v"); });
  };
  CHECK(describe_wordpiece_file("[UNK]\r\n[CLS]\r\n[SEP]\r\na\r\n", "v")["model"]["vocab"]["a"] == 3);
  check_has(error(""), "no piece");
  check_has(error("[UNK]\n[CLS]\n"), "[SEP]");
  check_has(error("[UNK]\n[CLS]\n[SEP]\na\na\n"), "occurs twice");
  check_has(error("[UNK]\n[CLS]\n[SEP]\n\xC3\n"), "expected UTF-8");
}

TEST_CASE("vocabularies of GGUF files") {
  GgufVocabulary gpt2;
  gpt2.model = "gpt2";
  gpt2.pre = "gpt-2";
  gpt2.tokens = {"a", "b", "ab", "", "<e>"};
  gpt2.types = {1, 1, 1, 5, 3};
  gpt2.merges = {"a b"};
  const auto error = [](GgufVocabulary from, auto change) {
    change(from);
    return error_of<DataError>([&] { describe_gguf(from, "g"); });
  };
  using V = GgufVocabulary;
  CHECK(describe_gguf(gpt2, "g")["model"]["vocab"]["[EMPTY_3]"] == 3);
  check_has(error(gpt2, [](V& v) { v.model = "rwkv"; }), "\"rwkv\"");
  check_has(error(gpt2, [](V& v) { v.model = "plamo2"; }), "\"plamo2\"");
  check_has(error(gpt2, [](V& v) { v.pre = "kimi-k2"; }), "\"kimi-k2\", expected one of");
  check_has(error(gpt2, [](V& v) { v.tokens.clear(); }), "no tokens");
  check_has(error(gpt2, [](V& v) { v.merges.clear(); }), "no merges");
  check_has(error(gpt2, [](V& v) { v.merges[0] = "ab"; }), "expected two pieces");
  check_has(error(gpt2, [](V& v) { v.merges[0] = "a "; }), "expected two pieces");
  check_has(error(gpt2, [](V& v) { v.merges[0] = "b a"; }), "\"ba\" is not in the vocabulary");
  check_has(error(gpt2, [](V& v) { v.tokens[1] = "a"; }), "occurs twice");
  check_has(error(gpt2, [](V& v) { v.tokens[1] = "\xFF"; }), "expected UTF-8");
  GgufVocabulary llama;
  llama.model = "llama";
  llama.tokens = {"<unk>", "<s>", "</s>", "a"};
  llama.scores = {0, 0, 0, -1};
  llama.types = {2, 3, 3, 1};
  describe_gguf(llama, "g");
  check_has(error(llama, [](V& v) { v.scores.clear(); }), "no scores");
  check_has(error(llama, [](V& v) { v.scores[3] = std::numeric_limits<float>::infinity(); }),
            "the score inf");
  check_has(error(llama,
                  [](V& v) {
                    v.tokens.resize(1);
                    v.scores.resize(1);
                    v.types.resize(1);
                  }),
            "begins a sequence");
  GgufVocabulary bert;
  bert.model = "bert";
  bert.tokens = {"[UNK]"};
  check_has(error(bert, [](V&) {}), "missing");
}

}  // namespace vocabulary_errors_test
