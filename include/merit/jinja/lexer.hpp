// A chat template's source as tokens, with the white space around tags taken off as transformers does.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/syntax.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

struct Token {
  enum Kind : std::uint8_t {
    data,
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    number,
    sign,
    end
  };
  Kind kind = end;
  std::uint32_t at = 0;
  std::string text;
  std::int64_t whole = 0;
  double real = 0;

  bool is_name(std::string_view word) const { return kind == name && text == word; }
  bool is_sign(std::string_view word) const { return kind == sign && text == word; }
};

/// An error of the source at a byte of it.
struct SyntaxFailure {
  Index at;
  std::string text;
};

/// `source` with \n for \r\n and \r, and without the last line end.
inline std::string normal_source(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (Index i = 0; i < source.size(); ++i) {
    const bool carriage_return = source[i] == '\r';
    if (carriage_return && i + 1 < source.size() && source[i + 1] == '\n') ++i;
    result += carriage_return ? '\n' : source[i];
  }
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

/// White space to Python: Unicode's and the four separators of ASCII.
constexpr bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

/// Where the white space at byte `at` ends.
inline Index skip_space(std::string_view text, Index at) {
  while (at < text.size()) {
    Index next = at;
    if (!is_python_space(next_character(text, next))) break;
    at = next;
  }
  return at;
}

/// `text` without the white space at its end.
inline std::string_view without_trailing_space(std::string_view text) {
  while (!text.empty()) {
    const Index begin = previous_character(text, text.size());
    Index at = begin;
    if (!is_python_space(next_character(text, at))) break;
    text = text.substr(0, begin);
  }
  return text;
}

class Lexer {
 public:
  /// `source` as normal_source gives it.
  explicit Lexer(std::string_view source) : source_(source) {}

  /// All tokens, ending with Token::end. Throws SyntaxFailure.
  std::vector<Token> run() {
    bool line_begins = true;  // what came before ended a line
    while (at_ < source_.size()) {
      const Index tag = find_tag();
      if (tag == source_.npos) {
        put_data(source_.substr(at_));
        break;
      }
      const char kind = source_[tag + 1];
      const Index begin = at_;
      at_ = tag + 2;
      const char sign =
          at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+') ? source_[at_++] : ' ';
      put_data(before_tag(source_.substr(begin, tag - begin), sign, kind == '{', line_begins), begin);
      if (kind == '#') {
        read_comment(tag);
      } else if (kind == '{') {
        put(Token::variable_begin, tag);
        read_tag(false);
      } else if (!read_raw(tag)) {
        put(Token::block_begin, tag);
        read_tag(true);
      }
      line_begins = at_ > 0 && source_[at_ - 1] == '\n';
    }
    at_ = source_.size();
    put(Token::end, at_);
    return std::move(tokens_);
  }

 private:
  Token& put(Token::Kind kind, Index at) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.at = static_cast<std::uint32_t>(at);
    return token;
  }
  void put_data(std::string_view text) { put_data(text, at_); }
  void put_data(std::string_view text, Index at) {
    if (!text.empty()) put(Token::data, at).text = text;
  }

  Index find_tag() const {
    for (Index i = source_.find('{', at_); i != source_.npos; i = source_.find('{', i + 1)) {
      if (i + 1 == source_.size()) return source_.npos;
      const char next = source_[i + 1];
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return source_.npos;
  }

  /// The text before a tag: its white space goes with "-", and up to the line's begin with no sign.
  static std::string_view before_tag(std::string_view text, char sign, bool variable, bool line_begins) {
    if (sign == '-') return without_trailing_space(text);
    if (sign == '+' || variable) return text;
    const Index line = text.rfind('\n') + 1;  // npos + 1 == 0
    if (line == 0 && !line_begins) return text;
    return skip_space(text, line) == text.size() ? text.substr(0, line) : text;
  }

  /// Behind the end of a block or comment that began with `sign`, the line end goes too.
  void behind_end(char sign) {
    if (sign == '-') {
      at_ = skip_space(source_, at_);
    } else if (sign != '+' && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
    }
  }

  void read_comment(Index begin) {
    const Index end = source_.find("#}", at_);
    if (at_ == source_.size()) return;  // as in Jinja, no error where nothing is in it
    if (end == source_.npos) throw SyntaxFailure{begin, "the comment that begins here does not end"};
    const char sign = end > at_ ? source_[end - 1] : ' ';
    at_ = end + 2;
    behind_end(sign);
  }

  bool take(Index& at, std::string_view word) const {
    if (source_.substr(at, word.size()) != word) return false;
    at += word.size();
    return true;
  }

  /// {% raw %} up to {% endraw %}; false where `at_` is not behind the begin of one.
  bool read_raw(Index begin) {
    Index at = skip_space(source_, at_);
    if (!take(at, "raw")) return false;
    at = skip_space(source_, at);
    if (take(at, "-%}")) {
      at = skip_space(source_, at);
    } else if (!take(at, "%}")) {
      return false;
    }
    const Index text_begin = at;
    for (Index tag = source_.find("{%", at); tag != source_.npos; tag = source_.find("{%", tag + 1)) {
      Index end = tag + 2;
      const char sign =
          end < source_.size() && (source_[end] == '-' || source_[end] == '+') ? source_[end++] : ' ';
      end = skip_space(source_, end);
      if (!take(end, "endraw")) continue;
      end = skip_space(source_, end);
      const char last =
          end < source_.size() && (source_[end] == '-' || source_[end] == '+') ? source_[end++] : ' ';
      if (!take(end, "%}")) continue;
      const bool line_begins = text_begin > 0 && source_[text_begin - 1] == '\n';
      put_data(before_tag(source_.substr(text_begin, tag - text_begin), sign, false, line_begins),
               text_begin);
      at_ = end;
      behind_end(last);
      return true;
    }
    at_ = text_begin;
    if (at_ == source_.size()) return true;  // as in Jinja, no error where nothing is in it
    throw SyntaxFailure{begin, "the raw block that begins here does not end"};
  }

  /// The tokens of one tag and its end.
  void read_tag(bool block) {
    std::string open;  // the brackets that must still close
    while (true) {
      if (at_ >= source_.size()) return;  // the parser finds the end of the tokens
      if (open.empty() && read_end(block)) return;
      const Index begin = at_;
      at_ = skip_space(source_, at_);
      if (at_ != begin) continue;
      const char c = source_[at_];
      if (c >= '0' && c <= '9') {
        read_number();
      } else if (c == '\'' || c == '"') {
        read_string();
      } else if (!read_name()) {
        read_sign(open);
      }
    }
  }

  bool read_end(bool block) {
    Index at = at_;
    const std::string_view closing = block ? "%}" : "}}";
    const char sign = source_[at] == '-' || (block && source_[at] == '+') ? source_[at++] : ' ';
    if (!take(at, closing)) return false;
    put(block ? Token::block_end : Token::variable_end, at_);
    at_ = at;
    if (block || sign == '-') behind_end(sign);
    return true;
  }

  bool read_name() {
    const Index begin = at_;
    while (at_ < source_.size()) {
      Index next = at_;
      if (!is_word(next_character(source_, next))) break;
      at_ = next;
    }
    if (at_ == begin) return false;
    put(Token::name, begin).text = source_.substr(begin, at_ - begin);
    return true;
  }

  void read_sign(std::string& open) {
    static constexpr std::string_view signs[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                 "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                 ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const std::string_view sign : signs) {
      if (source_.substr(at_, sign.size()) != sign) continue;
      const char c = sign[0];
      if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty()) throw SyntaxFailure{at_, join({"found '", c, "', which closes nothing"})};
        if (open.back() != c)
          throw SyntaxFailure{at_, join({"found '", c, "', expected '", open.back(), "'"})};
        open.pop_back();
      }
      put(Token::sign, at_).text = sign;
      at_ += sign.size();
      return;
    }
    const char c = source_[at_];
    if (c == '\'' || c == '"') throw SyntaxFailure{at_, "the string that begins here does not end"};
    throw SyntaxFailure{at_, "found a character that expressions do not have"};
  }

  static bool is_digit(char c, int base = 10) { return digit(c) < base; }
  static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
  }
  char byte(Index at) const { return at < source_.size() ? source_[at] : '\0'; }
  /// Behind the digits, single underscores between them, that begin at byte `at`.
  Index digits_end(Index at, int base = 10) const {
    if (!is_digit(byte(at), base)) return at;
    while (is_digit(byte(at), base) || (byte(at) == '_' && is_digit(byte(at + 1), base))) ++at;
    return at;
  }

  void read_number() {
    const Index begin = at_;
    const auto cleaned = [&](Index from) {
      std::string text;
      for (const char c : source_.substr(from, at_ - from)) {
        if (c != '_') text += c;
      }
      return text;
    };
    if (begin == 0 || source_[begin - 1] != '.') {
      Index end = digits_end(begin);
      bool real = false;
      if (byte(end) == '.' && digits_end(end + 1) != end + 1) {
        end = digits_end(end + 1);
        real = true;
      }
      if (byte(end) == 'e' || byte(end) == 'E') {
        Index power = end + 1;
        if (byte(power) == '+' || byte(power) == '-') ++power;
        if (digits_end(power) != power) {
          end = digits_end(power);
          real = true;
        }
      }
      if (real) {
        at_ = end;
        const std::string text = cleaned(begin);
        Token& token = put(Token::number, begin);
        const auto result = std::from_chars(text.data(), text.data() + text.size(), token.real);
        if (result.ec != std::errc()) throw SyntaxFailure{begin, "the number is too large or too small"};
        return;
      }
    }
    int base = 10;
    Index from = begin;
    if (byte(begin) == '0') {
      const char mark = static_cast<char>(byte(begin + 1) | 0x20);
      const int named = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
      const Index first = begin + 2 + (byte(begin + 2) == '_' ? 1 : 0);
      if (named != 0 && digits_end(first, named) != first) {
        base = named;
        from = first;
      }
    }
    at_ = digits_end(from, base);
    if (base == 10 && byte(begin) == '0') {  // 00 is a number, 01 are two
      at_ = begin + 1;
      while (byte(at_) == '0' || (byte(at_) == '_' && byte(at_ + 1) == '0')) ++at_;
    }
    const std::string text = cleaned(from);
    Token& token = put(Token::integer, begin);
    const auto result = std::from_chars(text.data(), text.data() + text.size(), token.whole, base);
    if (result.ec != std::errc()) throw SyntaxFailure{begin, "the integer does not fit 64 bits"};
  }

  void read_string() {
    const Index begin = at_;
    const char quote = source_[at_++];
    std::string text;
    while (true) {
      if (at_ >= source_.size()) throw SyntaxFailure{begin, "the string that begins here does not end"};
      const char c = source_[at_++];
      if (c == quote) break;
      if (c != '\\') {
        text += c;
        continue;
      }
      if (at_ >= source_.size()) throw SyntaxFailure{begin, "the string that begins here does not end"};
      read_escape(text);
    }
    put(Token::string, begin).text = std::move(text);
  }

  void read_escape(std::string& text) {
    const Index begin = at_ - 1;
    const char c = source_[at_];
    if (static_cast<unsigned char>(c) >= 0x80) {
      // Python's codec sees an escaped backslash and then the letters of the character's own escape.
      const char32_t code = next_character(source_, at_);
      char letters[16];
      const char mark = code < 0x100 ? 'x' : code < 0x10000 ? 'u' : 'U';
      const int width = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
      std::snprintf(letters, sizeof letters, "\\%c%0*x", mark, width, static_cast<unsigned>(code));
      text += letters;
      return;
    }
    ++at_;
    static constexpr std::string_view from = "\\'\"abfnrtv";
    static constexpr std::string_view to = "\\'\"\a\b\f\n\r\t\v";
    if (const auto which = from.find(c); which != from.npos) {
      text += to[which];
    } else if (c == '\n') {
      // a line that goes on
    } else if (c >= '0' && c <= '7') {
      char32_t code = 0;
      --at_;
      for (int i = 0; i < 3 && is_digit(byte(at_), 8); ++i)
        code = code * 8 + static_cast<char32_t>(digit(byte(at_++)));
      append_character(text, code);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const int width = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      char32_t code = 0;
      for (int i = 0; i < width; ++i) {
        if (!is_digit(byte(at_), 16))
          throw SyntaxFailure{begin, join({"an escape \\", c, " needs ", width, " digits"})};
        code = (code << 4) | static_cast<char32_t>(digit(byte(at_++)));
      }
      if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        throw SyntaxFailure{begin, "the escape names no character"};
      }
      append_character(text, code);
    } else if (c == 'N') {
      throw SyntaxFailure{begin, "escapes \\N are not supported"};
    } else {
      text += '\\';
      text += c;
    }
  }

  std::string_view source_;
  Index at_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
