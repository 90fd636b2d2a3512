// Vocabularies of every format, against what other implementations make of the same strings (tests/golden).
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/text/bpe_files.hpp"
#include "merit/text/gguf_vocabulary.hpp"
#include "merit/text/llama2c_vocabulary.hpp"
#include "merit/text/sentencepiece_description.hpp"
#include "merit/text/tiktoken_file.hpp"
#include "merit/text/wordpiece_file.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"
#include "stored.hpp"

namespace vocabularies_test {

using namespace merit;
namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
  return merit_test::stored("vocabularies/" + name);
}

const Json& expected() {
  static const Json values = read_json(golden("expected.json"));
  return values;
}

std::vector<Token> encoded(const PretrainedTokenizer& tokenizer, std::string_view text) {
  std::vector<Token> ids;
  tokenizer.encode(text, ids);
  return ids;
}

/// All strings of expected.json encode to the ids under `key`.
void check_ids(const Json& description, const std::string& key) {
  const PretrainedTokenizer tokenizer(description, key);
  const Json& strings = expected()["strings"];
  REQUIRE(strings.size() > 50);
  REQUIRE(expected()[key].size() == strings.size());
  for (Index i = 0; i < strings.size(); ++i) {
    const auto text = strings[i].get<std::string>();
    CAPTURE(key);
    CAPTURE(text);
    CHECK(encoded(tokenizer, text) == expected()[key][i].get<std::vector<Token>>());
  }
}

SentencePieceModel sentencepiece(const std::string& name) {
  return parse_sentencepiece(read_file(golden(name)), name);
}

TEST_CASE("SentencePiece models encode as the sentencepiece package does") {
  for (const std::string name : {"bpe", "bpe_marks", "unigram", "unigram_bytes"}) {
    check_ids(describe_sentencepiece(sentencepiece(name + ".model"), name), name);
  }
}

TEST_CASE("a SentencePiece model's fields are read") {
  const SentencePieceModel bpe = sentencepiece("bpe.model");
  CHECK(bpe.kind == SentencePieceModel::Kind::bpe);
  CHECK(bpe.byte_fallback);
  CHECK(bpe.add_dummy_prefix);
  CHECK_FALSE(bpe.remove_extra_whitespaces);
  CHECK(bpe.precompiled_charsmap.empty());
  CHECK(bpe.pieces[0].type == PieceType::unknown);
  CHECK(bpe.pieces[0].text == "<unk>");
  CHECK(bpe.bos == Token{1});
  CHECK(bpe.eos == Token{2});
  CHECK_FALSE(bpe.pad);
  CHECK(bpe.pieces[3].type == PieceType::byte);
  CHECK(bpe.pieces[259].type == PieceType::normal);
  CHECK(bpe.pieces[260].score == -1);
  const SentencePieceModel unigram = sentencepiece("unigram.model");
  CHECK(unigram.kind == SentencePieceModel::Kind::unigram);
  CHECK(unigram.remove_extra_whitespaces);
  CHECK(unigram.precompiled_charsmap.size() > 100);
  CHECK(unigram.pieces[3].type == PieceType::control);
  CHECK(unigram.pieces[4].type == PieceType::user_defined);
  CHECK_FALSE(sentencepiece("unigram_bytes.model").add_dummy_prefix);
}

TEST_CASE("control pieces are found in a text, and the space before every part is a choice") {
  const SentencePieceModel model = sentencepiece("bpe.model");
  const PretrainedTokenizer every(describe_sentencepiece(model, "x", {.add_bos = true, .add_eos = true}),
                                  "x");
  const PretrainedTokenizer first(describe_sentencepiece(model, "x", {.prefix_every_part = false}), "x");
  CHECK(every.before() == std::vector<Token>{1});
  CHECK(every.after() == std::vector<Token>{2});
  CHECK(first.before().empty());
  CHECK(every.is_special(1));
  const std::vector<Token> the = encoded(every, "the");
  std::vector<Token> twice = the;
  twice.push_back(2);
  twice.insert(twice.end(), the.begin(), the.end());
  CHECK(encoded(every, "the</s>the") == twice);
  CHECK(encoded(first, "the") == the);
  CHECK(encoded(first, "the</s>the") != twice);
  CHECK(every.decode({twice.data(), twice.size()}, true) == "the the");
}

