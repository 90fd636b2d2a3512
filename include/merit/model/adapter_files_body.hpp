// The bodies of adapter_files.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/policy_json.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

inline constexpr const char* adapter_config = "adapter_config.json";
inline constexpr const char* adapter_weights = "adapter_model.safetensors";

/// Fields of adapter_config.json that are read here, or that change no number of a model that is loaded.
inline constexpr std::array known_adapter_fields = std::to_array<std::string_view>({"peft_type",
                                                                                    "r",
                                                                                    "lora_alpha",
                                                                                    "lora_dropout",
                                                                                    "use_rslora",
                                                                                    "use_dora",
                                                                                    "bias",
                                                                                    "target_modules",
                                                                                    "modules_to_save",
                                                                                    "base_model_name_or_path",
                                                                                    "init_lora_weights",
                                                                                    "fan_in_fan_out",
                                                                                    "task_type",
                                                                                    "inference_mode",
                                                                                    "auto_mapping",
                                                                                    "peft_version",
                                                                                    "revision",
                                                                                    "megatron_core",
                                                                                    "qalora_group_size",
                                                                                    "layers_pattern",
                                                                                    "layers_to_transform",
                                                                                    "exclude_modules",
                                                                                    "rank_pattern",
                                                                                    "alpha_pattern",
                                                                                    "runtime_config",
                                                                                    "eva_config",
                                                                                    "lora_ga_config",
                                                                                    "corda_config",
                                                                                    "loftq_config"});

/// Whether a JSON value says nothing: null, false, or empty.
inline bool says_nothing(const Json& value) {
  return value.is_null() || value == false ||
         ((value.is_object() || value.is_array() || value.is_string()) && value.empty());
}

/// What the file calls a tensor, as the model's parameter is called; empty: it is of no use.
inline std::string parameter_of_adapter(std::string name, const std::string& file) {
  const auto refuse = [&](const std::string& why) {
    throw DataError(concat(file, ": tensor ", quote(name), " ", why));
  };
  constexpr std::string_view prefix = "base_model.model.";
  if (!name.starts_with(prefix))
    refuse("is none of an adapter, expected a name that begins with base_model.model.");
  if (name.find("lora_embedding_") != name.npos)
    refuse("is an adapter of an embedding, expected adapters of linear maps alone");
  if (name.find(".original_module.") != name.npos) return "";
  std::string ours = name.substr(prefix.size());
  const auto drop = [&](std::string_view part) {
    if (const auto at = ours.find(part); at != ours.npos) ours.erase(at, part.size());
  };
  drop(".modules_to_save.default");
  drop(".modules_to_save");
  drop(".base_layer");
  for (const std::string_view part : {".lora_A", ".lora_B", ".lora_magnitude_vector"}) {
    const auto at = ours.find(part);
    if (at == ours.npos) continue;
    const std::string rest = ours.substr(at + part.size());
    const bool vector = part == ".lora_magnitude_vector";
    if (rest != ".weight" && rest != ".default.weight" && !(vector && (rest.empty() || rest == ".default")))
      refuse(
          "belongs to an adapter of another kind, expected lora_A.weight, lora_B.weight, lora_magnitude_vector");
    return ours.substr(0, at + part.size()) + (vector ? "" : ".weight");
  }
  if (ours.find(".lora_") != ours.npos)
    refuse(
        "belongs to an adapter of another kind, expected lora_A.weight, lora_B.weight, lora_magnitude_vector");
  return ours;
}

