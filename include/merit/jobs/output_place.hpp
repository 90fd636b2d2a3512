// Where a program may write: never over what it reads, nor over what is not its own.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/run/saved_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a program reads, which it must not write over: files, and folders with models.
struct OutputInputs {
  std::vector<std::string> files;
  std::vector<std::string> folders;
};

/// Where a path leads, links followed; of a pipe, which is nowhere, its own name.
std::filesystem::path place_of(const std::string& path);

/// Throws ConfigError when writing `path`, which `option` names, would destroy an input.
void check_output(const std::string& option, const std::string& path, const OutputInputs& inputs);

/// Whether a training run writes files of this name into a model's folder.
bool is_of_a_model(std::string_view file);

/// What lies in a folder beside the files of a model or a run, which replacing the folder would lose.
std::vector<std::string> foreign_files(const std::filesystem::path& folder);

/// Moves what `foreign_files` finds to FOLDER.others, for a folder that is replaced while its user may put files
/// there: a sentence for each, to be told. Throws IoError.
std::vector<std::string> move_foreign_files(const std::filesystem::path& folder);

/// Throws IoError when `folder`, which is to be replaced, holds more than a model.
void require_only_a_model(const std::filesystem::path& folder);

/// Throws IoError when `path` is a file with content in which `is_ours` does not know what we write, `what`.
template <class IsOurs>
void check_own(const std::string& path, const std::string& what, const IsOurs& is_ours) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return;
  const std::string content = read_file(path, ~Index{0} / 4);
  if (content.empty() || is_ours(content)) return;
  throw IoError("will not replace " + path + ": it holds something else than " + what);
}

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/output_place_body.hpp"
#endif
