// merit.json, the card of a checkpoint, and what else a checkpoint holds beside its weights.
#pragma once

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// merit.json: what a score of this model means and how its text became tokens. The first part is filled in
/// from the model when it is written.
struct ModelCard {
  std::string merit_version = MERIT_VERSION;  // that wrote it
  std::string backbone = {};                  // "llama", …
  Json head = Json::object();                 // {"name": "scalar", …settings}
  Json loss = Json::object();                 // {"name": "pairwise", …settings}

  std::string tokenizer = {};      // as its name() says; empty: not known
  std::string template_name = {};  // of conversations: "plain" or "chat"; empty: not known
  std::string template_hash = {};  // of a chat template's text
  bool strings_as_chat =
      false;  // a prompt and a completion that are strings are a user's message and its answer
  std::string truncation = {};  // policy by name; empty: not known
  Index max_tokens = 0;         // of a sequence; 0: no limit
  bool without_prompt = false;
  bool append_eos = true;
  bool raw_scores = true;                // false: squashed or standardised
  std::string kind = {};                 // of the records it was trained on: "preference", "steps", …
  std::string step_separator = {};       // what ends each step; empty: it scores no steps
  std::string step_layout = {};          // how prompt and steps are put together, by name; empty: not known
  std::vector<std::string> labels = {};  // what each score of a row stands for: {"bad", "neutral", "good"}
  std::string reading = {};              // which token is read, as name_of(ReadingRule) says; empty: the last
  std::string aggregation = {};          // how the scores of tokens or steps become one; empty: not known
  std::string calibration = {};          // "temperature" or "platt"; empty: none was fitted
  double calibration_scale = 1;          // a calibrated logit is scale · logit + offset
  double calibration_offset = 0;
  std::optional<double> reward_mean = {};  // over the training set
  std::optional<double> reward_deviation = {};

  Json other = Json::object();  // fields this version does not know, kept

  friend bool operator==(const ModelCard&, const ModelCard&) = default;
};

namespace detail {

/// The fields of a card in which two models must agree to score alike.
inline constexpr std::string_view identity_fields[] = {
    "backbone",        "head",        "loss",       "tokenizer",      "template",   "template_hash",
    "strings_as_chat", "truncation",  "max_tokens", "without_prompt", "append_eos", "raw_scores",
    "step_separator",  "step_layout", "labels",     "reading"};

inline bool is_filled(const Json& value) {
  return !(value.is_string() && value.get_ref<const std::string&>().empty()) &&
         !(value.is_array() && value.empty());
}

/// The settings of a policy that matter when training begins and to no score afterwards.
inline constexpr std::string_view start_fields = "start";

/// Appends "field is found, expected expected" for each difference, one level into objects. What mattered at
/// the start alone is no difference.
inline void list_differences(const std::string& field, const Json& found, const Json& expected,
                             std::vector<std::string>& out) {
  if (found == expected) return;
  if (!found.is_object() || !expected.is_object()) {
    out.push_back(concat(field, " is ", describe(found), ", expected ", describe(expected)));
    return;
  }
  Json both = found;
  both.update(expected);
  for (const auto& [name, value] : both.items()) {
    if (name == start_fields) continue;
    list_differences(concat(field, ".", name), found.value(name, Json()), expected.value(name, Json()), out);
  }
}

/// Differences as one text: "a; b".
inline std::string joined(const std::vector<std::string>& differences) {
  std::string text;
  for (const std::string& difference : differences) text += (text.empty() ? "" : "; ") + difference;
  return text;
}

}  // namespace detail

/// What is wrong with the numbers that scores are computed with, by field; empty: nothing. Within these bounds
/// every score that a model can give stays a finite number, and keeps its order, when it is standardised or
/// calibrated.
inline std::string number_fault(const ModelCard& card) {
  constexpr double most = 1e100;
  std::string fault;
  const auto check = [&](const char* field, double value, bool divides) {
    const bool good = divides ? value >= 1 / most && value <= most : std::abs(value) <= most;
    if (good || !fault.empty()) return;  // a NaN is not good
    fault = concat("field \"", field, "\" is ", value, ", expected a number from ",
                   divides ? "1e-100 to 1e100" : "-1e100 to 1e100");
  };
  check("calibration_scale", card.calibration_scale, true);
  check("calibration_offset", card.calibration_offset, false);
  check("reward_mean", card.reward_mean.value_or(0), false);
  check("reward_deviation", card.reward_deviation.value_or(1), true);
  return fault;
}

