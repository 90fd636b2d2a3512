// Python's two ways to format text: '%s' % values and '{}'.format(values).
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/access.hpp"
#include "merit/jinja/operations.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// How one value is to be written.
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false;
  char group = 0;
  Index width = 0;
  std::optional<int> precision = {};
  char type = 0;
};

inline constexpr int max_precision = 1000;

/// `text` filled up to the width; a "=" fills behind the sign.
inline std::string padded(Heap& heap, const FormatSpec& spec, const std::string& text, char usual) {
  const Index size = count_characters(text);
  if (size >= spec.width) return text;
  const Index missing = spec.width - size;
  heap.charge_text(missing * spec.fill.size());
  const auto filled = [&](Index count) {
    std::string result;
    for (Index i = 0; i < count; ++i) result += spec.fill;
    return result;
  };
  const char align = spec.align != 0 ? spec.align : usual;
  if (align == '<') return text + filled(missing);
  if (align == '^') return filled(missing / 2) + text + filled(missing - missing / 2);
  if (align == '=') {
    Index head = !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ') ? 1 : 0;
    if (text.size() > head + 1 && text[head] == '0' && text[head + 1] > '9') head += 2;  // 0x
    return text.substr(0, head) + filled(missing) + text.substr(head);
  }
  return filled(missing) + text;
}

inline std::string grouped(const std::string& digits, char separator, Index size) {
  if (separator == 0) return digits;
  Index end = 0;
  while (end < digits.size() && digits[end] != '.' && digits[end] != 'e' && digits[end] != '%') ++end;
  std::string result;
  for (Index i = 0; i < end; ++i) {
    if (i != 0 && (end - i) % size == 0) result += separator;
    result += digits[i];
  }
  return result + digits.substr(end);
}

inline std::string signed_text(bool negative, char sign, const std::string& digits) {
  if (negative) return "-" + digits;
  return sign == '-' ? digits : sign + digits;
}

inline std::string integer_digits(std::int64_t value, char type, bool alternate) {
  const std::uint64_t size =
      value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  char digits[72];
  const int base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  std::string text(digits, std::to_chars(digits, digits + sizeof digits, size, base).ptr);
  if (alternate && base != 10) text = std::string("0") + static_cast<char>(type | 0x20) + text;
  if (type == 'X')
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return static_cast<char>(c >= 'a' ? c - 32 : c); });
  return text;
}

inline std::string number_digits(double value, char type, std::optional<int> precision, bool alternate) {
  const double size = std::abs(value);
  if (std::isnan(size)) return "nan";
  if (std::isinf(size)) return "inf";
  const int digits = precision.value_or(6);
  if (digits > max_precision) fail("a precision of ", digits, " is too large");
  const char format[] = {'%', '.', '*', type == '%' ? 'f' : type, 0};
  const char alternate_format[] = {'%', '#', '.', '*', type, 0};
  std::vector<char> buffer(static_cast<Index>(digits) + 400);
  // The formats are made above, of checked letters.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  std::snprintf(buffer.data(), buffer.size(), alternate ? alternate_format : format, digits,
                type == '%' ? size * 100 : size);
#pragma GCC diagnostic pop
  std::string text(buffer.data());
  return type == '%' ? text + "%" : text;
}

/// Reads `digits` at `at`, at most `limit`.
inline std::optional<Index> read_count(std::string_view text, Index& at, Index limit = 1'000'000'000) {
  std::optional<Index> result;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    result = result.value_or(0) * 10 + static_cast<Index>(text[at++] - '0');
    if (*result > limit) fail("a width or precision is too large");
  }
  return result;
}

class PercentFormat {
 public:
  PercentFormat(Heap& heap, std::string_view format, const Value& values)
      : heap_(heap), format_(format), values_(values) {
    is_mapping_ =
        values.is(Kind::dict) || values.is(Kind::list) || values.is_undefined() || values.is(Kind::range);
  }

  std::string run() {
    std::string out;
    while (at_ < format_.size()) {
      const char c = format_[at_++];
      if (c != '%') {
        out += c;
        continue;
      }
      put_one(out);
      heap_.charge_text(0);
      if (out.size() > heap_.max_text())
        fail("the template makes a text of more than ", heap_.max_text(), " bytes");
    }
    if (!is_mapping_ && used_ < (values_.is(Kind::tuple) ? values_.items().size() : 1)) {
      fail("not all values have a place in the format");
    }
    return out;
  }

