// The bodies of checkpoint.hpp.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/hash.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/train/checkpoint.hpp"
#include "merit/train/trainer.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE Json identity_of(const RunParts& parts, const TrainOptions& options) {
  Json json = {{"backbone", parts.backbone},
               {"frozen_layers", parts.frozen_layers},
               {"head", parts.head},
               {"loss", parts.loss},
               {"examples", parts.examples},
               {"fingerprint", parts.fingerprint},
               {"epochs", options.epochs},
               {"batch_size", options.batch_size},
               {"max_gradient_norm", options.max_gradient_norm},
               {"seed", options.seed},
               {"sharing", options.sharing == Sharing::yes},
               {"learning_rate", options.schedule.peak},
               {"warmup", options.schedule.warmup},
               {"decay", std::string(name_of(options.schedule.decay))},
               {"floor", options.schedule.floor},
               {"precision", std::string(parts.precision)},
               {"backend", std::string(parts.backend)}};
  if (!parts.adapter.is_null()) json["adapter"] = parts.adapter;
  if (options.max_steps != 0) json["max_steps"] = options.max_steps;
  if (options.stochastic_rounding) json["stochastic_rounding"] = true;
  if (!options.parts.empty()) {
    std::string each;  // as a sentence has them where a run does not go on
    for (const SetPart& part : options.parts)
      each +=
          concat(each.empty() ? "" : ", ", part.examples, " examples ", Json(part.epochs).dump(), " times");
    json["parts"] = each;
  }
  std::visit(
      [&](const auto& optimizer) {
        Json settings = policy_json(optimizer);
        settings.erase("name");
        json.update(settings);
        json["optimizer"] = optimizer.name();
      },
      options.optimizer);
  return json;
}

MERIT_INLINE std::vector<std::string> run_differences(Json found, const Json& expected) {
  if (found.is_object()) {
    // Runs from before there were others do not name it.
    if (!found.contains("optimizer")) found["optimizer"] = AdamW::name();
    found.erase("micro_batch_tokens");  // which runs used to hold to
  }
  std::vector<std::string> differences;
  list_differences("run", found, expected, differences);
  return differences;
}

MERIT_INLINE Index read_run(const std::filesystem::path& directory, const Json& expected, Index steps) {
  const std::filesystem::path file = directory / run_file;
  const Json state = read_json(file);
  Json found = require<Json>(state, "run", file.string());
  const std::vector<std::string> differences = run_differences(std::move(found), expected);
  if (!differences.empty()) {
    throw ConfigError(concat(file.string(), ": this run was started otherwise: ", joined(differences),
                             ". Give the same data and options to go on with it"));
  }
  const Index step = require<Index>(state, "step", file.string());
  if (step > steps) {
    throw DataError(concat(file.string(), ": field \"step\" is ", step, ", expected at most ", steps));
  }
  return step;
}

}  // namespace detail

MERIT_INLINE Json read_run_notes(const std::filesystem::path& directory) {
  recover_directory(directory);
  const std::filesystem::path file = directory / detail::run_file;
  return optional<Json>(read_json(file), "notes", file.string()).value_or(Json::object());
}

}  // namespace MERIT_ABI
}  // namespace merit
