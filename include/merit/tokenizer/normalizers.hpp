// Normalisers: what changes the text before it is cut.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/tokenizer/byte_alphabet.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/precompiled_charsmap.hpp"
#include "merit/tokenizer/regex.hpp"
#include "merit/unicode/aligned_text.hpp"
#include "merit/unicode/unicode.hpp"
#include "merit/unicode/unicode_forms.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(AlignedText& text) const = 0;
};

template <class Keep>
void filter_characters(AlignedText& text, const Keep& keep) {
  text.map_characters([&](char32_t c, const auto& put) {
    if (keep(c)) put(c);
  });
}

inline void lower_characters(AlignedText& text) {
  text.map_characters([](char32_t c, const auto& put) {
    if (c == 0x130) {
      put(U'i');
      put(0x307);
    } else {
      put(lower(c));
    }
  });
}

struct FormNormalizer final : Normalizer {
  explicit FormNormalizer(Form wanted) : form(wanted) {}
  void apply(AlignedText& text) const override { to_form(text, form); }
  Form form;
};

struct LowercaseNormalizer final : Normalizer {
  void apply(AlignedText& text) const override { lower_characters(text); }
};

struct StripAccentsNormalizer final : Normalizer {
  void apply(AlignedText& text) const override {
    if (!is_ascii(text.text))
      filter_characters(text, [](char32_t c) { return c < 0x300 || !is_mark_of_forms(c); });
  }
};

struct StripNormalizer final : Normalizer {
  StripNormalizer(bool strip_left, bool strip_right) : left(strip_left), right(strip_right) {}
  void apply(AlignedText& text) const override {
    const std::string_view all = text.text;
    Index begin = 0;
    while (left && begin < all.size()) {
      Index next = begin;
      if (!is_white_space(next_character(all, next))) break;
      begin = next;
    }
    Index end = all.size();
    while (right && end > begin) {
      const Index at = previous_character(all, end);
      Index next = at;
      if (!is_white_space(next_character(all, next))) break;
      end = at;
    }
    if (begin != 0 || end != all.size()) text.cut(begin, end);
  }
  bool left;
  bool right;
};

struct PrependNormalizer final : Normalizer {
  explicit PrependNormalizer(std::string text) : prefix(std::move(text)) {}
  void apply(AlignedText& text) const override { text.prepend(prefix); }
  std::string prefix;
};

struct ByteLevelNormalizer final : Normalizer {
  void apply(AlignedText& text) const override { to_byte_alphabet(text); }
};

struct ReplaceNormalizer final : Normalizer {
  ReplaceNormalizer(const Pattern& pattern, std::string text, const std::string& where)
      : regex(pattern.text, pattern.literal, where), content(std::move(text)) {}
  void apply(AlignedText& text) const override {
    std::string next;
    std::vector<SourceSpan> next_spans;
    regex.parts(text.text, [&](Index begin, Index end, bool is_match) {
      if (is_match) {
        next += content;
        // New text stands for what the end of the match stands for.
        const SourceSpan span = !text.tracked ? SourceSpan{}
                                : end == 0    ? SourceSpan{text.origin, text.origin}
                                              : text.spans[end - 1];
        if (text.tracked) next_spans.insert(next_spans.end(), content.size(), span);
        return;
      }
      next.append(text.text, begin, end - begin);
      if (!text.tracked) return;
      next_spans.insert(next_spans.end(), text.spans.begin() + static_cast<std::ptrdiff_t>(begin),
                        text.spans.begin() + static_cast<std::ptrdiff_t>(end));
    });
    text.text.swap(next);
    text.spans.swap(next_spans);
  }
  Regex regex;
  std::string content;
};

/// What neural machine translation does: control characters go, unusual spaces become plain ones.
struct NmtNormalizer final : Normalizer {
  void apply(AlignedText& text) const override {
    text.map_characters([](char32_t c, const auto& put) {
      if ((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F ||
          c == 0x9F) {
        return;
      }
      const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                         c == 0xFEFF || c == 0xFFFD;
      put(space ? U' ' : c);
    });
  }
};

/// The first steps of BERT's tokenizer.
struct BertNormalizer final : Normalizer {
  bool clean = true;
  bool chinese = true;
  bool strip = true;
  bool lowercase = true;

