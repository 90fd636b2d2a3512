// Jinja's filters of texts and numbers.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/jinja/access.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/format.hpp"
#include "merit/templates/json_reader.hpp"
#include "merit/templates/letter_case.hpp"
#include "merit/templates/string_methods.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// json.dumps with the arguments that transformers' `tojson` takes.
inline Value to_json(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonWriter::Options options;
  options.ascii = given.truth(0, false);
  options.sorted = given.truth(3, false);
  if (given.given(1)) {
    options.lines = true;
    options.between_items = ",";
    if (given[1].is_string()) {
      options.indent = given[1].text();
    } else {
      const std::int64_t width = std::max<std::int64_t>(0, given.integer(1, 0));
      heap.charge_text(static_cast<Index>(width));
      options.indent = std::string(static_cast<Index>(width), ' ');
    }
  }
  if (given.given(2)) {
    const std::vector<Value> pair = all_of(heap, given[2]);
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
      fail("'separators' needs two strings");
    options.between_items = pair[0].text();
    options.behind_key = pair[1].text();
  }
  return heap.text(JsonWriter(heap, options).write(value));
}

/// Python's int(text, base); nothing where that is a ValueError.
inline std::optional<std::int64_t> parse_integer(std::string_view text, std::int64_t base) {
  text = stripped(text, nullptr, true, true);
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const std::int64_t marked = text.size() < 2 || text[0] != '0' ? 0
                              : (text[1] | 0x20) == 'x'         ? 16
                              : (text[1] | 0x20) == 'o'         ? 8
                              : (text[1] | 0x20) == 'b'         ? 2
                                                                : 0;
  if (marked != 0 && (base == marked || base == 0)) {
    base = marked;
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
  } else if (base == 0) {
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != text.npos) return std::nullopt;
  }
  if (base < 2 || base > 36) return std::nullopt;
  std::string digits(negative ? "-" : "");
  for (Index i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && text[i - 1] != '_' && i + 1 < text.size()) continue;
    digits += text[i];
  }
  std::int64_t value = 0;
  const auto result =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, static_cast<int>(base));
  if (text.empty() || text[0] == '-' || result.ec == std::errc::invalid_argument) return std::nullopt;
  if (result.ptr != digits.data() + digits.size()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) refuse_overflow();
  return value;
}

