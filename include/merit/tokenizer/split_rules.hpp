// The split rules of published byte-level vocabularies, by the names that GGUF files give them.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/description.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// How a text is cut into words before their bytes are merged.
struct SplitRule {
  Json normalizer = nullptr;
  Json pre_tokenizer = nullptr;
  bool ignore_merges = false;  // a word that is a piece as a whole is that piece, whatever its merges give
  bool add_bos = false;        // begins with the token that begins a sequence where the file does not say
};

enum class SplitRuleKind {
  gpt2,
  gpt2_nfc,
  digits,
  digits_nfc,
  llama3,
  llama3_merged,
  glm4,
  cl100k,
  o200k,
  tekken,
  qwen2,
  qwen2_plain,
  qwen35,
  seed_coder,
  bailing,
  minicpm5,
  falcon,
  bloom,
  viking,
  deepseek_llm,
  deepseek_coder,
  deepseek_v3,
  exaone_moe,
  unnamed
};

/// Each name and its rule. Names that share a rule differ in their vocabularies alone.
inline constexpr auto split_rule_table = std::to_array<std::pair<std::string_view, SplitRuleKind>>({
    {"a.x-4.0", SplitRuleKind::gpt2},
    {"bailingmoe", SplitRuleKind::bailing},
    {"bailingmoe2", SplitRuleKind::bailing},
    {"bloom", SplitRuleKind::bloom},
    {"chatglm-bpe", SplitRuleKind::llama3},
    {"cl100k", SplitRuleKind::cl100k},
    {"codeshell", SplitRuleKind::digits},
    {"command-r", SplitRuleKind::digits_nfc},
    {"dbrx", SplitRuleKind::llama3},
    {"deepseek-coder", SplitRuleKind::deepseek_coder},
    {"deepseek-llm", SplitRuleKind::deepseek_llm},
    {"deepseek-r1-qwen", SplitRuleKind::qwen2_plain},
    {"deepseek-v3", SplitRuleKind::deepseek_v3},
    {"default", SplitRuleKind::unnamed},
    {"exaone", SplitRuleKind::digits},
    {"exaone-moe", SplitRuleKind::exaone_moe},
    {"exaone4", SplitRuleKind::gpt2},
    {"falcon", SplitRuleKind::falcon},
    {"falcon-h1", SplitRuleKind::llama3_merged},
    {"falcon3", SplitRuleKind::llama3_merged},
    {"gigachat", SplitRuleKind::gpt2},
    {"glm4", SplitRuleKind::glm4},
    {"glm5", SplitRuleKind::glm4},
    {"gpt-2", SplitRuleKind::gpt2},
    {"gpt-4o", SplitRuleKind::o200k},
    {"gpt3-finnish", SplitRuleKind::bloom},
    {"granite-docling", SplitRuleKind::gpt2},
    {"grok-2", SplitRuleKind::qwen2_plain},
    {"hunyuan", SplitRuleKind::qwen2_plain},
    {"hunyuan-dense", SplitRuleKind::deepseek_v3},
    {"hy_v4", SplitRuleKind::deepseek_v3},
    {"jais", SplitRuleKind::gpt2},
    {"jina-de", SplitRuleKind::gpt2},
    {"jina-es", SplitRuleKind::gpt2},
    {"jina-v1-en", SplitRuleKind::gpt2},
    {"jina-v2-code", SplitRuleKind::gpt2},
    {"jina-v2-de", SplitRuleKind::gpt2},
    {"jina-v2-es", SplitRuleKind::gpt2},
    {"jina-v5-nano", SplitRuleKind::llama3_merged},
    {"joyai-llm", SplitRuleKind::deepseek_v3},
    {"kanana2", SplitRuleKind::o200k},
    {"kormo", SplitRuleKind::qwen2_plain},
    {"lfm2", SplitRuleKind::llama3_merged},
    {"llada-moe", SplitRuleKind::bailing},
    {"llama-bpe", SplitRuleKind::llama3_merged},
    {"llama-v3", SplitRuleKind::llama3_merged},
    {"llama3", SplitRuleKind::llama3_merged},
    {"llama4", SplitRuleKind::o200k},
    {"megrez", SplitRuleKind::qwen2},
    {"mellum", SplitRuleKind::gpt2},
    {"mellum2", SplitRuleKind::digits},
    {"midm-2.0", SplitRuleKind::llama3_merged},
    {"minerva-7b", SplitRuleKind::digits},
    {"minicpm5", SplitRuleKind::minicpm5},
    {"minimax-m2", SplitRuleKind::o200k},
    {"modern-bert", SplitRuleKind::gpt2},
    {"mpt", SplitRuleKind::gpt2_nfc},
    {"o200k", SplitRuleKind::o200k},
    {"olmo", SplitRuleKind::gpt2_nfc},
    {"phi-2", SplitRuleKind::gpt2},
    {"pixtral", SplitRuleKind::llama3_merged},
    {"poro-chat", SplitRuleKind::bloom},
    {"qwen2", SplitRuleKind::qwen2},
    {"qwen35", SplitRuleKind::qwen35},
    {"refact", SplitRuleKind::digits},
    {"roberta-bpe", SplitRuleKind::gpt2},
    {"seed-coder", SplitRuleKind::seed_coder},
    {"smaug-bpe", SplitRuleKind::llama3},
    {"smollm", SplitRuleKind::digits},
    {"solar-open", SplitRuleKind::qwen2_plain},
    {"stablelm2", SplitRuleKind::qwen2_plain},
    {"starcoder", SplitRuleKind::digits},
    {"talkie", SplitRuleKind::o200k},
    {"tekken", SplitRuleKind::tekken},
    {"trillion", SplitRuleKind::gpt2},
    {"viking", SplitRuleKind::viking},
});

