// A tokenizer chosen at run time by its name.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/text/byte_tokenizer.hpp"
#include "merit/text/no_tokenizer.hpp"
#include "merit/text/tokenizer.hpp"
#include "merit/text/word_tokenizer.hpp"

namespace merit::inline MERIT_ABI {

/// One of the tokenizers merit knows, itself a tokenizer. ByteTokenizer when nothing is said.
class AnyTokenizer {
 public:
  using Variant = std::variant<ByteTokenizer, WordHashTokenizer, NoTokenizer>;

  AnyTokenizer() = default;
  AnyTokenizer(Variant chosen) : chosen_(std::move(chosen)) {}  // NOLINT: implicit on purpose

  void encode(std::string_view text, std::vector<Token>& out) const {
    std::visit([&](const auto& t) { t.encode(text, out); }, chosen_);
  }
  Token eos() const {
    return std::visit([](const auto& t) { return t.eos(); }, chosen_);
  }
  Index vocabulary_size() const {
    return std::visit([](const auto& t) { return t.vocabulary_size(); }, chosen_);
  }
  std::string name() const {
    return std::visit([](const auto& t) { return t.name(); }, chosen_);
  }

  /// The tokenizer itself, for what only one of them can do, such as decode.
  const Variant& chosen() const { return chosen_; }

 private:
  Variant chosen_;
};

static_assert(tokenizer<ByteTokenizer>);
static_assert(tokenizer<WordHashTokenizer>);
static_assert(tokenizer<NoTokenizer>);
static_assert(tokenizer<AnyTokenizer>);

namespace detail {

/// The number behind the colon of a tokenizer's name.
inline Index number_of(std::string_view name, std::string_view prefix) {
  const std::string_view digits = name.substr(prefix.size());
  Index number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    throw ConfigError(concat("tokenizer \"", name, "\": found \"", digits, "\" after \"", prefix,
                             "\", expected a number as in ", prefix, "65536"));
  }
  return number;
}

}  // namespace detail

/// The tokenizer that calls itself `name`: "bytes"; "words:N" with N buckets, such as "words:65536"; or
/// "ids:N" for records that come as token ids below N. make_tokenizer(t.name()) encodes as t does. Throws
/// ConfigError that lists the known names.
inline AnyTokenizer make_tokenizer(std::string_view name) {
  if (name == "bytes") return AnyTokenizer{ByteTokenizer{}};
  if (name.starts_with("words:")) return AnyTokenizer{WordHashTokenizer{detail::number_of(name, "words:")}};
  if (name.starts_with("ids:")) return AnyTokenizer{NoTokenizer{detail::number_of(name, "ids:")}};
  throw ConfigError(
      detail::concat("found tokenizer \"", name,
                     "\", expected one of: bytes, words:N (N buckets, such as words:65536), ids:N "
                     "(records of token ids below N)"));
}

}  // namespace merit::inline MERIT_ABI
