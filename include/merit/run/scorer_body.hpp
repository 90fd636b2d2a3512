// The bodies of scorer.hpp.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kept_prompts.hpp"
#include "merit/run/load_saved_model.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/run/scorer.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE double Scorer::score(std::string_view prompt, std::string_view completion) {
  CompletionRecord record;
  record.prompt = std::string(prompt);
  record.completion = std::string(completion);
  return score(record).score;
}

MERIT_INLINE double Scorer::score(std::span<const Message> conversation, const TemplateInputs& inputs) {
  CompletionRecord record;
  record.completion = std::vector<Message>(conversation.begin(), conversation.end());
  record.inputs = inputs;
  return score(record).score;
}

MERIT_INLINE CompletionScore Scorer::score(const CompletionRecord& record) {
  RecordScores scores = one(record);
  if (!scores.dropped.empty())
    refuse(record.source.file.empty() ? "the text" : record.source.text(), scores.dropped);
  return std::move(scores.completions.front());
}

MERIT_INLINE std::vector<double> Scorer::score(std::span<const Sequence> sequences, Index batch_tokens) {
  std::vector<Family> families;
  for (const Sequence& sequence : sequences) families.push_back({{&sequence}});
  std::vector<double> scores;
  for (const RowScores& rows : model_->score_families(families, batch_tokens)) {
    scores.push_back(shown_score(completion_score(rows, *model_, reading()), reading()));
  }
  return scores;
}

MERIT_INLINE void Scorer::keep_prompts(const SessionOptions& options) {
  kept_ = std::make_unique<KeptPrompts>(*model_, options);
  keep_options_ = options;
}

MERIT_INLINE void Scorer::use_adapter(const std::string& name) {
  const std::vector<AdapterPlace>& places = described_.front().saved->adapter_places;
  if (places.size() != 1) model_->use_adapter(name);  // throws for one that is none
  if (places.size() == 1 && places.front().name != name)
    throw ConfigError(concat("there is no adapter \"", name, "\", expected one of: ", places.front().name));
  for (Index n = 0; n < described_.size(); ++n) {
    if (n < places.size() && places[n].name == name) in_use_ = n;
  }
  if (kept_) keep_prompts(keep_options_);  // what was kept is another model's
}

[[noreturn]] MERIT_INLINE void Scorer::refuse(const std::string& what, const std::string& reason) {
  throw DataError(what + " has no score: " + reason);
}

MERIT_INLINE Scorer open(const std::filesystem::path& place, const OpenOptions& options) {
  SavedModel saved = read_saved_model(place, options);
  if (!saved.has_head) throw DataError(headless_sentence(saved));
  std::unique_ptr<AnyModel> model =
      load_saved_model(saved, options.threads, options.on_progress, options.backend).model;
  std::vector<SavedModel> others = read_other_adapters(saved, options);
  return Scorer(std::move(saved), std::move(model), std::move(others));
}

}  // namespace MERIT_ABI
}  // namespace merit
