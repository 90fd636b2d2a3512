// The bodies of table_reader.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/table_reader.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::table_reader {

/// A row may not take the machine with it.
inline constexpr Index most_bytes = Index{64} << 20;

/// Fields that are something other than text. Those that may be text or messages are looked at.
inline constexpr auto typed_fields = std::to_array<std::string_view>({"margin",
                                                                      "weight",
                                                                      "soft_label",
                                                                      "label",
                                                                      "labels",
                                                                      "reward",
                                                                      "rewards",
                                                                      "values",
                                                                      "ranks",
                                                                      "scores",
                                                                      "votes",
                                                                      "probability_of_a",
                                                                      "completions",
                                                                      "score_chosen",
                                                                      "score_rejected",
                                                                      "preference_strength",
                                                                      "overall_preference",
                                                                      "tools",
                                                                      "chat_template_kwargs",
                                                                      "better_response_id",
                                                                      "safer_response_id",
                                                                      "conversation_a",
                                                                      "conversation_b",
                                                                      "helpfulness",
                                                                      "correctness",
                                                                      "coherence",
                                                                      "complexity",
                                                                      "verbosity",
                                                                      "score_0",
                                                                      "score_1",
                                                                      "messages",
                                                                      "winner_model_a",
                                                                      "winner_model_b",
                                                                      "winner_tie"});

inline bool is_typed(std::string_view name) {
  return name.ends_with("_ids") || name.ends_with("_features") ||
         std::find(typed_fields.begin(), typed_fields.end(), name) != typed_fields.end();
}

/// The JSON that a cell spells, also as Python spells true and false; nothing where it spells none.
inline std::optional<OrderedJson> spelled(const std::string& cell) {
  if (cell == "True" || cell == "TRUE") return OrderedJson(true);
  if (cell == "False" || cell == "FALSE") return OrderedJson(false);
  try {
    return parse_ordered_json(cell, "cell");
  } catch (const DataError&) {
    return std::nullopt;
  }
}

}  // namespace detail::table_reader

MERIT_INLINE std::optional<char> table_separator(std::string_view file_name) {
  if (file_name.ends_with(".gz")) file_name.remove_suffix(3);
  if (file_name.ends_with(".csv") || file_name.ends_with(".CSV")) return ',';
  if (file_name.ends_with(".tsv") || file_name.ends_with(".TSV")) return '\t';
  return std::nullopt;
}

MERIT_INLINE void TableReader::read_header() {
  // No row means anything under a header that does not.
  const auto refuse = [&](std::string_view found, std::string_view expected) {
    throw IoError(concat(position_.text(), ": the header: found ", found, ", expected ", expected));
  };
  std::vector<std::string> names;
  try {
    names = cells();
  } catch (const DataError& error) {
    throw IoError(error.what());
  }
  if (!names.empty() && names[0].starts_with("\xEF\xBB\xBF")) names[0].erase(0, 3);
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (first_invalid_utf8(*name) != name->size()) refuse("bytes that are not UTF-8", "text in UTF-8");
    if (std::find(names.begin(), name, *name) != name && !name->empty())
      refuse(concat("the column ", detail::quote(*name), " twice"), "a name for each column");
  }
  header_ = std::move(names);
}

MERIT_INLINE std::optional<OrderedJson> TableReader::next() {
  if (header_.empty()) read_header();
  const std::vector<std::string> row = cells();
  if (row.empty()) return std::nullopt;
  if (row.size() != header_.size()) {
    detail::throw_found(position_, "row", concat(row.size(), row.size() == 1 ? " cell" : " cells"),
                        concat(header_.size(), " as in the header"));
  }
  OrderedJson object = OrderedJson::object();
  for (Index i = 0; i < row.size(); ++i) {
    if (header_[i].empty()) continue;  // a table's index has no name
    if (first_invalid_utf8(row[i]) != row[i].size()) {
      detail::throw_found(position_, concat("column ", detail::quote(header_[i])), "bytes that are not UTF-8",
                          "text in UTF-8");
    }
    object[header_[i]] = row[i];
  }
  return object;
}

MERIT_INLINE std::vector<std::string> TableReader::cells() {
  using Traits = std::streambuf::traits_type;
  std::vector<std::string> row;
  while (row.empty()) {
    if (bytes_.sgetc() == Traits::eof()) return {};
    position_.line = lines_ + 1;
    std::string cell;
    bool quoted = false;      // within quotes
    bool was_quoted = false;  // this cell had them
    Index bytes = 0;
    while (true) {
      const auto taken = bytes_.sbumpc();
      if (taken == Traits::eof()) {
        ++lines_;
        if (quoted) detail::throw_found(position_, "row", "a quote that does not end", "one that does");
        break;
      }
      const char c = Traits::to_char_type(taken);
      if (c == '\n') ++lines_;
      if (++bytes > detail::table_reader::most_bytes) {
        throw IoError(concat(position_.text(), ": row: found more than ", detail::table_reader::most_bytes,
                             " bytes, expected a shorter one: a quote may be missing"));
      }
      if (quoted) {
        if (c != '"') {
          cell += c;
        } else if (bytes_.sgetc() == '"') {
          cell += Traits::to_char_type(bytes_.sbumpc());
        } else {
          quoted = false;
        }
        continue;
      }
      if (c == '"' && cell.empty() && !was_quoted) {
        quoted = was_quoted = true;
      } else if (c == separator_) {
        row.push_back(std::exchange(cell, {}));
        was_quoted = false;
      } else if (c == '\n') {
        break;
      } else if (c != '\r' || bytes_.sgetc() != '\n') {
        cell += c;
      }
    }
    if (row.empty() && cell.empty() && !was_quoted) continue;  // an empty line
    row.push_back(std::move(cell));
  }
  return row;
}

MERIT_INLINE void type_cells(OrderedJson& row, const SourcePosition& at) {
  std::vector<std::string> absent;
  for (auto& [name, value] : row.items()) {
    if (!value.is_string()) continue;
    const std::string cell = value.template get<std::string>();
    const bool typed = detail::table_reader::is_typed(name);
    if (typed && cell.empty()) absent.push_back(name);
    const std::string where = concat("field '", name, "'");
    if (cell.starts_with("[{'") || (typed && cell.starts_with("['"))) {
      detail::throw_found(at, where, "a Python list", "JSON, as json.dumps writes it");
    }
    if (typed) {
      if (auto spelled = detail::table_reader::spelled(cell)) value = *std::move(spelled);
    } else if (cell.starts_with("[{\"role\"")) {  // never meant as text
      value = parse_ordered_json(cell, concat(at.text(), ": ", where));
    } else if (cell.starts_with("[{")) {
      // Text that is a list of objects is a conversation where they have roles.
      auto spelled = detail::table_reader::spelled(cell);
      if (spelled && spelled->at(0).contains("role")) value = *std::move(spelled);
    }
  }
  for (const std::string& name : absent) row.erase(name);
}

}  // namespace MERIT_ABI
}  // namespace merit