TEST_CASE("unused and control pieces are never what a text becomes") {
  SentencePieceModel model = sentencepiece("unigram.model");
  const PretrainedTokenizer before(describe_sentencepiece(model, "x"), "x");
  const std::vector<Token> with = encoded(before, "the the");
  REQUIRE(with.front() < model.pieces.size());
  model.pieces[with.front()].type = PieceType::unused;
  const PretrainedTokenizer after(describe_sentencepiece(model, "x"), "x");
  for (const Token id : encoded(after, "the the")) CHECK(id != with.front());
}

TEST_CASE("a vocabulary of llama2.c encodes as llama2.c does") {
  const Json description = describe_llama2c_vocabulary(read_file(golden("tok440.bin")), "tok440.bin");
  check_ids(description, "llama2c");
  const PretrainedTokenizer tokenizer(description, "x");
  CHECK(tokenizer.before() == std::vector<Token>{1});
  CHECK(tokenizer.find("<s>") == Token{1});
  const std::string text = "Größere  Brötchen\n\x01";
  const std::vector<Token> ids = encoded(tokenizer, text);
  CHECK(tokenizer.decode({ids.data(), ids.size()}) == text);
}

TEST_CASE("vocab.json with merges.txt encodes as GPT-2's tokenizer does") {
  const Json description = describe_bpe_files(golden("vocab.json"), golden("merges.txt"),
                                              {.specials = {"<|endoftext|>", "<absent>"}});
  check_ids(description, "gpt2");
  const PretrainedTokenizer tokenizer(description, "x");
  CHECK(encoded(tokenizer, "<|endoftext|>") == std::vector<Token>{*tokenizer.find("<|endoftext|>")});
  CHECK(tokenizer.before().empty());
}

TEST_CASE("ranks encode as tiktoken does") {
  const std::string text = read_file(golden("tiny.tiktoken"));
  const auto size = static_cast<Token>(std::count(text.begin(), text.end(), '\n'));
  const Json description = describe_tiktoken(
      text, "tiny", {.split_rule = "llama-bpe", .specials = {{.content = "<|end|>", .id = size + 3}}});
  check_ids(description, "tiktoken");
  CHECK(encoded(PretrainedTokenizer(description, "x"), "<|end|>") == std::vector<Token>{size + 3});
}

TEST_CASE("vocab.txt encodes as BERT's tokenizer does") {
  const Json description = describe_wordpiece_file(read_file(golden("vocab.txt")), "vocab.txt");
  check_ids(description, "wordpiece");
  const PretrainedTokenizer tokenizer(description, "x");
  CHECK(tokenizer.before() == std::vector<Token>{2});
  CHECK(tokenizer.after() == std::vector<Token>{3});
  // Without lowering, the capital of a word that is known in small letters alone makes it unknown.
  const PretrainedTokenizer cased(
      describe_wordpiece_file(read_file(golden("vocab.txt")), "vocab.txt", {.do_lower_case = false}), "x");
  CHECK(encoded(tokenizer, "THE") == encoded(tokenizer, "the"));
  CHECK(encoded(cased, "THE") != encoded(cased, "the"));
}

TEST_CASE("the vocabulary of a GGUF file") {
  const GgufVocabulary vocabulary = read_gguf_vocabulary(GgufFile(golden("vocabulary.gguf")));
  CHECK(vocabulary.model == "gpt2");
  CHECK(vocabulary.pre == "smollm");
  CHECK(vocabulary.chat_templates.at("default").starts_with("{% for"));
  CHECK(vocabulary.bos == vocabulary.eos);
  const Json description = describe_gguf(vocabulary, "x");
  check_ids(description, "gguf");
  CHECK(PretrainedTokenizer(description, "x").before() == std::vector<Token>{*vocabulary.bos});
}

