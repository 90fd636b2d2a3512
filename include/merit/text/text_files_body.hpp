// The bodies of text_files.hpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/text/gguf_vocabulary.hpp"
#include "merit/text/text_files.hpp"
#include "merit/text/text_settings.hpp"
#include "merit/text/text_sources.hpp"
#include "merit/tokenizer/description.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The id of a piece in the model of a description.
inline std::optional<Token> find_in_model(const Json& description, const std::string& piece) {
  const auto model = description.find("model");
  if (model == description.end() || !model->is_object()) return std::nullopt;
  const auto pieces = model->find("vocab");
  if (pieces == model->end()) return std::nullopt;
  if (pieces->is_object()) {
    const auto entry = pieces->find(piece);
    if (entry == pieces->end() || !entry->is_number_unsigned()) return std::nullopt;
    return entry->get<Token>();
  }
  if (!pieces->is_array()) return std::nullopt;
  for (Index id = 0; id < pieces->size(); ++id) {
    const Json& item = (*pieces)[id];
    if (item.is_array() && !item.empty() && item[0] == piece) return static_cast<Token>(id);
  }
  return std::nullopt;
}

/// Adds what the configuration adds to a vocabulary, as transformers does on loading: added tokens, and named
/// tokens that are pieces of the model, so that they are found in a text as a whole.
inline void add_configured_tokens(Json& description, const TextSettings& settings, const std::string& where,
                                  bool into_model) {
  if (!description.is_object()) return;  // the tokenizer says what is wrong
  Json& whole = description["added_tokens"];
  if (whole.is_null()) whole = Json::array();
  if (!whole.is_array()) return;
  const auto find = [&whole](const std::string& text, std::optional<Token> id) {
    return std::any_of(whole.begin(), whole.end(), [&](const Json& piece) {
      return piece.is_object() &&
             (piece.value("content", Json()) == text || (id && piece.value("id", Json()) == *id));
    });
  };
  std::vector<WholePiece> wanted = settings.added_tokens();
  for (WholePiece& piece : settings.named_tokens()) {
    if (find(piece.content, std::nullopt)) continue;
    const auto id = find_in_model(description, piece.content);
    if (!id) continue;
    piece.id = *id;
    wanted.push_back(std::move(piece));
  }
  // A tokenizer numbers added tokens one after the other, so that they come in the order of their ids, and
  // where the ids have gaps the tokens must be in the model's vocabulary.
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const WholePiece& a, const WholePiece& b) { return a.id < b.id; });
  const auto model = description.find("model");
  for (const WholePiece& piece : wanted) {
    if (find(piece.content, piece.id)) continue;
    check_piece(piece.content, piece.id, where);
    whole.push_back(piece_json(piece));
    if (into_model && model != description.end() && (*model)["vocab"].is_object()) {
      (*model)["vocab"].emplace(piece.content, piece.id);
    }
  }
}

/// A flag add_bos_token or add_eos_token in tokenizer_config.json sets what stands around a text anew,
/// whatever the tokenizer.json says (transformers 5; of transformers 4's classes only Llama's and a few
/// others did).
inline void apply_added_flags(Json& description, const TextSettings& settings) {
  const auto begins = settings.tokenizer_field<bool>("add_bos_token");
  const auto ends = settings.tokenizer_field<bool>("add_eos_token");
  if (!description.is_object() || (!begins && !ends)) return;
  const auto named = [&](std::optional<bool> wanted, const char* use) -> std::optional<NamedToken> {
    if (!wanted.value_or(false)) return std::nullopt;
    const auto piece = settings.token(use);
    if (!piece) return std::nullopt;
    for (const Json& token : description["added_tokens"]) {
      if (token.is_object() && token.value("content", Json()) == piece->content &&
          token.value("id", Json()).is_number_unsigned()) {
        return NamedToken(piece->content, token["id"].get<Token>());
      }
    }
    throw DataError(concat(settings.place("tokenizer_config.json"), ": the ", use, " ", quote(piece->content),
                           " is to stand around every text and is not in the vocabulary"));
  };
  description["post_processor"] = template_of(named(begins, "bos_token"), named(ends, "eos_token"));
}

