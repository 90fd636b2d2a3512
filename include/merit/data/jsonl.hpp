// JSON lines: one JSON object a line, read one at a time, with file and line in every error.
#pragma once

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <istream>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/data/record.hpp"
#include "merit/io/json.hpp"

namespace merit::inline MERIT_ABI {

/// Limits that keep a wrong file from taking the machine with it.
struct JsonLinesOptions {
  Index max_line_bytes = Index{64} << 20;
  Index max_depth = json_depth_limit;  // of arrays and objects in one another; the record itself is the first
};

namespace detail {

/// Throws "file:line: WHERE: found FOUND, expected EXPECTED".
[[noreturn]] inline void throw_found(const SourcePosition& at, std::string_view where, std::string_view found,
                                     std::string_view expected) {
  throw DataError(concat(at.text(), ": ", where, ": found ", found, ", expected ", expected));
}

}  // namespace detail

/// Reads a file or stream of JSON lines. Holds one line at a time. Lines of white space are skipped, though
/// counted; a byte-order mark, carriage returns before line feeds, and a last line without its line feed are
/// accepted.
///
/// Errors are DataError, "file:line: …"; after one, next() goes on with the following line.
class JsonLinesReader {
 public:
  /// Reads the file at `path`. Throws IoError if it cannot be opened.
  explicit JsonLinesReader(const std::filesystem::path& path, JsonLinesOptions options = {})
      : position_{path.string(), 0}, options_(options) {
    if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
      throw IoError(detail::concat(path.string(), ": found a directory, expected a file of JSON lines"));
    }
    file_ = std::make_unique<std::ifstream>(path, std::ios::binary);
    if (!*file_) {
      throw IoError(
          detail::concat(path.string(), ": cannot be opened: ", std::generic_category().message(errno)));
    }
    in_ = file_.get();
  }

  /// Reads `in`, such as the standard input; `name` stands for the file in errors. The stream must outlive
  /// the reader. A line is given out as soon as it is complete.
  JsonLinesReader(std::istream& in, std::string name, JsonLinesOptions options = {})
      : in_(&in), position_{std::move(name), 0}, options_(options) {}

  /// The next object, or nothing at the end.
  std::optional<Json> next() {
    while (read_line()) {
      std::string_view line = line_;
      if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
      if (line.find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
      Json object = parse_json(line, position_.text(), options_.max_depth);
      if (!object.is_object()) {
        detail::throw_found(position_, "record", detail::describe(object), "one JSON object");
      }
      return object;
    }
    return std::nullopt;
  }

  /// Where the last object, or the last error, was.
  const SourcePosition& position() const { return position_; }

 private:
  /// Fills line_ with the next line without its line feed; a carriage return is white space to JSON. False at
  /// the end of the input.
  bool read_line() {
    using Traits = std::istream::traits_type;
    line_.clear();
    std::streambuf& bytes = *in_->rdbuf();
    try {
      auto c = bytes.sbumpc();
      while (rest_of_long_line_ && c != Traits::eof()) {
        rest_of_long_line_ = c != '\n';
        c = bytes.sbumpc();
      }
      if (c == Traits::eof()) return false;
      ++position_.line;
      for (; c != Traits::eof() && c != '\n'; c = bytes.sbumpc()) {
        if (line_.size() == options_.max_line_bytes) {
          rest_of_long_line_ = true;  // not read now: it may have no end
          detail::throw_found(position_, "record",
                              detail::concat("a line of more than ", options_.max_line_bytes, " bytes"),
                              "a shorter one");
        }
        line_.push_back(Traits::to_char_type(c));
      }
    } catch (const std::ios_base::failure&) {
      throw IoError(detail::concat(position_.file, ": reading failed after line ", position_.line));
    }
    return true;
  }

  std::unique_ptr<std::ifstream> file_;  // when the reader opened it
  std::istream* in_ = nullptr;
  std::string line_;
  bool rest_of_long_line_ = false;
  SourcePosition position_;
  JsonLinesOptions options_;
};

namespace detail {

/// The fields of one record, with errors that name them. A field that is null counts as absent, as tables
/// exported with a column for every field write it.
class Fields {
 public:
  Fields(const Json& object, const SourcePosition& at) : object_(object), at_(at) {}

  const Json* find(std::string_view name) const {
    const auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  bool has(std::string_view name) const { return find(name) != nullptr; }

  [[noreturn]] void fail(std::string_view name, std::string_view found, std::string_view expected) const {
    throw_found(at_, concat("field '", name, "'"), found, expected);
  }

  /// The field, which must be there.
  const Json& need(std::string_view name, std::string_view expected) const {
    if (const Json* value = find(name)) return *value;
    if (object_.contains(name)) fail(name, "null", expected);
    fail(name, "no such field" + looks_like(), expected);
  }

  /// A finite number in [low, high], if the field is there.
  std::optional<double> number(std::string_view name, double low, double high,
                               std::string_view expected) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) fail(name, describe(*value), expected);
    const double number = value->get<double>();
    if (!(number >= low && number <= high)) fail(name, describe(*value), expected);
    return number;
  }