/// A regular expression that somebody else's file may hold. Matching takes a time that is polynomial in its length and the
/// text's, where the library can say so: "(.*)*x" would else take longer than anybody waits.
inline std::regex regex_of(const std::string& pattern) {
#if defined(__GLIBCXX__)
  return std::regex(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
#else
  return std::regex(pattern);
#endif
}

/// Whether a regular expression of a field matches the whole of a module's name. Throws DataError where it is none.
inline bool matches(const std::string& expression, const std::string& module, const char* field,
                    const std::string& where) {
  try {
    return std::regex_match(module, regex_of(expression));
  } catch (const std::regex_error&) {
    throw DataError(concat(where, ": field ", quote(field), " has ", quote(expression),
                           ", expected a regular expression as ECMAScript writes it"));
  }
}

/// A list of strings, or one alone, or nothing.
inline std::vector<std::string> one_or_more(const Json& config, const char* field, const std::string& where) {
  if (!config.contains(field) || says_nothing(config.at(field))) return {};
  if (config.at(field).is_string()) return {config.at(field).get<std::string>()};
  return require<std::vector<std::string>>(config, field, where);
}

/// Whether the fields of PEFT that choose maps choose this one: target_modules, without exclude_modules, in layers_to_transform,
/// whose numbers stand behind a name of layers_pattern or, without one, behind the second part of a name or a later one.
inline bool is_chosen(const Json& config, const std::string& module, const std::string& where) {
  const auto is_one_of = [&](const char* field) {
    const std::vector<std::string> names = one_or_more(config, field, where);
    if (names.size() == 1 && config.at(field).is_string()) return matches(names[0], module, field, where);
    return std::ranges::any_of(names, [&](const std::string& name) { return ends_as(module, name); });
  };
  if (is_one_of("exclude_modules")) return false;
  if (config.at("target_modules") != "all-linear" && !is_one_of("target_modules")) return false;
  if (!config.contains("layers_to_transform") || says_nothing(config.at("layers_to_transform"))) return true;
  const std::vector<Index> layers = config.at("layers_to_transform").is_number()
                                        ? std::vector{require<Index>(config, "layers_to_transform", where)}
                                        : require<std::vector<Index>>(config, "layers_to_transform", where);
  std::vector<std::string> patterns = one_or_more(config, "layers_pattern", where);
  for (std::string& pattern : patterns) pattern = "(?:^|.*?\\.)" + pattern + "\\.([0-9]+)\\..*";
  if (patterns.empty()) patterns = {".*?\\.[^.]*\\.([0-9]+)\\..*"};
  for (const std::string& pattern : patterns) {
    matches(pattern, module, "layers_pattern", where);  // throws where it is no expression
    std::smatch found;
    if (!std::regex_match(module, found, regex_of(pattern))) continue;
    const std::string digits = found[found.size() - 1];
    return std::ranges::any_of(layers, [&](Index layer) { return std::to_string(layer) == digits; });
  }
  return false;
}

/// rank_pattern or alpha_pattern: names of maps with numbers. PEFT's names are regular expressions for how a module's name
/// ends; of one that is no plain name, or is not alone in naming a module, the modules themselves are named.
template <class T>
std::map<std::string, T> pattern_of(const Json& config, const char* field,
                                    const std::set<std::string>& modules, const std::string& where) {
  if (!config.contains(field) || says_nothing(config.at(field))) return {};
  const auto all = require<std::map<std::string, T>>(config, field, where);
  const auto fits = [&](const std::string& module, const std::string& name) {
    return matches("(?:.*\\.)?(?:" + name + ")", module, field, where);
  };
  const auto is_plain = [](const auto& entry) {
    return entry.first.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") == std::string::npos;
  };
  bool plain = std::ranges::all_of(all, is_plain);
  std::map<std::string, T> named, used;
  for (const std::string& module : modules) {
    for (const auto& [name, value] : all) {
      if (!fits(module, name)) continue;
      plain = plain && (!named.contains(module) || named.at(module) == value);
      named.emplace(module, value);
      used.emplace(name, value);
    }
  }
  return plain ? used : named;
}

/// A list of strings, which may be null.
inline std::vector<std::string> strings_of(const Json& config, const char* field, const std::string& where) {
  if (!config.contains(field) || config.at(field).is_null()) return {};
  return require<std::vector<std::string>>(config, field, where);
}

}  // namespace detail

MERIT_INLINE bool is_adapter(const std::filesystem::path& place) {
  return file_exists(place / detail::adapter_config);
}

