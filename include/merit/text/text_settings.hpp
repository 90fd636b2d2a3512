// What stands beside a vocabulary in a model folder: special tokens by their uses, flags, chat templates.
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
#include "merit/tokenizer/description.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A JSON object in a folder; an empty one where the file is missing.
inline Json read_optional_object(const std::filesystem::path& path) {
  if (!file_exists(path)) return Json::object();
  Json object = parse_json(read_text_file(path), path.string());
  if (!object.is_object()) {
    throw DataError(concat(path.string(), ": expected an object, found ", describe(object)));
  }
  return object;
}

/// A token in a configuration: its text, or an object that holds it as "content".
inline std::optional<WholePiece> configured_piece(const Json& value, const std::string& where,
                                                  std::string_view field) {
  if (value.is_null()) return std::nullopt;
  WholePiece piece;
  if (value.is_string()) {
    piece.content = value.get<std::string>();
  } else if (value.is_object()) {
    piece.content = require<std::string>(value, "content", concat(where, ": field ", quote(field)));
    const auto flag = [&](const char* name, bool& into) {
      into = optional<bool>(value, name, concat(where, ": field ", quote(field))).value_or(into);
    };
    flag("special", piece.special);
    flag("normalized", piece.normalized);
    flag("lstrip", piece.lstrip);
    flag("rstrip", piece.rstrip);
    flag("single_word", piece.single_word);
  } else {
    throw_field(where, field, "a string or an object with the field content", value);
  }
  if (piece.content.empty()) return std::nullopt;
  return piece;
}

/// The uses of tokens that templates know by name.
inline constexpr std::array<const char*, 7> token_uses = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                          "pad_token", "cls_token", "mask_token"};

/// The configuration files of one folder.
struct TextSettings {
  std::filesystem::path folder;
  Json tokenizer_config = Json::object();
  Json special_tokens_map = Json::object();
  Json config = Json::object();
  Json generation_config = Json::object();

  explicit TextSettings(std::filesystem::path from) : folder(std::move(from)) {
    tokenizer_config = read_optional_object(folder / "tokenizer_config.json");
    special_tokens_map = read_optional_object(folder / "special_tokens_map.json");
    config = read_optional_object(folder / "config.json");
    generation_config = read_optional_object(folder / "generation_config.json");
  }

  std::string place(const char* name) const { return (folder / name).string(); }

  template <class T>
  std::optional<T> tokenizer_field(const char* name) const {
    return merit::optional<T>(tokenizer_config, name, place("tokenizer_config.json"));
  }

  /// "Llama" for LlamaTokenizer and LlamaTokenizerFast; empty for the general classes and where nothing is
  /// said.
  std::string tokenizer_class() const {
    std::string name = tokenizer_field<std::string>("tokenizer_class").value_or("");
    if (name == "PreTrainedTokenizerFast" || name == "TokenizersBackend") return "";
    for (const std::string_view end : {"Fast", "Tokenizer"}) {
      if (name.ends_with(end)) name.resize(name.size() - end.size());
    }
    return name;
  }

  /// The token of one use, such as "eos_token".
  std::optional<WholePiece> token(const std::string& use) const {
    for (const auto& [object, file] : {std::pair(&tokenizer_config, "tokenizer_config.json"),
                                       std::pair(&special_tokens_map, "special_tokens_map.json")}) {
      const auto entry = object->find(use);
      if (entry == object->end()) continue;
      if (auto piece = configured_piece(*entry, place(file), use)) return piece;
    }
    return std::nullopt;
  }

  /// The tokens of all uses, and those that are listed as special without one.
  std::vector<WholePiece> named_tokens() const {
    std::vector<WholePiece> named;
    for (const char* use : token_uses) {
      if (auto piece = token(use)) named.push_back(std::move(*piece));
    }
    for (const auto& [object, file] : {std::pair(&tokenizer_config, "tokenizer_config.json"),
                                       std::pair(&special_tokens_map, "special_tokens_map.json")}) {
      for (const char* list : {"additional_special_tokens", "extra_special_tokens"}) {
        const auto entry = object->find(list);
        if (entry == object->end() || !entry->is_array()) continue;
        for (const Json& item : *entry) {
          if (auto piece = configured_piece(item, place(file), list)) named.push_back(std::move(*piece));
        }
      }
    }
    return named;
  }