/// What a GGUF file would say of a SentencePiece model.
GgufVocabulary gguf_of(const SentencePieceModel& model, const std::string& kind) {
  GgufVocabulary vocabulary;
  vocabulary.model = kind;
  for (const auto& piece : model.pieces) {
    vocabulary.tokens.push_back(piece.text);
    vocabulary.scores.push_back(piece.score);
    vocabulary.types.push_back(static_cast<std::int32_t>(piece.type));
  }
  vocabulary.precompiled_charsmap = model.precompiled_charsmap;
  vocabulary.add_space_prefix = model.add_dummy_prefix;
  vocabulary.remove_extra_whitespaces = model.remove_extra_whitespaces;
  vocabulary.bos = model.bos;
  vocabulary.eos = model.eos;
  vocabulary.unk = 0;
  return vocabulary;
}

TEST_CASE("SentencePiece vocabularies in GGUF encode as in their own files") {
  const GgufVocabulary llama = gguf_of(sentencepiece("bpe.model"), "llama");
  check_ids(describe_gguf(llama, "x"), "bpe");
  CHECK(PretrainedTokenizer(describe_gguf(llama, "x"), "x").before() == std::vector<Token>{1});
  const GgufVocabulary t5 = gguf_of(sentencepiece("unigram.model"), "t5");
  check_ids(describe_gguf(t5, "x"), "unigram");
  CHECK(PretrainedTokenizer(describe_gguf(t5, "x"), "x").before().empty());
  CHECK(PretrainedTokenizer(describe_gguf(t5, "x"), "x").after() == std::vector<Token>{*t5.eos});
}

TEST_CASE("a WordPiece vocabulary in GGUF encodes as its vocab.txt") {
  GgufVocabulary bert;
  bert.model = "bert";
  detail::for_each_line(read_file(golden("vocab.txt")), [&](std::string_view line, Index) {
    const bool mark = line.starts_with('[') && line.ends_with(']');
    bert.tokens.push_back(line.starts_with("##") ? std::string(line.substr(2))
                                                 : (mark ? "" : "\xE2\x96\x81") + std::string(line));
  });
  bert.unk = 1;
  bert.cls = 2;
  bert.sep = 3;
  check_ids(describe_gguf(bert, "x"), "wordpiece");
}

TEST_CASE("every split rule is one that a text can be split by") {
  GgufVocabulary vocabulary = read_gguf_vocabulary(GgufFile(golden("vocabulary.gguf")));
  const std::string text = "Don't  stop 12345\n\n café; HTTPServer isN'T 水は\t高い!\r\n x1 ";
  for (const auto& rule : detail::split_rule_table) {
    vocabulary.pre = std::string(rule.first);
    CAPTURE(vocabulary.pre);
    const PretrainedTokenizer tokenizer(describe_gguf(vocabulary, "x"), "x");
    const std::vector<Token> ids = encoded(tokenizer, text);
    CHECK(tokenizer.decode({ids.data(), ids.size()}) == text);
  }
}

TEST_CASE("public vocabularies") {
  const auto found = merit_test::shared_data("tokenizers/gpt2");
  if (!found) return;
  const fs::path gpt2 = *found, stories = *merit_test::shared_data("models/stories260K");
  const PretrainedTokenizer large(
      describe_bpe_files(gpt2 / "encoder.json", gpt2 / "vocab.bpe", {.specials = {"<|endoftext|>"}}), "gpt2");
  CHECK(large.vocabulary_size() == 50257);
  CHECK(encoded(large, "Hello world<|endoftext|> a  b") ==
        std::vector<Token>{15496, 995, 50256, 257, 220, 275});
  const PretrainedTokenizer small(describe_llama2c_vocabulary(read_file(stories / "tok512.bin"), "tok512"),
                                  "x");
  const std::string text = read_file(stories / "expected_greedy_200.txt");
  const std::vector<Token> ids = encoded(small, text);
  CHECK(small.decode({ids.data(), ids.size()}) == text);
  CHECK(ids.size() == 201);
}

}  // namespace vocabularies_test
