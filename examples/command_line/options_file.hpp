// A file of options: JSON whose names are those of the command line, which wins over it.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "merit/io/json.hpp"
#include "options.hpp"

namespace programs {

/// The text that the command line would hold for a value.
inline std::string option_text(const merit::Json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (const auto whole = merit::whole_number(value)) return std::to_string(*whole);  // 3.0, too
  if (value.is_number() || value.is_boolean()) return value.dump();
  throw merit::ConfigError(where + ": found " + merit::describe(value) +
                           ", expected a string, a number, true or false");
}

/// Gives each option that the command line left out its value from `file`: {"hidden-size": 64, "train":
/// ["a.jsonl"]}.
/// `_` in a name counts as `-`. Fields of objects named in `handled` are passed over, and options in `unused`, which
/// are added to `passed_over`. Throws ConfigError for a name that
/// is no option or a value that it does not take.
inline merit::Json read_options_file(CommandLine& line, const std::string& file, const std::string& handled,
                                     const std::vector<std::string>& unused,
                                     std::vector<std::string>& passed_over) {
  const merit::Json json = merit::read_json(file);
  if (!json.is_object()) {
    throw merit::ConfigError(file + ": found " + merit::describe(json) + ", expected an object of options");
  }
  std::map<std::string, std::string> fields;  // that gave an option its value
  for (const auto& [field, value] : json.items()) {
    if (field == handled && value.is_object()) continue;
    const std::string where = file + ": field \"" + field + '"';
    std::string name = field;
    std::replace(name.begin(), name.end(), '_', '-');
    const std::optional<std::string> option =
        name == "config" || name == "help" ? std::nullopt : line.find("--" + name);
    if (!option) throw merit::ConfigError(where + ": there is no option " + line.with_meant("--" + name));
    if (value.is_null()) continue;
    if (const auto [other, is_new] = fields.emplace(*option, field); !is_new) {
      throw merit::ConfigError(where + " means the same as \"" + other->second + "\": give one of them");
    }
    if (line.given(*option)) continue;
    if (std::ranges::find(unused, *option) != unused.end()) {
      passed_over.push_back(*option);
      continue;
    }
    std::vector<std::string> texts;
    if (value.is_array()) {
      for (const merit::Json& item : value) texts.push_back(option_text(item, where));
    } else {
      texts.push_back(option_text(value, where));
    }
    line.give(*option, texts, where);
  }
  return json;
}

}  // namespace programs
