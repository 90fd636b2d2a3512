// config.json: backbones as transformers writes them, to and from our structs.
//
// Read are the families of model/hf_llama.hpp (all of them our Llama), gpt2 and gpt_neox, in the layout of transformers 4
// (`rope_theta`, `rope_scaling`) and of transformers 5 (`rope_parameters`), and kinds of our own. A setting that would
// change scores and that our backbones do not have is an error, never ignored. Written is the older layout, which every
// version reads.
#pragma once

#include <filesystem>
#include <string>
#include <variant>

#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/bert.hpp"
#include "merit/backbone/deberta.hpp"
#include "merit/backbone/features.hpp"
#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/gpt_neox.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backbone/modern_bert.hpp"
#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/model/hf_task.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A backbone chosen at run time.
using BackboneConfig = std::variant<Llama, Gpt2, GptNeox, Bert, ModernBert, Deberta, BagOfTokens, Features>;

/// A backbone from the fields of a config.json; `where` names the file in errors. Throws ConfigError about
/// the first field that is missing, malformed, or asks for what is not computed. What is not in the file
/// (frozen layers, recomputation) is as by default.
BackboneConfig read_backbone_config(const Json& json, const std::string& where);

/// The same from a file, from the config.json of a directory, or from the metadata of a GGUF file or of the
/// one that a directory without safetensors holds. Also throws IoError when it cannot be read and DataError
/// when it is not JSON, or the GGUF file is malformed.
BackboneConfig read_backbone_config(const std::filesystem::path& path);

/// The same where the kind of backbone is known: `read_backbone_config<Llama>(path)`. Throws ConfigError that
/// names both kinds for another.
template <class Backbone>
Backbone read_backbone_config(const std::filesystem::path& path) {
  const BackboneConfig config = read_backbone_config(path);
  if (const auto* backbone = std::get_if<Backbone>(&config)) return *backbone;
  throw ConfigError(path.string() + ": holds the backbone " +
                    std::visit([](const auto& other) { return std::string(other.name()); }, config) +
                    ", expected " + std::string(Backbone::name()));
}

/// config.json for a backbone. A Llama becomes the first family of transformers that has all its numbers, or else a kind
/// that only merit reads, as are BagOfTokens and Features. transformers has no score.bias: with one, its scores differ
/// from ours by that constant.
///
/// Read back it is the same backbone, but for what is a matter of one run and not written: `frozen_layers`
/// and `recompute` are as by default. A `head_dim` that says hidden_size / heads is read as 0, which says the
/// same.
Json backbone_config_json(const Llama& llama, const HfTask& task = {});

Json backbone_config_json(const Gpt2& gpt2, const HfTask& task = {});

Json backbone_config_json(const GptNeox& neox, const HfTask& task = {});

Json backbone_config_json(const Bert& bert, const HfTask& task = {});

Json backbone_config_json(const ModernBert& bert, const HfTask& task = {});

Json backbone_config_json(const Deberta& deberta, const HfTask& task = {});

Json backbone_config_json(const BagOfTokens& bag, const HfTask& task = {});

inline Json backbone_config_json(const Features& features, const HfTask& task = {}) {
  return {{"model_type", "merit_features"}, {"hidden_size", features.width}, {"num_labels", task.labels}};
}

Json backbone_config_json(const BackboneConfig& config, const HfTask& task = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/hf_config_body.hpp"
#endif
