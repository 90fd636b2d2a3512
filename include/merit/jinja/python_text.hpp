// Values as text, as Python writes them: str, repr, json.dumps.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/value.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// A float as Python's repr: the shortest digits that give it back.
inline std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific).ptr;
  const std::string_view text(digits, static_cast<Index>(end - digits));
  const auto mark = text.find('e');
  int power = 0;
  std::from_chars(text.data() + mark + (text[mark + 1] == '+' ? 2 : 1), text.data() + text.size(), power);
  if (power < -4 || power >= 16) {
    char exponent[16];
    std::snprintf(exponent, sizeof exponent, "e%c%02d", power < 0 ? '-' : '+', std::abs(power));
    return std::string(text.substr(0, mark)) + exponent;
  }
  char fixed[64];
  const auto fixed_end = std::to_chars(fixed, fixed + sizeof fixed, value, std::chars_format::fixed).ptr;
  std::string result(fixed, fixed_end);
  if (result.find('.') == result.npos) result += ".0";
  return result;
}

inline void append_hex(std::string& out, char32_t code, int width) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (int i = width - 1; i >= 0; --i) out += digits[(code >> (4 * i)) & 15u];
}

/// Whether repr leaves the character as it is.
inline bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

/// A string as Python's repr.
inline void append_quoted(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  out += quote;
  for (Index at = 0; at < text.size();) {
    const Index begin = at;
    const char32_t c = next_character(text, at);
    if (c == '\\' || c == static_cast<unsigned char>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (is_printable(c)) {
      out += text.substr(begin, at - begin);
    } else {
      out += c < 0x100 ? "\\x" : c < 0x10000 ? "\\u" : "\\U";
      append_hex(out, c, c < 0x100 ? 2 : c < 0x10000 ? 4 : 8);
    }
  }
  out += quote;
}

inline void append_repr(Heap& heap, std::string& out, const Value& value, Index depth = 0);

inline void append_repr_dict(Heap& heap, std::string& out, const Dict& dict, Index depth) {
  out += '{';
  bool first = true;
  for (const Dict::Entry& entry : dict.entries) {
    if (!std::exchange(first, false)) out += ", ";
    append_repr(heap, out, entry.key, depth + 1);
    out += ": ";
    append_repr(heap, out, entry.value, depth + 1);
  }
  out += '}';
}

inline void append_repr_items(Heap& heap, std::string& out, const std::vector<Value>& items, Index depth) {
  bool first = true;
  for (const Value& item : items) {
    if (!std::exchange(first, false)) out += ", ";
    append_repr(heap, out, item, depth + 1);
  }
}

inline void append_repr_view(Heap& heap, std::string& out, const View& view, Index depth) {
  out += view.part == View::keys     ? "dict_keys(["
         : view.part == View::values ? "dict_values(["
                                     : "dict_items([";
  bool first = true;
  for (const Dict::Entry& entry : view.dict->entries) {
    if (!std::exchange(first, false)) out += ", ";
    if (view.part == View::items) out += '(';
    if (view.part != View::values) append_repr(heap, out, entry.key, depth + 1);
    if (view.part == View::items) out += ", ";
    if (view.part != View::keys) append_repr(heap, out, entry.value, depth + 1);
    if (view.part == View::items) out += ')';
  }
  out += "])";
}

/// Python's repr.
inline void append_repr(Heap& heap, std::string& out, const Value& value, Index depth) {
  check_value_depth(depth);
  heap.charge(1);
  if (out.size() > heap.max_text())
    fail("the template makes a text of more than ", heap.max_text(), " bytes");
  switch (value.kind()) {
    case Kind::undefined: out += "Undefined"; break;
    case Kind::none: out += "None"; break;
    case Kind::boolean: out += value.integer() != 0 ? "True" : "False"; break;
    case Kind::integer: out += std::to_string(value.integer()); break;
    case Kind::number: out += float_text(value.number()); break;
    case Kind::string:
      heap.charge_text(value.text().size());
      if (value.as<String>().markup) out += "Markup(";
      append_quoted(out, value.text());
      if (value.as<String>().markup) out += ')';
      break;
    case Kind::list:
      out += '[';
      append_repr_items(heap, out, value.items(), depth);
      out += ']';
      break;
    case Kind::tuple:
      out += '(';
      append_repr_items(heap, out, value.items(), depth);
      out += value.items().size() == 1 ? ",)" : ")";
      break;
    case Kind::dict: append_repr_dict(heap, out, value.as<Dict>(), depth); break;
    case Kind::view: append_repr_view(heap, out, value.as<View>(), depth); break;
    case Kind::range: {
      const auto& range = value.as<Range>();
      out += join({"range(", range.start, ", ", range.stop});
      out += range.step == 1 ? ")" : join({", ", range.step, ")"});
      break;
    }
    case Kind::named_space:
      out += "<Namespace ";
      append_repr_dict(heap, out, value.as<NamedSpace>().attributes, depth);
      out += '>';
      break;
    case Kind::generator: out += value.as<Generator>().text; break;
    case Kind::loop:
    case Kind::macro: out += value.object()->repr(heap); break;
    default: out += join({"<", type_name(value), ">"}); break;
  }
}

/// Python's str.
inline std::string text_of(Heap& heap, const Value& value) {
  if (value.is_string()) {
    heap.charge_text(value.text().size());
    return value.text();
  }
  if (value.is_undefined()) return "";
  std::string text;
  append_repr(heap, text, value);
  return text;
}

/// A string as JSON.
inline void append_json_string(std::string& out, std::string_view text, bool ascii) {
  out += '"';
  for (Index at = 0; at < text.size();) {
    const Index begin = at;
    const char32_t c = next_character(text, at);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      switch (c) {
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        case '\f': out += "\\f"; break;
        case '\b': out += "\\b"; break;
        default: out += "\\u"; append_hex(out, c, 4);
      }
    } else if (c < 0x7F || !ascii) {
      out += text.substr(begin, at - begin);
    } else if (c < 0x10000) {
      out += "\\u";
      append_hex(out, c, 4);
    } else {
      out += "\\u";
      append_hex(out, 0xD800 + ((c - 0x10000) >> 10), 4);
      out += "\\u";
      append_hex(out, 0xDC00 + ((c - 0x10000) & 0x3FFu), 4);
    }
  }
  out += '"';
}