  void apply(AlignedText& text) const override {
    if (clean) {
      text.map_characters([](char32_t c, const auto& put) {
        if (c == 0 || c == 0xFFFD || is_control(c)) return;
        put(is_white_space(c) ? U' ' : c);
      });
    }
    const bool plain = is_ascii(text.text);
    if (chinese && !plain) {
      text.map_characters([](char32_t c, const auto& put) {
        if (!is_chinese(c)) return put(c);
        put(U' ');
        put(c);
        put(U' ');
      });
    }
    if (strip && !plain) {
      to_form(text, Form::nfd);
      filter_characters(text, [](char32_t c) { return !is_nonspacing_mark(c); });
    }
    if (lowercase) lower_characters(text);
  }

  /// The categories Cc, Cf and Co, but for the three that count as white space.
  static bool is_control(char32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') return false;
    if (c < 0x7F) return c < 0x20;
    return is_other(c);
  }
  /// Ideographs, as the original program lists them.
  static bool is_chinese(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
  }
};

/// SentencePiece's character map, grapheme by grapheme.
struct PrecompiledNormalizer final : Normalizer {
  explicit PrecompiledNormalizer(PrecompiledCharsmap given) : map(std::move(given)) {}

  void apply(AlignedText& text) const override {
    std::vector<Change> changes;
    changes.reserve(text.text.size());
    bool modified = false;
    const auto replace = [&](std::string_view old, std::string_view fresh) {
      modified = true;
      const auto added = static_cast<std::ptrdiff_t>(count_characters(fresh)) -
                         static_cast<std::ptrdiff_t>(count_characters(old));
      for (Index at = 0; at < fresh.size();) changes.push_back({next_character(fresh, at), 0});
      for (std::ptrdiff_t i = 0; i < added; ++i)
        changes[changes.size() - 1 - static_cast<Index>(i)].change = 1;
      if (added < 0 && !changes.empty()) changes.back().change += static_cast<std::int32_t>(added);
    };
    each_grapheme(text.text, [&](std::string_view grapheme) {
      if (grapheme.size() < 6) {
        if (const auto fresh = map.find(grapheme)) return replace(grapheme, *fresh);
      }
      for (Index at = 0; at < grapheme.size();) {
        const Index begin = at;
        const char32_t code = next_character(grapheme, at);
        const std::string_view part = grapheme.substr(begin, at - begin);
        if (const auto fresh = map.find(part)) {
          replace(part, *fresh);
        } else {
          changes.push_back({code, 0});
        }
      }
    });
    if (modified) text.transform(changes);
  }

  PrecompiledCharsmap map;
};

/// The normalisers that `component` describes, in order.
inline std::vector<std::unique_ptr<const Normalizer>> read_normalizers(const Component& component) {
  std::vector<std::unique_ptr<const Normalizer>> result;
  each_component(component, "normalizers", [&](const Component& c) {
    const std::string type = c.type();
    const auto add = [&](auto made) {
      result.push_back(std::make_unique<const decltype(made)>(std::move(made)));
    };
    if (type == "NFC") {
      add(FormNormalizer(Form::nfc));
    } else if (type == "NFD") {
      add(FormNormalizer(Form::nfd));
    } else if (type == "NFKC") {
      add(FormNormalizer(Form::nfkc));
    } else if (type == "NFKD") {
      add(FormNormalizer(Form::nfkd));
    } else if (type == "Lowercase") {
      add(LowercaseNormalizer());
    } else if (type == "StripAccents") {
      add(StripAccentsNormalizer());
    } else if (type == "Strip") {
      add(StripNormalizer(c.get<bool>("strip_left"), c.get<bool>("strip_right")));
    } else if (type == "Prepend") {
      add(PrependNormalizer(c.get<std::string>("prepend")));
    } else if (type == "Replace") {
      add(ReplaceNormalizer(Pattern::read(c), c.get<std::string>("content"), c.where()));
    } else if (type == "Nmt") {
      add(NmtNormalizer());
    } else if (type == "ByteLevel") {
      add(ByteLevelNormalizer());
    } else if (type == "Precompiled") {
      // Some files have an empty map, or none: then nothing is changed.
      const auto map = c.get<std::string>("precompiled_charsmap", "");
      if (!map.empty())
        add(PrecompiledNormalizer(PrecompiledCharsmap(map, c.where() + ".precompiled_charsmap")));
    } else if (type == "BertNormalizer") {
      BertNormalizer bert;
      bert.clean = c.get<bool>("clean_text", true);
      bert.chinese = c.get<bool>("handle_chinese_chars", true);
      bert.lowercase = c.get<bool>("lowercase", true);
      bert.strip = c.get<bool>("strip_accents", bool{bert.lowercase});
      add(bert);
    } else {
      c.refuse_type("normaliser",
                    "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, "
                    "Replace, Sequence, Strip, StripAccents");
    }
  });
  return result;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