// The rules as their makers publish them, in the syntax that tokenizer.json files use.
inline constexpr std::string_view gpt2_split_rule =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view english_endings = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";

/// The family that began with GPT-4: English endings, words with one leading mark, `numbers`, marks with
/// their line ends, line ends, white space.
inline std::string words_rule(std::string_view letters, std::string_view numbers,
                              std::string_view not_marks = R"([^\s\p{L}\p{N}]+[\r\n]*)") {
  return concat(english_endings, R"(|[^\r\n\p{L}\p{N}]?)", letters, "|", numbers, "| ?", not_marks,
                R"(|\s*[\r\n]+|\s+(?!\S)|\s+)");
}

/// GPT-4o's family: a word is capitals and then small letters, so that CamelCase is two words.
inline std::string cased_words_rule(std::string_view endings, std::string_view numbers) {
  constexpr std::string_view upper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
  constexpr std::string_view lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
  return concat(R"([^\r\n\p{L}\p{N}]?)", upper, "*", lower, "+", endings, R"(|[^\r\n\p{L}\p{N}]?)", upper,
                "+", lower, "*", endings, "|", numbers,
                R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
}

/// The letters with case of DeepSeek LLM's rule.
inline constexpr std::string_view deepseek_letters =
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}"
    "\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}"
    "\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}"
    "\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}"
    "\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}"
    "\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}"
    "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}"
    "\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}"
    "\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{"
    "118DF}"
    "\\x{1E900}-\\x{1E943}";