  /// A string or a list of messages. Only a prompt may be an empty string; no list may be empty.
  TextOrMessages text(std::string_view name, bool may_be_empty) const {
    constexpr std::string_view expected = "a string or a list of messages";
    const Json& value = need(name, expected);
    if (value.is_string()) {
      if (value.get_ref<const std::string&>().empty() && !may_be_empty) {
        fail(name, "an empty string", "at least one character");
      }
      return value.get<std::string>();
    }
    if (!value.is_array()) fail(name, describe(value), expected);
    if (value.empty()) fail(name, "an empty list of messages", "at least one message");
    std::vector<Message> messages;
    messages.reserve(value.size());
    for (const Json& item : value) {
      const std::string where = concat(name, '[', messages.size(), ']');
      if (!item.is_object()) fail(where, describe(item), "a message with role and content");
      messages.push_back({message_text(item, where, "role"), message_text(item, where, "content")});
      if (messages.back().role.empty()) fail(where + ".role", "an empty string", "the name of a role");
    }
    return messages;
  }

  /// A list of token ids.
  std::vector<Token> ids(std::string_view name, bool may_be_empty) const {
    constexpr std::string_view expected = "a list of token ids";
    const Json& value = need(name, expected);
    if (!value.is_array()) fail(name, describe(value), expected);
    if (value.empty() && !may_be_empty) fail(name, "an empty list", "at least one token id");
    std::vector<Token> ids;
    ids.reserve(value.size());
    for (const Json& item : value) {
      const bool fits = item.is_number_integer() &&  // a negative one becomes too large
                        item.get<std::uint64_t>() <= std::numeric_limits<Token>::max();
      if (!fits) {
        fail(concat(name, '[', ids.size(), ']'), describe(item), "an integer of 0 to 4294967295");
      }
      ids.push_back(item.get<Token>());
    }
    return ids;
  }

  /// A list of numbers that fit a float.
  std::vector<float> features(std::string_view name) const {
    constexpr std::string_view expected = "a list of numbers";
    const Json& value = need(name, expected);
    if (!value.is_array()) fail(name, describe(value), expected);
    if (value.empty()) fail(name, "an empty list", "at least one number");
    std::vector<float> features;
    features.reserve(value.size());
    for (const Json& item : value) {
      const bool fits =
          item.is_number() && std::abs(item.get<double>()) <= double{std::numeric_limits<float>::max()};
      if (!fits) {
        fail(concat(name, '[', features.size(), ']'), describe(item), "a number that fits 32-bit floats");
      }
      features.push_back(static_cast<float>(item.get<double>()));
    }
    return features;
  }

 private:
  std::string message_text(const Json& message, const std::string& where, std::string_view name) const {
    const auto it = message.find(name);
    if (it == message.end()) fail(concat(where, '.', name), "no such field", "a string");
    if (!it->is_string()) fail(concat(where, '.', name), describe(*it), "a string");
    return it->get<std::string>();
  }

  /// "" or " but fields of a ranking record (completions, ranks)": what the record may have been meant as.
  std::string looks_like() const {
    struct Kind {
      std::string_view name;
      std::array<std::string_view, 2> fields;
    };
    constexpr std::array<Kind, 9> kinds{{{"preference", {"chosen", "rejected"}},
                                         {"ranking", {"completions", "ranks"}},
                                         {"ratings", {"completions", "scores"}},
                                         {"steps", {"completions", "labels"}},
                                         {"outcome", {"completion", "label"}},
                                         {"rollout", {"completion", "rewards"}},
                                         {"rollout", {"completion", "reward"}},
                                         {"judge", {"response_a", "response_b"}},
                                         {"pretokenized preference", {"chosen_ids", "rejected_ids"}}}};
    for (const Kind& kind : kinds) {
      if (has(kind.fields[0]) && has(kind.fields[1])) {
        return concat(" but the fields ", kind.fields[0], " and ", kind.fields[1], " of a record of kind ",
                      kind.name);
      }
    }
    return "";
  }

