// What a checkpoint says about itself: which model it is, and how its text becomes tokens.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "any_model.hpp"
#include "merit/data/jsonl.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/text/any_tokenizer.hpp"
#include "records.hpp"

namespace programs {

/// What a checkpoint says about itself.
struct SavedModel {
  merit::BackboneConfig backbone;
  AnyHead head;
  std::optional<AnyLoss> loss;           // nothing: not known, or of no program here
  std::optional<merit::ModelCard> card;  // nothing: written by another program
  std::optional<merit::AnyTokenizer> tokenizer;
  merit::TokenizeOptions tokenize;
};

inline bool is_features(const merit::BackboneConfig& backbone) {
  return std::holds_alternative<merit::Features>(backbone);
}
inline std::string_view name_of_kind(const merit::BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return std::string_view(b.name()); }, backbone);
}

/// The card of a model whose text becomes tokens like this.
merit::ModelCard card_of(const merit::BackboneConfig& backbone, const merit::AnyTokenizer& tokenizer,
                         const merit::TokenizeOptions& options);

/// Throws what is wrong in a card, which is data, as DataError with the card's name.
template <class F>
void read_card(const std::string& where, const F& f) {
  try {
    f();
  } catch (const merit::Error& error) {
    const std::string what = error.what();
    throw merit::DataError(what.starts_with(where) ? what : where + ": " + what);
  }
}

/// A sequence may not be longer than the model's positions, and its ids must be in the vocabulary. Throws
/// ConfigError.
void fit_to_backbone(const merit::BackboneConfig& backbone, const merit::AnyTokenizer& tokenizer,
                     merit::TokenizeOptions& options);

/// The description of a checkpoint that is to be used as it is. `tokenizer` is for one that does not name its
/// own; empty: not given.
SavedModel read_usable(const std::filesystem::path& directory, const std::string& tokenizer);

/// Says on stderr what loading did not do.
void tell(const merit::LoadReport& report, const char* program);

/// The model of a checkpoint with its weights, to be used as it is; what loading did not do is said on
/// stderr.
std::unique_ptr<AnyModel> load_usable(const std::filesystem::path& directory, const SavedModel& saved,
                                      int threads, const char* program);

}  // namespace programs