inline SplitRule split_rule_of(SplitRuleKind kind, bool add_prefix_space) {
  using Kind = SplitRuleKind;
  SplitRule rule;
  std::vector<Json> parts;
  bool split_last = false;  // the byte level step splits by GPT-2's rule itself
  const auto split = [&parts](std::string_view by) { parts.push_back(split_by(by)); };
  switch (kind) {
    case Kind::gpt2_nfc: rule.normalizer = Json{{"type", "NFC"}}; [[fallthrough]];
    case Kind::gpt2: split_last = true; break;
    case Kind::digits_nfc: rule.normalizer = Json{{"type", "NFC"}}; [[fallthrough]];
    case Kind::digits:
      parts.push_back(split_digits(true));
      split_last = true;
      break;
    case Kind::llama3_merged: rule.add_bos = true; [[fallthrough]];
    case Kind::glm4: rule.ignore_merges = true; [[fallthrough]];
    case Kind::llama3: split(words_rule(R"(\p{L}+)", R"(\p{N}{1,3})")); break;
    case Kind::cl100k:  // tiktoken's, whose {1,3}+ and $ mean something else in a tokenizer.json
      split(concat(R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)",
                   R"(|\s++\z|\s*[\r\n]|\s+(?!\S)|\s)"));
      break;
    case Kind::o200k: split(cased_words_rule(concat(english_endings, "?"), R"(\p{N}{1,3})")); break;
    case Kind::tekken:
      rule.ignore_merges = true;
      rule.add_bos = true;
      split(cased_words_rule("", R"(\p{N})"));
      break;
    case Kind::qwen2: rule.normalizer = Json{{"type", "NFC"}}; [[fallthrough]];
    case Kind::qwen2_plain: split(words_rule(R"(\p{L}+)", R"(\p{N})")); break;
    case Kind::qwen35:
      rule.normalizer = Json{{"type", "NFC"}};
      split(words_rule(R"([\p{L}\p{M}]+)", R"(\p{N})", R"([^\s\p{L}\p{M}\p{N}]+[\r\n]*)"));
      break;
    case Kind::seed_coder: split(words_rule(R"(\p{L}+)", R"(\p{N}{1})", R"([^\s\p{L}\p{N}\r\n]+)")); break;
    case Kind::bailing:
      split(concat(R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)",
                   R"(|\s*[\r\n]|\s+(?!\S)|\s+)"));
      break;
    case Kind::minicpm5:
      rule.ignore_merges = true;
      split(R"(\p{N}{1,3})");
      split(words_rule(R"(\p{L}+)", R"(\p{N}+)"));
      break;
    case Kind::falcon:
      parts.push_back(Json{{"type", "Punctuation"}, {"behavior", "Contiguous"}});
      parts.push_back(byte_level(true, add_prefix_space));
      parts.push_back(split_digits(false));
      split("[0-9][0-9][0-9]");
      rule.pre_tokenizer = sequence_of("pretokenizers", std::move(parts));
      return rule;
    case Kind::bloom:
    case Kind::viking:
      split(R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)");
      if (kind == Kind::viking) split(R"(\p{N})");
      break;
    case Kind::deepseek_llm:
    case Kind::deepseek_coder:
      split(R"([\r\n])");
      if (kind == Kind::deepseek_llm) {
        split(concat(R"(\s?[)", deepseek_letters, "]+"));
        split(R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)");
        split(R"(\s+$)");
      } else {
        split(R"(\s?\p{L}+)");
        split(R"(\s?\p{P}+)");
      }
      split(R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)");
      parts.push_back(split_digits(true));
      break;
    case Kind::deepseek_v3:
      split(R"(\p{N}{1,3})");
      split(R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)");
      split(concat(R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)",
                   R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"));
      break;
    case Kind::exaone_moe:
      split(concat(english_endings, R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N})",
                   R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"));
      break;
    case Kind::unnamed:  // what llama.cpp does with a file that names no rule
      split(R"([\p{P}\$\+<=>\^~\|]+)");
      split(gpt2_split_rule);
      split(R"(\p{N}+)");
      split("[0-9][0-9][0-9]");
      break;
  }
  parts.push_back(byte_level(split_last, add_prefix_space));
  rule.pre_tokenizer = sequence_of("pretokenizers", std::move(parts));
  return rule;
}

/// The rule called `name`. Throws DataError that begins with `where` and names the rule that is not known.
inline SplitRule split_rule(std::string_view name, bool add_prefix_space, std::string_view where) {
  std::string known;
  for (const auto& [candidate, kind] : split_rule_table) {
    if (candidate == name) return split_rule_of(kind, add_prefix_space);
    known += known.empty() ? "" : ", ";
    known += candidate;
  }
  throw DataError(
      concat(where, ": found the split rule (pre-tokenizer) ", quote(name), ", expected one of: ", known));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
