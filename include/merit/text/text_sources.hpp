// Vocabularies in a folder that has no tokenizer.json: which files they are, and their description.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/text/bpe_files.hpp"
#include "merit/text/llama2c_vocabulary.hpp"
#include "merit/text/sentencepiece_description.hpp"
#include "merit/text/text_settings.hpp"
#include "merit/text/tiktoken_file.hpp"
#include "merit/text/wordpiece_file.hpp"
#include "merit/tokenizer/description.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A description and the file that it comes from.
struct TextSource {
  Json description;
  std::string file;  // its name in the folder
  /// The texts of tokens by their uses, as the format has them where no configuration says more.
  std::map<std::string, std::string> tokens = {};
};

template <class Range>
bool one_of(std::string_view name, const Range& names) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

[[noreturn]] inline void refuse_class(const TextSettings& settings, const std::string& file) {
  throw DataError(concat((settings.folder / file).string(), ": a vocabulary of the tokenizer_class ",
                         quote(settings.tokenizer_class() + "Tokenizer"),
                         ", which does more than the file says; expected a tokenizer.json beside it"));
}

/// The texts of the tokens that the configuration names by their uses.
inline std::vector<std::string> named_texts(const TextSettings& settings) {
  std::vector<std::string> texts;
  for (const char* use : token_uses) {
    if (const auto piece = settings.token(use); piece && !one_of(piece->content, texts)) {
      texts.push_back(piece->content);
    }
  }
  return texts;
}

inline Json describe_folder_bpe(const TextSettings& settings, const char* vocabulary, const char* merges) {
  constexpr std::array<std::string_view, 6> roberta = {"Roberta", "Bart", "Longformer",
                                                       "LED",     "Mvp",  "roberta"};
  constexpr std::array<std::string_view, 4> gpt2 = {"", "GPT2", "CodeGen", "gpt2"};
  std::string kind = settings.tokenizer_class();
  if (kind.empty()) {
    const auto type = optional<std::string>(settings.config, "model_type", settings.place("config.json"));
    if (type == "roberta" || type == "bart") kind = "Roberta";
    if (type && type->starts_with("qwen2")) kind = "Qwen2";
  }
  BpeFilesOptions options;
  options.add_prefix_space = settings.tokenizer_field<bool>("add_prefix_space").value_or(false);
  options.specials = named_texts(settings);
  if (options.specials.empty()) options.specials = {"<|endoftext|>"};
  if (kind == "Qwen2") {
    options.split_rule = "qwen2";
  } else if (one_of(kind, roberta)) {
    options.specials = {"<s>", "</s>", "<unk>", "<pad>", "<mask>"};
  } else if (!one_of(kind, gpt2)) {
    refuse_class(settings, vocabulary);
  }
  Json description = describe_bpe_files(settings.folder / vocabulary, settings.folder / merges, options);
  if (one_of(kind, roberta)) {
    const Json& pieces = description["model"]["vocab"];
    for (const char* piece : {"<s>", "</s>"}) {
      if (!pieces.contains(piece)) {
        throw DataError(concat((settings.folder / vocabulary).string(), ": no piece ", quote(piece),
                               ", expected one in a vocabulary of RoBERTa"));
      }
    }
    for (Json& piece : description["added_tokens"]) piece["lstrip"] = piece["content"] == "<mask>";
    description["post_processor"] = Json{{"type", "RobertaProcessing"},
                                         {"sep", {"</s>", pieces["</s>"]}},
                                         {"cls", {"<s>", pieces["<s>"]}},
                                         {"trim_offsets", true},
                                         {"add_prefix_space", options.add_prefix_space}};
  }
  return description;
}

inline Json describe_folder_wordpiece(const TextSettings& settings) {
  constexpr std::array<std::string_view, 9> known = {
      "", "Bert", "DistilBert", "Electra", "MobileBert", "LayoutLM", "SqueezeBert", "ConvBert", "RetriBert"};
  if (!one_of(settings.tokenizer_class(), known)) refuse_class(settings, "vocab.txt");
  WordPieceOptions options;
  options.do_lower_case = settings.tokenizer_field<bool>("do_lower_case").value_or(true);
  options.strip_accents = settings.tokenizer_field<bool>("strip_accents");
  options.tokenize_chinese_chars = settings.tokenizer_field<bool>("tokenize_chinese_chars").value_or(true);
  const auto name = [&](const char* use, std::string& into) {
    if (const auto piece = settings.token(use)) into = piece->content;
  };
  name("unk_token", options.unk_token);
  name("cls_token", options.cls_token);
  name("sep_token", options.sep_token);
  const std::filesystem::path path = settings.folder / "vocab.txt";
  return describe_wordpiece_file(read_text_file(path), path.string(), options);
}

/// Does a text begin as a file of ranks does: base64, a space, a number?
inline bool looks_like_ranks(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  const auto space = line.find(' ');
  return space != line.npos && space > 0 && space + 1 < line.size() && line.size() < 2048 &&
         line.find_first_not_of("0123456789\r", space + 1) == line.npos &&
         line.substr(0, space).find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == line.npos;
}

