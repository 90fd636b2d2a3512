// The description of a checkpoint from its files: its card, or its config.json and its tensors.
#pragma once

#include <filesystem>
#include <vector>

#include "merit/run/saved_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The description of a checkpoint, not its weights: a directory as transformers or merit writes it, or a
/// GGUF file. Throws IoError, DataError about what is malformed, ConfigError about what does not go together.
SavedModel read_saved_model(const std::filesystem::path& place, const OpenOptions& options = {});

/// The adapters beside the first of a description that was read with the same options, each as its own folder describes it:
/// its card says how its scores are read. Throws ConfigError for one with another head than the first.
std::vector<SavedModel> read_other_adapters(const SavedModel& first, const OpenOptions& options);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/read_saved_model_body.hpp"
#endif
