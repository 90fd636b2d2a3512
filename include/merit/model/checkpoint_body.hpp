// The bodies of checkpoint.hpp.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/buffer.hpp"
#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/core/version.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/model_card.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/model/saved_config.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE std::string saved_head_name(const std::optional<ModelCard>& card,
                                         const std::filesystem::path& directory) {
  if (!card || !is_filled(card->head)) return "";
  return optional<std::string>(card->head, "name", (directory / "merit.json: head").string()).value_or("");
}

MERIT_INLINE void check_settings(const std::filesystem::path& directory, const SavedSettings& settings,
                                 const Json& head) {
  std::vector<std::string> found;
  if (settings.backbone) {
    std::optional<BackboneConfig> config;
    try {
      if (file_exists(directory / "config.json") || find_gguf(directory))
        config = read_backbone_config(directory);
    } catch (const ConfigError&) {
    }
    if (config && config->index() == settings.backbone->index()) {
      std::visit(
          [&]<class Backbone>(const Backbone& expected) {
            const auto& own = std::get<Backbone>(*config);
            list_differences("backbone", backbone_config_json(with_harmless_of(own, expected)),
                             backbone_config_json(expected), found);
          },
          *settings.backbone);
    }
  }
  if (head.is_object() && !head.empty()) list_differences("head", head, settings.head, found);
  if (found.empty()) return;
  throw ConfigError(concat(directory.string(), ": a different model: ", joined(found)));
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