/// Python's float(text).
inline std::optional<double> parse_number(std::string_view text) {
  text = stripped(text, nullptr, true, true);
  std::string digits;
  for (Index i = 0; i < text.size(); ++i) {
    const auto is_digit = [&](Index at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
    if (text[i] == '_' && i > 0 && is_digit(i - 1) && is_digit(i + 1)) continue;
    if (text[i] == '+' && i == 0 && text.size() > 1 && text[1] != '-') continue;
    digits += static_cast<char>(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
  }
  const std::string_view unsigned_digits = std::string_view(digits).substr(digits.starts_with('-') ? 1 : 0);
  const bool named = unsigned_digits == "inf" || unsigned_digits == "infinity" || unsigned_digits == "nan";
  if (!named && unsigned_digits.find_first_not_of("0123456789.e+-") != unsigned_digits.npos)
    return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || result.ec == std::errc::invalid_argument) return std::nullopt;
  if (result.ptr != digits.data() + digits.size()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) {
    const auto power = digits.find('e');
    const bool tiny = power != digits.npos ? digits[power + 1] == '-' : digits.starts_with("0.");
    value = tiny ? 0.0 : std::numeric_limits<double>::infinity();
    if (digits.starts_with('-')) value = -value;
  }
  return value;
}

inline std::int64_t truncated(double value) {
  if (!(std::abs(value) < 9.2e18)) refuse_overflow();
  return static_cast<std::int64_t>(value);
}

inline Value to_integer(const Value& value, const Arguments& arguments) {
  const Bound given("int", arguments, {"default", "base"});
  const Value otherwise = given.has(0) ? given[0] : Value::integer(0);
  require_defined(value);
  if (value.is_integer()) return Value::integer(value.integer());
  if (value.is(Kind::number))
    return std::isnan(value.number()) ? otherwise : Value::integer(truncated(value.number()));
  if (!value.is_string()) return otherwise;
  if (const auto whole = parse_integer(value.text(), given.integer(1, 10))) return Value::integer(*whole);
  const auto number = parse_number(value.text());
  return number && std::isfinite(*number) ? Value::integer(truncated(*number)) : otherwise;
}

inline Value to_number(const Value& value, const Arguments& arguments) {
  const Bound given("float", arguments, {"default"});
  require_defined(value);
  if (value.is_numeric()) return Value::number(value.number());
  const auto number = value.is_string() ? parse_number(value.text()) : std::nullopt;
  return number ? Value::number(*number) : given.has(0) ? given[0] : Value::number(0);
}

inline Value rounded(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("round", arguments, {"precision", "method"});
  const std::int64_t precision = given.integer(0, 0);
  const std::string method = given.has(1) ? text_of(heap, given[1]) : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    fail("'round' has the methods common, ceil and floor");
  require_defined(value);
  if (!value.is_numeric()) fail("a value of the type ", type_name(value), " cannot be rounded");
  if (precision < -300 || precision > 300) return value;
  const double number = value.number();
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method != "common") {
    const double scaled = number * scale;
    if (!std::isfinite(scaled)) fail("the number cannot be rounded");
    return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
  }
  if (value.is_integer()) {
    if (precision >= 0) return Value::integer(value.integer());
    if (precision < -18) return Value::integer(0);
    const std::int64_t unit = static_cast<std::int64_t>(std::llround(1 / scale));
    const std::int64_t rest = integer_arithmetic(Operator::modulo, value.integer(), unit).integer();
    const std::int64_t down = value.integer() - rest;
    const bool odd = (down / unit) % 2 != 0;
    const bool up = rest > unit - rest || (rest == unit - rest && odd);
    return up ? integer_arithmetic(Operator::add, down, unit) : Value::integer(down);
  }
  if (!std::isfinite(number)) return value;
  if (precision < 0) return Value::number(std::nearbyint(number * scale) / scale);
  char text[720];
  std::snprintf(text, sizeof text, "%.*f", static_cast<int>(precision), number);
  return Value::number(std::strtod(text, nullptr));
}

inline Value absolute(const Value& value) {
  require_defined(value);
  if (value.is(Kind::number)) return Value::number(std::abs(value.number()));
  if (!value.is_integer()) fail("a value of the type ", type_name(value), " has no absolute value");
  return value.integer() < 0 ? integer_arithmetic(Operator::subtract, 0, value.integer())
                             : Value::integer(value.integer());
}

inline Value indented(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("indent", arguments, {"width", "first", "blank"});
  require_defined(value);
  if (!value.is_string()) fail("a value of the type ", type_name(value), " cannot be indented");
  std::string indent;
  if (given.has(0) && given[0].is_string()) {
    indent = given[0].text();
  } else {
    const std::int64_t width = std::max<std::int64_t>(0, given.integer(0, 4));
    heap.charge_text(static_cast<Index>(width));
    indent.assign(static_cast<Index>(width), ' ');
  }
  const bool blank = given.truth(2, false);
  const std::vector<std::string> lines = lines_of(heap, value.text() + "\n");
  std::string out = given.truth(1, false) ? indent : "";
  for (Index i = 0; i < lines.size(); ++i) {
    if (i != 0) out += '\n';
    if (i != 0 && (blank || !lines[i].empty())) out += indent;
    out += lines[i];
    heap.charge_text(lines[i].size() + indent.size());
    if (out.size() > heap.max_text())
      fail("the template makes a text of more than ", heap.max_text(), " bytes");
  }
  return heap.text(std::move(out), value.as<String>().markup);
}

/// Jinja's title: a word begins behind white space, a hyphen or an opening bracket.
inline std::string word_title(std::string_view text) {
  std::string out;
  bool first = true;
  Index word = 0;
  for (Index at = 0; at < text.size();) {
    const Index begin = at;
    const char32_t c = next_character(text, at);
    const bool separates = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_python_space(c);
    if (separates) {
      append_character(out, c);
      first = true;
      word = at;
    } else if (std::exchange(first, false)) {
      append_upper(out, c);
    } else {
      append_lower(out, c, text.substr(word), begin - word, at - word);
    }
  }
  return out;
}

