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
#include "merit/text/tokenizer.hpp"
#include "merit/text/word_tokenizer.hpp"

namespace merit::inline MERIT_ABI {

/// One of the tokenizers merit knows, itself a tokenizer. ByteTokenizer when nothing is said.
class AnyTokenizer {
 public:
  using Variant = std::variant<ByteTokenizer, WordHashTokenizer>;

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
static_assert(tokenizer<AnyTokenizer>);

/// The tokenizer that calls itself `name`: "bytes", or "words:N" with N buckets, such as "words:65536".
/// make_tokenizer(t.name()) encodes as t does. Throws ConfigError that lists the known names.
inline AnyTokenizer make_tokenizer(std::string_view name) {
  if (name == "bytes") return AnyTokenizer{ByteTokenizer{}};
  constexpr std::string_view words = "words:";
  if (name.starts_with(words)) {
    const std::string_view digits = name.substr(words.size());
    Index buckets = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), buckets);
    if (error != std::errc{} || end != digits.data() + digits.size()) {
      throw ConfigError(detail::concat("tokenizer \"", name, "\": found \"", digits,
                                       "\" after \"words:\", expected a number of buckets as in "
                                       "words:65536"));
    }
    return AnyTokenizer{WordHashTokenizer{buckets}};
  }
  throw ConfigError(detail::concat("found tokenizer \"", name,
                                   "\", expected one of: bytes, words:N (N buckets, such as "
                                   "words:65536)"));
}

}  // namespace merit::inline MERIT_ABI
