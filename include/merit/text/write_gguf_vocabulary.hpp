// A tokenizer as the fields "tokenizer.ggml.*" of a GGUF file, by which llama.cpp reads text.
//
// llama.cpp knows a few kinds of tokenizers by name and not by their parts. What is written is what reads back as the same
// tokenizer; of another nothing is written, and it is said why.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/write_gguf.hpp"
#include "merit/text/gguf_vocabulary.hpp"
#include "merit/text/text_files.hpp"
#include "merit/tokenizer/description.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"
#include "merit/tokenizer/split_rules.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The parts of a normalizer or a pre-tokenizer one after the other, with the fields that decide what it does.
inline void flatten_parts(const Json& part, std::vector<Json>& out) {
  if (!part.is_object()) return;
  const std::string type = part.value("type", "");
  if (type == "Sequence") {
    for (const char* field : {"normalizers", "pretokenizers"}) {
      if (part.contains(field))
        for (const Json& inner : part.at(field)) flatten_parts(inner, out);
    }
    return;
  }
  Json bare = {{"type", type}};
  for (const auto& field : part.items()) {
    if (field.key() != "trim_offsets" && field.key() != "type") bare[field.key()] = field.value();
  }
  out.push_back(std::move(bare));
}
inline std::vector<Json> flat_parts(const Json& description, const char* field) {
  std::vector<Json> parts;
  if (description.contains(field)) flatten_parts(description.at(field), parts);
  return parts;
}

/// The merges of a description as pairs.
inline std::vector<MergePair> merges_in(const Json& model) {
  std::vector<MergePair> merges;
  for (const Json& merge : model.at("merges")) {
    if (merge.is_array()) {
      merges.emplace_back(merge.at(0).get<std::string>(), merge.at(1).get<std::string>());
    } else {
      const std::string text = merge.get<std::string>();
      const auto space = text.find(' ', 1);
      merges.emplace_back(text.substr(0, space), space == text.npos ? "" : text.substr(space + 1));
    }
  }
  return merges;
}

/// The name of the split rule that a byte-level tokenizer has; empty: llama.cpp knows none like it. Of names with one rule
/// that of the best known model.
inline std::string split_rule_name(const Json& description) {
  const std::vector<Json> normalizer = flat_parts(description, "normalizer"),
                          splits = flat_parts(description, "pre_tokenizer");
  const bool ignore_merges = description.at("model").value("ignore_merges", false);
  const auto is_rule = [&](SplitRuleKind kind) {
    const SplitRule rule = split_rule_of(kind, false);
    std::vector<Json> own_normalizer, own_splits;
    flatten_parts(rule.normalizer, own_normalizer);
    flatten_parts(rule.pre_tokenizer, own_splits);
    return own_normalizer == normalizer && own_splits == splits && rule.ignore_merges == ignore_merges;
  };
  std::string found;
  constexpr std::string_view known[] = {"gpt-2", "olmo", "smollm", "llama-bpe", "qwen2", "deepseek-r1-qwen",
                                        "gpt-4o"};
  for (const auto& [name, kind] : split_rule_table) {
    if (!is_rule(kind)) continue;
    const bool best = std::find(std::begin(known), std::end(known), name) != std::end(known);
    if (best || found.empty()) found = name;
    if (best) break;
  }
  return found;
}

/// Why a tokenizer cannot be said.
[[noreturn]] inline void refuse_vocabulary(const std::string& why) {
  throw DataError(why);
}

/// Scores by which merging the best pair first is what the merges do: the earlier a piece is made, the higher.
inline void score_by_merges(const Json& model, GgufVocabulary& vocabulary) {
  std::map<std::string, float, std::less<>> ranks;
  const std::vector<MergePair> merges = merges_in(model);
  for (Index i = 0; i < merges.size(); ++i)
    ranks.emplace(merges[i].first + merges[i].second, -static_cast<float>(i) - 1);
  const float least = -static_cast<float>(merges.size()) - 2;
  for (const std::string& token : vocabulary.tokens) {
    const auto rank = ranks.find(token);
    vocabulary.scores.push_back(rank == ranks.end() ? least : rank->second);
  }
}

