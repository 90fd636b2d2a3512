// The bodies of output_place.hpp.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/run/saved_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::filesystem::path place_of(const std::string& path) {
  std::error_code error;
  const auto place = std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
  if (error) return std::filesystem::absolute(path).lexically_normal();
  return place.has_filename() ? place : place.parent_path();
}

MERIT_INLINE void check_output(const std::string& option, const std::string& path,
                               const OutputInputs& inputs) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  for (const std::string& file : inputs.files) {
    if (file.empty() || !(fs::equivalent(path, file, ignored) || place_of(path) == place_of(file))) continue;
    throw ConfigError(option + " is " + path +
                      ", which is also an input: it would be lost, expected another file");
  }
  const fs::path place = place_of(path);
  for (const std::string& folder : inputs.folders) {
    if (folder.empty()) continue;
    const fs::path models = place_of(folder);
    for (fs::path above = place; above != above.parent_path(); above = above.parent_path()) {
      if (above != models) continue;
      throw ConfigError(option + " is " + path + ", which lies in the model's folder " + folder +
                        ", expected a file outside it");
    }
  }
  if (fs::exists(place.parent_path() / "merit.json", ignored)) {
    throw ConfigError(option + " is " + path +
                      ", which lies in a model's folder, expected a file outside it");
  }
}

MERIT_INLINE bool is_of_a_model(std::string_view file) {
  for (const std::string_view own : {"merit.json", "config.json", "training.json", "adapter_config.json"}) {
    if (file == own) return true;
  }
  for (const std::string_view stem : {"model", "optimizer", "adapter_model"}) {
    if (!file.starts_with(stem)) continue;
    std::string rest(file.substr(stem.size()));
    if (rest == ".safetensors" || rest == ".safetensors.index.json") return true;
    for (char& c : rest) c = c >= '0' && c <= '9' ? '0' : c;
    return rest == "-00000-of-00000.safetensors";
  }
  return false;
}

MERIT_INLINE std::vector<std::string> foreign_files(const std::filesystem::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  const std::set<std::string> kept = kept_files(folder);
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    std::error_code ignored;
    if (entry->is_directory(ignored) && kept.lower_bound(file + '/') != kept.end() &&
        kept.lower_bound(file + '/')->starts_with(file + '/')) {
      continue;  // of the tokenizer: further templates
    }
    const bool own = is_of_a_model(file) || kept.contains(file);
    if (!own || !entry->is_regular_file(ignored)) files.push_back(file);
  }
  return files;
}

MERIT_INLINE std::vector<std::string> move_foreign_files(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> said;
  const fs::path others = folder.string() + ".others";
  for (const std::string& file : foreign_files(folder)) {
    std::error_code error;
    fs::create_directories(others, error);
    fs::path target = others / file;
    for (int i = 2; fs::exists(fs::symlink_status(target)); ++i)
      target = others / (file + "." + std::to_string(i));
    fs::rename(folder / file, target, error);
    if (error) {
      throw IoError("will not replace " + folder.string() + ": it holds " + file +
                    ", which cannot be moved to " + others.string() + ": " + error.message());
    }
    said.push_back(concat("moved ", (folder / file).string(), ", which would be lost, to ", target.string()));
  }
  return said;
}

MERIT_INLINE void require_only_a_model(const std::filesystem::path& folder) {
  const std::vector<std::string> foreign = foreign_files(folder);
  if (foreign.empty()) return;
  throw IoError("will not replace " + folder.string() + ": it holds " + foreign.front() +
                ", which would be lost: move it elsewhere");
}

}  // namespace MERIT_ABI
}  // namespace merit
