// What a checkpoint says about itself: which model it is, and how its text becomes tokens.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/model/adapter_shelf.hpp"
#include "merit/model/computed_tensor.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/backend_choice.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/model_text.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a checkpoint says about itself.
struct SavedModel {
  std::filesystem::path place;               // the directory or file
  std::filesystem::path base;                // where its weights are: of an adapter beside it, else `place`
  std::vector<Adapter> adapters;             // of `place`, and those that were asked for beside it
  std::vector<AdapterPlace> adapter_places;  // where they are
  BackboneConfig backbone;
  AnyHead head;
  bool has_head = true;        // false: a language model, to which a head is still to be made
  std::string published_head;  // LoadOptions::published_head, and what else loading needs of one:
  std::vector<std::pair<std::string, std::string>> head_names;  // LoadOptions::names
  std::vector<ComputedTensor> head_computed;                    // and LoadOptions::computed
  std::optional<AnyLoss> loss;            // nothing: not known, or not of the compiled set
  std::optional<ModelCard> card;          // nothing: written by another program
  ModelCard about;                        // the card, or what a published model says in its own way
  std::optional<AnyTokenizer> tokenizer;  // always there in what read_saved_model() gives
  TokenizeOptions tokenize;
  std::vector<SavedFile> files;      // of the tokenizer and the template
  std::vector<Token> ends;           // that end a text which it writes
  std::vector<std::string> remarks;  // what its user should know, a sentence each
  std::string note_on_strings;       // one about records of strings; empty: there is nothing to say of them
};

/// What its user says of a checkpoint beside what it says itself.
struct OpenOptions {
  std::filesystem::path base = {};  // where the base of an adapter is; empty: where the adapter says
  /// Adapters, for Scorer::use_adapter(): of the model that is opened, which begins with the first of them; or, where that is an
  /// adapter itself, called "default", more of the same base.
  std::vector<AdapterPlace> adapters = {};
  std::string tokenizer = {};  // of one that has none: a name that make_tokenizer() knows, or a folder
  std::string head = {};       // of one whose head is not recognised, or another than that: by its name
  std::vector<std::string> head_tokens = {};  // the tokens whose logits are read, bad before good, as text
  bool makes_head = false;                    // its own head need not be known: another is made
  std::string reading = {};                   // which token is read, as name_of(ReadingRule) says
  std::string step_separator = {};            // what ends each step
  std::string step_layout = {};               // how prompt and steps are put together, by name
  std::optional<bool> strings_as_chat = std::nullopt;
  BackendChoice backend = BackendChoice::eigen;
  int threads = 0;                                                            // 0: all
  std::function<void(Index bytes_done, Index bytes_total)> on_progress = {};  // of loading
};

/// Why a model without a head cannot be used as it is.
std::string headless_sentence(const SavedModel& saved);

/// What loading the weights of a checkpoint needs to know.
LoadOptions load_options(const SavedModel& saved);

namespace detail {

Index vocabulary_of(const BackboneConfig& backbone);

/// Throws what is wrong in a card, which is data, as DataError with the card's name.
template <class F>
void read_card(const std::string& where, const F& f) {
  try {
    f();
  } catch (const Error& error) {
    const std::string what = error.what();
    throw DataError(what.starts_with(where) ? what : where + ": " + what);
  }
}

/// The name and the hash of a template in a card: "plain", or "chat" and what tells its text from others.
struct TemplateIdentity {
  std::string name = "plain";
  std::string hash = {};
};
TemplateIdentity identity_of(const ConversationTemplate* conversation);

}  // namespace detail

/// The card of a model whose text becomes tokens like this.
ModelCard card_of(const SavedModel& model);

/// The names of the files that the card of a checkpoint lists as its own beside weights, config.json and
/// merit.json: those of its tokenizer and template. None where there is no card, or one that cannot be read.
std::set<std::string> kept_files(const std::filesystem::path& directory);

/// The one token that a text is. `option` says where the text stands. Throws ConfigError.
Token token_of(const std::string& text, const AnyTokenizer& tokenizer, const char* option);

/// A sequence may not be longer than the model's positions, and its ids must be in the vocabulary. Throws
/// ConfigError.
void fit_to_backbone(BackboneConfig& backbone, const AnyTokenizer& tokenizer, TokenizeOptions& options);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/saved_model_body.hpp"
#endif