  const Json& object_;
  const SourcePosition& at_;
};

/// One completion of a record: the field it is read from and where it goes.
struct Side {
  std::string name;  // "chosen"; its ids are in "chosen_ids", its features in "chosen_features"
  TextOrMessages* text;
  std::vector<Token>* ids;
  std::vector<float>* features;
};

/// Reads the prompt and the completions of a record in whichever form it has.
template <class Record>
void parse_sides(const Fields& fields, std::span<const Side> sides, Record& record) {
  // The first field that is there in each form.
  std::array<std::string, 3> first;
  const auto note = [&](RecordForm form, const std::string& name) {
    std::string& seen = first[static_cast<Index>(form)];
    if (seen.empty() && fields.has(name)) seen = name;
  };
  for (const Side& side : sides) {
    note(RecordForm::text, side.name);
    note(RecordForm::ids, side.name + "_ids");
    note(RecordForm::features, side.name + "_features");
  }
  note(RecordForm::text, "prompt");
  note(RecordForm::ids, "prompt_ids");

  record.form = RecordForm::text;
  std::string chosen_by = first[0];
  for (const RecordForm form : {RecordForm::ids, RecordForm::features}) {
    const std::string& name = first[static_cast<Index>(form)];
    if (name.empty()) continue;
    if (!chosen_by.empty()) {
      fields.fail(name, concat("it beside '", chosen_by, "'"),
                  "a record of text, of ids, or of features alone");
    }
    record.form = form;
    chosen_by = name;
  }

  switch (record.form) {
    case RecordForm::text:
      if (fields.has("prompt")) record.prompt = fields.text("prompt", true);
      for (const Side& side : sides) {
        *side.text = fields.text(side.name, false);
        const bool messages = side.text->index() == 1;
        if (messages && record.prompt && record.prompt->index() == 0) {
          fields.fail(side.name, "a list of messages under a prompt that is a string",
                      "a string, or a prompt that is a list of messages");
        }
        if (side.text->index() != sides[0].text->index()) {
          fields.fail(side.name,
                      concat(messages ? "a list of messages" : "a string", " beside '", sides[0].name,
                             messages ? "' that is a string" : "' that is a list of messages"),
                      "both of one kind");
        }
      }
      break;
    case RecordForm::ids:
      if (fields.has("prompt_ids")) record.prompt_ids = fields.ids("prompt_ids", true);
      for (const Side& side : sides) *side.ids = fields.ids(side.name + "_ids", false);
      break;
    case RecordForm::features:
      for (const Side& side : sides) {
        *side.features = fields.features(side.name + "_features");
        if (side.features->size() != sides[0].features->size()) {
          fields.fail(side.name + "_features", concat(side.features->size(), " numbers"),
                      concat(sides[0].features->size(), " as in '", sides[0].name, "_features'"));
        }
      }
      break;
  }
}

inline void parse_record(const Json& object, PreferenceRecord& record) {
  const Fields fields(object, record.source);
  const std::array<Side, 2> sides{
      {{"chosen", &record.chosen, &record.chosen_ids, &record.chosen_features},
       {"rejected", &record.rejected, &record.rejected_ids, &record.rejected_features}}};
  parse_sides(fields, sides, record);
  constexpr double max = std::numeric_limits<double>::max();
  record.margin = fields.number("margin", -max, max, "a number");
  record.weight = fields.number("weight", 0, max, "a number of 0 or more");
  record.soft_label = fields.number("soft_label", 0, 1, "a probability of 0 to 1");
}

inline void parse_record(const Json& object, CompletionRecord& record) {
  const Fields fields(object, record.source);
  const std::array<Side, 1> sides{
      {{"completion", &record.completion, &record.completion_ids, &record.completion_features}}};
  parse_sides(fields, sides, record);
}

inline Index feature_width(const PreferenceRecord& record) {
  return record.chosen_features.size();
}
inline Index feature_width(const CompletionRecord& record) {
  return record.completion_features.size();
}

}  // namespace detail

/// Reads the records of a JSON-lines file or stream one at a time; `Record` is PreferenceRecord or
/// CompletionRecord. Fields that the record does not have are ignored.
///
/// Throws DataError "file:line: field 'x': found …, expected …" for a record that is not what record.hpp
/// says, and for one with features of another width than those before it, or without features after ones
/// with.
template <class Record>
class RecordReader {
 public:
  /// Reads the file at `path`. Throws IoError if it cannot be opened.
  explicit RecordReader(const std::filesystem::path& path, JsonLinesOptions options = {})
      : lines_(path, options) {}

  /// Reads `in`, which must outlive the reader; `name` stands for the file in errors.
  RecordReader(std::istream& in, std::string name, JsonLinesOptions options = {})
      : lines_(in, std::move(name), options) {}

  /// The next record, or nothing at the end. After an error, next() goes on with the following line.
  std::optional<Record> next() {
    const std::optional<Json> object = lines_.next();
    if (!object) return std::nullopt;
    Record record;
    record.source = lines_.position();
    detail::parse_record(*object, record);
    check_width(detail::feature_width(record), record.source);
    return record;
  }

  /// Where the last record, or the last error, was.
  const SourcePosition& position() const { return lines_.position(); }

 private:
  void check_width(Index width, const SourcePosition& at) {
    if (first_line_ == 0) {
      width_ = width;
      first_line_ = at.line;
    }
    if (width == width_) return;
    const auto words = [](Index n) {
      return n == 0 ? std::string("a record without features") : detail::concat(n, " features");
    };
    detail::throw_found(at, "record", words(width),
                        detail::concat(words(width_), " as in line ", first_line_));
  }

  JsonLinesReader lines_;
  Index width_ = 0;
  Index first_line_ = 0;  // of the first record; 0 before it
};

using PreferenceReader = RecordReader<PreferenceRecord>;
using CompletionReader = RecordReader<CompletionRecord>;

}  // namespace merit::inline MERIT_ABI
