// Which token of a sequence a head reads: part of what a score means, and kept in a model's card.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Where a score is read. Attention is causal, so tokens behind the one that is read change nothing: a rule
/// for whole completions trims the end of a sequence, or adds to it, and its last token is read. A rule for
/// steps finds the end of each.
struct ReadingRule {
  enum class Kind : std::uint8_t {
    last,              // the last token; of steps the last token of each one's separator
    last_not_pad,      // the last that is not the pad: transformers' …ForSequenceClassification
    before_first_pad,  // the one before the first pad, wherever that stands; the last where there is none
    appended,          // a token that is put at the end where it does not stand there already
    tag,               // each occurrence of a tag in the completion, at its last token
    before_tag,        // one token before that
  };

  Kind kind = Kind::last;
  std::vector<Token> tokens = {};  // the pad, the appended token, or the tag; one but for tags
  /// How the assistant's last turn begins, where a head reads its gate there, at the first of these tokens;
  /// empty: it has none.
  std::vector<Token> gate = {};

  friend bool operator==(const ReadingRule&, const ReadingRule&) = default;
};

template <>
inline constexpr std::array<std::string_view, 6> enum_names<ReadingRule::Kind>{
    "last", "last_not_pad", "before_first_pad", "appended", "tag", "before_tag"};

namespace detail {

/// "5" or "5,6,7"
inline std::string token_list(std::span<const Token> tokens) {
  std::string text;
  for (const Token token : tokens) text += (text.empty() ? "" : ",") + std::to_string(token);
  return text;
}

/// The tokens of "5,6,7", or nothing for what is not a list of them.
inline std::optional<std::vector<Token>> tokens_of_list(std::string_view text) {
  std::vector<Token> tokens;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    Token token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc{}) return std::nullopt;
    tokens.push_back(token);
    at = next;
    if (at == end) return tokens;
    if (*at != ',') return std::nullopt;
    ++at;
  }
  return std::nullopt;  // empty, or it ends in a comma
}

}  // namespace detail

/// "last", "last_not_pad:ID", "before_first_pad:ID", "appended:ID", "tag:ID,…" or "before_tag:ID,…", and with
/// a gate ";gate:ID,…" behind it.
inline std::string name_of(const ReadingRule& rule) {
  std::string text(name_of(rule.kind));
  if (!rule.tokens.empty()) text += ":" + detail::token_list(rule.tokens);
  if (!rule.gate.empty()) text += ";gate:" + detail::token_list(rule.gate);
  return text;
}

/// The rule of that name. Throws ConfigError that lists the known ones.
inline ReadingRule reading_rule_from_name(std::string_view name) {
  const auto fail = [&] {
    return ConfigError(concat("found reading rule \"", name,
                              "\", expected one of: last, last_not_pad:ID, before_first_pad:ID, "
                              "appended:ID, tag:ID,…, before_tag:ID,…, and ;gate:ID,… behind it"));
  };
  ReadingRule rule;
  std::string_view rest = name;
  if (const auto at = rest.find(";gate:"); at != rest.npos) {
    const auto gate = detail::tokens_of_list(rest.substr(at + 6));
    if (!gate) throw fail();
    rule.gate = *gate;
    rest = rest.substr(0, at);
  }
  const auto colon = rest.find(':');
  if (colon != rest.npos) {
    const auto tokens = detail::tokens_of_list(rest.substr(colon + 1));
    if (!tokens) throw fail();
    rule.tokens = *tokens;
  }
  const auto kind = value_named<ReadingRule::Kind>(rest.substr(0, colon));
  rule.kind = kind.value_or(ReadingRule::Kind::last);
  using Kind = ReadingRule::Kind;
  const bool is_tag = rule.kind == Kind::tag || rule.kind == Kind::before_tag;
  const Index least = rule.kind == Kind::last ? 0 : 1;
  const bool too_many = !is_tag && rule.tokens.size() > least;
  if (!kind || rule.tokens.size() < least || too_many) throw fail();
  return rule;
}

/// One sentence for a program to print where a rule reads something else than the last token although nothing
/// was padded: the pad is also what ends an answer. `eos`: what ends a sequence. Nothing to say: nothing.
inline std::optional<std::string> note_about(const ReadingRule& rule, std::span<const Token> eos) {
  using Kind = ReadingRule::Kind;
  if (rule.kind != Kind::last_not_pad && rule.kind != Kind::before_first_pad) return std::nullopt;
  const Token pad = rule.tokens.at(0);
  for (const Token token : eos) {
    if (token != pad) continue;
    return concat("token ", pad,
                  " is both the pad and the end of sequence: as in transformers the score is read at ",
                  rule.kind == Kind::last_not_pad ? "the last token that is not it"
                                                  : "the token before the first of it",
                  ", so an answer's own end is not read; the reading rule \"last\" reads it");
  }
  return std::nullopt;
}

}  // namespace MERIT_ABI
}  // namespace merit
