// The options of a program that uses a saved model, and opening it.
#include "open_flags.hpp"

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/visible.hpp"
#include "merit/run/backend_choice.hpp"
#include "merit/run/load_saved_model.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/train/progress.hpp"

namespace programs {

namespace {

/// ", scalar, token, …"
std::string linear_heads() {
  std::string list;
  merit::for_each_type<merit::AnyHead>([&]<class Head>(const Head&) {
    if (merit::is_linear_head<Head>) list.append(", ").append(Head::name());
  });
  return list;
}

}  // namespace

void declare_backend(CommandLine& line, std::string& backend) {
  std::string names;
  for (const merit::BackendChoice choice : merit::compiled_backends())
    names.append(names.empty() ? "" : ", ").append(merit::name_of(choice));
  line.text("--backend", backend, "NAME", "what computes: " + names);
}

void declare(CommandLine& line, OpenFlags& flags) {
  line.text("--base", flags.base, "DIR",
            "where the base model of an adapter is; empty: where the adapter says");
  line.text("--tokenizer", flags.tokenizer, "NAME|DIR",
            "bytes, words:N, ids:N or a folder with a tokenizer; for a model that names none");
  line.text("--head", flags.head, "NAME",
            "how a published model is to be read whose head is not recognised or is another: attributes" +
                linear_heads() + "; or logits of the language model's: answer_logits, token_logits");
  line.texts(
      "--head-tokens", flags.head_tokens, "TEXT,TEXT",
      "with --head answer_logits or token_logits: the tokens whose logits are read, bad before good, such as no,yes",
      Several::commas);
  line.text(
      "--reading", flags.reading, "RULE",
      "which token a published model is read at: last, last_not_pad:ID, before_first_pad:ID, appended:ID, "
      "tag:ID,…, before_tag:ID,…, each also with ;gate:ID,… behind it; empty: as its config.json says");
  line.text("--step-separator", flags.step_separator, "TEXT",
            "what ends each step for a model that names none; \\n is a line feed");
  line.text(
      "--step-layout", flags.step_layout, "NAME",
      "how prompt and steps are put together for a model that does not say so: separated, trl, chat_turns");
  line.flag("--strings-as-chat", flags.strings_as_chat,
            "a prompt and a completion that are strings are a user's message and the assistant's answer, and "
            "go through the model's chat template");
  declare_backend(line, flags.backend);
}

merit::OpenOptions open_options(const CommandLine& line, const OpenFlags& flags) {
  merit::OpenOptions options{.base = flags.base,
                             .tokenizer = flags.tokenizer,
                             .head = flags.head,
                             .head_tokens = flags.head_tokens,
                             .reading = flags.reading,
                             .step_separator = unescaped(flags.step_separator),
                             .step_layout = flags.step_layout,
                             .backend = merit::backend_named(flags.backend)};
  if (line.given("--strings-as-chat")) options.strings_as_chat = flags.strings_as_chat;
  return options;
}

/// "NAME=DIR", or a folder alone, whose own name is the adapter's.
merit::AdapterPlace adapter_from(const std::string& text) {
  std::error_code ignored;
  const auto equals = text.find('=');
  if (equals != text.npos && !std::filesystem::exists(text, ignored))
    return {text.substr(0, equals), text.substr(equals + 1)};
  std::filesystem::path folder = std::filesystem::path(text).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  return {folder.filename().string(), text};
}

merit::SavedModel read_usable(const std::filesystem::path& directory, const merit::OpenOptions& options,
                              const char* program) {
  merit::SavedModel saved = merit::read_saved_model(directory, options);
  for (const std::string& remark : saved.remarks)
    std::fprintf(stderr, "%s: %s\n", program, merit::visible(remark).c_str());
  return saved;
}

std::unique_ptr<merit::AnyModel> load_usable(const merit::SavedModel& saved, merit::BackendChoice backend,
                                             int threads, const char* program) {
  if (!saved.has_head) throw merit::DataError(merit::headless_sentence(saved));
  std::optional<merit::Progress> progress;
  merit::LoadProgress shown([&](merit::Index total) { progress.emplace("loading", total); },
                            [&](merit::Index done) { progress->update(done, "MB"); });
  merit::LoadedModel loaded = merit::load_saved_model(saved, threads, std::ref(shown), backend);
  if (progress) progress->finish();
  for (const std::string& remark : loaded.remarks)
    std::fprintf(stderr, "%s: %s\n", program, merit::visible(remark).c_str());
  return std::move(loaded.model);
}

}  // namespace programs
