// Opening checkpoints for a program.
#include "saved_model.hpp"

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "merit/run/read_model_text.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/train/progress.hpp"

namespace programs {

namespace {

/// ", scalar, token, …"
std::string linear_heads() {
  std::string list;
  merit::for_each_type<AnyHead>([&]<class Head>(const Head&) {
    if (merit::is_linear_head<Head>) list.append(", ").append(Head::name());
  });
  return list;
}

}  // namespace

void declare(CLI::App& app, OpenFlags& flags) {
  const auto text = [&](const char* option, auto& value, const char* type, const std::string& what) {
    return app.add_option(option, value, wrapped(what))->type_name(type);
  };
  text("--tokenizer", flags.tokenizer, "NAME|DIR",
       "bytes, words:N, ids:N or a folder with a tokenizer; for a model that names none");
  text("--head", flags.head, "NAME",
       "how a published model is to be read whose head is not recognised or is another: attributes" +
           linear_heads() + "; or logits of the language model's: answer_logits, token_logits");
  text("--head-tokens", flags.head_tokens, "TEXT,TEXT",
       "the tokens whose logits a head of logits reads, bad before good, such as no,yes")
      ->delimiter(',')
      ->default_str("");
  text("--reading", flags.reading, "RULE",
       "which token a published model is read at: last, last_not_pad:ID, before_first_pad:ID, appended:ID, "
       "tag:ID, before_tag:ID; empty: as its config.json says");
  text("--step-separator", flags.step_separator, "TEXT",
       "what ends each step for a model that names none; \\n is a line feed");
  text("--step-layout", flags.step_layout, "NAME",
       "how prompt and steps are put together for a model that does not say so: separated, trl, chat_turns");
  app.add_flag(
      "--strings-as-chat", flags.strings_as_chat,
      wrapped(
          "a prompt and a completion that are strings are a user's message and the assistant's answer, and "
          "go through the model's chat template"));
}

OpenOptions open_options(const CLI::App& app, const OpenFlags& flags) {
  OpenOptions options{.tokenizer = flags.tokenizer,
                      .head = flags.head,
                      .head_tokens = flags.head_tokens,
                      .reading = flags.reading,
                      .step_separator = unescaped(flags.step_separator),
                      .step_layout = flags.step_layout};
  if (app.count("--strings-as-chat") != 0) options.strings_as_chat = flags.strings_as_chat;
  return options;
}

merit::ModelText text_named(const std::string& name) {
  return merit::text_named(name);
}

SavedModel read_usable(const std::filesystem::path& directory, const OpenOptions& options,
                       const char* program) {
  SavedModel saved = merit::read_saved_model(directory, options);
  for (const std::string& remark : saved.remarks) std::fprintf(stderr, "%s: %s\n", program, remark.c_str());
  return saved;
}

void tell(const merit::LoadReport& report, const char* program) {
  const auto list = [&](const std::vector<std::string>& names, const char* what) {
    if (names.empty()) return;
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    std::fprintf(stderr, "%s: %s: %s\n", program, what, text.c_str());
  };
  list(report.fresh, "not taken from the checkpoint, so they start anew");
  list(report.unexpected, "in the checkpoint but of no use to this model");
}

void load(AnyModel& model, const AnyHead& head, const std::filesystem::path& from, merit::LoadOptions options,
          const char* program) {
  constexpr merit::Index megabyte = 1'000'000;
  std::optional<merit::Progress> progress;  // of what takes long enough to be waited for
  options.on_progress = [&](merit::Index done, merit::Index total) {
    if (total < 100 * megabyte) return;
    if (!progress) progress.emplace("loading", total / megabyte);
    progress->update(done / megabyte, "MB");
  };
  const merit::LoadReport report = model.load(from, options);
  if (progress) progress->finish();
  if (!report.other_head.empty()) {
    std::fprintf(stderr, "%s: the head of %s is %s, the model's is %s and starts anew\n", program,
                 from.c_str(), report.other_head.c_str(), name_of(head).c_str());
  }
  tell(report, program);
}

std::unique_ptr<AnyModel> load_usable(const SavedModel& saved, int threads, const char* program) {
  if (!saved.has_head) {
    throw merit::DataError(
        saved.place.string() +
        ": holds a language model without a head, expected a reward model; merit_train --from makes "
        "one of it, and --head answer_logits --head-tokens no,yes reads the language model's own "
        "logits");
  }
  const AnyLoss loss = saved.loss ? *saved.loss : merit::some_loss(saved.head);
  auto model = make_model(saved.backbone, {.head = saved.head,
                                           .loss = loss,
                                           .threads = threads,
                                           .initial = merit::Initial::from_file,
                                           .scores_only = true});
  load(*model, saved.head, saved.place, merit::load_options(saved), program);
  return model;
}

}  // namespace programs