/// Whether two lists make the same pieces in the same order, of the same pairs.
inline bool same_merges(const std::vector<MergePair>& a, const std::vector<MergePair>& b) {
  const auto order = [](const std::vector<MergePair>& merges) {
    std::vector<std::string> made;
    std::set<std::string> seen;
    for (const MergePair& merge : merges) {
      std::string piece = merge.first + merge.second;
      if (seen.insert(piece).second) made.push_back(std::move(piece));
    }
    return made;
  };
  return std::set<MergePair>(a.begin(), a.end()) == std::set<MergePair>(b.begin(), b.end()) &&
         order(a) == order(b);
}

/// Whether a space is put before a text where spaces are written as U+2581.
inline bool has_space_prefix(const Json& description) {
  bool prefix = false;
  for (const Json& part : flat_parts(description, "normalizer")) {
    const std::string type = part.at("type");
    if (type == "Prepend" && part.at("prepend") == sentencepiece_space) {
      prefix = true;
    } else if (type != "Replace") {
      refuse_vocabulary(concat("its normalizer has a step ", quote(type)));
    }
  }
  for (const Json& part : flat_parts(description, "pre_tokenizer")) {
    const std::string type = part.at("type");
    if (type == "Metaspace") {
      prefix = part.value("prepend_scheme", "always") != "never";
    } else if (type != "Split" ||
               part.at("pattern") != Json{{"String", " "}}) {  // there are no spaces by then
      refuse_vocabulary(concat("its pre-tokenizer has a step ", quote(type)));
    }
  }
  return prefix;
}

/// BERT's, whose first pieces of words are marked here and those that continue them are not.
inline void mark_words(GgufVocabulary& vocabulary) {
  for (Index id = 0; id < vocabulary.tokens.size(); ++id) {
    std::string& token = vocabulary.tokens[id];
    if (vocabulary.types[id] == static_cast<std::int32_t>(PieceType::control)) continue;
    token = token.starts_with("##") ? token.substr(2) : concat(sentencepiece_space, token);
  }
}

/// The pieces by their ids, up to `size`, and their kinds.
inline void add_pieces(const Json& description, const TextFiles& text, Index size,
                       GgufVocabulary& vocabulary) {
  const Index own = text.tokenizer.vocabulary_size();
  if (own > size) refuse_vocabulary(concat("it has ", own, " pieces, and the model ", size));
  std::set<Token> whole;
  for (const Json& piece : description.value("added_tokens", Json::array()))
    whole.insert(piece.at("id").get<Token>());
  for (Index i = 0; i < size; ++i) {
    const auto id = static_cast<Token>(i);
    const std::string piece(i < own ? text.tokenizer.piece(id) : std::string_view());
    PieceType type = PieceType::normal;
    if (piece.empty()) {
      type = PieceType::unused;
    } else if (text.tokenizer.is_special(id)) {
      type = PieceType::control;
    } else if (whole.contains(id)) {
      type = PieceType::user_defined;
    } else if (piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>')) {
      type = PieceType::byte;
    }
    vocabulary.tokens.push_back(piece.empty() ? concat("[PAD", i, "]") : piece);
    vocabulary.types.push_back(static_cast<std::int32_t>(type));
  }
}

/// Texts by which two tokenizers are told apart.
inline constexpr std::string_view tokenizer_probes[] = {
    "Is water wet? Yes, it's 100% wet; I'll say so 12345 times.",
    "  two  spaces,\ttabs\n\n and lines \r\n end ",
    "Grüße, naïve café, été; e\xCC\x81 apart",
    "\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C \xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 \xF0\x9F\x98\x80",
    "CamelCase snake_case http://a.b/c?d=e&f int main() { return 0x1F; }",
    "\xE2\x96\x81",
    "don't DON'T we've 3.14 1,000,000"};

