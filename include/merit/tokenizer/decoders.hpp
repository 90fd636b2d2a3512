// Decoders: what makes text of pieces again.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/utf8.hpp"
#include "merit/tokenizer/byte_alphabet.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/regex.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// How many bytes of `bytes`, which do not begin with a character, one U+FFFD stands for: the longest
/// beginning that some character could have had (the practice that Unicode recommends, section 3.9).
inline Index invalid_length(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  if (lead < 0xC2 || lead > 0xF4) return 1;
  const Index length = utf8_length(bytes[0]);
  Index used = 1;
  while (used < length && used < bytes.size() && !is_boundary(bytes, used)) {
    const auto byte = static_cast<unsigned char>(bytes[used]);
    const bool impossible = (lead == 0xE0 && byte < 0xA0) || (lead == 0xED && byte >= 0xA0) ||
                            (lead == 0xF0 && byte < 0x90) || (lead == 0xF4 && byte >= 0x90);
    if (used == 1 && impossible) break;
    ++used;
  }
  return used;
}

/// Text with U+FFFD in place of what is not UTF-8.
inline std::string to_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (true) {
    const Index bad = first_invalid_utf8(bytes);
    text += bytes.substr(0, bad);
    if (bad == bytes.size()) return text;
    text += "\xEF\xBF\xBD";
    bytes.remove_prefix(bad);
    bytes.remove_prefix(invalid_length(bytes));
  }
}

inline void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  std::string result;
  Index done = 0;
  for (Index at = text.find(from); at != text.npos; at = text.find(from, done)) {
    result.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  text = result.append(text, done);
}

using Strings = std::vector<std::string>;

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(Strings& pieces) const = 0;
};

/// The bytes that pieces spell. Not yet UTF-8 text: that is checked at the end.
struct ByteLevelDecoder final : Decoder {
  void apply(Strings& pieces) const override {
    std::string bytes;
    for (const std::string& piece : pieces) bytes += bytes_of(piece).value_or(piece);
    pieces.assign(1, std::move(bytes));
  }
};