/// The files of a folder that belong to its tokenizer.
inline std::vector<std::string> tokenizer_files(const std::filesystem::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  const auto add = [&](const std::string& name) {
    if (std::filesystem::is_regular_file(folder / name, error) && !one_of(name, files)) files.push_back(name);
  };
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja", "chat_template.json"}) {
    add(name);
  }
  for (const char* name : sentencepiece_names) add(name);
  const std::filesystem::path more = folder / "additional_chat_templates";
  if (std::filesystem::is_directory(more, error)) {
    for (const auto& entry : std::filesystem::directory_iterator(more)) {
      if (entry.path().extension() == ".jinja") {
        add("additional_chat_templates/" + entry.path().filename().string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Sets the ends and beginnings that `text` knows in its tokenizer.
inline void name_ends(TextFiles& text) {
  if (text.eos) {
    text.tokenizer = text.tokenizer.with_eos(*text.eos);
    text.ends.insert(text.ends.begin(), *text.eos);
  }
  text.tokenizer = text.tokenizer.with_bos(text.bos);
  std::vector<Token> once;
  for (const Token id : text.ends) {
    if (id < text.tokenizer.vocabulary_size() && std::find(once.begin(), once.end(), id) == once.end())
      once.push_back(id);
  }
  text.ends = std::move(once);
}

}  // namespace detail

MERIT_INLINE std::optional<TextFiles> read_text_files(const std::filesystem::path& folder) {
  const detail::TextSettings settings(folder);
  std::optional<detail::TextSource> source = detail::read_text_source(settings);
  if (!source) return std::nullopt;
  const std::string where = (folder / source->file).string();
  detail::add_configured_tokens(source->description, settings, where, source->file != "tokenizer.json");
  detail::apply_added_flags(source->description, settings);
  TextFiles text{.tokenizer = PretrainedTokenizer(source->description, where)};
  const Index size = text.tokenizer.vocabulary_size();
  const auto id_of = [&](const char* use, bool needed) -> std::optional<Token> {
    if (const auto piece = settings.token(use)) {
      if (const auto id = text.tokenizer.find(piece->content)) return id;
      if (!needed) return std::nullopt;
      throw DataError(concat(where, ": there is no piece ", detail::quote(piece->content),
                             ", which the configuration names as the ", use));
    }
    const std::vector<Token> ids = settings.token_ids(std::string(use) + "_id");
    if (!ids.empty() && ids.front() < size) return ids.front();
    const auto usual = source->tokens.find(use);
    return usual == source->tokens.end() ? std::nullopt : text.tokenizer.find(usual->second);
  };
  text.bos = id_of("bos_token", true);
  text.eos = id_of("eos_token", true);
  text.pad = id_of("pad_token", false);
  text.unk = id_of("unk_token", false);
  text.ends = settings.token_ids("eos_token_id");
  for (const char* use : detail::token_uses) {
    if (const auto piece = settings.token(use)) text.token_texts.emplace(use, piece->content);
  }
  for (const auto& [use, id] : {std::pair("bos_token", text.bos), std::pair("eos_token", text.eos)}) {
    if (id) text.token_texts.emplace(use, text.tokenizer.piece(*id));
  }
  for (const auto& [use, token] : source->tokens) {
    if (text.tokenizer.find(token)) text.token_texts.emplace(use, token);
  }
  detail::name_ends(text);
  text.chat_templates = detail::read_chat_templates(settings);
  text.folder = folder;
  text.files = detail::tokenizer_files(folder);
  text.source = source->file;
  if (source->file != "tokenizer.json") {
    text.description = std::make_shared<const Json>(std::move(source->description));
  }
  return text;
}

namespace detail {

/// Of a GGUF file that holds a tokenizer.json whole.
inline TextFiles text_files_of_tokenizer_json(const GgufFile& file, const std::string& json) {
  const std::string where = file.path().string();
  auto description = std::make_shared<const Json>(parse_json(json, where + ": tokenizer.json"));
  TextFiles text{.tokenizer = PretrainedTokenizer(*description, where)};
  for (const auto& [use, name, id] :
       {std::tuple("bos_token", "bos", &text.bos), std::tuple("eos_token", "eos", &text.eos),
        std::tuple("pad_token", "padding", &text.pad), std::tuple("unk_token", "unknown", &text.unk)}) {
    *id = file.optional<Token>(concat("tokenizer.ggml.", name, "_token_id"));
    if (*id) text.token_texts.emplace(use, text.tokenizer.piece(**id));
  }
  name_ends(text);
  text.chat_templates = gguf_chat_templates(file);
  text.source = file.path().filename().string();
  text.description = std::move(description);
  return text;
}

}  // namespace detail

MERIT_INLINE TextFiles text_files_of_gguf(const GgufFile& file) {
  // It says more than the fields that llama.cpp reads.
  if (const auto json = file.optional<std::string>("tokenizer.huggingface.json")) {
    return detail::text_files_of_tokenizer_json(file, *json);
  }
  const std::string where = file.path().string();
  const GgufVocabulary vocabulary = read_gguf_vocabulary(file);
  auto description = std::make_shared<const Json>(describe_gguf(vocabulary, where));
  TextFiles text{.tokenizer = PretrainedTokenizer(*description, where)};
  text.bos = vocabulary.bos;
  text.eos = vocabulary.eos;
  text.pad = vocabulary.pad;
  text.unk = vocabulary.unk;
  for (const auto& [use, id] :
       {std::pair("bos_token", vocabulary.bos), std::pair("eos_token", vocabulary.eos),
        std::pair("unk_token", vocabulary.unk), std::pair("sep_token", vocabulary.sep),
        std::pair("pad_token", vocabulary.pad), std::pair("cls_token", vocabulary.cls),
        std::pair("mask_token", vocabulary.mask)}) {
    if (id) text.token_texts.emplace(use, text.tokenizer.piece(*id));
  }
  detail::name_ends(text);
  text.chat_templates = vocabulary.chat_templates;
  text.source = file.path().filename().string();
  text.description = std::move(description);
  return text;
}

MERIT_INLINE std::map<std::string, std::string> saved_text_files(const TextFiles& text) {
  std::map<std::string, std::string> files;
  Json config = {{"clean_up_tokenization_spaces", false}};
  for (const std::string& name : text.files) {
    if (text.description && name == "tokenizer_config.json") {
      config = read_json(text.folder / name);
    } else {
      files[name] = read_file(text.folder / name);
    }
  }
  if (!text.description) return files;
  files["tokenizer.json"] = json_text(*text.description, text.source, -1) + "\n";
  // The class that takes a tokenizer.json as it is; others put together a tokenizer of their own from its
  // pieces.
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  for (const auto& [use, token] : text.token_texts) {
    if (!config.contains(use)) config[use] = token;
  }
  files["tokenizer_config.json"] = json_text(config, text.source) + "\n";
  if (!text.folder.empty()) return files;
  for (const auto& [name, source] : text.chat_templates) {
    files[name == "default" ? "chat_template.jinja" : "additional_chat_templates/" + name + ".jinja"] =
        source;
  }
  return files;
}

MERIT_INLINE std::vector<std::string> save_text_files(const TextFiles& text,
                                                      const std::filesystem::path& to) {
  std::vector<std::string> written;
  for (const auto& [name, bytes] : saved_text_files(text)) {
    std::filesystem::create_directories((to / name).parent_path());
    write_file_atomically(to / name, bytes);
    written.push_back(name);
  }
  return written;
}

}  // namespace MERIT_ABI
}  // namespace merit
