// Pre-tokenizers: what cuts the text into the pieces that a model sees.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/tokenizer/byte_alphabet.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/regex.hpp"
#include "merit/tokenizer/split_behavior.hpp"
#include "merit/unicode/aligned_text.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

/// Cuts by a rule for characters.
template <class IsMatch>
struct CharacterSplit final : PreTokenizer {
  CharacterSplit(IsMatch rule, SplitBehavior wanted) : is_match(std::move(rule)), behavior(wanted) {}
  void apply(Pieces& pieces) const override {
    pieces.split([&](std::string_view text, const auto& put) {
      Splitter splitter(behavior, put);
      Index last = 0;
      for (Index at = 0; at < text.size();) {
        const Index begin = at;
        if (!is_match(next_character(text, at))) continue;
        if (last < begin) splitter.part(last, begin, false);
        splitter.part(begin, at, true);
        last = at;
      }
      if (last < text.size()) splitter.part(last, text.size(), false);
      splitter.finish();
    });
  }
  IsMatch is_match;
  SplitBehavior behavior;
};

/// Cuts by a regular expression; `invert`: what it does not match is the delimiter.
struct RegexSplit final : PreTokenizer {
  RegexSplit(Regex rule, SplitBehavior wanted, bool inverted)
      : regex(std::move(rule)), behavior(wanted), invert(inverted) {}
  void apply(Pieces& pieces) const override {
    pieces.split([&](std::string_view text, const auto& put) {
      if (behavior == SplitBehavior::isolated) {  // the common case
        return regex.parts(text, [&](Index begin, Index end, bool) { put(begin, end); });
      }
      Splitter splitter(behavior, put);
      regex.parts(text,
                  [&](Index begin, Index end, bool match) { splitter.part(begin, end, match != invert); });
      splitter.finish();
    });
  }
  Regex regex;
  SplitBehavior behavior;
  bool invert;
};

/// GPT-2's: bytes become characters, after a cut into words.
struct ByteLevelPreTokenizer final : PreTokenizer {
  bool add_prefix_space = true;
  std::optional<Regex> regex;
  bool spell = true;  // false where the model takes the bytes themselves

  void apply(Pieces& pieces) const override {
    if (add_prefix_space) {
      pieces.rewrite([](AlignedText& text) {
        if (!text.text.starts_with(' ')) text.prepend(" ");
      });
    }
    if (regex) {
      pieces.split([&](std::string_view text, const auto& put) {
        regex->parts(text, [&](Index begin, Index end, bool) { put(begin, end); });
      });
    }
    if (spell) pieces.rewrite(to_byte_alphabet);
  }

  static constexpr std::string_view words =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
};

/// SentencePiece's: a visible character for each space, and before the first word.
struct MetaspacePreTokenizer final : PreTokenizer {
  enum class Prepend { first, never, always };
  std::string replacement;
  Prepend prepend = Prepend::always;
  bool split = true;

  void apply(Pieces& pieces) const override {
    const Index last = replacement.size();
    const auto needed = [&](const AlignedText& text) {
      if (prepend == Prepend::never || text.text.starts_with(replacement)) return false;
      return prepend == Prepend::always || text.origin == 0;
    };
    pieces.rewrite([&](AlignedText& text) {
      replace_spaces(text);
      if (needed(text)) text.prepend(replacement);
    });
    if (!split) return;
    pieces.split([&](std::string_view text, const auto& put) {
      Index begin = 0;
      for (Index at = text.find(replacement, 0); at != text.npos; at = text.find(replacement, at + last)) {
        if (begin < at) put(begin, at);
        begin = at;
      }
      put(begin, text.size());
    });
  }

 private:
  void replace_spaces(AlignedText& text) const {
    if (text.text.find(' ') == std::string::npos) return;
    std::string next;
    next.reserve(text.text.size() + text.text.size() / 2);
    std::vector<SourceSpan> spans;
    for (Index at = 0; at < text.text.size(); ++at) {
      const char c = text.text[at];
      const std::string_view put =
          c == ' ' ? std::string_view(replacement) : std::string_view(&text.text[at], 1);
      next += put;
      if (text.tracked) spans.insert(spans.end(), put.size(), text.spans[at]);
    }
    text.text.swap(next);
    text.spans.swap(spans);
  }
};