MERIT_INLINE Lora read_lora(const std::filesystem::path& folder) {
  const std::string where = (folder / detail::adapter_config).string();
  const Json config = read_json(folder / detail::adapter_config);
  const auto refuse = [&](std::string_view field, const std::string& expected) {
    throw DataError(concat(where, ": field ", detail::quote(std::string(field)), " is ",
                           describe(config.at(std::string(field))), ", expected ", expected));
  };
  const std::string type = require<std::string>(config, "peft_type", where);
  if (type != "LORA") refuse("peft_type", "LORA: adapters of other kinds are not computed");
  for (const auto& [field, value] : config.items()) {
    if (detail::says_nothing(value)) continue;
    if (std::ranges::find(detail::known_adapter_fields, field) == detail::known_adapter_fields.end())
      refuse(field, "nothing: what it asks for is not computed");
  }
  // These start from other weights than the base's own, which are then not in its folder.
  if (config.contains("init_lora_weights") && config.at("init_lora_weights").is_string()) {
    const auto init = config.at("init_lora_weights").get<std::string>();
    if (init != "gaussian" && init != "eva" && init != "orthogonal")
      refuse("init_lora_weights",
             "true or gaussian: others change the base's weights, from which the adapter then differs");
  }
  Lora lora;
  lora.rank = require<Index>(config, "r", where);
  lora.alpha = require<double>(config, "lora_alpha", where);
  lora.dropout = optional<double>(config, "lora_dropout", where).value_or(0);
  lora.rank_stabilised = optional<bool>(config, "use_rslora", where).value_or(false);
  lora.dora = optional<bool>(config, "use_dora", where).value_or(false);
  if (const auto bias = optional<std::string>(config, "bias", where)) {
    const auto named = value_named<LoraBias>(*bias);
    if (!named) refuse("bias", concat("one of: ", list_of_names<LoraBias>()));
    lora.bias = *named;
  }
  const AdapterWeights weights(folder, nullptr);
  std::set<std::string> modules;
  for (const std::string& name : weights.own_names()) {
    if (const auto at = name.find(".lora_A.weight"); at != name.npos) modules.insert(name.substr(0, at));
  }
  if (modules.empty())
    throw DataError(
        concat(weights.path().string(), ": has no tensor lora_A.weight, expected an adapter of linear maps"));
  if (!config.contains("target_modules") || config.at("target_modules").is_null())
    throw DataError(concat(where, ": field \"target_modules\" is missing, expected names of linear maps"));
  const auto says = [&](const char* field) {
    return config.contains(field) && !detail::says_nothing(config.at(field));
  };
  if (says("layers_to_transform") && config.at("target_modules").is_string())
    refuse("layers_to_transform", "none beside target_modules that is a regular expression");
  if (says("layers_pattern") && !says("layers_to_transform"))
    refuse("layers_pattern", "layers_to_transform beside it");
  if (says("layers_to_transform") || says("exclude_modules")) {
    // Which maps they are the tensors say, and so does the list of them that is saved.
    for (const std::string& module : modules) {
      if (!detail::is_chosen(config, module, where))
        throw DataError(
            concat(weights.path().string(), ": tensor ", detail::quote(module + ".lora_A.weight"),
                   " is of a map that target_modules, exclude_modules and layers_to_transform of ", where,
                   " leave out"));
      lora.targets.push_back(module);
    }
  } else if (config.at("target_modules").is_string()) {
    const auto pattern = config.at("target_modules").get<std::string>();
    if (pattern != "all-linear") {
      lora.pattern = pattern;
      const std::vector<std::string> maps(modules.begin(), modules.end());
      try {
        expand_pattern(lora, maps);
      } catch (const ConfigError& error) {
        throw DataError(concat(where, ": ", error.what()));
      }
    }
  } else {
    for (const std::string& target : detail::strings_of(config, "target_modules", where)) {
      // PEFT lists also names that are none in this model.
      const auto has = [&](const std::string& module) { return detail::ends_as(module, target); };
      if (std::ranges::any_of(modules, has)) lora.targets.push_back(target);
    }
    if (lora.targets.empty())
      refuse("target_modules",
             concat("names of maps in ", weights.path().string(), " such as ", *modules.begin()));
  }
  for (const std::string& module : detail::strings_of(config, "modules_to_save", where)) {
    const auto has = [&](const std::string& name) { return name.find(module + ".") != name.npos; };
    const std::vector<std::string> own = weights.own_names();
    if (module != "score" && module != "classifier" && module != "v_head" && std::ranges::any_of(own, has))
      lora.also_trained.push_back(module);
  }
  lora.rank_pattern = detail::pattern_of<Index>(config, "rank_pattern", modules, where);
  lora.alpha_pattern = detail::pattern_of<double>(config, "alpha_pattern", modules, where);
  lora.base = optional<std::string>(config, "base_model_name_or_path", where).value_or("");
  try {
    lora.validate();
  } catch (const ConfigError& error) {
    throw DataError(concat(where, ": ", error.what()));
  }
  return lora;
}

