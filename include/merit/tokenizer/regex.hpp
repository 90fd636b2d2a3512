// Regular expressions over PCRE2, read as Oniguruma reads them, with limits: a hostile one ends in an error.
#pragma once

// Functions are called by their full names: no generic ones are wanted, and no macro of ours is left behind.
#ifdef PCRE2_CODE_UNIT_WIDTH
#include <pcre2.h>
#else
#define PCRE2_CODE_UNIT_WIDTH 0
#include <pcre2.h>
#undef PCRE2_CODE_UNIT_WIDTH
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/unicode/unicode.hpp"
#include "merit/unicode/unicode_versions.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The members of a category that PCRE2 does not know, as a regular expression writes them.
inline std::string_view newer_members_of(std::string_view name) {
  for (const NewerMembers& newer : newer_members) {
    if (newer.category == name) return newer.members;
  }
  return {};
}

/// A pattern of Oniguruma, which published tokenizers are written for, in the dialect of PCRE2. The two
/// differ in what \s, \w, \h and \u mean and in how new their Unicode is.
inline std::string pcre_pattern(std::string_view pattern) {
  std::string word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
  for (const std::string_view name : {"L", "M"}) word += newer_members_of(name);
  // Of the newer numbers, digits alone.
  std::string digits(newer_members_of("N"));
  const std::string_view kaktovik = R"(\x{1D2C0}-\x{1D2D3})";
  if (const Index at = digits.find(kaktovik); at != digits.npos) digits.erase(at, kaktovik.size());
  word += digits;
  std::string result;
  bool in_class = false;
  const auto set = [&](const std::string& members) { result += in_class ? members : "[" + members + "]"; };
  for (Index at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '[' && !in_class) {
      in_class = true;
      result += c;
      // A bracket that directly follows the opening one is a member.
      if (pattern.substr(at + 1).starts_with('^')) result += pattern[++at];
      if (pattern.substr(at + 1).starts_with(']')) {
        result += "\\]";
        ++at;
      }
      continue;
    }
    if (c == ']') in_class = false;
    if (c != '\\' || at + 1 == pattern.size()) {
      result += c;
      continue;
    }
    const char escaped = pattern[++at];
    const std::string_view rest = pattern.substr(at + 1);
    if (escaped == 's') {
      result += "\\p{White_Space}";
    } else if (escaped == 'S') {
      result += "\\P{White_Space}";
    } else if (escaped == 'w') {
      set(word);
    } else if (escaped == 'W' && !in_class) {
      result += "[^" + word + "]";
    } else if (escaped == 'h') {
      set("0-9A-Fa-f");
    } else if (escaped == 'u') {
      (result += "\\x{").append(rest.substr(0, 4)) += "}";
      at += std::min<Index>(4, rest.size());
    } else if ((escaped == 'p' || (escaped == 'P' && !in_class)) && rest.starts_with('{')) {
      const std::string_view name =
          rest.substr(1, rest.find('}') == rest.npos ? rest.npos : rest.find('}') - 1);
      const std::string members = concat("\\p{", name, "}", newer_members_of(name));
      at += std::min(name.size() + 2, rest.size());
      if (escaped == 'p') {
        set(members);
      } else {
        result += "[^" + members + "]";
      }
    } else {
      result += '\\';
      result += escaped;
    }
  }
  return result;
}

