// What a GGUF file's metadata say of a backbone, as the fields of a config.json.
//
// Read are the architectures of gguf_layouts.hpp; that of Mistral and SmolLM2 files is llama, of OLMo 3's olmo2, of
// RoBERTa's bert. A setting that would change scores and that our backbones do not have is an error, never ignored.
#pragma once

#include <filesystem>
#include <optional>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The GGUF file that `path` stands for: itself, or the one .gguf file of a directory without weights in
/// other formats. Nothing when it stands for none. Throws DataError when a directory has several.
std::optional<std::filesystem::path> find_gguf(const std::filesystem::path& path);

/// The fields of the config.json that the model in a GGUF file would have. Throws ConfigError for an
/// architecture or a setting that merit does not compute, by name, and DataError for metadata that are
/// missing or of the wrong type.
Json gguf_config_json(const GgufHead& file);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/gguf_config_body.hpp"
#endif
