// Folders whose weights are in files that are not read, told apart from those that have none.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Throws DataError where a folder holds an adapter, whose weights are only a difference to another model's,
/// or has its weights as pickles and in no other format.
inline void check_weight_files(const std::filesystem::path& folder) {
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed)) return;
  if (file_exists(folder / "adapter_config.json")) {
    throw DataError(
        concat(folder.string(),
               ": holds an adapter (adapter_config.json), expected whole weights: an adapter is a "
               "difference to its base model; merge the two and save them first"));
  }
  std::vector<std::string> pickles;
  for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") ||
        name.ends_with(".gguf")) {
      return;
    }
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) pickles.push_back(name);
  }
  if (pickles.empty()) return;  // whoever reads says what is missing
  std::sort(pickles.begin(), pickles.end());
  throw DataError(concat(folder.string(), ": holds weights as pickles only (", pickles.front(),
                         pickles.size() > 1 ? ", …" : "",
                         "), which may run code and are not read, expected model.safetensors: save the "
                         "model again in that format"));
}

}  // namespace MERIT_ABI
}  // namespace merit
