// Post-processors: the special tokens around a text, and offsets without white space.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/vocabulary.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

struct PostProcessing {
  /// White space is cut off the offsets of tokens, once for each entry; true: a space that was put before the
  /// first word stays.
  std::vector<bool> trims;
  std::vector<Token> before;
  std::vector<Token> after;
  std::vector<Token> between;  // two texts; empty: they are not told apart
};

/// A special token as BERT's and RoBERTa's processors write it: ["[SEP]", 102].
inline Token read_pair(const Component& c, std::string_view name) {
  const Json& pair = c.array(name);
  const auto id = pair.size() == 2 && pair[0].is_string() && pair[1].is_number_integer()
                      ? pair[1].get<std::int64_t>()
                      : -1;
  if (id < 0 || id >= std::int64_t{token_id_limit}) throw_field(c.where(), name, "a piece and its id", pair);
  return static_cast<Token>(id);
}

/// The part of a template for one text: [{"SpecialToken": {"id": …}}, {"Sequence": {"id": "A"}}, …].
inline void read_template(const Component& c, std::vector<Token>& before, std::vector<Token>& after) {
  const Component specials(c.field("special_tokens"), c.where() + ".special_tokens");
  const Json& parts = c.array("single");
  bool seen = false;
  for (Index i = 0; i < parts.size(); ++i) {
    const std::string where = concat(c.where(), ".single[", i, "]");
    const Component part(parts[i], where);
    if (part.has("Sequence")) {
      const auto id = Component(part.field("Sequence"), where + ".Sequence").get<std::string>("id");
      if (id != "A" || seen) {
        throw DataError(concat(where, ": found ", describe(part.json()), ", expected the sequence A once"));
      }
      seen = true;
      continue;
    }
    const auto name = Component(part.field("SpecialToken"), where + ".SpecialToken").get<std::string>("id");
    const std::string place = concat(specials.where(), ".", name);
    const auto ids = Component(specials.field(name), place).get<std::vector<Token>>("ids");
    for (const Token id : ids) {
      if (id >= token_id_limit)
        throw DataError(concat(place, ": found the id ", id, ", expected one below ", token_id_limit));
      (seen ? after : before).push_back(id);
    }
  }
  if (!seen) throw DataError(concat(c.where(), ".single: expected the sequence A once, found it not at all"));
}

/// What the part of a template for two texts has between them; nothing where there is none, or they come otherwise.
inline std::vector<Token> read_template_between(const Component& c) {
  if (!c.has("pair")) return {};
  const Component specials(c.field("special_tokens"), c.where() + ".special_tokens");
  std::vector<Token> between;
  bool first = false, second = false;
  const Json& parts = c.array("pair");
  for (Index i = 0; i < parts.size(); ++i) {
    const std::string where = concat(c.where(), ".pair[", i, "]");
    const Component part(parts[i], where);
    if (part.has("Sequence")) {
      const auto id = Component(part.field("Sequence"), where + ".Sequence").get<std::string>("id");
      (id == "A" ? first : second) = true;
      if (second) return first ? between : std::vector<Token>{};
    } else if (first) {
      const auto name = Component(part.field("SpecialToken"), where + ".SpecialToken").get<std::string>("id");
      const auto ids =
          Component(specials.field(name), concat(specials.where(), ".", name)).get<std::vector<Token>>("ids");
      between.insert(between.end(), ids.begin(), ids.end());
    }
  }
  return {};
}

inline PostProcessing read_post_processing(const Component& component) {
  PostProcessing result;
  // Each processor of a sequence wraps what those before it made.
  const auto wrap = [&](std::vector<Token> before, const std::vector<Token>& after) {
    before.insert(before.end(), result.before.begin(), result.before.end());
    result.before = std::move(before);
    result.after.insert(result.after.end(), after.begin(), after.end());
  };
  each_component(component, "processors", [&](const Component& c) {
    const std::string type = c.type();
    if (type == "ByteLevel") {
      if (c.get<bool>("trim_offsets", true)) result.trims.push_back(c.get<bool>("add_prefix_space", true));
    } else if (type == "RobertaProcessing") {
      if (c.get<bool>("trim_offsets", true)) result.trims.push_back(c.get<bool>("add_prefix_space", true));
      wrap({read_pair(c, "cls")}, {read_pair(c, "sep")});
      result.between.assign(2, read_pair(c, "sep"));
    } else if (type == "BertProcessing") {
      wrap({read_pair(c, "cls")}, {read_pair(c, "sep")});
      result.between = {read_pair(c, "sep")};
    } else if (type == "TemplateProcessing") {
      std::vector<Token> before;
      std::vector<Token> after;
      read_template(c, before, after);
      wrap(std::move(before), after);
      result.between = read_template_between(c);
    } else {
      c.refuse_type("post-processor",
                    "BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing");
    }
  });
  return result;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
