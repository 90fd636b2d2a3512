// A tokenizer chosen at run time.
#pragma once

#include <charconv>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokenizer/no_tokenizer.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Any tokenizer, itself a tokenizer; what it holds is shared by its copies. ByteTokenizer when nothing is
/// said.
class AnyTokenizer {
 public:
  AnyTokenizer() : AnyTokenizer(ByteTokenizer{}) {}
  template <tokenizer T>
  requires(!std::same_as<T, AnyTokenizer>) AnyTokenizer(T held)  // NOLINT: implicit on purpose
      : held_(std::make_shared<const Holder<T>>(std::move(held))) {}

  void encode(std::string_view text, std::vector<Token>& out) const { held_->encode(text, out); }
  Token eos() const { return held_->eos(); }
  Index vocabulary_size() const { return held_->vocabulary_size(); }
  std::string name() const { return held_->name(); }
  std::vector<Token> before() const { return held_->before(); }
  std::vector<Token> after() const { return held_->after(); }
  std::vector<Token> between() const { return held_->between(); }
  std::optional<Token> bos() const { return held_->bos(); }
  Index settled(std::string_view text) const { return held_->settled(text); }
  bool prompt_ends_word() const { return held_->prompt_ends_word(); }

  /// The text of tokens, where the tokenizer can tell.
  std::optional<std::string> decode(VectorView<const Token> tokens) const { return held_->decode(tokens); }

  /// The tokenizer itself, if it is a T.
  template <class T>
  const T* get_if() const {
    const auto* holder = dynamic_cast<const Holder<T>*>(held_.get());
    return holder != nullptr ? &holder->held : nullptr;
  }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual void encode(std::string_view text, std::vector<Token>& out) const = 0;
    virtual Token eos() const = 0;
    virtual Index vocabulary_size() const = 0;
    virtual std::string name() const = 0;
    virtual std::vector<Token> before() const = 0;
    virtual std::vector<Token> after() const = 0;
    virtual std::vector<Token> between() const = 0;
    virtual std::optional<Token> bos() const = 0;
    virtual Index settled(std::string_view text) const = 0;
    virtual bool prompt_ends_word() const = 0;
    virtual std::optional<std::string> decode(VectorView<const Token> tokens) const = 0;
  };
  template <class T>
  struct Holder final : Interface {
    explicit Holder(T given) : held(std::move(given)) {}
    void encode(std::string_view text, std::vector<Token>& out) const override { held.encode(text, out); }
    Token eos() const override { return held.eos(); }
    Index vocabulary_size() const override { return held.vocabulary_size(); }
    std::string name() const override { return held.name(); }
    std::vector<Token> before() const override { return tokens_before(held); }
    std::vector<Token> after() const override { return tokens_after(held); }
    std::vector<Token> between() const override { return tokens_between(held); }
    std::optional<Token> bos() const override { return bos_of(held); }
    Index settled(std::string_view text) const override { return settled_bytes(held, text); }
    bool prompt_ends_word() const override { return merit::prompt_ends_word(held); }
    std::optional<std::string> decode(VectorView<const Token> tokens) const override {
      if constexpr (requires { held.decode(tokens); }) {
        return held.decode(tokens);
      } else {
        return std::nullopt;
      }
    }
    T held;
  };

  std::shared_ptr<const Interface> held_;
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

/// The tokenizer without files that calls itself `name`: "bytes"; "words:N" with N buckets, such as
/// "words:65536"; or "ids:N" for records that come as token ids below N. make_tokenizer(t.name()) encodes as
/// t does. Throws ConfigError that lists the known names.
inline AnyTokenizer make_tokenizer(std::string_view name) {
  if (name == "bytes") return AnyTokenizer{ByteTokenizer{}};
  if (name.starts_with("words:")) return AnyTokenizer{WordHashTokenizer{detail::number_of(name, "words:")}};
  if (name.starts_with("ids:")) return AnyTokenizer{NoTokenizer{detail::number_of(name, "ids:")}};
  throw ConfigError(concat("found tokenizer \"", name,
                           "\", expected one of: bytes, words:N (N buckets, such as words:65536), ids:N "
                           "(records of token ids below N)"));
}

}  // namespace MERIT_ABI
}  // namespace merit