/// json.dumps.
class JsonWriter {
 public:
  struct Options {
    bool ascii = false;
    bool lines = false;  // one item a line, behind `indent` for each level
    std::string indent;
    std::string between_items = ", ";
    std::string behind_key = ": ";
    bool sorted = false;
  };
  JsonWriter(Heap& heap, const Options& options) : heap_(heap), options_(options) {}

  std::string write(const Value& value) {
    put(value, 0);
    return std::move(out_);
  }

 private:
  void put(const Value& value, Index depth) {
    check_value_depth(depth);
    heap_.charge(1);
    if (out_.size() > heap_.max_text()) {
      fail("the template makes a text of more than ", heap_.max_text(), " bytes");
    }
    switch (value.kind()) {
      case Kind::none: out_ += "null"; break;
      case Kind::boolean: out_ += value.integer() != 0 ? "true" : "false"; break;
      case Kind::integer: out_ += std::to_string(value.integer()); break;
      case Kind::number: out_ += number_text(value.number()); break;
      case Kind::string: put_string(value.text()); break;
      case Kind::list:
      case Kind::tuple: put_list(value.items(), depth); break;
      case Kind::dict: put_dict(value.as<Dict>(), depth); break;
      default: fail("a value of the type ", type_name(value), " cannot be written as JSON");
    }
  }
  void put_string(const std::string& text) {
    heap_.charge_text(text.size());
    append_json_string(out_, text, options_.ascii);
  }
  static std::string number_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_text(value);
  }
  void break_line(Index depth) {
    if (!options_.lines) return;
    heap_.charge_text(depth * options_.indent.size());
    out_ += '\n';
    for (Index i = 0; i < depth; ++i) out_ += options_.indent;
  }
  void put_list(const std::vector<Value>& items, Index depth) {
    out_ += '[';
    for (Index i = 0; i < items.size(); ++i) {
      if (i != 0) out_ += options_.between_items;
      break_line(depth + 1);
      put(items[i], depth + 1);
    }
    if (!items.empty()) break_line(depth);
    out_ += ']';
  }
  void put_dict(const Dict& dict, Index depth) {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries) entries.push_back(&entry);
    if (options_.sorted) {
      std::stable_sort(entries.begin(), entries.end(), [this](const Dict::Entry* a, const Dict::Entry* b) {
        heap_.charge(1);
        if (a->key.is_string() && b->key.is_string()) return a->key.text() < b->key.text();
        if (a->key.is_numeric() && b->key.is_numeric()) return a->key.number() < b->key.number();
        fail("keys of the types ", type_name(a->key), " and ", type_name(b->key), " have no order");
      });
    }
    out_ += '{';
    for (Index i = 0; i < entries.size(); ++i) {
      if (i != 0) out_ += options_.between_items;
      break_line(depth + 1);
      put_key(entries[i]->key);
      out_ += options_.behind_key;
      put(entries[i]->value, depth + 1);
    }
    if (!entries.empty()) break_line(depth);
    out_ += '}';
  }
  void put_key(const Value& key) {
    switch (key.kind()) {
      case Kind::string: put_string(key.text()); break;
      case Kind::none: out_ += "\"null\""; break;
      case Kind::boolean: out_ += key.integer() != 0 ? "\"true\"" : "\"false\""; break;
      case Kind::integer: out_ += join({'"', key.integer(), '"'}); break;
      case Kind::number: out_ += join({'"', number_text(key.number()), '"'}); break;
      default: fail("a key of the type ", type_name(key), " cannot be written as JSON");
    }
  }

  Heap& heap_;
  const Options& options_;
  std::string out_;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
