// The methods of Python's strings.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/access.hpp"
#include "merit/jinja/lexer.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/format.hpp"
#include "merit/templates/letter_case.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

inline bool holds_character(std::string_view characters, char32_t c) {
  for (Index at = 0; at < characters.size();) {
    if (next_character(characters, at) == c) return true;
  }
  return false;
}

/// `text` without white space, or without `characters`, at its begin and end.
inline std::string_view stripped(std::string_view text, const std::string* characters, bool left,
                                 bool right) {
  const auto goes = [&](char32_t c) {
    return characters == nullptr ? is_python_space(c) : holds_character(*characters, c);
  };
  while (left && !text.empty()) {
    Index next = 0;
    if (!goes(next_character(text, next))) break;
    text.remove_prefix(std::min(next, text.size()));
  }
  while (right && !text.empty()) {
    const Index begin = previous_character(text, text.size());
    Index at = begin;
    if (!goes(next_character(text, at))) break;
    text = text.substr(0, begin);
  }
  return text;
}

/// The lines of `text` without their ends, as str.splitlines.
inline std::vector<std::string> lines_of(Heap& heap, std::string_view text, bool keep_ends = false) {
  std::vector<std::string> lines;
  Index begin = 0;
  for (Index at = 0; at < text.size();) {
    const Index end = at;
    const char32_t c = next_character(text, at);
    const bool is_end =
        (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!is_end) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    heap.charge(8);  // each line is a string
    lines.emplace_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

/// str.replace; a negative `count` is all.
inline std::string replaced(Heap& heap, const std::string& text, const std::string& from,
                            const std::string& to, std::int64_t count) {
  heap.charge_text(text.size());
  const TextSearch search(from);
  std::string out;
  Index at = 0;
  while (count != 0) {
    const auto found = search.find(text, at);
    if (found == text.npos) break;
    out.append(text, at, found - at).append(to);
    at = found + from.size();
    --count;
    if (from.empty()) {  // between all characters
      if (at >= text.size()) {
        at = text.size() + 1;
        break;
      }
      const Index begin = at;
      next_character(text, at);
      out.append(text, begin, at - begin);
    }
    heap.charge(1 + to.size() / 32);
    if (out.size() > heap.max_text())
      fail("the template makes a text of more than ", heap.max_text(), " bytes");
  }
  if (at < text.size()) out.append(text, at);
  return out;
}

/// Whether the string begins (or ends) with one text, or one of a tuple.
inline bool has_affix(std::string_view text, const Value& affixes, bool begin) {
  require_defined(affixes);
  if (affixes.is_string()) return begin ? text.starts_with(affixes.text()) : text.ends_with(affixes.text());
  if (!affixes.is(Kind::tuple)) fail("expected a string or a tuple of strings, found ", type_name(affixes));
  for (const Value& affix : affixes.items()) {
    if (!affix.is_string()) fail("expected a tuple of strings, found ", type_name(affix), " in it");
    if (begin ? text.starts_with(affix.text()) : text.ends_with(affix.text())) return true;
  }
  return false;
}

/// str.join.
inline Value joined(Heap& heap, const std::string& separator, const Value& items, bool any_type) {
  std::string out;
  Iterator iterator(heap, items);
  bool first = true;
  for (Value item; iterator.next(item);) {
    if (!std::exchange(first, false)) out += separator;
    if (!any_type && !item.is_string())
      fail("expected strings to join, found a value of the type ", type_name(item));
    out += text_of(heap, item);
    heap.charge(1 + separator.size() / 32);
    if (out.size() > heap.max_text())
      fail("the template makes a text of more than ", heap.max_text(), " bytes");
  }
  return heap.text(std::move(out));
}

class StringMethods {
 public:
  StringMethods(Heap& heap, const Value& value, const std::string& name, const Arguments& arguments)
      : heap_(heap), value_(value), text_(value.text()), name_(name), arguments_(arguments) {
    heap_.charge_text(text_.size());
  }

  Value call() {
    if (name_ == "format") return heap_.text(BraceFormat(heap_, arguments_).run(text_));
    if (name_ == "format_map") return format_map();
    if (name_ == "split" || name_ == "rsplit") return split(name_ == "rsplit");
    if (name_ == "splitlines") return split_lines();
    if (!arguments_.named.empty()) fail("'", name_, "' takes no arguments by name");
    if (const Value result = change_case(); !result.is_missing()) return result;
    if (const Value result = ask(); !result.is_missing()) return result;
    if (const Value result = search(); !result.is_missing()) return result;
    return change();
  }

 private:
  Bound bound(std::initializer_list<std::string_view> names, Index required = 0) const {
    return Bound(name_, arguments_, names, required);
  }
  Value text(std::string result) { return heap_.text(std::move(result), value_.as<String>().markup); }

  Value change_case() {
    if (!is_one_of(name_, std::initializer_list<std::string_view>{"upper", "lower", "capitalize", "title",
                                                                  "swapcase", "casefold"})) {
      return {};
    }
    bound({});
    if (name_ == "upper") return text(upper_case(text_));
    if (name_ == "lower") return text(lower_case(text_));
    if (name_ == "capitalize") return text(capitalized(text_));
    if (name_ == "title") return text(title_case(text_));
    if (name_ == "swapcase") return text(swapped_case(text_));
    return text(replaced(heap_, replaced(heap_, lower_case(text_), "ß", "ss", -1), "ς", "σ", -1));
  }

  Value ask() {
    if (!name_.starts_with("is")) return {};
    bound({});
    return Value::boolean(ask_kind());
  }
  bool ask_kind() const {
    if (name_ == "isupper") return all_cased(text_, true);
    if (name_ == "islower") return all_cased(text_, false);
    if (name_ == "isspace") return all_characters(text_, is_python_space);
    if (name_ == "isalpha") return all_characters(text_, is_letter);
    if (name_ == "isdecimal") return all_characters(text_, is_decimal);
    if (name_ == "isdigit") return all_characters(text_, is_digit_character);
    if (name_ == "isnumeric") return all_characters(text_, is_numeric);
    if (name_ == "isalnum")
      return all_characters(text_, [](char32_t c) { return is_letter(c) || is_numeric(c); });
    if (name_ == "isascii") return is_ascii(text_);
    if (name_ == "isprintable") return text_.empty() || all_characters(text_, is_printable);
    if (name_ == "isidentifier") {
      return all_characters(text_, is_word) && !is_numeric(static_cast<unsigned char>(text_[0]));
    }
    if (name_ == "istitle") return all_cased_words();
    fail("the method '", name_, "' of strings is not supported");
  }
  bool all_cased_words() const {
    bool any = false;
    bool inside = false;
    for (Index at = 0; at < text_.size();) {
      const char32_t c = next_character(text_, at);
      const bool upper = is_cased(c) && !is_lower_letter(c);
      if (upper ? inside : is_lower_letter(c) && !inside) return false;
      inside = is_cased(c);
      any |= inside;
    }
    return any;
  }

  Value search() {
    if (name_ == "startswith" || name_ == "endswith") {
      const Bound given = bound({"prefix", "start", "end"}, 1);
      if (!given.has(1)) return Value::boolean(has_affix(text_, given[0], name_ == "startswith"));
      const Value part = slice_of(heap_, value_, given[1], given[2], {});
      return Value::boolean(has_affix(part.text(), given[0], name_ == "startswith"));
    }
    const bool backwards = name_ == "rfind" || name_ == "rindex";
    const bool strict = name_ == "index" || name_ == "rindex";
    if (name_ != "find" && name_ != "count" && !backwards && !strict) return {};
    const Bound given = bound({"sub", "start", "end"}, 1);
    const std::string& sub = given.text(0);
    const auto size = static_cast<std::int64_t>(value_.as<String>().characters);
    const std::int64_t start = given.given(1) ? given.integer(1, 0) : 0;
    const std::int64_t begin =
        std::clamp<std::int64_t>(start < 0 ? start + size : start, 0, std::max(size, start));
    const Value part = slice_of(heap_, value_, Value::integer(begin), given[2], {});
    if (begin > size) return found(name_ == "count" ? 0 : -1, strict);
    if (name_ == "count") return count(part.text(), sub);
    const TextSearch search(sub);
    const auto place = backwards ? search.find_last(part.text()) : search.find(part.text());
    if (place == std::string::npos) return found(-1, strict);
    const std::int64_t characters =
        static_cast<std::int64_t>(count_characters(std::string_view(part.text()).substr(0, place)));
    return found(begin + characters, strict);
  }
  static Value found(std::int64_t place, bool strict) {
    if (place < 0 && strict) fail("the text that 'index' looks for is not there");
    return Value::integer(place);
  }
  static Value count(const std::string& text, const std::string& sub) {
    if (sub.empty()) return Value::count(count_characters(text) + 1);
    Index many = 0;
    const TextSearch search(sub);
    for (auto at = search.find(text); at != text.npos; at = search.find(text, at + sub.size())) ++many;
    return Value::count(many);
  }

  Value change() {
    if (name_ == "strip" || name_ == "lstrip" || name_ == "rstrip") {
      const Bound given = bound({"chars"});
      const std::string* characters = given.given(0) ? &given.text(0) : nullptr;
      if (characters != nullptr) heap_.charge(text_.size() * characters->size() / 32);
      return text(std::string(stripped(text_, characters, name_ != "rstrip", name_ != "lstrip")));
    }
    if (name_ == "replace") {
      const Bound given = bound({"old", "new", "count"}, 2);
      return text(replaced(heap_, text_, given.text(0), given.text(1), given.integer(2, -1)));
    }
    if (name_ == "removeprefix" || name_ == "removesuffix") {
      const std::string affix = bound({"affix"}, 1).text(0);
      if (name_ == "removeprefix") return text(text_.starts_with(affix) ? text_.substr(affix.size()) : text_);
      return text(text_.ends_with(affix) ? text_.substr(0, text_.size() - affix.size()) : text_);
    }
    if (name_ == "join") return joined(heap_, text_, bound({"iterable"}, 1)[0], false);
    if (name_ == "partition" || name_ == "rpartition") return partition();
    if (name_ == "zfill") {
      FormatSpec spec{.fill = "0", .align = '=', .width = width(bound({"width"}, 1))};
      return text(padded_zero(spec));
    }
    if (name_ == "center" || name_ == "ljust" || name_ == "rjust") return justify();
    if (name_ == "expandtabs") return expand_tabs();
    fail("the method '", name_, "' of strings is not supported");
  }

  static Index width(const Bound& given) {
    const std::int64_t width = given.integer(0, 0);
    return width < 0 ? 0 : static_cast<Index>(std::min<std::int64_t>(width, 1'000'000'000));
  }
  std::string padded_zero(const FormatSpec& spec) {
    const Index size = value_.as<String>().characters;
    if (spec.width <= size) return text_;
    heap_.charge_text(spec.width - size);
    const Index head = text_.starts_with('-') || text_.starts_with('+') ? 1 : 0;
    return text_.substr(0, head) + std::string(spec.width - size, '0') + text_.substr(head);
  }
  Value justify() {
    const Bound given = bound({"width", "fillchar"}, 1);
    FormatSpec spec{.width = width(given)};
    if (given.has(1)) {
      spec.fill = given.text(1);
      if (count_characters(spec.fill) != 1) fail("expected one character to fill with");
    }
    const Index size = value_.as<String>().characters;
    if (name_ == "center" && spec.width > size) {
      // Python gives the odd one to the left where the width is odd.
      const Index missing = spec.width - size;
      const Index left = missing / 2 + (missing & spec.width & 1);
      FormatSpec first = spec;
      first.width = size + left;
      const std::string head = padded(heap_, first, text_, '>');
      return text(padded(heap_, spec, head, '<'));
    }
    return text(padded(heap_, spec, text_, name_ == "rjust" ? '>' : '<'));
  }
  Value expand_tabs() {
    const std::int64_t size = bound({"tabsize"}).integer(0, 8);
    std::string out;
    std::int64_t column = 0;
    for (const char c : text_) {
      if (c == '\t') {
        const std::int64_t spaces = size > 0 ? size - column % size : 0;
        heap_.charge_text(static_cast<Index>(spaces));
        out.append(static_cast<Index>(spaces), ' ');
        column += spaces;
      } else {
        out += c;
        if ((static_cast<unsigned char>(c) & 0xC0u) != 0x80u) ++column;
        if (c == '\n' || c == '\r') column = 0;
      }
      if (out.size() > heap_.max_text())
        fail("the template makes a text of more than ", heap_.max_text(), " bytes");
    }
    return text(std::move(out));
  }

  Value partition() {
    const std::string separator = bound({"sep"}, 1).text(0);
    if (separator.empty()) fail("the separator is empty");
    const bool last = name_ == "rpartition";
    const TextSearch search(separator);
    const auto place = last ? search.find_last(text_) : search.find(text_);
    if (place == text_.npos) {
      const Value none = heap_.text("");
      return last ? heap_.tuple({none, none, value_}) : heap_.tuple({value_, none, none});
    }
    return heap_.tuple({heap_.text(text_.substr(0, place)), heap_.text(separator),
                        heap_.text(text_.substr(place + separator.size()))});
  }

  Value split(bool from_right) {
    const Bound given = bound({"sep", "maxsplit"});
    const std::int64_t most = given.integer(1, -1);
    std::vector<Value> parts;
    const auto put = [&](std::string_view part) { parts.push_back(heap_.text(std::string(part))); };
    if (given.given(0)) {
      const std::string& separator = given.text(0);
      if (separator.empty()) fail("the separator is empty");
      const TextSearch search(separator);
      std::string_view rest = text_;
      while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
        const auto place = from_right ? search.find_last(rest) : search.find(rest);
        if (from_right && search.is_long()) heap_.charge_text(rest.size());
        if (place == rest.npos) break;
        put(from_right ? rest.substr(place + separator.size()) : rest.substr(0, place));
        rest = from_right ? rest.substr(0, place) : rest.substr(place + separator.size());
      }
      put(rest);
    } else {
      std::string_view rest = stripped(text_, nullptr, !from_right, from_right);
      while (!rest.empty() && (most < 0 || static_cast<std::int64_t>(parts.size()) < most)) {
        Index at = from_right ? rest.size() : 0;
        while (from_right ? at > 0 : at < rest.size()) {
          Index next = from_right ? previous_character(rest, at) : at;
          const Index begin = next;
          if (is_python_space(next_character(rest, next))) break;
          at = from_right ? begin : next;
        }
        put(from_right ? rest.substr(at) : rest.substr(0, at));
        rest = stripped(from_right ? rest.substr(0, at) : rest.substr(at), nullptr, !from_right, from_right);
      }
      if (!rest.empty()) put(rest);
    }
    if (from_right) std::reverse(parts.begin(), parts.end());
    return heap_.list(std::move(parts));
  }

  Value split_lines() {
    const Bound given = bound({"keepends"});
    std::vector<Value> lines;
    for (std::string& line : lines_of(heap_, text_, given.truth(0, false)))
      lines.push_back(heap_.text(std::move(line)));
    return heap_.list(std::move(lines));
  }

  Value format_map() {
    const Bound given = bound({"mapping"}, 1);
    Arguments named;
    if (!given[0].is(Kind::dict)) return heap_.text(BraceFormat(heap_, named).run(text_));
    for (const Dict::Entry& entry : given[0].as<Dict>().entries) {
      if (entry.key.is_string()) named.named.emplace_back(entry.key.text(), entry.value);
    }
    return heap_.text(BraceFormat(heap_, named).run(text_));
  }

  Heap& heap_;
  const Value value_;
  const std::string& text_;
  const std::string& name_;
  const Arguments& arguments_;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
