// Text that was changed and knows which bytes of the text it came from stand behind each of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Bytes [begin, end) of the text that is encoded.
struct SourceSpan {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// One character of new text: 0 takes the place of the next old character, -n of that and n more, 1 is new
/// and stands for what the last replaced character stands for.
struct Change {
  char32_t code = 0;
  std::int32_t change = 0;
};

/// Changed text with a source span for each byte. The spans are kept only where somebody asked for offsets:
/// ids alone do not need them. How inserted and removed characters are counted follows Hugging Face's
/// tokenizers.
class AlignedText {
 public:
  std::string text;
  std::vector<SourceSpan> spans;  // one for each byte of `text`, or none at all
  bool tracked = false;
  std::uint32_t origin = 0;  // where the source of this text begins

  /// Begins anew with `source`, which lies at byte `begin` of the text that is encoded.
  void assign(std::string_view source, Index begin, bool track) {
    text.assign(source);
    spans.clear();
    tracked = track;
    origin = static_cast<std::uint32_t>(begin);
    if (tracked) append_identity(spans, source, origin);
  }

  /// Spans of text that is its own source.
  static void append_identity(std::vector<SourceSpan>& spans, std::string_view source, std::uint32_t begin) {
    spans.reserve(spans.size() + source.size());
    for (Index at = 0; at < source.size();) {
      const auto length = static_cast<std::uint32_t>(utf8_length(source[at]));
      spans.insert(spans.end(), length, SourceSpan{begin, begin + length});
      begin += length;
      at += length;
    }
  }

  /// Replaces each character by those that `put` is called with in `map(code, put)`.
  template <class Map>
  void map_characters(const Map& map) {
    std::string next;
    next.reserve(text.size() + text.size() / 8);
    std::vector<SourceSpan> next_spans;
    for (Index at = 0; at < text.size();) {
      const Index begin = at;
      const char32_t code = next_character(text, at);
      map(code, [&](char32_t replaced) {
        const Index length = append_character(next, replaced);
        if (tracked) next_spans.insert(next_spans.end(), length, spans[begin]);
      });
    }
    text.swap(next);
    spans.swap(next_spans);
  }

  /// Replaces the whole text. The first `removed` old characters go without a trace.
  void transform(const std::vector<Change>& changes, Index removed = 0) {
    std::string next;
    next.reserve(text.size());
    std::vector<SourceSpan> next_spans;
    Index at = 0;
    const auto skip = [&] {
      if (at < text.size()) at += utf8_length(text[at]);
    };
    if (tracked) {
      for (Index i = 0; i < removed; ++i) skip();
    }
    for (const Change& change : changes) {
      const Index length = append_character(next, change.code);
      if (!tracked) continue;
      SourceSpan span{origin, origin};
      if (change.change > 0) {
        if (at > 0) span = spans[at - 1];
      } else if (!spans.empty()) {
        span = spans[at < spans.size() ? at : spans.size() - 1];
        for (std::int32_t i = 0; i <= -change.change; ++i) skip();
      }
      next_spans.insert(next_spans.end(), length, span);
    }
    text.swap(next);
    spans.swap(next_spans);
  }

  /// Puts `prefix` before the text; it stands for what the first character stands for.
  void prepend(std::string_view prefix) {
    if (text.empty()) return;
    std::string prefixed(prefix);
    text = prefixed += text;
    if (tracked) spans.insert(spans.begin(), prefix.size(), SourceSpan(spans.front()));
  }

  /// Cuts to bytes [begin, end).
  void cut(Index begin, Index end) {
    text = text.substr(begin, end - begin);
    if (!tracked) return;
    spans.erase(spans.begin() + static_cast<std::ptrdiff_t>(end), spans.end());
    spans.erase(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(begin));
  }
};

/// A part of the text between two cuts: bytes for the model, or a token that is already known.
struct Piece {
  static constexpr Token none = ~Token{0};
  Index begin = 0;
  Index end = 0;
  Token token = none;
};

/// All pieces of a text, in order, over one string.
struct Pieces {
  AlignedText whole;
  std::vector<Piece> list;

  void clear(bool tracked) {
    whole.text.clear();
    whole.spans.clear();
    whole.tracked = tracked;
    list.clear();
  }
  std::string_view view(const Piece& piece) const {
    return std::string_view(whole.text).substr(piece.begin, piece.end - piece.begin);
  }

  /// Cuts each piece that is not a token: `cut(text, put)` calls put(begin, end) with bytes of `text`.
  template <class Cut>
  void split(const Cut& cut) {
    std::vector<Piece> next;
    next.reserve(list.size() + whole.text.size() / 4);
    for (const Piece& piece : list) {
      if (piece.token != Piece::none) {
        next.push_back(piece);
        continue;
      }
      cut(view(piece), [&](Index begin, Index end) {
        if (begin < end) next.push_back({piece.begin + begin, piece.begin + end, Piece::none});
      });
    }
    list.swap(next);
  }

  /// Changes the text of each piece that is not a token by `change(AlignedText&)`.
  template <class Transform>
  void rewrite(const Transform& change) {
    Pieces next;
    next.clear(whole.tracked);
    next.list.reserve(list.size());
    AlignedText part;
    for (const Piece& piece : list) {
      part.text.assign(view(piece));
      part.tracked = whole.tracked;
      if (whole.tracked) {
        part.spans.assign(whole.spans.begin() + static_cast<std::ptrdiff_t>(piece.begin),
                          whole.spans.begin() + static_cast<std::ptrdiff_t>(piece.end));
        part.origin = part.spans.front().begin;
      }
      if (piece.token == Piece::none) change(part);
      next.append(part, piece.token);
    }
    *this = std::move(next);
  }

  void append(const AlignedText& part, Token token) {
    if (part.text.empty()) return;
    const Index begin = whole.text.size();
    whole.text += part.text;
    whole.spans.insert(whole.spans.end(), part.spans.begin(), part.spans.end());
    list.push_back({begin, whole.text.size(), token});
  }
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