inline GgufVocabulary vocabulary_of(const Json& description, const TextFiles& text, Index size) {
  GgufVocabulary vocabulary;
  add_pieces(description, text, size, vocabulary);
  vocabulary.bos = text.bos;
  vocabulary.eos = text.eos;
  vocabulary.unk = text.unk;
  vocabulary.pad = text.pad;
  const std::vector<Token> before = text.tokenizer.before(), after = text.tokenizer.after();
  if (before.size() > 1 || after.size() > 1) refuse_vocabulary("several tokens stand around a text");
  const Json& model = description.at("model");
  const std::string type = model.value("type", "");
  if (type == "WordPiece") {
    if (before.empty() || after.empty())
      refuse_vocabulary("no tokens stand around a text, as llama.cpp puts there");
    vocabulary.model = "bert";
    vocabulary.bos = vocabulary.cls = before.front();
    vocabulary.eos = vocabulary.sep = after.front();
    for (const Json& part : flat_parts(description, "normalizer"))
      vocabulary.lowercase = part.value("lowercase", true);
    mark_words(vocabulary);
    return vocabulary;
  }
  if (type != "BPE") refuse_vocabulary(concat("its model is ", quote(type)));
  // Where one stands there, it is the one that llama.cpp puts.
  if (!before.empty()) vocabulary.bos = before.front();
  if (!after.empty()) vocabulary.eos = after.front();
  vocabulary.add_bos_token = !before.empty();
  vocabulary.add_eos_token = !after.empty();
  if (model.value("byte_fallback", false)) {
    vocabulary.model = "llama";
    if (vocabulary.unk) vocabulary.types[*vocabulary.unk] = static_cast<std::int32_t>(PieceType::unknown);
    vocabulary.pre = "default";
    vocabulary.add_space_prefix = has_space_prefix(description);
    score_by_merges(model, vocabulary);
    return vocabulary;
  }
  vocabulary.model = "gpt2";
  vocabulary.pre = split_rule_name(description);
  if (vocabulary.pre->empty()) refuse_vocabulary("llama.cpp has no name for how it splits a text");
  for (const MergePair& merge : merges_in(model))
    vocabulary.merges.push_back(concat(merge.first, " ", merge.second));
  return vocabulary;
}

/// Throws DataError where what is written would read back as another tokenizer.
inline void check_vocabulary(const GgufVocabulary& vocabulary, const Json& description,
                             const TextFiles& text) {
  const Json again = describe_gguf(vocabulary, "the vocabulary");
  if (vocabulary.model == "llama" &&
      !same_merges(merges_in(again.at("model")), merges_in(description.at("model"))))
    refuse_vocabulary("its merges are not those of scores, which llama.cpp reads in their place");
  const PretrainedTokenizer tokenizer(again, "the vocabulary");
  if (tokenizer.before() != text.tokenizer.before() || tokenizer.after() != text.tokenizer.after())
    refuse_vocabulary("other tokens would stand around a text");
  for (const std::string_view probe : tokenizer_probes) {
    std::vector<Token> found, expected;
    tokenizer.encode(probe, found);
    text.tokenizer.encode(probe, expected);
    if (found != expected)
      refuse_vocabulary(concat("llama.cpp would read the text ", quote(probe), " as other tokens"));
  }
}

}  // namespace detail

/// Writes the vocabulary of a folder's tokenizer for a model of `size` tokens, which is what its embedding has, by its
/// `description` in the schema of a tokenizer.json. Where llama.cpp has no such tokenizer, nothing is written, and what is
/// returned says why.
inline std::optional<std::string> write_gguf_vocabulary(const TextFiles& text, const Json& description,
                                                        Index size, GgufMetadata& metadata) {
  GgufVocabulary vocabulary;
  try {
    vocabulary = detail::vocabulary_of(description, text, size);
    detail::check_vocabulary(vocabulary, description, text);
  } catch (const Error& error) {
    return error.what();
  } catch (const nlohmann::json::exception& error) {
    return error.what();
  }
  const auto key = [](std::string_view name) { return concat("tokenizer.ggml.", name); };
  metadata.text(key("model"), vocabulary.model).text(key("pre"), vocabulary.pre.value_or("default"));
  metadata.texts(key("tokens"), vocabulary.tokens);
  if (!vocabulary.scores.empty()) metadata.reals(key("scores"), vocabulary.scores);
  metadata.integers(key("token_type"), vocabulary.types);
  if (!vocabulary.merges.empty()) metadata.texts(key("merges"), vocabulary.merges);
  for (const auto& [name, id] : {std::pair("bos", vocabulary.bos), std::pair("eos", vocabulary.eos),
                                 std::pair("unknown", vocabulary.unk), std::pair("seperator", vocabulary.sep),
                                 std::pair("padding", vocabulary.pad), std::pair("cls", vocabulary.cls)}) {
    if (id) metadata.number(key(concat(name, "_token_id")), *id);
  }
  for (const auto& [name, flag] : {std::pair("add_bos_token", vocabulary.add_bos_token),
                                   std::pair("add_eos_token", vocabulary.add_eos_token),
                                   std::pair("add_space_prefix", vocabulary.add_space_prefix),
                                   std::pair("normalizer.lowercase", vocabulary.lowercase)}) {
    if (flag) metadata.truth(key(name), *flag);
  }
  return std::nullopt;
}

}  // namespace MERIT_ABI
}  // namespace merit
