// The bodies of model_card.hpp.
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
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/model_card.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE void list_differences(const std::string& field, const Json& found, const Json& expected,
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

MERIT_INLINE std::string joined(const std::vector<std::string>& differences) {
  std::string text;
  for (const std::string& difference : differences) text += (text.empty() ? "" : "; ") + difference;
  return text;
}

}  // namespace detail

MERIT_INLINE std::string number_fault(const ModelCard& card) {
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

MERIT_INLINE Json to_json(const ModelCard& card) {
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

MERIT_INLINE ModelCard model_card_from(const Json& json, const std::string& where) {
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

MERIT_INLINE std::optional<ModelCard> read_model_card(const std::filesystem::path& directory) {
  recover_directory(directory);
  const std::filesystem::path path = directory / "merit.json";
  if (!file_exists(path)) {
    const auto gguf = find_gguf(directory);  // which may hold the card that it was made with
    const auto text = gguf ? GgufFile(*gguf).optional<std::string>("merit.file.merit.json") : std::nullopt;
    if (!text) return std::nullopt;
    const std::string where = concat(gguf->string(), ": merit.json");
    return model_card_from(parse_json(*text, where), where);
  }
  return model_card_from(read_json(path), path.string());
}

MERIT_INLINE std::vector<std::string> differences(const ModelCard& found, const ModelCard& expected) {
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

MERIT_INLINE void require_same(const ModelCard& found, const ModelCard& expected,
                               const std::filesystem::path& where) {
  const std::string text = detail::joined(differences(found, expected));
  if (!text.empty()) throw ConfigError(concat(where.string(), ": a different model: ", text));
}

}  // namespace MERIT_ABI
}  // namespace merit