MERIT_INLINE void expand_pattern(Lora& lora, std::span<const std::string> maps) {
  lora.targets.clear();
  try {
    const std::regex pattern = detail::regex_of(lora.pattern);
    for (const std::string& map : maps) {
      if (std::regex_match(map, pattern)) lora.targets.push_back(map);
    }
  } catch (const std::regex_error&) {
    throw ConfigError(
        concat("lora: the pattern of targets is \"", lora.pattern,
               "\", expected a regular expression as ECMAScript writes it, without back-references"));
  }
  if (lora.targets.empty()) {
    throw ConfigError(concat("lora: the pattern of targets is \"", lora.pattern,
                             "\", expected one that matches the whole "
                             "name of a linear map inside a layer",
                             maps.empty() ? std::string() : ", such as " + maps.front()));
  }
}

MERIT_INLINE std::filesystem::path base_of(const std::filesystem::path& place,
                                           const std::filesystem::path& given) {
  if (!is_adapter(place)) return place;
  if (!given.empty()) return given;
  const std::string where = (place / detail::adapter_config).string();
  const auto named =
      optional<std::string>(read_json(place / detail::adapter_config), "base_model_name_or_path", where)
          .value_or("");
  if (!named.empty()) {
    std::error_code ignored;
    for (const std::filesystem::path& candidate : {place / named, std::filesystem::path(named)}) {
      if (std::filesystem::exists(candidate, ignored)) return candidate.lexically_normal();
    }
  }
  throw IoError(
      concat(where, ": the base model is ", named.empty() ? "not named" : detail::quote(named),
             ", which is no folder here, expected one: say where it is with --base, or OpenOptions::base"));
}

MERIT_INLINE Json lora_json(const Lora& lora) {
  Json json = detail::policy_json(lora);
  if (!lora.pattern.empty()) {
    json["pattern"] = lora.pattern;
  } else {
    json["targets"] = lora.targets.empty() ? Json("all-linear") : Json(lora.targets);
  }
  if (!lora.rank_pattern.empty()) json["rank_pattern"] = lora.rank_pattern;
  if (!lora.alpha_pattern.empty()) json["alpha_pattern"] = lora.alpha_pattern;
  if (!lora.also_trained.empty()) json["also_trained"] = lora.also_trained;
  return json;
}

MERIT_INLINE Json peft_config(const Lora& lora, std::string_view class_ending, bool fan_in_fan_out,
                              const std::set<std::string>& modules_to_save) {
  Json task;
  if (class_ending == "ForSequenceClassification") task = "SEQ_CLS";
  if (class_ending == "ForTokenClassification") task = "TOKEN_CLS";
  if (class_ending == "ForCausalLM" || class_ending == "LMHeadModel") task = "CAUSAL_LM";
  Json targets = lora.targets.empty() ? Json("all-linear") : Json(lora.targets);
  if (!lora.pattern.empty()) targets = lora.pattern;
  return {{"peft_type", "LORA"},
          {"task_type", task},
          {"base_model_name_or_path", lora.base.empty() ? Json() : Json(lora.base)},
          {"r", lora.rank},
          {"lora_alpha", lora.alpha},
          {"lora_dropout", lora.dropout},
          {"use_rslora", lora.rank_stabilised},
          {"use_dora", lora.dora},
          {"bias", std::string(name_of(lora.bias))},
          {"target_modules", targets},
          {"rank_pattern", lora.rank_pattern},
          {"alpha_pattern", lora.alpha_pattern},
          {"modules_to_save", modules_to_save.empty() ? Json() : Json(modules_to_save)},
          {"fan_in_fan_out", fan_in_fan_out},
          {"init_lora_weights", true},
          {"inference_mode", true}};
}