/// A .model file, which is SentencePiece's or, as Llama 3's original is, a file of ranks.
inline TextSource describe_folder_model(const TextSettings& settings, const std::string& file) {
  constexpr std::array<std::string_view, 7> known = {"",   "Llama", "CodeLlama", "Gemma",
                                                     "T5", "Phi3",  "Mistral"};
  const std::filesystem::path path = settings.folder / file;
  const std::string bytes = read_text_file(path);
  if (looks_like_ranks(bytes)) {
    return {describe_tiktoken(bytes, path.string(), {.specials = settings.added_tokens()}), file};
  }
  const SentencePieceModel model = parse_sentencepiece(bytes, path.string());
  const std::string kind = settings.tokenizer_class();
  if (!one_of(kind, known)) refuse_class(settings, file);
  // With legacy false, transformers puts the space before the whole text only.
  SentencePieceOptions options;
  options.prefix_every_part = settings.tokenizer_field<bool>("legacy").value_or(true);
  options.add_eos = kind == "T5";
  TextSource source{describe_sentencepiece(model, path.string(), options), file};
  for (const auto& [use, id] : {std::pair("bos_token", model.bos), std::pair("eos_token", model.eos),
                                std::pair("pad_token", model.pad)}) {
    if (id) source.tokens.emplace(use, model.pieces[*id].text);
  }
  for (const auto& piece : model.pieces) {
    if (piece.type == PieceType::unknown) source.tokens.emplace("unk_token", piece.text);
  }
  return source;
}

/// Is it the name of a file of ranks: qwen.tiktoken?
inline bool names_ranks(std::string_view name) {
  return name.ends_with(".tiktoken");
}

/// Is it a name that llama2.c gives its vocabularies: tokenizer.bin, tok512.bin?
inline bool names_llama2c(std::string_view name) {
  if (!name.starts_with("tok") || !name.ends_with(".bin")) return false;
  const std::string_view middle = name.substr(3, name.size() - 7);
  return middle == "enizer" || (!middle.empty() && middle.find_first_not_of("0123456789") == middle.npos);
}

/// The one file in a folder whose name `is_wanted`.
template <class IsWanted>
std::optional<std::string> find_file(const std::filesystem::path& folder, IsWanted is_wanted) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.size() >= 7 && is_wanted(name)) found.push_back(name);
  }
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    throw DataError(concat(folder.string(), ": found ", quote(found[0]), " and ", quote(found[1]),
                           ", expected one vocabulary"));
  }
  return found.empty() ? std::nullopt : std::optional(found.front());
}

inline constexpr std::array<const char*, 4> sentencepiece_names = {"tokenizer.model", "spiece.model",
                                                                   "sentencepiece.bpe.model", "spm.model"};

/// The vocabulary of a folder, the first in this order: tokenizer.json, vocab.json with merges.txt,
/// encoder.json with vocab.bpe, a .model, vocab.txt, *.tiktoken, tokenizer.bin or tok512.bin. Nothing where
/// there is none of them.
inline std::optional<TextSource> read_text_source(const TextSettings& settings) {
  namespace fs = std::filesystem;
  const auto has = [&](const char* name) { return file_exists(settings.folder / name); };
  const std::map<std::string, std::string> gpt2_tokens = {
      {"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}};
  if (has("tokenizer.json")) {
    const fs::path path = settings.folder / "tokenizer.json";
    return TextSource{parse_json(read_text_file(path), path.string()), "tokenizer.json"};
  }
  if (has("vocab.json") && has("merges.txt")) {
    return TextSource{describe_folder_bpe(settings, "vocab.json", "merges.txt"), "vocab.json", gpt2_tokens};
  }
  if (has("encoder.json") && has("vocab.bpe")) {
    return TextSource{describe_folder_bpe(settings, "encoder.json", "vocab.bpe"), "encoder.json",
                      gpt2_tokens};
  }
  for (const char* name : sentencepiece_names) {
    if (has(name)) return describe_folder_model(settings, name);
  }
  if (has("vocab.txt")) {
    return TextSource{describe_folder_wordpiece(settings),
                      "vocab.txt",
                      {{"unk_token", "[UNK]"},
                       {"cls_token", "[CLS]"},
                       {"sep_token", "[SEP]"},
                       {"pad_token", "[PAD]"},
                       {"mask_token", "[MASK]"}}};
  }
  if (has("tekken.json")) {
    throw DataError(
        (settings.folder / "tekken.json").string() +
        ": a vocabulary of Mistral's Tekken format, which is not read; expected a tokenizer.json");
  }
  if (const auto name = find_file(settings.folder, names_ranks)) {
    const fs::path path = settings.folder / *name;
    return TextSource{
        describe_tiktoken(read_text_file(path), path.string(), {.specials = settings.added_tokens()}), *name};
  }
  if (const auto name = find_file(settings.folder, names_llama2c)) {
    const fs::path path = settings.folder / *name;
    return TextSource{describe_llama2c_vocabulary(read_text_file(path), path.string()),
                      *name,
                      {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}}};
  }
  if (has("vocab.json") || has("merges.txt")) {
    throw DataError(concat(settings.folder.string(), ": found ",
                           has("vocab.json") ? "vocab.json" : "merges.txt",
                           " alone, expected vocab.json and merges.txt, or a tokenizer.json"));
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
