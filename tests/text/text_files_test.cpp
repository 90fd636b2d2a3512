// Tokenizers in folders: which files are read, what the configuration adds, and what is saved.
#include "merit/text/text_files.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "../io/temporary.hpp"
#include "stored.hpp"

namespace text_files_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
  return merit_test::stored("vocabularies/" + name);
}

void copy_stored(const std::string& name, const fs::path& to) {
  fs::copy_file(golden(name), to);
}

std::vector<Token> encoded(const PretrainedTokenizer& tokenizer, std::string_view text) {
  std::vector<Token> ids;
  tokenizer.encode(text, ids);
  return ids;
}

/// A tokenizer.json of a few words.
constexpr std::string_view words =
    R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
  {"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
  "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"<s>": 0, "</s>": 1, "?": 2, "good": 3, "[pad]": 4}}})";

TEST_CASE("a folder without a vocabulary has none") {
  const TemporaryDirectory folder;
  CHECK_FALSE(read_text_files(folder.path()));
  put(folder / "config.json", "{}");
  CHECK_FALSE(read_text_files(folder.path()));
}

TEST_CASE("a tokenizer.json and what stands beside it") {
  const TemporaryDirectory folder;
  put(folder / "tokenizer.json", words);
  auto text = read_text_files(folder.path());
  REQUIRE(text);
  CHECK(text->source == "tokenizer.json");
  CHECK(text->files == std::vector<std::string>{"tokenizer.json"});
  CHECK_FALSE(text->bos);
  CHECK_FALSE(text->description);
  CHECK(text->tokenizer.before() == std::vector<Token>{0});
  CHECK(text->chat_templates.empty());

  put(folder / "tokenizer_config.json",
      R"({"tokenizer_class": "LlamaTokenizerFast", "additional_special_tokens": ["?"], "bos_token": {"content": "<s>", "lstrip": false},
          "eos_token": "</s>", "pad_token": "[pad]", "unk_token": null, "chat_template": "{{ x }}"})");
  put(folder / "config.json", R"({"eos_token_id": [1, 3], "pad_token_id": -1, "bos_token_id": 2})");
  put(folder / "generation_config.json", R"({"eos_token_id": 2})");
  text = read_text_files(folder.path());
  REQUIRE(text);
  CHECK(text->bos == Token{0});
  CHECK(text->eos == Token{1});
  CHECK(text->pad == Token{4});
  CHECK_FALSE(text->unk);
  CHECK(text->ends == std::vector<Token>{1, 3, 2});
  CHECK(text->tokenizer.eos() == 1);
  CHECK(text->tokenizer.bos() == Token{0});
  CHECK(text->token_texts.at("eos_token") == "</s>");
  CHECK(text->chat_templates.at("default") == "{{ x }}");
  CHECK(text->files == std::vector<std::string>{"tokenizer.json", "tokenizer_config.json"});
  // A named token is found as a whole, though the file does not list it as added.
  CHECK(encoded(text->tokenizer, "good[pad]good") == std::vector<Token>{3, 4, 3});
  CHECK(encoded(text->tokenizer, "good?good") == std::vector<Token>{3, 2, 3});
  CHECK(text->tokenizer.is_special(2));
}

TEST_CASE("ids of config.json serve where no token is named") {
  const TemporaryDirectory folder;
  put(folder / "tokenizer.json", words);
  put(folder / "config.json", R"({"eos_token_id": [3, 1], "bos_token_id": 99, "pad_token_id": null})");
  const auto text = read_text_files(folder.path());
  REQUIRE(text);
  CHECK(text->eos == Token{3});
  CHECK(text->tokenizer.eos() == 3);
  CHECK(text->ends == std::vector<Token>{3, 1});
  CHECK_FALSE(text->bos);
  CHECK(text->token_texts.at("eos_token") == "good");
}

TEST_CASE("add_bos_token and add_eos_token set anew what stands around a text") {
  const TemporaryDirectory folder;
  put(folder / "tokenizer.json", words);
  const auto around = [&](std::string_view flags) {
    put(folder / "tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": "</s>")" + std::string(flags) + "}");
    const auto text = read_text_files(folder.path());
    REQUIRE(text);
    return std::pair(text->tokenizer.before(), text->tokenizer.after());
  };
  using Ids = std::vector<Token>;
  CHECK(around("") == std::pair(Ids{0}, Ids{}));
  CHECK(around(R"(, "add_bos_token": true)") == std::pair(Ids{0}, Ids{}));
  CHECK(around(R"(, "add_bos_token": false)") == std::pair(Ids{}, Ids{}));
  CHECK(around(R"(, "add_eos_token": true)") == std::pair(Ids{}, Ids{1}));
  CHECK(around(R"(, "add_bos_token": true, "add_eos_token": true)") == std::pair(Ids{0}, Ids{1}));
}