  /// The ids that config.json and generation_config.json give for one use, such as "eos_token_id": a number
  /// or a list of them. Negative numbers stand for none.
  std::vector<Token> token_ids(const std::string& use) const {
    std::vector<Token> ids;
    for (const auto& [object, file] :
         {std::pair(&config, "config.json"), std::pair(&generation_config, "generation_config.json")}) {
      const auto entry = object->find(use);
      if (entry == object->end() || entry->is_null()) continue;
      const Json list = entry->is_array() ? *entry : Json::array({*entry});
      for (const Json& item : list) {
        if (item.is_number_integer() && !item.is_number_unsigned()) continue;
        const Token id = JsonReader<Token>::read(item, place(file), use);
        if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
      }
    }
    return ids;
  }

  /// Tokens that were added to the vocabulary: added_tokens_decoder of tokenizer_config.json, or
  /// added_tokens.json.
  std::vector<WholePiece> added_tokens() const {
    std::vector<WholePiece> added;
    const std::string where = place("tokenizer_config.json");
    const Json decoder = tokenizer_field<Json>("added_tokens_decoder").value_or(Json::object());
    if (!decoder.is_object()) throw_field(where, "added_tokens_decoder", "an object", decoder);
    for (const auto& [id, value] : decoder.items()) {
      auto piece = configured_piece(value, where, "added_tokens_decoder");
      if (!piece) continue;
      if (value.is_object() && !value.contains("special")) piece->special = false;
      piece->id = JsonReader<Token>::read(parse_json(id, where), where, "added_tokens_decoder");
      added.push_back(std::move(*piece));
    }
    if (!added.empty()) return added;
    const Json more = read_optional_object(folder / "added_tokens.json");
    for (const auto& [text, id] : more.items()) {
      added.push_back({.content = text, .id = JsonReader<Token>::read(id, place("added_tokens.json"), text)});
    }
    return added;
  }
};

/// The chat templates of a folder by name; the usual one is "default". A chat_template.jinja and what lies in
/// additional_chat_templates/ go before what tokenizer_config.json holds.
inline std::map<std::string, std::string> read_chat_templates(const TextSettings& settings) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> templates;
  std::error_code error;
  const fs::path file = settings.folder / "chat_template.jinja";
  if (file_exists(file)) templates["default"] = read_text_file(file);
  const fs::path more = settings.folder / "additional_chat_templates";
  if (fs::is_directory(more, error)) {
    for (const auto& entry : fs::directory_iterator(more)) {
      if (entry.path().extension() == ".jinja") {
        templates[entry.path().stem().string()] = read_text_file(entry.path());
      }
    }
  }
  if (!templates.empty()) return templates;
  const std::string where = settings.place("tokenizer_config.json");
  Json value = settings.tokenizer_field<Json>("chat_template").value_or(nullptr);
  if (value.is_null()) {
    value = optional<Json>(read_optional_object(settings.folder / "chat_template.json"), "chat_template",
                           settings.place("chat_template.json"))
                .value_or(nullptr);
  }
  if (value.is_null()) return templates;
  if (value.is_string()) {
    templates["default"] = value.get<std::string>();
  } else if (value.is_array()) {
    for (const Json& item : value) {
      const std::string name = require<std::string>(item, "name", where + ": chat_template");
      if (!templates.emplace(name, require<std::string>(item, "template", where + ": chat_template"))
               .second) {
        throw DataError(concat(where, ": two chat templates are called ", quote(name)));
      }
    }
  } else {
    throw_field(where, "chat_template", "a string or a list of objects with name and template", value);
  }
  return templates;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
