// The bodies of record_source.hpp.
#pragma once

#include <cerrno>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/gzip.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/record_source.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::record_source {

/// As large as a field of a record may be.
inline constexpr double largest_weight = 1e15;
/// As many as train/sampling.hpp takes.
inline constexpr double most_epochs = 1e6;

/// A number that takes all of the text.
inline std::optional<double> number_in(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

/// A field, or one of an object in it: "label.finish_reason".
inline const OrderedJson* find_path(const OrderedJson& row, const std::string& path) {
  if (const auto whole = row.find(path); whole != row.end()) return &*whole;
  const auto dot = path.find('.');
  if (dot == path.npos) return nullptr;
  const auto part = row.find(path.substr(0, dot));
  return part == row.end() || !part->is_object() ? nullptr : find_path(*part, path.substr(dot + 1));
}

/// Whether a value is what an option spells: text as it stands, 1.0 also as 1.
inline bool is_spelled(const OrderedJson& value, const std::string& text) {
  if (value.is_string()) return value.get_ref<const std::string&>() == text;
  if (!value.is_number()) return value.dump() == text;
  return value.get<double>() == number_in(text);
}

}  // namespace detail::record_source

MERIT_INLINE NamePair name_pair(const std::string& text, const std::string& option) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0 || (equals + 1 == text.size() && option == "--rename")) {
    throw ConfigError(concat(
        option, " is ", detail::quote(text), ", expected a field, = and ",
        option == "--rename" ? "its new name, such as question=prompt" : "its value, such as source=math"));
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

MERIT_INLINE WeightedFile weighted_file(const std::string& text) {
  if (text.empty()) throw ConfigError("found an empty path, expected a file of records");
  std::error_code ignored;
  const auto colon = text.rfind(':');
  if (colon == text.npos || colon == 0 || std::filesystem::exists(text, ignored)) return {.path = text};
  WeightedFile file{.path = text.substr(0, colon)};
  bool has_weight = false, has_epochs = false;
  for (std::string_view rest = std::string_view(text).substr(colon + 1);;) {
    const auto comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const auto equals = item.find('=');
    const std::string_view name = equals == item.npos ? "" : item.substr(0, equals);
    const bool of_epochs = name == "epochs";
    const std::optional<double> number = detail::record_source::number_in(item.substr(equals + 1));
    const bool is_first = !has_weight && !has_epochs;
    const bool is_known = name.empty() ? number.has_value() : of_epochs || name == "weight";
    if (is_first && !is_known && (equals == item.npos || !std::filesystem::exists(file.path, ignored)))
      return {.path = text};  // of which it is said that it cannot be opened
    if (!number || !is_known || (of_epochs ? has_epochs : has_weight)) {
      throw ConfigError(
          concat(text, ": found ", detail::quote(item),
                 ", expected behind the colon weight=NUMBER and epochs=NUMBER, each once at most"));
    }
    if (of_epochs) {
      if (!(*number > 0) || !(*number <= detail::record_source::most_epochs)) {
        throw ConfigError(
            concat(text, ": found the epochs ", *number, ", expected a number above 0, 1e6 at most"));
      }
      file.epochs = *number;
      has_epochs = true;
    } else {
      if (!(*number >= 0) || !(*number <= detail::record_source::largest_weight)) {
        throw ConfigError(concat(text, ": found the weight ", *number, ", expected a number of 0 to 1e15"));
      }
      file.weight = *number;
      has_weight = true;
    }
    if (comma == rest.npos) return file;
    rest.remove_prefix(comma + 1);
  }
}

MERIT_INLINE void require_no_epochs(const std::string& file) {
  if (const WeightedFile own = weighted_file(file); own.epochs != 1) {
    throw ConfigError(concat(file, ": found epochs=", own.epochs,
                             " of a file that is not trained on, expected none: its records are read once"));
  }
}

MERIT_INLINE RecordSource::RecordSource(const std::string& file, RecordSourceOptions options,
                                        JsonLinesOptions lines)
    : options_(std::move(options)), renamed_(options_.rename.size()), replaced_(options_.rename.size()) {
  const WeightedFile weighted = weighted_file(file);
  if (!options_.trains) require_no_epochs(file);
  weight_ = weighted.weight;
  position_ = {weighted.path, 0};
  const std::filesystem::path path(weighted.path);
  const std::optional<char> separator = table_separator(weighted.path);
  if (!separator) {
    lines_ = std::make_unique<JsonLinesReader>(path, lines);
    return;
  }
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    throw IoError(concat(weighted.path, ": found a directory, expected a file of records"));
  }
  file_ = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*file_) {
    throw IoError(concat(weighted.path, ": cannot be opened: ", std::generic_category().message(errno)));
  }
  read_table(*file_, *separator);
}