MERIT_INLINE Json with_task_of_adapter(Json config, const std::filesystem::path& folder) {
  const Json adapter = read_json(folder / "adapter_config.json");
  const auto task =
      optional<std::string>(adapter, "task_type", (folder / "adapter_config.json").string()).value_or("");
  const char* ending = task == "SEQ_CLS"     ? "ForSequenceClassification"
                       : task == "TOKEN_CLS" ? "ForTokenClassification"
                                             : "";
  auto architectures = config.find("architectures");
  if (*ending == 0 || architectures == config.end() || !architectures->is_array() ||
      architectures->size() != 1 || !architectures->front().is_string())
    return config;
  const auto name = architectures->front().get<std::string>();
  const auto end = std::min(name.find("For"), name.find("LMHead"));
  if (end != name.npos) config["architectures"] = {name.substr(0, end) + ending};
  return config;
}

MERIT_INLINE AdapterWeights::AdapterWeights(const std::filesystem::path& folder,
                                            std::unique_ptr<WeightSource> base)
    : file_([&] {
        const std::filesystem::path file = folder / detail::adapter_weights;
        if (!file_exists(file) && file_exists(folder / "adapter_model.bin")) {
          throw DataError(concat((folder / "adapter_model.bin").string(),
                                 ": is a pickle, which may run code and is not read, expected ",
                                 detail::adapter_weights, ": save the adapter again in that format"));
        }
        return file;
      }()),
      base_(std::move(base)) {
  for (const TensorInfo& tensor : file_.tensors()) {
    Own own{tensor, tensor.name};
    own.info.name = detail::parameter_of_adapter(tensor.name, file_.path().string());
    const std::string name = own.info.name;
    if (name.empty()) continue;
    has_head_ = has_head_ || (detail::is_head_layer(name) && name.ends_with(".weight"));
    if (!own_.emplace(name, std::move(own)).second)
      throw DataError(concat(file_.path().string(), ": two tensors are ", detail::quote(name)));
  }
}

MERIT_INLINE std::vector<std::string> AdapterWeights::own_names() const {
  std::vector<std::string> result;
  for (const auto& entry : own_) result.push_back(entry.first);
  return result;
}

MERIT_INLINE std::vector<std::string> AdapterWeights::names() const {
  std::vector<std::string> result = own_names();
  if (base_) {
    for (std::string& name : base_->names()) {
      if (!is_own(name) && !hides(name)) result.push_back(std::move(name));
    }
  }
  std::ranges::sort(result);
  return result;
}

MERIT_INLINE const TensorInfo* AdapterWeights::find(std::string_view name) const {
  const auto own = own_.find(std::string(name));
  if (own != own_.end()) return &own->second.info;
  return base_ && !hides(name) ? base_->find(name) : nullptr;
}

MERIT_INLINE std::optional<StoredTensor> AdapterWeights::stored(std::string_view name) const {
  const auto own = own_.find(std::string(name));
  if (own != own_.end()) return std::nullopt;  // they are few, and read
  return base_ ? base_->stored(name) : std::nullopt;
}

namespace detail {

MERIT_INLINE std::unique_ptr<WeightSource> open_base(const std::filesystem::path& folder,
                                                     const std::filesystem::path& base) {
  const std::filesystem::path place = base_of(folder, base);
  if (is_adapter(place))
    throw DataError(
        concat(folder.string(), ": its base model is ", place.string(),
               ", which is an adapter itself, expected whole weights: merge it and save it first"));
  return open_weights(place);
}

}  // namespace detail

MERIT_INLINE std::unique_ptr<WeightSource> open_adapter(const std::filesystem::path& folder,
                                                        const std::filesystem::path& base) {
  return std::make_unique<AdapterWeights>(folder, detail::open_base(folder, base));
}

}  // namespace MERIT_ABI
}  // namespace merit