/// Words and runs of what is neither word nor space.
struct WhitespacePreTokenizer final : PreTokenizer {
  void apply(Pieces& pieces) const override {
    pieces.split([](std::string_view text, const auto& put) {
      enum class Kind { space, word, other };
      Kind last = Kind::space;
      Index begin = 0;
      for (Index at = 0; at < text.size();) {
        const Index here = at;
        const char32_t c = next_character(text, at);
        const Kind kind = is_white_space(c) ? Kind::space : is_word(c) ? Kind::word : Kind::other;
        if (kind == last) continue;
        if (last != Kind::space) put(begin, here);
        begin = here;
        last = kind;
      }
      if (last != Kind::space) put(begin, text.size());
    });
  }
};

/// Pieces of a number of characters.
struct FixedLengthPreTokenizer final : PreTokenizer {
  explicit FixedLengthPreTokenizer(Index characters) : length(characters) {}
  void apply(Pieces& pieces) const override {
    pieces.split([&](std::string_view text, const auto& put) {
      Index begin = 0;
      Index have = 0;
      for (Index at = 0; at < text.size();) {
        at += utf8_length(text[at]);
        if (++have < length && at < text.size()) continue;
        put(begin, at);
        begin = at;
        have = 0;
      }
    });
  }
  Index length;
};

inline std::unique_ptr<PreTokenizer> read_metaspace(const Component& c) {
  auto made = std::make_unique<MetaspacePreTokenizer>();
  append_character(made->replacement, c.character("replacement"));
  const auto scheme = c.get<std::string>("prepend_scheme", "always");
  const bool prefix = c.get<bool>("add_prefix_space", true);
  using Prepend = MetaspacePreTokenizer::Prepend;
  if (scheme != "first" && scheme != "never" && scheme != "always") {
    throw DataError(concat(c.where(), ": field \"prepend_scheme\": found ", quote(scheme),
                           ", expected always, first or never"));
  }
  made->prepend = scheme == "first" ? Prepend::first : scheme == "never" ? Prepend::never : Prepend::always;
  if (!prefix) {
    if (c.has("prepend_scheme") && made->prepend != Prepend::never) {
      throw DataError(concat(c.where(), ": found add_prefix_space false and prepend_scheme ", quote(scheme),
                             ", expected \"never\" beside it"));
    }
    made->prepend = Prepend::never;
  }
  made->split = c.get<bool>("split", true);
  return made;
}

/// The pre-tokenizers that `component` describes, in order.
inline std::vector<std::unique_ptr<PreTokenizer>> read_pre_tokenizers(const Component& component) {
  std::vector<std::unique_ptr<PreTokenizer>> result;
  each_component(component, "pretokenizers", [&](const Component& c) {
    const std::string type = c.type();
    const auto add = [&](auto made) { result.push_back(std::make_unique<decltype(made)>(std::move(made))); };
    if (type == "Split") {
      const Pattern pattern = Pattern::read(c);
      add(RegexSplit(Regex(pattern.text, pattern.literal, c.where()),
                     read_behavior(c, SplitBehavior::isolated), c.get<bool>("invert", false)));
    } else if (type == "ByteLevel") {
      ByteLevelPreTokenizer bytes;
      bytes.add_prefix_space = c.get<bool>("add_prefix_space", true);
      if (c.get<bool>("use_regex", true)) bytes.regex.emplace(bytes.words, false, c.where());
      add(std::move(bytes));
    } else if (type == "Metaspace") {
      result.push_back(read_metaspace(c));
    } else if (type == "Digits") {
      add(CharacterSplit(is_numeric, c.get<bool>("individual_digits", false) ? SplitBehavior::isolated
                                                                             : SplitBehavior::contiguous));
    } else if (type == "Punctuation") {
      add(CharacterSplit(is_punctuation, read_behavior(c, SplitBehavior::isolated)));
    } else if (type == "Whitespace") {
      add(WhitespacePreTokenizer());
    } else if (type == "WhitespaceSplit") {
      add(CharacterSplit(is_white_space, SplitBehavior::removed));
    } else if (type == "BertPreTokenizer") {
      add(CharacterSplit(is_white_space, SplitBehavior::removed));
      add(CharacterSplit(is_punctuation, SplitBehavior::isolated));
    } else if (type == "CharDelimiterSplit" || type == "Delimiter") {
      const char32_t delimiter = c.character("delimiter");
      add(CharacterSplit([delimiter](char32_t code) { return code == delimiter; }, SplitBehavior::removed));
    } else if (type == "FixedLength") {
      const auto length = c.get<Index>("length", Index{5});
      if (length == 0) throw DataError(concat(c.where(), ": field \"length\": found 0, expected 1 or more"));
      add(FixedLengthPreTokenizer(length));
    } else {
      c.refuse_type("pre-tokenizer",
                    "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, "
                    "Punctuation, Sequence, Split, Whitespace, WhitespaceSplit");
    }
  });
  return result;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
