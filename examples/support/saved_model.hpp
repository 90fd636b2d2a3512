// Checkpoints as the programs use them, and what they say of one on stderr.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "any_model.hpp"
#include "merit/run/saved_model.hpp"
#include "program.hpp"
#include "records.hpp"

namespace programs {

using merit::card_of;
using merit::fit_to_backbone;
using merit::is_features;
using merit::OpenOptions;
using merit::SavedModel;
using merit::detail::read_card;

/// The options of a program that uses a saved model as it is.
struct OpenFlags {
  std::string tokenizer, head, reading, step_separator, step_layout;
  std::vector<std::string> head_tokens;
  bool strings_as_chat = false;
};
void declare(CLI::App& app, OpenFlags& flags);
OpenOptions open_options(const CLI::App& app, const OpenFlags& flags);

/// The description of a checkpoint that is to be used as it is; its remarks are said on stderr.
SavedModel read_usable(const std::filesystem::path& directory, const OpenOptions& options,
                       const char* program);

/// merit::text_named(), compiled once for all programs.
merit::ModelText text_named(const std::string& name);

/// Says on stderr what loading did not do.
void tell(const merit::LoadReport& report, const char* program);

/// Loads the weights of a checkpoint into a model of this head, with progress on stderr, and says what was
/// not done.
void load(AnyModel& model, const AnyHead& head, const std::filesystem::path& from, merit::LoadOptions options,
          const char* program);

/// The model of a checkpoint with its weights, to be used as it is; what loading did not do is said on
/// stderr.
std::unique_ptr<AnyModel> load_usable(const SavedModel& saved, int threads, const char* program);

}  // namespace programs