 private:
  Value next_value() {
    if (values_.is(Kind::tuple)) {
      if (used_ >= values_.items().size()) fail("there are too few values for the format");
      return values_.items()[used_++];
    }
    if (used_++ != 0) fail("there are too few values for the format");
    return values_;
  }
  char peek() const {
    if (at_ >= format_.size()) fail("the format ends in the middle of a place");
    return format_[at_];
  }

  void put_one(std::string& out) {
    std::optional<Value> named;
    if (peek() == '(') {
      const auto close = format_.find(')', at_);
      if (close == format_.npos) fail("the format ends in the middle of a place");
      if (!values_.is(Kind::dict)) fail("the format needs a dict");
      const Value key = heap_.text(std::string(format_.substr(at_ + 1, close - at_ - 1)));
      const Dict::Entry* entry = values_.as<Dict>().find(heap_, key);
      if (entry == nullptr) fail("the format names '", key.text(), "', which is not there");
      named = entry->value;
      used_ = 1;  // what has no name finds no value behind this
      at_ = close + 1;
    }
    if (peek() == '%' && !named) {
      ++at_;
      out += '%';
      return;
    }
    FormatSpec spec;
    bool zero = false;
    for (;; ++at_) {
      const char c = peek();
      if (c == '-')
        spec.align = '<';
      else if (c == '+')
        spec.sign = '+';
      else if (c == ' ')
        spec.sign = spec.sign == '+' ? '+' : ' ';
      else if (c == '0')
        zero = true;
      else if (c == '#')
        spec.alternate = true;
      else
        break;
    }
    const auto count = [&]() -> std::optional<std::int64_t> {
      if (peek() != '*') {
        const auto given = read_count(format_, at_);
        return given ? std::optional(static_cast<std::int64_t>(*given)) : std::nullopt;
      }
      ++at_;
      const Value value = next_value();
      if (!value.is_integer()) fail("expected an integer for '*'");
      if (value.integer() > 1'000'000'000 || value.integer() < -1'000'000'000)
        fail("a width or precision is too large");
      return value.integer();
    };
    if (const auto width = count()) {
      if (*width < 0) spec.align = '<';
      spec.width = static_cast<Index>(std::abs(*width));
    }
    if (peek() == '.') {
      ++at_;
      spec.precision = static_cast<int>(std::max<std::int64_t>(0, count().value_or(0)));
    }
    while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++at_;
    const char type = peek();
    ++at_;
    const Value value = named ? *named : next_value();
    if (zero && spec.align == 0 && type != 's' && type != 'r' && type != 'a' && type != 'c') {
      spec.fill = "0";
      spec.align = '=';
    }
    out += padded(heap_, spec, one(spec, type, value), '>');
  }

  std::string one(const FormatSpec& spec, char type, const Value& value) {
    switch (type) {
      case 's':
      case 'r':
      case 'a': {
        std::string text;
        if (type == 's') {
          text = text_of(heap_, value);
        } else {
          append_repr(heap_, text, value);
        }
        if (!spec.precision) return text;
        const String whole(text);
        return part_of(heap_, whole, 0,
                       std::min<Index>(whole.characters, static_cast<Index>(*spec.precision)));
      }
      case 'c':
        if (value.is_string() && value.as<String>().characters == 1) return value.text();
        if (value.is_integer() && value.integer() >= 0 && value.integer() <= 0x10FFFF &&
            (value.integer() < 0xD800 || value.integer() > 0xDFFF)) {
          std::string text;
          append_character(text, static_cast<char32_t>(value.integer()));
          return text;
        }
        fail("'%c' needs one character");
      case 'd':
      case 'i':
      case 'u': return whole_number(spec, 'd', value);
      case 'x':
      case 'X':
      case 'o':
        if (!value.is_integer())
          fail("'%", type, "' needs an integer, found a value of the type ", type_name(value));
        return whole_number(spec, type, value);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        require_defined(value);
        if (!value.is_numeric())
          fail("'%", type, "' needs a number, found a value of the type ", type_name(value));
        return signed_text(std::signbit(value.number()), spec.sign,
                           number_digits(value.number(), type, spec.precision, spec.alternate));
      }
      default: fail("the format has no '%", type, "'");
    }
  }

  std::string whole_number(const FormatSpec& spec, char type, const Value& value) {
    require_defined(value);
    if (!value.is_numeric())
      fail("'%", type, "' needs a number, found a value of the type ", type_name(value));
    if (value.is(Kind::number) && !(std::abs(value.number()) < 9e18)) refuse_overflow();
    const std::int64_t number =
        value.is(Kind::number) ? static_cast<std::int64_t>(value.number()) : value.integer();
    std::string digits = integer_digits(number, type, spec.alternate);
    if (spec.precision.value_or(0) > max_precision) fail("a precision of ", *spec.precision, " is too large");
    const Index precision = static_cast<Index>(spec.precision.value_or(0));
    if (digits.size() < precision) digits.insert(0, precision - digits.size(), '0');
    return signed_text(number < 0, spec.sign, digits);
  }

  Heap& heap_;
  std::string_view format_;
  const Value& values_;
  Index at_ = 0;
  Index used_ = 0;
  bool is_mapping_ = false;
};

