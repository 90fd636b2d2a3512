// What a tokenizer is: the concept and its contract.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A tokenizer turns text into token ids.
///
/// Requires of `t`, a constant object that several threads may use at once:
/// - `t.encode(text, out)` appends the ids of `text` to `out` and leaves what was there alone. It takes any
///   bytes, UTF-8 or not, and adds no special token. The same text always gives the same ids.
/// - `t.eos()` is the id that ends a sequence. It may or may not be what some text encodes to.
/// - `t.vocabulary_size()` is above every id that encode() gives, and above eos().
/// - `t.name()` is saved with a model: two tokenizers of one name encode alike. From the names of those that
///   need no files make_tokenizer() builds them.
///
/// It may have besides: `t.before()` and `t.after()`, the special tokens that a plain text gets around it
/// (none where they are missing); `t.bos()`, an optional token that begins every sequence and stands there
/// once; `t.decode(tokens)`, text; `t.settled(text)`, at how many bytes `text` can be cut so that, whatever
/// follows it, the two parts give the tokens of the whole: with place p, encode(text + more) is
/// encode(text.substr(0, p)) followed by encode(text.substr(p) + more) for every `more` (0 where missing);
/// `t.prompt_ends_word`, true where a prompt and what follows it are to be encoded apart (false where missing).
///
/// Nothing is required of concatenation: encode(a + b) may differ from encode(a) followed by encode(b) around
/// the border, as it does where words or merges cross it.
template <class T>
concept tokenizer = requires(const T& t, std::string_view text, std::vector<Token>& out) {
  { t.encode(text, out) } -> std::same_as<void>;
  { t.eos() } -> std::same_as<Token>;
  { t.vocabulary_size() } -> std::same_as<Index>;
  { t.name() } -> std::convertible_to<std::string>;
};

/// The special tokens that `t` puts before a plain text.
template <tokenizer T>
std::vector<Token> tokens_before(const T& t) {
  if constexpr (requires { t.before(); }) {
    return t.before();
  } else {
    return {};
  }
}
/// The special tokens that `t` puts after a plain text.
template <tokenizer T>
std::vector<Token> tokens_after(const T& t) {
  if constexpr (requires { t.after(); }) {
    return t.after();
  } else {
    return {};
  }
}
/// The special tokens that `t` puts between two texts; none where it does not tell them apart.
template <tokenizer T>
std::vector<Token> tokens_between(const T& t) {
  if constexpr (requires { t.between(); }) {
    return t.between();
  } else {
    return {};
  }
}
/// The token that begins every sequence, if there is one.
template <tokenizer T>
std::optional<Token> bos_of(const T& t) {
  if constexpr (requires { t.bos(); }) {
    return t.bos();
  } else {
    return std::nullopt;
  }
}

/// How many of the leading bytes of `text` can be encoded apart from the rest and from all that may follow.
template <tokenizer T>
Index settled_bytes(const T& t, std::string_view text) {
  if constexpr (requires { t.settled(text); }) {
    return t.settled(text);
  } else {
    return 0;
  }
}

/// Whether a prompt and what follows it are encoded apart.
template <tokenizer T>
bool prompt_ends_word(const T& t) {
  if constexpr (requires { t.prompt_ends_word(); }) {
    return t.prompt_ends_word();
  } else if constexpr (requires { T::prompt_ends_word; }) {
    return T::prompt_ends_word;
  } else {
    return false;
  }
}

/// The least a tokenizer can be: every text is no tokens. For tests that templates ask for no more than the
/// concept.
struct TokenizerArchetype {
  void encode(std::string_view, std::vector<Token>&) const {}
  Token eos() const { return 0; }
  Index vocabulary_size() const { return 1; }
  std::string name() const { return "archetype"; }
};
static_assert(tokenizer<TokenizerArchetype>);

}  // namespace MERIT_ABI
}  // namespace merit
