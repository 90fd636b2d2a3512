// merit.json, the card of a checkpoint, and what else a checkpoint holds beside its weights.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// merit.json: what a score of this model means and how its text became tokens. The first part is filled in
/// from the model when it is written.
struct ModelCard {
  std::string merit_version = MERIT_VERSION;  // that wrote it
  std::string backbone = {};                  // "llama", …
  Json head = Json::object();                 // {"name": "scalar", …settings}
  Json loss = Json::object();                 // {"name": "pairwise", …settings}

  std::string tokenizer = {};      // as its name() says; empty: not known
  std::string template_name = {};  // of conversations: "plain" or "chat"; empty: not known
  std::string template_hash = {};  // of a chat template's text
  // A prompt and a completion that are strings are a user's message and its answer.
  bool strings_as_chat = false;
  std::string truncation = {};  // policy by name; empty: not known
  Index max_tokens = 0;         // of a sequence; 0: no limit
  bool without_prompt = false;
  bool append_eos = true;
  bool raw_scores = true;                // false: squashed or standardised
  std::string kind = {};                 // of the records it was trained on: "preference", "steps", …
  std::string step_separator = {};       // what ends each step; empty: it scores no steps
  std::string step_layout = {};          // how prompt and steps are put together, by name; empty: not known
  std::vector<std::string> labels = {};  // what each score of a row stands for: {"bad", "neutral", "good"}
  std::string reading = {};              // which token is read, as name_of(ReadingRule) says; empty: the last
  std::string aggregation = {};          // how the scores of tokens or steps become one; empty: not known
  std::string calibration = {};          // "temperature" or "platt"; empty: none was fitted
  double calibration_scale = 1;          // a calibrated logit is scale · logit + offset
  double calibration_offset = 0;
  std::optional<double> reward_mean = {};  // over the training set
  std::optional<double> reward_deviation = {};

  Json other = Json::object();  // fields this version does not know, kept

  friend bool operator==(const ModelCard&, const ModelCard&) = default;
};

namespace detail {

/// The fields of a card in which two models must agree to score alike.
inline constexpr std::string_view identity_fields[] = {
    "backbone",        "head",        "loss",       "tokenizer",      "template",   "template_hash",
    "strings_as_chat", "truncation",  "max_tokens", "without_prompt", "append_eos", "raw_scores",
    "step_separator",  "step_layout", "labels",     "reading"};

inline bool is_filled(const Json& value) {
  return !(value.is_string() && value.get_ref<const std::string&>().empty()) &&
         !(value.is_array() && value.empty());
}

/// The settings of a policy that matter when training begins and to no score afterwards.
inline constexpr std::string_view start_fields = "start";

/// Appends "field is found, expected expected" for each difference, one level into objects. What mattered at
/// the start alone is no difference.
void list_differences(const std::string& field, const Json& found, const Json& expected,
                      std::vector<std::string>& out);

/// Differences as one text: "a; b".
std::string joined(const std::vector<std::string>& differences);

}  // namespace detail

/// What is wrong with the numbers that scores are computed with, by field; empty: nothing. Within these bounds
/// every score that a model can give stays a finite number, and keeps its order, when it is standardised or
/// calibrated.
std::string number_fault(const ModelCard& card);

/// Throws ConfigError about what could not be read back: a number that number_fault() names, or a field of
/// `other` that has the name of one of the card's own.
Json to_json(const ModelCard& card);

/// Throws DataError about the first field of the wrong type, or a number that no score can be computed with.
ModelCard model_card_from(const Json& json, const std::string& where);

/// The card of a checkpoint, or nothing for one that has none because another program wrote it. Throws
/// IoError also where it cannot be examined, or DataError when merit.json is malformed.
std::optional<ModelCard> read_model_card(const std::filesystem::path& directory);

/// Where two cards differ in what a score means, one sentence each: "tokenizer is "bytes", expected …". A
/// field that is not known (empty) in one of them is not compared.
std::vector<std::string> differences(const ModelCard& found, const ModelCard& expected);

/// Throws ConfigError that lists the differences, if any. `where` names the checkpoint.
void require_same(const ModelCard& found, const ModelCard& expected, const std::filesystem::path& where);

/// A file that a checkpoint keeps beside its weights, such as tokenizer.json.
struct SavedFile {
  std::string name = {};  // in the checkpoint's directory
  std::string bytes = {};
};

struct SaveOptions {
  std::optional<Dtype> dtype = std::nullopt;  // of the weights in the file; nothing: as the model computes
  Index max_shard_bytes = Index{5'000'000'000};
  std::vector<SavedFile> files = {};  // what else the directory holds: tokenizer and chat template
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/model_card_body.hpp"
#endif