TEST_CASE("chat templates: a file, a list, a folder") {
  const TemporaryDirectory folder;
  put(folder / "tokenizer.json", words);
  put(folder / "tokenizer_config.json",
      R"({"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]})");
  using Templates = std::map<std::string, std::string>;
  CHECK(read_text_files(folder.path())->chat_templates == Templates{{"default", "a"}, {"tool_use", "b"}});
  put(folder / "chat_template.jinja", "c\n");
  CHECK(read_text_files(folder.path())->chat_templates == Templates{{"default", "c\n"}});
  fs::create_directory(folder / "additional_chat_templates");
  put(folder / "additional_chat_templates/rag.jinja", "d");
  const auto text = read_text_files(folder.path());
  CHECK(text->chat_templates == Templates{{"default", "c\n"}, {"rag", "d"}});
  CHECK(text->files == std::vector<std::string>{"additional_chat_templates/rag.jinja", "chat_template.jinja",
                                                "tokenizer.json", "tokenizer_config.json"});
  const TemporaryDirectory to;
  CHECK(save_text_files(*text, to.path()) == text->files);
  CHECK(read_text_files(to.path())->chat_templates == text->chat_templates);
}

TEST_CASE("vocabularies of other formats are found by their names, and saved as a tokenizer.json") {
  struct Case {
    std::vector<std::pair<std::string, std::string>> files;  // stored, in the folder
    std::string eos;
  };
  const std::vector<Case> cases = {
      {{{"vocab.json", "vocab.json"}, {"merges.txt", "merges.txt"}}, "<|endoftext|>"},
      {{{"vocab.json", "encoder.json"}, {"merges.txt", "vocab.bpe"}}, "<|endoftext|>"},
      {{{"bpe.model", "tokenizer.model"}}, "</s>"},
      {{{"unigram.model", "spiece.model"}}, "</s>"},
      {{{"vocab.txt", "vocab.txt"}}, ""},
      {{{"tok440.bin", "tok440.bin"}}, "</s>"},
  };
  for (const Case& one : cases) {
    const TemporaryDirectory folder;
    for (const auto& [from, to] : one.files) copy_stored(from, folder / to);
    CAPTURE(one.files.front().second);
    const auto text = read_text_files(folder.path());
    REQUIRE(text);
    CHECK(text->source == one.files.front().second);
    CHECK((text->eos ? text->tokenizer.piece(*text->eos) : "") == one.eos);
    REQUIRE(text->description);
    const TemporaryDirectory saved;
    save_text_files(*text, saved.path());
    const auto again = read_text_files(saved.path());
    REQUIRE(again);
    CHECK(again->source == "tokenizer.json");
    CHECK(again->tokenizer.name() == text->tokenizer.name());
    CHECK(again->eos == text->eos);
    CHECK(again->bos == text->bos);
    const std::string sentence = "The  baker's 42 Brötchen\n";
    CHECK(encoded(again->tokenizer, sentence) == encoded(text->tokenizer, sentence));
    CHECK(again->tokenizer.before() == text->tokenizer.before());
  }
}

TEST_CASE("a GGUF file's tokenizer and template") {
  const TextFiles text = text_files_of_gguf(GgufFile(golden("vocabulary.gguf")));
  CHECK(text.eos == text.bos);
  CHECK(text.tokenizer.before() == std::vector<Token>{*text.bos});
  CHECK(text.token_texts.at("bos_token") == "<|endoftext|>");
  const TemporaryDirectory to;
  const std::vector<std::string> written = save_text_files(text, to.path());
  CHECK(written ==
        std::vector<std::string>{"chat_template.jinja", "tokenizer.json", "tokenizer_config.json"});
  const auto again = read_text_files(to.path());
  REQUIRE(again);
  CHECK(again->tokenizer.name() == text.tokenizer.name());
  CHECK(again->chat_templates == text.chat_templates);
  CHECK(again->eos == text.eos);
}

