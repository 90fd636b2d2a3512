// Tokenizers as the vocabularies inside GGUF files, read back.
#include "merit/text/write_gguf_vocabulary.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "../io/temporary.hpp"
#include "stored.hpp"

namespace write_gguf_vocabulary_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

std::vector<Token> encoded(const PretrainedTokenizer& tokenizer, std::string_view text) {
  std::vector<Token> ids;
  tokenizer.encode(text, ids);
  return ids;
}

/// What a folder's tokenizer becomes: the reason why it is not written, or else the file.
std::optional<std::string> written(const fs::path& folder, Index more, const fs::path& to) {
  const TextFiles text = *read_text_files(folder);
  const Json description = text.description ? *text.description : read_json(folder / "tokenizer.json");
  GgufMetadata metadata;
  const auto why =
      write_gguf_vocabulary(text, description, text.tokenizer.vocabulary_size() + more, metadata);
  CHECK((metadata.count() == 0) == why.has_value());
  if (!why) write_gguf(to, metadata, {});
  return why;
}

TEST_CASE("a vocabulary in a GGUF file reads back as the tokenizer that it was made of") {
  using Files = std::map<std::string, std::string>;  // in the folder, of the stored ones
  const std::map<std::string, Files> kinds{
      {"gpt2", {{"vocab.json", "vocab.json"}, {"merges.txt", "merges.txt"}}},
      {"llama", {{"tokenizer.model", "bpe.model"}}},
      {"bert", {{"vocab.txt", "vocab.txt"}}}};
  for (const auto& kind : kinds) {
    const std::string& model = kind.first;
    const Files& files = kind.second;
    CAPTURE(model);
    const TemporaryDirectory folder;
    for (const auto& [name, from] : files) fs::copy_file(stored("vocabularies/" + from), folder / name);
    if (model == "bert") put(folder / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
    const TextFiles text = *read_text_files(folder.path());
    const auto why = written(folder.path(), 3, folder / "v.gguf");
    REQUIRE_MESSAGE(!why, why.value_or(""));
    const GgufFile file(folder / "v.gguf");
    CHECK(file.require<std::string>("tokenizer.ggml.model") == model);
    const auto types = file.require<std::vector<int>>("tokenizer.ggml.token_type");
    CHECK(types.size() == text.tokenizer.vocabulary_size() + 3);
    CHECK(types.back() == static_cast<int>(PieceType::unused));  // rows of the embedding without a piece
    CHECK((file.find("tokenizer.ggml.scores") != nullptr) == (model == "llama"));
    CHECK((file.find("tokenizer.ggml.merges") != nullptr) == (model == "gpt2"));
    const TextFiles again = text_files_of_gguf(file);
    CHECK(again.tokenizer.before() == text.tokenizer.before());
    CHECK(again.tokenizer.after() == text.tokenizer.after());
    if (model != "bert") CHECK(again.eos == text.eos);
    for (const char* sentence : {"The baker's 42 loaves.\n", "  a  b ",
                                 "Gr\xC3\xBC\xC3\x9F"
                                 "e \xE4\xBD\xA0",
                                 "</s>x<unk>"}) {
      CHECK(encoded(again.tokenizer, sentence) == encoded(text.tokenizer, sentence));
    }
  }
}

TEST_CASE("how a text is split is named as llama.cpp names it") {
  for (const auto& one : std::map<std::string, std::string>{{"gpt-2", "gpt-2"},
                                                            {"llama-bpe", "llama-bpe"},
                                                            {"qwen2", "qwen2"},
                                                            {"smollm", "smollm"},
                                                            {"mpt", "olmo"},
                                                            {"tekken", "tekken"}}) {
    const std::string &name = one.first, &pre = one.second;
    const detail::SplitRule rule = detail::split_rule(name, false, "test");
    const Json description = {{"normalizer", rule.normalizer},
                              {"pre_tokenizer", rule.pre_tokenizer},
                              {"model", {{"ignore_merges", rule.ignore_merges}}}};
    CHECK(detail::split_rule_name(description) == pre);
    const std::string found = detail::split_rule_name(description);
    CHECK(detail::split_rule(found, false, "test").pre_tokenizer == rule.pre_tokenizer);
    Json other = description;
    other["model"]["ignore_merges"] = !rule.ignore_merges;
    other["pre_tokenizer"] = detail::split_by("[xyz]");
    CHECK(detail::split_rule_name(other).empty());
  }
}

TEST_CASE("of a tokenizer that llama.cpp has not, nothing is written, and why is said") {
  const TemporaryDirectory folder;
  const auto reason = [&](const std::string& name) {
    write_json(folder / "tokenizer.json", read_json(stored("tokenizers/" + name + ".json")).at("base"));
    return written(folder.path(), 0, folder / "v.gguf").value_or("none");
  };
  CHECK(contains(reason("unigram"), "its model is \"Unigram\""));
  CHECK(contains(reason("byte_fallback"), "its merges are not those of scores"));
  write_json(folder / "tokenizer.json", read_json(stored("tokenizers/byte_level.json")).at("base"));
  const TextFiles text = *read_text_files(folder.path());
  GgufMetadata metadata;
  const Index size = text.tokenizer.vocabulary_size();
  const auto why = write_gguf_vocabulary(text, read_json(folder / "tokenizer.json"), size - 1, metadata);
  CHECK(why == concat("it has ", size, " pieces, and the model ", size - 1));
}

}  // namespace write_gguf_vocabulary_test
