// JSON text as a value of a template: the filter `from_json`, Python's json.loads.
#pragma once

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/jinja/python_text.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

class JsonReader {
 public:
  JsonReader(Heap& heap, std::string_view text) : heap_(heap), text_(text) {}

  Value read() {
    heap_.charge_text(text_.size());
    const Value value = read_value(0);
    skip();
    if (at_ != text_.size()) refuse();
    return value;
  }

 private:
  [[noreturn]] void refuse() const { fail("'from_json' found no valid JSON at byte ", at_); }
  void skip() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  Value read_value(Index depth) {
    check_value_depth(depth);
    heap_.charge(1);
    skip();
    if (take("null")) return Value::none();
    if (take("true")) return Value::boolean(true);
    if (take("false")) return Value::boolean(false);
    if (take("NaN")) return Value::number(std::numeric_limits<double>::quiet_NaN());
    if (take("Infinity")) return Value::number(std::numeric_limits<double>::infinity());
    if (take("-Infinity")) return Value::number(-std::numeric_limits<double>::infinity());
    if (take("[")) return read_list(depth);
    if (take("{")) return read_dict(depth);
    if (take("\"")) return heap_.text(read_string());
    return read_number();
  }

  Value read_list(Index depth) {
    std::vector<Value> items;
    skip();
    if (take("]")) return heap_.list({});
    do {
      items.push_back(read_value(depth + 1));
      skip();
    } while (take(","));
    if (!take("]")) refuse();
    return heap_.list(std::move(items));
  }

  Value read_dict(Index depth) {
    auto& dict = heap_.make<Dict>();
    const Value result(Kind::dict, &dict);
    skip();
    if (take("}")) return result;
    do {
      skip();
      if (!take("\"")) refuse();
      const Value key = heap_.text(read_string());
      skip();
      if (!take(":")) refuse();
      dict.set(heap_, key, read_value(depth + 1));
      skip();
    } while (take(","));
    if (!take("}")) refuse();
    return result;
  }

  char32_t read_hex() {
    char32_t code = 0;
    const char* begin = text_.data() + at_;
    unsigned value = 0;
    if (text_.size() - at_ < 4 || std::from_chars(begin, begin + 4, value, 16).ptr != begin + 4) refuse();
    at_ += 4;
    code = value;
    return code;
  }

  /// Behind the opening quote, up to behind the closing one.
  std::string read_string() {
    std::string out;
    while (true) {
      if (at_ >= text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) refuse();
      const char c = text_[at_++];
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (at_ >= text_.size()) refuse();
      static constexpr std::string_view from = "\"\\/bfnrt";
      static constexpr std::string_view to = "\"\\/\b\f\n\r\t";
      const char mark = text_[at_++];
      if (const auto which = from.find(mark); which != from.npos) {
        out += to[which];
        continue;
      }
      if (mark != 'u') refuse();
      char32_t code = read_hex();
      if (code >= 0xD800 && code < 0xDC00 && take("\\u")) {
        const char32_t low = read_hex();
        if (low < 0xDC00 || low > 0xDFFF) refuse();
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      if (code >= 0xD800 && code <= 0xDFFF) refuse();
      append_character(out, code);
    }
  }

  Value read_number() {
    const Index begin = at_;
    const auto digits = [&] {
      const Index first = at_;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
      return at_ != first;
    };
    take("-");
    if (!take("0") && !digits()) refuse();
    bool whole = true;
    const Index integer_end = at_;
    if (take(".")) {
      if (digits())
        whole = false;
      else
        at_ = integer_end;
    }
    const Index fraction_end = at_;
    if (take("e") || take("E")) {
      if (!take("+")) take("-");
      if (digits())
        whole = false;
      else
        at_ = fraction_end;
    }
    const char* first = text_.data() + begin;
    const char* last = text_.data() + at_;
    if (whole) {
      std::int64_t value = 0;
      if (std::from_chars(first, last, value).ec != std::errc()) fail("an integer does not fit 64 bits");
      return Value::integer(value);
    }
    double value = 0;
    if (std::from_chars(first, last, value).ec != std::errc()) refuse();
    return Value::number(value);
  }

  Heap& heap_;
  std::string_view text_;
  Index at_ = 0;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