MERIT_INLINE void RecordSource::read_table(std::istream& in, char separator) {
  std::streambuf* bytes = in.rdbuf();
  if (bytes->sgetc() == int{gzip_first_byte}) {
    unpacked_ = gunzip(*bytes, position_.file);
    bytes = unpacked_.get();
  }
  table_ = std::make_unique<TableReader>(*bytes, position_.file, separator);
}

MERIT_INLINE RecordSource::RecordSource(std::istream& in, std::string name, RecordSourceOptions options,
                                        JsonLinesOptions lines)
    : options_(std::move(options)),
      position_{std::move(name), 0},
      renamed_(options_.rename.size()),
      replaced_(options_.rename.size()) {
  if (const std::optional<char> separator = table_separator(position_.file)) {
    read_table(in, *separator);
  } else {
    lines_ = std::make_unique<JsonLinesReader>(in, position_.file, lines);
  }
}

MERIT_INLINE std::optional<OrderedJson> RecordSource::next_row() {
  try {
    auto row = lines_ ? lines_->next() : table_->next();
    position_ = lines_ ? lines_->position() : table_->position();
    rows_ += row ? 1 : 0;
    return row;
  } catch (...) {
    ++rows_;
    position_ = lines_ ? lines_->position() : table_->position();
    throw;
  }
}

MERIT_INLINE std::optional<OrderedJson> RecordSource::next() {
  while (options_.limit == 0 || given_ < options_.limit) {
    if (published_) {
      if (auto record = published_->next()) {
        position_ = record->at;
        ++given_;
        return finished(std::move(record->object));
      }
    }
    if (ended_) return std::nullopt;
    std::optional<OrderedJson> row = next_row();
    if (!row) {
      ended_ = true;
      if (published_) published_->end();
      continue;
    }
    rename(*row);
    if (table_) type_cells(*row, position_);
    if (!is_selected(*row)) {
      ++not_selected_;
      continue;
    }
    if (!layout_known_) {
      if (const auto set = detect_published_set(*row, position_)) published_.emplace(*set, options_.ratings);
      layout_known_ = true;  // not by a row that was refused
    }
    if (!published_) {
      ++given_;
      return finished(*std::move(row));
    }
    published_->add(*row, position_);
  }
  return std::nullopt;
}

MERIT_INLINE void RecordSource::rename(OrderedJson& row) {
  struct Moved {
    Index number;
    OrderedJson value;
  };
  std::vector<Moved> moved;
  for (Index i = 0; i < options_.rename.size(); ++i) {
    const auto& [from, to] = options_.rename[i];
    const auto found = row.find(from);
    if (found == row.end()) continue;
    ++renamed_[i];
    if (from != to && !found->is_null()) moved.push_back({i, *found});
  }
  // All that go, go before the first comes: two fields may change places.
  for (const Moved& one : moved) row.erase(options_.rename[one.number].first);
  for (Moved& one : moved) {
    const std::string& to = options_.rename[one.number].second;
    if (const auto old = row.find(to); old != row.end() && !old->is_null()) ++replaced_[one.number];
    row[to] = std::move(one.value);
  }
}

MERIT_INLINE bool RecordSource::is_selected(const OrderedJson& row) const {
  std::map<std::string, bool> found;
  for (const auto& [field, text] : options_.select) {
    const OrderedJson* value = detail::record_source::find_path(row, field);
    found[field] |= value != nullptr && detail::record_source::is_spelled(*value, text);
  }
  for (const auto& [field, is] : found) {
    if (!is) return false;
  }
  return true;
}