inline Value truncated_text(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::string end = given.has(2) ? given.text(2) : "...";
  const std::int64_t length = given.integer(0, 255);
  const std::int64_t leeway = given.given(3) ? given.integer(3, 5) : 5;
  const auto end_size = static_cast<std::int64_t>(count_characters(end));
  if (length < end_size || leeway < 0) fail("the length to truncate to is shorter than its end");
  const auto size = length_of(value);
  if (size &&
      (static_cast<std::int64_t>(*size) <= length || static_cast<std::int64_t>(*size) - length <= leeway)) {
    return value;
  }
  if (!value.is_string()) fail("a value of the type ", type_name(value), " cannot be truncated");
  const auto& text = value.as<String>();
  std::string kept = part_of(heap, text, 0, static_cast<Index>(length - end_size));
  if (!given.truth(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return heap.text(kept + end);
}

inline Index count_words(std::string_view text) {
  Index words = 0;
  bool inside = false;
  for (Index at = 0; at < text.size();) {
    const bool word = is_word(next_character(text, at));
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return words;
}

/// The filters of this file; missing where `name` is none of them.
inline Value apply_text_filter(Heap& heap, const std::string& name, const Value& value,
                               const Arguments& arguments) {
  const auto none = [&] { Bound(name, arguments, {}); };
  const auto kept = [&](std::string text) {
    return heap.text(std::move(text), value.is_string() && value.as<String>().markup);
  };
  if (name == "tojson") return to_json(heap, value, arguments);
  if (name == "trim") {
    const Bound given(name, arguments, {"chars"});
    const std::string text = text_of(heap, value);
    return kept(std::string(stripped(text, given.given(0) ? &given.text(0) : nullptr, true, true)));
  }
  if (name == "string" || name == "safe") {
    none();
    const bool markup = name == "safe" || (value.is_string() && value.as<String>().markup);
    return value.is_string() && value.as<String>().markup == markup ? value
                                                                    : heap.text(text_of(heap, value), markup);
  }
  if (name == "upper") return none(), kept(upper_case(text_of(heap, value)));
  if (name == "lower") return none(), kept(lower_case(text_of(heap, value)));
  if (name == "capitalize") return none(), kept(capitalized(text_of(heap, value)));
  if (name == "title") return none(), heap.text(word_title(text_of(heap, value)));
  if (name == "replace") {
    const Bound given(name, arguments, {"old", "new", "count"}, 2);
    return heap.text(replaced(heap, text_of(heap, value), text_of(heap, given[0]), text_of(heap, given[1]),
                              given.given(2) ? given.integer(2, -1) : -1));
  }
  if (name == "indent") return indented(heap, value, arguments);
  if (name == "from_json") {
    none();
    require_defined(value);
    if (!value.is_string()) fail("'from_json' needs a string, found a value of the type ", type_name(value));
    return JsonReader(heap, value.text()).read();
  }
  if (name == "int") return to_integer(value, arguments);
  if (name == "float") return to_number(value, arguments);
  if (name == "abs") return none(), absolute(value);
  if (name == "round") return rounded(heap, value, arguments);
  if (name == "escape" || name == "e") return none(), escape(heap, value);
  if (name == "forceescape") return none(), escape(heap, heap.text(text_of(heap, value)));
  if (name == "wordcount") return none(), Value::count(count_words(text_of(heap, value)));
  if (name == "truncate") return truncated_text(heap, value, arguments);
  if (name == "center") {
    const Bound given(name, arguments, {"width"});
    const Arguments width{{given.has(0) ? given[0] : Value::integer(80)}, {}};
    return StringMethods(heap, heap.text(text_of(heap, value)), name, width).call();
  }
  if (name == "format") {
    if (!arguments.positional.empty() && !arguments.named.empty())
      fail("'format' takes values by place or by name");
    const Value format = heap.text(text_of(heap, value));
    if (arguments.named.empty()) return format_percent(heap, format, heap.tuple(arguments.positional));
    auto& dict = heap.make<Dict>();
    for (const auto& [key, item] : arguments.named) dict.set(heap, heap.text(key), item);
    return format_percent(heap, format, Value(Kind::dict, &dict));
  }
  return {};
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
