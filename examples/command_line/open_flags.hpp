// The options of a program that uses a saved model as it is, and what it says of one on stderr.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "merit/run/any_model.hpp"
#include "merit/run/saved_model.hpp"
#include "options.hpp"

namespace programs {

struct OpenFlags {
  std::string base, tokenizer, head, reading, step_separator, step_layout;
  std::vector<std::string> head_tokens;
  bool strings_as_chat = false;
  std::string backend = "eigen";
};
void declare(CommandLine& line, OpenFlags& flags);
/// --backend, of any program that computes; merit::backend_named() reads what it was given.
void declare_backend(CommandLine& line, std::string& backend);
merit::OpenOptions open_options(const CommandLine& line, const OpenFlags& flags);

/// An adapter as --adapter names it: "NAME=DIR", or a folder alone, whose own name is then the adapter's.
merit::AdapterPlace adapter_from(const std::string& text);

/// The description of a checkpoint that is to be used as it is; its remarks are said on stderr.
merit::SavedModel read_usable(const std::filesystem::path& directory, const merit::OpenOptions& options,
                              const char* program);

/// The model of a checkpoint with its weights, with progress on stderr; what loading did not do is said there.
std::unique_ptr<merit::AnyModel> load_usable(const merit::SavedModel& saved, merit::BackendChoice backend,
                                             int threads, const char* program);

}  // namespace programs