/// Pieces like <0x0A> are bytes; where bytes in a row are no text, each gives U+FFFD.
struct ByteFallbackDecoder final : Decoder {
  void apply(Strings& pieces) const override {
    Strings result;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (first_invalid_utf8(bytes) == bytes.size()) {
        result.push_back(bytes);
      } else {
        result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    const auto digit = [](char c) {
      return c >= '0' && c <= '9'   ? c - '0'
             : c >= 'a' && c <= 'f' ? c - 'a' + 10
             : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                    : -1;
    };
    for (std::string& piece : pieces) {
      const bool is_byte = piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>') &&
                           digit(piece[3]) >= 0 && digit(piece[4]) >= 0;
      if (is_byte) {
        bytes += static_cast<char>(digit(piece[3]) * 16 + digit(piece[4]));
      } else {
        flush();
        result.push_back(std::move(piece));
      }
    }
    flush();
    pieces.swap(result);
  }
};

struct FuseDecoder final : Decoder {
  void apply(Strings& pieces) const override {
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    pieces.assign(1, std::move(all));
  }
};

struct MetaspaceDecoder final : Decoder {
  std::string replacement;
  bool prefix = true;
  void apply(Strings& pieces) const override {
    for (Index i = 0; i < pieces.size(); ++i)
      replace_all(pieces[i], replacement, i == 0 && prefix ? "" : " ");
  }
};

struct WordPieceDecoder final : Decoder {
  std::string prefix;
  bool cleanup = true;
  void apply(Strings& pieces) const override {
    for (Index i = 0; i < pieces.size(); ++i) {
      std::string& piece = pieces[i];
      if (i != 0 && piece.starts_with(prefix)) {
        piece.erase(0, prefix.size());
      } else if (i != 0) {
        piece.insert(piece.begin(), ' ');
      }
      if (cleanup) clean(piece);
    }
  }
  static void clean(std::string& text) {
    for (const std::string_view mark : {" .", " ?", " !", " ,"}) replace_all(text, mark, mark.substr(1));
    replace_all(text, " ' ", "'");
    for (const std::string_view mark : {" n't", " 'm"}) replace_all(text, mark, mark.substr(1));
    replace_all(text, " do not", " don't");
    for (const std::string_view mark : {" 's", " 've", " 're"}) replace_all(text, mark, mark.substr(1));
  }
};

struct BpeDecoder final : Decoder {
  std::string suffix;
  void apply(Strings& pieces) const override {
    for (Index i = 0; i < pieces.size(); ++i)
      replace_all(pieces[i], suffix, i + 1 == pieces.size() ? "" : " ");
  }
};

struct ReplaceDecoder final : Decoder {
  ReplaceDecoder(const Pattern& pattern, std::string text, const std::string& where)
      : regex(pattern.text, pattern.literal, where), content(std::move(text)) {}
  void apply(Strings& pieces) const override {
    for (std::string& piece : pieces) {
      piece = to_utf8(piece);
      std::string next;
      regex.parts(piece, [&](Index begin, Index end, bool is_match) {
        next += is_match ? std::string_view(content) : std::string_view(piece).substr(begin, end - begin);
      });
      piece.swap(next);
    }
  }
  Regex regex;
  std::string content;
};

/// Takes up to `start` characters `content` from the beginning and up to `stop` from the end of each piece.
struct StripDecoder final : Decoder {
  std::string content;
  Index start = 0;
  Index stop = 0;
  void apply(Strings& pieces) const override {
    for (std::string& piece : pieces) {
      std::string_view rest = piece;
      for (Index i = 0; i < start && rest.starts_with(content); ++i) rest.remove_prefix(content.size());
      for (Index i = 0; i < stop && rest.ends_with(content); ++i) rest.remove_suffix(content.size());
      piece = std::string(rest);
    }
  }
};

/// Connectionist temporal classification: neighbours that are equal are one.
struct CtcDecoder final : Decoder {
  std::string pad;
  std::string delimiter;
  bool cleanup = true;
  void apply(Strings& pieces) const override {
    Strings result;
    for (Index i = 0; i < pieces.size(); ++i) {
      if (i != 0 && pieces[i] == pieces[i - 1]) continue;
      std::string piece = pieces[i];
      replace_all(piece, pad, "");
      if (cleanup) {
        WordPieceDecoder::clean(piece);
        replace_all(piece, delimiter, " ");
      }
      if (!piece.empty()) result.push_back(std::move(piece));
    }
    pieces.swap(result);
  }
};

inline std::vector<std::unique_ptr<const Decoder>> read_decoders(const Component& component) {
  std::vector<std::unique_ptr<const Decoder>> result;
  each_component(component, "decoders", [&](const Component& c) {
    const std::string type = c.type();
    const auto add = [&](auto made) {
      result.push_back(std::make_unique<const decltype(made)>(std::move(made)));
    };
    const auto character = [&](std::string_view name) {
      std::string text;
      append_character(text, c.character(name));
      return text;
    };
    if (type == "ByteLevel") {
      add(ByteLevelDecoder());
    } else if (type == "ByteFallback") {
      add(ByteFallbackDecoder());
    } else if (type == "Fuse") {
      add(FuseDecoder());
    } else if (type == "Metaspace") {
      MetaspaceDecoder made;
      made.replacement = character("replacement");
      made.prefix =
          c.get<std::string>("prepend_scheme", "always") != "never" && c.get<bool>("add_prefix_space", true);
      add(std::move(made));
    } else if (type == "WordPiece") {
      WordPieceDecoder made;
      made.prefix = c.get<std::string>("prefix", "##");
      made.cleanup = c.get<bool>("cleanup", true);
      add(std::move(made));
    } else if (type == "BPEDecoder") {
      BpeDecoder made;
      made.suffix = c.get<std::string>("suffix", "</w>");
      add(std::move(made));
    } else if (type == "Replace") {
      add(ReplaceDecoder(Pattern::read(c), c.get<std::string>("content"), c.where()));
    } else if (type == "Strip") {
      StripDecoder made;
      made.content = character("content");
      made.start = c.get<Index>("start", Index{0});
      made.stop = c.get<Index>("stop", Index{0});
      add(std::move(made));
    } else if (type == "CTC") {
      CtcDecoder made;
      made.pad = c.get<std::string>("pad_token", "<pad>");
      made.delimiter = c.get<std::string>("word_delimiter_token", "|");
      made.cleanup = c.get<bool>("cleanup", true);
      add(std::move(made));
    } else {
      c.refuse_type(
          "decoder",
          "BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece");
    }
  });
  return result;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
