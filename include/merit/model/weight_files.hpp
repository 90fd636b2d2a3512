// Folders whose weights are in files that are not read, told apart from those that have none.
#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Whether a file is a pointer of Git LFS, which stands where the file was not fetched.
inline bool is_lfs_pointer(const std::filesystem::path& file) {
  constexpr std::string_view begins = "version https://git-lfs";
  std::error_code failed;
  if (!std::filesystem::is_regular_file(file, failed) || std::filesystem::file_size(file, failed) > 1024) {
    return false;
  }
  return read_file(file).starts_with(begins);
}

}  // namespace detail

/// Whether a name is that of a GGUF file: it ends in .gguf, in letters of any case.
inline bool has_gguf_name(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".gguf";
}

/// Whether a folder has weights as transformers names them: of safetensors, or as torch.save writes them.
inline bool holds_safetensors(const std::filesystem::path& folder) {
  return file_exists(folder / "model.safetensors") || file_exists(folder / "model.safetensors.index.json");
}
inline bool holds_torch_file(const std::filesystem::path& folder) {
  return file_exists(folder / "pytorch_model.bin") || file_exists(folder / "pytorch_model.bin.index.json");
}

/// Throws DataError where a folder cannot be read as a model, with what to do: it holds its weights as pickles of a name that says not what is in them; or a file
/// in it is a pointer of Git LFS.
inline void check_weight_files(const std::filesystem::path& folder) {
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed)) return;
  for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::filesystem::path& file = at->path();
    if (detail::is_lfs_pointer(file)) {
      throw DataError(concat(file.string(),
                             ": found a pointer of Git LFS in place of the file, expected the file "
                             "itself: get it with git lfs pull"));
    }
  }
  if (holds_torch_file(folder)) return;
  failed.clear();
  std::vector<std::string> pickles;
  for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") || has_gguf_name(name)) {
      return;
    }
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) pickles.push_back(name);
  }
  if (pickles.empty()) return;  // whoever reads says what is missing
  std::sort(pickles.begin(), pickles.end());
  throw DataError(concat(folder.string(), ": holds weights as pickles only (", pickles.front(),
                         pickles.size() > 1 ? ", …" : "",
                         "), which may run code and are not read, expected model.safetensors or a state dict "
                         "in pytorch_model.bin: save the model again in one of these"));
}

}  // namespace MERIT_ABI
}  // namespace merit