MERIT_INLINE OrderedJson RecordSource::finished(OrderedJson record) {
  if (options_.margin_of_scores) set_margin(record);
  if (weight_ != 1) set_weight(record);
  return record;
}

MERIT_INLINE void RecordSource::set_margin(OrderedJson& record) {
  const detail::Fields fields(record, position_);
  const auto number = [&](const char* name) {
    constexpr double max = std::numeric_limits<double>::max();
    return fields.number(name, -max, max, "a number");
  };
  if (number("margin")) return;
  const auto chosen = number("score_chosen"), rejected = number("score_rejected");
  const auto strength = number("preference_strength");
  if (chosen && rejected) {
    record["margin"] = *chosen - *rejected;
    record.erase("score_chosen");  // they are read
    record.erase("score_rejected");
  } else if (strength) {
    record["margin"] = std::abs(*strength);
    record.erase("preference_strength");
  } else {
    ++without_scores_;
  }
}

MERIT_INLINE void RecordSource::set_weight(OrderedJson& record) const {
  const detail::Fields fields(record, position_);
  const std::optional<double> own = fields.weight();
  if (own && *own * weight_ > detail::record_source::largest_weight) {
    fields.fail("weight", concat(*own, ", times ", weight_, ", the weight of the file"),
                "a product of at most 1e15");
  }
  record["weight"] = own.value_or(1) * weight_;
}

MERIT_INLINE std::vector<std::string> RecordSource::remarks() const {
  std::vector<std::string> said;
  for (Index i = 0; i < replaced_.size(); ++i) {
    if (replaced_[i] == 0) continue;
    const auto& [from, to] = options_.rename[i];
    said.push_back(concat("--rename ", from, '=', to, " replaced the field ", to, " in ", replaced_[i],
                          replaced_[i] == 1 ? " record" : " records"));
  }
  if (without_scores_ != 0) {
    said.push_back(
        concat("--margin scores: ", without_scores_, " of ", given_, given_ == 1 ? " record" : " records",
               without_scores_ == 1 ? " has no scores and no margin" : " have no scores and no margin"));
  }
  if (const Index unrated = published_ ? published_->unrated() : 0; unrated != 0) {
    said.push_back(concat(unrated, unrated == 1 ? " completion" : " completions",
                          " left out: without a rating that is a number"));
  }
  return said;
}

MERIT_INLINE std::vector<std::string> RecordSource::left_out_sentences() const {
  std::vector<std::string> sentences;
  for (const auto& [reason, count] : left_out())
    sentences.push_back(concat(count, count == 1 ? " row" : " rows", " left out: ", reason));
  return sentences;
}

MERIT_INLINE std::string RecordSource::no_record() const {
  std::string why;
  const auto add = [&](const std::string& reason) { why += concat(why.empty() ? ": " : "; ", reason); };
  for (const std::string& sentence : left_out_sentences()) add(sentence);
  if (not_selected_ != 0) add(concat("--select left out ", not_selected_));
  return concat(position_.file, ": there is no record", options_.select.empty() ? "" : " that is selected",
                why);
}

MERIT_INLINE void RecordSource::require_options_used() const {
  for (Index i = 0; i < renamed_.size(); ++i) {
    if (renamed_[i] == 0 && given_ + not_selected_ != 0) refuse_rename(options_.rename[i], position_.file);
  }
  if (not_selected_ != 0 && given_ == 0) throw DataError(no_record());
}

[[noreturn]] MERIT_INLINE void refuse_rename(const NamePair& rename, const std::string& files) {
  throw ConfigError(concat("--rename ", rename.first, '=', rename.second, ": no record of ", files,
                           " has the field ", detail::quote(rename.first)));
}

MERIT_INLINE const std::map<std::string, Index>& RecordSource::left_out() const {
  static const std::map<std::string, Index> none;
  return published_ ? published_->left_out() : none;
}

}  // namespace MERIT_ABI
}  // namespace merit