inline Value format_percent(Heap& heap, const Value& format, const Value& values) {
  return heap.text(PercentFormat(heap, format.text(), values).run());
}

inline FormatSpec parse_spec(std::string_view text) {
  FormatSpec spec;
  Index at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  Index behind = 0;
  if (!text.empty()) next_character(text, behind);
  if (behind < text.size() && is_align(text[behind])) {
    spec.fill = text.substr(0, behind);
    spec.align = text[behind];
    at = behind + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    at = 1;
  }
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  if (peek() == '+' || peek() == '-' || peek() == ' ') spec.sign = text[at++];
  if (peek() == '#') {
    spec.alternate = true;
    ++at;
  }
  if (peek() == '0' && spec.align == 0) {
    spec.fill = "0";
    spec.align = '0';  // "=" for numbers, none for text
    ++at;
  }
  spec.width = read_count(text, at).value_or(0);
  if (peek() == ',' || peek() == '_') spec.group = text[at++];
  if (peek() == '.') {
    ++at;
    const auto precision = read_count(text, at);
    if (!precision) fail("the format needs digits behind '.'");
    spec.precision = static_cast<int>(*precision);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) fail("the format '", text.substr(0, 60), "' is not valid");
  return spec;
}

/// Python's format(value, spec).
inline std::string format_value(Heap& heap, const Value& value, std::string_view text) {
  if (text.empty()) return text_of(heap, value);
  FormatSpec spec = parse_spec(text);
  if (value.is_string()) {
    if ((spec.type != 0 && spec.type != 's') || spec.sign != '-' || spec.align == '=' || spec.group != 0) {
      fail("the format '", text.substr(0, 60), "' is not one for text");
    }
    if (spec.align == '0') spec.align = 0;
    const auto& string = value.as<String>();
    const Index limit = spec.precision ? static_cast<Index>(*spec.precision) : string.characters;
    return padded(heap, spec, part_of(heap, string, 0, std::min(limit, string.characters)), '<');
  }
  if (!value.is_numeric())
    fail("a value of the type ", type_name(value), " has no format '", text.substr(0, 60), "'");
  if (spec.align == '0') spec.align = '=';
  static constexpr std::string_view whole = "bcdoxXn";
  static constexpr std::string_view real = "eEfFgG%";
  const bool as_whole = value.is_integer() && (spec.type == 0 || whole.find(spec.type) != whole.npos);
  if (as_whole && !spec.precision && spec.type != 'c') {
    const Index size = spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b' ? 4 : 3;
    const std::string digits =
        grouped(integer_digits(value.integer(), spec.type, spec.alternate), spec.group, size);
    return padded(heap, spec, signed_text(value.integer() < 0, spec.sign, digits), '>');
  }
  if (as_whole || (spec.type != 0 && real.find(spec.type) == real.npos)) {
    fail("the format '", text.substr(0, 60), "' is not one for a ", type_name(value));
  }
  const double number = value.number();
  std::string digits;
  if (spec.type != 0) {
    digits = number_digits(number, spec.type, spec.precision, spec.alternate);
  } else if (spec.precision) {
    digits = number_digits(number, 'g', spec.precision, false);
    if (digits.find_first_not_of("0123456789") == digits.npos) digits += ".0";
  } else {
    digits = float_text(std::abs(number));
  }
  return padded(heap, spec, signed_text(std::signbit(number), spec.sign, grouped(digits, spec.group, 3)),
                '>');
}