/// A compiled regular expression; several threads may use it at once.
class Regex {
 public:
  /// `literal`: the pattern is text to be found as it stands. `where` names it in errors. Throws DataError.
  Regex(std::string_view pattern, bool literal, const std::string& where) : where_(where) {
    const std::string translated = literal ? std::string(pattern) : pcre_pattern(pattern);
    // As Oniguruma has it, ^ and $ hold at every line. A pattern may not step into the middle of a character.
    const std::uint32_t options =
        PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
    const std::unique_ptr<pcre2_compile_context_8, Free> context(pcre2_compile_context_create_8(nullptr));
    if (context != nullptr) {
      pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
      pcre2_set_max_pattern_length_8(context.get(), longest_pattern);
    }
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ = std::shared_ptr<pcre2_code_8>(
        pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(), options, &error,
                        &offset, context.get()),
        Free{});
    if (code_ == nullptr) {
      throw DataError(concat(where_, ": the regular expression ", quote(pattern), " cannot be read at byte ",
                             offset, ": ", message_of(error)));
    }
    pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE);  // where it fails, the interpreter does the work
  }

  /// Calls `found(begin, end, is_match)` for all parts of `text`, matches and what lies between them. `text`
  /// is valid UTF-8. Throws DataError where a limit on steps, depth or memory is reached.
  template <class Found>
  void parts(std::string_view text, const Found& found) const {
    if (text.empty()) return;
    Matcher matcher(*this);
    Index last = 0;
    for (Index from = 0; from <= text.size();) {
      Index begin = 0;
      Index end = 0;
      if (!matcher.search(text, from, begin, end)) break;
      if (begin == end && matcher.last_end == static_cast<std::ptrdiff_t>(end)) {
        from += from < text.size() ? utf8_length(text[from]) : 1;  // no empty match right behind a match
        continue;
      }
      from = end;
      matcher.last_end = static_cast<std::ptrdiff_t>(end);
      if (last < begin) found(last, begin, false);
      found(begin, end, true);
      last = end;
    }
    if (last < text.size()) found(last, text.size(), false);
  }

 private:
  static constexpr Index longest_pattern = 1 << 16;
  static constexpr std::uint32_t step_limit = 10'000'000;
  static constexpr std::uint32_t depth_limit = 100'000;
  static constexpr std::uint32_t heap_limit = 1 << 16;  // KiB

  struct Free {
    void operator()(pcre2_code_8* p) const { pcre2_code_free_8(p); }
    void operator()(pcre2_compile_context_8* p) const { pcre2_compile_context_free_8(p); }
    void operator()(pcre2_match_context_8* p) const { pcre2_match_context_free_8(p); }
    void operator()(pcre2_match_data_8* p) const { pcre2_match_data_free_8(p); }
  };

  static std::string message_of(int error) {
    std::array<PCRE2_UCHAR8, 256> text{};
    pcre2_get_error_message_8(error, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
  }

  /// What one thread needs to match.
  struct Matcher {
    explicit Matcher(const Regex& owner)
        : regex(owner),
          context(pcre2_match_context_create_8(nullptr)),
          data(pcre2_match_data_create_8(1, nullptr)) {
      if (context == nullptr || data == nullptr) throw std::bad_alloc();
      pcre2_set_match_limit_8(context.get(), step_limit);
      pcre2_set_depth_limit_8(context.get(), depth_limit);
      pcre2_set_heap_limit_8(context.get(), heap_limit);
    }

    bool search(std::string_view text, Index from, Index& begin, Index& end) const {
      const auto match = [&](std::uint32_t options) {
        return pcre2_match_8(regex.code_.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(), from,
                             options, data.get(), context.get());
      };
      int result = match(PCRE2_NO_UTF_CHECK);
      // Compiled code has but a small stack; the interpreter has the heap.
      if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
      if (result == PCRE2_ERROR_NOMATCH) return false;
      if (result < 0) {
        throw DataError(concat(regex.where_, ": the regular expression cannot be matched with a text of ",
                               text.size(), " bytes: ", message_of(result)));
      }
      const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer_8(data.get());
      begin = bounds[0];
      end = std::max(bounds[0], bounds[1]);  // \K in a look-ahead can put the end before the beginning
      return true;
    }

    const Regex& regex;
    std::unique_ptr<pcre2_match_context_8, Free> context;
    std::unique_ptr<pcre2_match_data_8, Free> data;
    std::ptrdiff_t last_end = -1;
  };

  std::string where_;
  std::shared_ptr<pcre2_code_8> code_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