TEST_CASE("the configuration says how a vocabulary is used") {
  const TemporaryDirectory folder;
  copy_stored("bpe.model", folder / "tokenizer.model");
  put(folder / "tokenizer_config.json",
      R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "bos_token": "<s>", "eos_token": "</s>",
          "legacy": false, "added_tokens_decoder": {"0": {"content": "<unk>", "special": true},
          "445": {"content": "<|im_end|>", "special": true, "normalized": false}}})");
  const auto text = read_text_files(folder.path());
  REQUIRE(text);
  CHECK(text->tokenizer.before() == std::vector<Token>{1});
  CHECK(encoded(text->tokenizer, "<|im_end|>") == std::vector<Token>{445});
  CHECK(text->tokenizer.vocabulary_size() == 446);
  const std::vector<Token> the = encoded(text->tokenizer, "the");
  const std::vector<Token> after = encoded(text->tokenizer, "<|im_end|>the");
  CHECK(std::vector<Token>(after.begin() + 1, after.end()) != the);  // legacy is false
  const TemporaryDirectory saved;
  save_text_files(*text, saved.path());
  CHECK(read_text_files(saved.path())->tokenizer.name() == text->tokenizer.name());
  CHECK(require<std::string>(read_json(saved / "tokenizer_config.json"), "tokenizer_class", "x") ==
        "PreTrainedTokenizerFast");

  const TemporaryDirectory older;  // as transformers 4 wrote it
  copy_stored("bpe.model", older / "tokenizer.model");
  put(older / "added_tokens.json", R"({"<y>": 441, "<x>": 440})");
  const auto added = read_text_files(older.path());
  REQUIRE(added);
  CHECK(encoded(added->tokenizer, "<x><y>") == std::vector<Token>{440, 441});

  const TemporaryDirectory cased;
  copy_stored("vocab.txt", cased / "vocab.txt");
  put(cased / "tokenizer_config.json", R"({"do_lower_case": false, "tokenizer_class": "BertTokenizer"})");
  const auto bert = read_text_files(cased.path());
  REQUIRE(bert);
  CHECK(encoded(bert->tokenizer, "THE") != encoded(bert->tokenizer, "the"));
  CHECK(bert->token_texts.at("cls_token") == "[CLS]");
}

TEST_CASE("what is something else, or malformed, is an error that says so") {
  const auto error = [](const std::vector<std::pair<std::string, std::string>>& files) {
    const TemporaryDirectory folder;
    for (const auto& [name, content] : files) put(folder / name, content);
    std::string message = error_of<DataError>([&] { read_text_files(folder.path()); });
    CHECK(message.starts_with(folder.path().string()));
    return message;
  };
  const auto has = [](const std::string& message, std::string_view part) {
    CAPTURE(message);
    CHECK(message.find(part) != message.npos);
  };
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132\n";
  has(error({{"tokenizer.json", pointer}}), "Git LFS pointer");
  has(error({{"tokenizer.model", pointer}}), "Git LFS pointer");
  has(error({{"vocab.json", pointer}, {"merges.txt", ""}}), "Git LFS pointer");
  has(error({{"tekken.json", "{}"}}), "Tekken");
  has(error({{"vocab.json", "{}"}}), "vocab.json alone");
  has(error({{"tokenizer.model", "PK\x03\x04 some archive"}}), "not a SentencePiece model");
  has(error({{"tokenizer.model", "AAAA x\n"}}), "not a SentencePiece model");
  has(error({{"x.tiktoken", "IQ== 0\n"}}), "single byte 0");
  has(error({{"a.tiktoken", ""}, {"b.tiktoken", ""}}), "expected one vocabulary");
  has(error({{"tokenizer.json", "[]"}}), "");
  has(error({{"tokenizer.json", std::string(words)}, {"tokenizer_config.json", "[]"}}), "expected an object");
  has(error({{"tokenizer.json", std::string(words)}, {"tokenizer_config.json", R"({"eos_token": 3})"}}),
      "eos_token");
  has(error({{"tokenizer.json", std::string(words)}, {"tokenizer_config.json", R"({"eos_token": "<e>"})"}}),
      "<e>");
  has(error({{"tokenizer.json", std::string(words)}, {"tokenizer_config.json", R"({"chat_template": 1})"}}),
      "chat_template");
  has(error({{"tokenizer.json", std::string(words)}, {"config.json", R"({"eos_token_id": "x"})"}}),
      "eos_token_id");
  has(error({{"vocab.txt", "a\n"}, {"tokenizer_config.json", R"({"tokenizer_class": "EsmTokenizer"})"}}),
      "EsmTokenizer");
  has(error({{"spiece.model", read_file(golden("unigram.model"))},
             {"tokenizer_config.json", R"({"tokenizer_class": "XLMRobertaTokenizer"})"}}),
      "XLMRobertaTokenizer");
}

}  // namespace text_files_test