/// Python's str.format.
class BraceFormat {
 public:
  BraceFormat(Heap& heap, const Arguments& arguments) : heap_(heap), arguments_(arguments) {}

  std::string run(std::string_view format, int depth = 2) {
    if (depth < 0) fail("the format is nested too deep");
    std::string out;
    for (Index at = 0; at < format.size();) {
      const char c = format[at++];
      if ((c == '{' || c == '}') && at < format.size() && format[at] == c) {
        out += c;
        ++at;
      } else if (c == '}') {
        fail("the format has a single '}'");
      } else if (c != '{') {
        out += c;
      } else {
        out += field(format, at, depth);
      }
      if (out.size() > heap_.max_text())
        fail("the template makes a text of more than ", heap_.max_text(), " bytes");
    }
    return out;
  }

 private:
  std::string field(std::string_view format, Index& at, int depth) {
    const Index begin = at;
    Index open = 1;
    bool in_item = false;
    for (; at < format.size() && open > 0; ++at) {
      if (format[at] == '[') in_item = true;
      if (format[at] == ']') in_item = false;
      if (format[at] == '{' && !in_item) ++open;
      if (format[at] == '}' && !in_item) --open;
    }
    if (open > 0) fail("the format has a '{' that does not close");
    const std::string_view all = format.substr(begin, at - 1 - begin);
    Index end = 0;
    in_item = false;
    while (end < all.size() && (in_item || (all[end] != '!' && all[end] != ':'))) {
      if (all[end] == '[') in_item = true;
      if (all[end] == ']') in_item = false;
      ++end;
    }
    Value value = look_up(all.substr(0, end));
    std::string_view rest = all.substr(end);
    if (rest.starts_with('!')) {
      const char how = rest.size() > 1 ? rest[1] : '\0';
      if (how != 'r' && how != 's' && how != 'a')
        fail("the format has no conversion '", rest.substr(0, 2), "'");
      std::string text;
      if (how == 's') {
        text = text_of(heap_, value);
      } else {
        append_repr(heap_, text, value);
      }
      value = heap_.text(std::move(text));
      rest.remove_prefix(2);
    }
    if (!rest.empty() && rest[0] != ':') fail("the format needs a ':' behind its conversion");
    return format_value(heap_, value, rest.empty() ? std::string() : run(rest.substr(1), depth - 1));
  }

  Value look_up(std::string_view path) {
    Index end = path.find_first_of(".[");
    const std::string_view first = path.substr(0, end);
    Value value = argument(first);
    while (end < path.size()) {
      if (path[end] == '.') {
        const Index next = std::min(path.find_first_of(".[", end + 1), path.size());
        if (next == end + 1) fail("the format has an empty attribute");
        value = attribute_of(heap_, value, std::string(path.substr(end + 1, next - end - 1)));
        end = next;
      } else {
        const Index close = path.find(']', end);
        if (close == path.npos || close == end + 1) fail("the format has an item that does not close");
        const std::string_view key = path.substr(end + 1, close - end - 1);
        Index at = 0;
        const auto number = read_count(key, at);
        value = item_of(heap_, value,
                        number && at == key.size() ? Value::count(*number) : heap_.text(std::string(key)));
        end = close + 1;
        if (end < path.size() && path[end] != '.' && path[end] != '[') fail("the format has text behind ']'");
      }
    }
    return value;
  }

  Value argument(std::string_view name) {
    Index at = 0;
    std::optional<Index> place = read_count(name, at);
    if (name.empty()) {
      if (numbered_) fail("the format mixes numbered and unnumbered places");
      counted_ = true;
      place = next_++;
    } else if (place && at == name.size()) {
      if (counted_) fail("the format mixes numbered and unnumbered places");
      numbered_ = true;
    } else {
      for (const auto& [key, value] : arguments_.named) {
        if (key == name) return value;
      }
      fail("the format names '", name.substr(0, 60), "', which is not there");
    }
    if (*place >= arguments_.positional.size()) fail("there are too few values for the format");
    return arguments_.positional[*place];
  }

  Heap& heap_;
  const Arguments& arguments_;
  Index next_ = 0;
  bool counted_ = false;
  bool numbered_ = false;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
