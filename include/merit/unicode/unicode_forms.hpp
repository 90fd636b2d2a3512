// Unicode's normal forms with their alignment, and graphemes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/unicode/aligned_text.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

enum class Form { nfc, nfd, nfkc, nfkd };

/// Whether a code point stays as it is in every text and form NFC: it does not decompose, is no mark and
/// composes with nothing before it. Only blocks that are frequent and simple are told.
constexpr bool is_composed(char32_t c) {
  return c < 0x300 || (c >= 0x400 && c < 0x483) || (c >= 0x5D0 && c < 0x5EB) || (c >= 0x620 && c < 0x64B) ||
         (c >= 0x2010 && c < 0x2071) || (c >= 0x2460 && c < 0x2A00) || (c >= 0x3001 && c < 0x302A) ||
         (c >= 0x3041 && c < 0x3097) || (c >= 0x30A0 && c < 0x3100) || (c >= 0x3400 && c < 0xA000) ||
         (c >= 0xAC00 && c < 0xD7A4) || (c >= 0xFF01 && c < 0xFFEF) || (c >= 0x1F300 && c < 0x1FB00);
}
/// The same for NFD, NFKC and NFKD alike.
constexpr bool is_simple(char32_t c) {
  return c < 0x80 || (c >= 0x3400 && c < 0xA000);
}

/// Appends the decomposed characters of `text`, marks in canonical order.
inline std::vector<Change> decomposed(std::string_view text, bool compatible) {
  struct Entry {
    int combining;
    Change change;
  };
  std::vector<Change> result;
  result.reserve(text.size());
  std::vector<Entry> pending;
  const auto flush = [&] {
    std::stable_sort(pending.begin(), pending.end(),
                     [](const Entry& a, const Entry& b) { return a.combining < b.combining; });
    for (const Entry& entry : pending) result.push_back(entry.change);
    pending.clear();
  };
  for (Index at = 0; at < text.size();) {
    const char32_t code = next_character(text, at);
    const Decomposition parts = decompose(code, compatible);
    for (Index i = 0; i < parts.size; ++i) {
      const auto part = static_cast<char32_t>(parts.codes[i]);
      const int combining = combining_class(part);
      if (combining == 0) flush();
      pending.push_back({combining, {part, i == 0 ? 0 : 1}});
    }
  }
  flush();
  return result;
}

/// Composes decomposed characters: a pair that became one counts as a character and a removed one.
inline std::vector<Change> composed(const std::vector<Change>& parts) {
  std::vector<Change> result;
  result.reserve(parts.size());
  Index starter = parts.size();  // the index in `result` of the last starter
  int last_combining = -1;       // the class of the last character behind it that stayed
  for (const Change& part : parts) {
    const int combining = combining_class(part.code);
    if (starter < result.size() && last_combining < combining) {
      if (const char32_t whole = compose(result[starter].code, part.code); whole != 0) {
        result[starter] = {whole, result[starter].change + part.change - 1};
        continue;
      }
    }
    if (combining == 0) {
      starter = result.size();
      last_combining = -1;
    } else {
      last_combining = combining;
    }
    result.push_back(part);
  }
  return result;
}

inline void to_form(AlignedText& text, Form form) {
  bool done = true;
  for (Index at = 0; at < text.text.size() && done;) {
    const char32_t code = next_character(text.text, at);
    done = form == Form::nfc ? is_composed(code) : is_simple(code);
  }
  if (done) return;
  const std::vector<Change> parts = decomposed(text.text, form == Form::nfkc || form == Form::nfkd);
  text.transform(form == Form::nfc || form == Form::nfkc ? composed(parts) : parts);
}

/// Calls `each(part)` for the extended grapheme clusters of `text`.
template <class Each>
void each_grapheme(std::string_view text, const Each& each) {
  Index begin = 0;
  utf8proc_int32_t state = 0;
  utf8proc_int32_t last = 0;
  for (Index at = 0; at < text.size();) {
    const Index here = at;
    const char32_t given = next_character(text, at);
    const auto code = static_cast<utf8proc_int32_t>(has(newer_extending, given) ? 0x301u : given);
    if (here != 0 && utf8proc_grapheme_break_stateful(last, code, &state)) {
      each(text.substr(begin, here - begin));
      begin = here;
    }
    last = code;
  }
  if (begin < text.size()) each(text.substr(begin));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