/// Throws ConfigError about what could not be read back: a number that number_fault() names, or a field of
/// `other` that has the name of one of the card's own.
inline Json to_json(const ModelCard& card) {
  if (const std::string fault = number_fault(card); !fault.empty())
    throw ConfigError(concat("merit.json: ", fault));
  Json json = {{"merit_version", card.merit_version},
               {"backbone", card.backbone},
               {"head", card.head},
               {"loss", card.loss},
               {"tokenizer", card.tokenizer},
               {"template", card.template_name},
               {"template_hash", card.template_hash},
               {"strings_as_chat", card.strings_as_chat},
               {"truncation", card.truncation},
               {"max_tokens", card.max_tokens},
               {"without_prompt", card.without_prompt},
               {"append_eos", card.append_eos},
               {"raw_scores", card.raw_scores},
               {"kind", card.kind},
               {"step_separator", card.step_separator},
               {"step_layout", card.step_layout},
               {"labels", card.labels},
               {"reading", card.reading},
               {"aggregation", card.aggregation},
               {"calibration", card.calibration},
               {"calibration_scale", card.calibration_scale},
               {"calibration_offset", card.calibration_offset},
               {"reward_mean", nullptr},
               {"reward_deviation", nullptr}};
  if (card.reward_mean) json["reward_mean"] = *card.reward_mean;
  if (card.reward_deviation) json["reward_deviation"] = *card.reward_deviation;
  for (const auto& [name, value] : card.other.items()) {
    if (json.contains(name)) {
      throw ConfigError(concat("merit.json: other has a field ", detail::quote(name),
                               ", expected none with the name of one of the card's own"));
    }
    json[name] = value;
  }
  return json;
}

/// Throws DataError about the first field of the wrong type, or a number that no score can be computed with.
inline ModelCard model_card_from(const Json& json, const std::string& where) {
  ModelCard card;
  card.merit_version = require<std::string>(json, "merit_version", where);
  const auto read = [&]<class T>(const char* name, T& field) {
    if (auto value = optional<T>(json, name, where)) field = *std::move(value);
  };
  read("backbone", card.backbone);
  read("head", card.head);
  read("loss", card.loss);
  read("tokenizer", card.tokenizer);
  read("template", card.template_name);
  read("template_hash", card.template_hash);
  read("strings_as_chat", card.strings_as_chat);
  read("truncation", card.truncation);
  read("max_tokens", card.max_tokens);
  read("without_prompt", card.without_prompt);
  read("append_eos", card.append_eos);
  read("raw_scores", card.raw_scores);
  read("kind", card.kind);
  read("step_separator", card.step_separator);
  read("step_layout", card.step_layout);
  read("labels", card.labels);
  read("reading", card.reading);
  read("aggregation", card.aggregation);
  read("calibration", card.calibration);
  read("calibration_scale", card.calibration_scale);
  read("calibration_offset", card.calibration_offset);
  card.reward_mean = optional<double>(json, "reward_mean", where);
  card.reward_deviation = optional<double>(json, "reward_deviation", where);
  if (const std::string fault = number_fault(card); !fault.empty())
    throw DataError(concat(where, ": ", fault));
  const Json ours = to_json(card);
  for (const auto& [name, value] : json.items()) {
    if (!ours.contains(name)) card.other[name] = value;
  }
  return card;
}

/// The card of a checkpoint, or nothing for one that has none because another program wrote it. Throws
/// IoError also where it cannot be examined, or DataError when merit.json is malformed.
inline std::optional<ModelCard> read_model_card(const std::filesystem::path& directory) {
  recover_directory(directory);
  const std::filesystem::path path = directory / "merit.json";
  if (!file_exists(path)) return std::nullopt;
  return model_card_from(read_json(path), path.string());
}

/// Where two cards differ in what a score means, one sentence each: "tokenizer is "bytes", expected …". A
/// field that is not known (empty) in one of them is not compared.
inline std::vector<std::string> differences(const ModelCard& found, const ModelCard& expected) {
  const Json a = to_json(found);
  const Json b = to_json(expected);
  std::vector<std::string> result;
  for (const std::string_view field : detail::identity_fields) {
    const std::string name(field);
    if (!detail::is_filled(a.at(name)) || !detail::is_filled(b.at(name))) continue;
    detail::list_differences(name, a.at(name), b.at(name), result);
  }
  return result;
}

/// Throws ConfigError that lists the differences, if any. `where` names the checkpoint.
inline void require_same(const ModelCard& found, const ModelCard& expected,
                         const std::filesystem::path& where) {
  const std::string text = detail::joined(differences(found, expected));
  if (!text.empty()) throw ConfigError(concat(where.string(), ": a different model: ", text));
}

/// A file that a checkpoint keeps beside its weights, such as tokenizer.json.
struct SavedFile {
  std::string name = {};  // in the checkpoint's directory
  std::string bytes = {};
};

struct SaveOptions {
  std::optional<Dtype> dtype = std::nullopt;  // of the weights in the file; nothing: as the model computes
  Index max_shard_bytes = Index{5'000'000'000};
  std::vector<SavedFile> files = {};  // what else the directory holds: tokenizer and chat template
};

}  // namespace MERIT_ABI
}  // namespace merit
