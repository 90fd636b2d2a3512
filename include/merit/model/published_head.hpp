// Which head a published reward model has, from its config.json and the names and shapes of its tensors.
//
// One rule covers what is published: a head is linear, linear – activation – linear, a regression with a
// gate, or rows of the language model's own head; it is read at the last token or where a ReadingRule says;
// and what it gives is the reward, or becomes it by a few known ways. Only what a file cannot show (which two
// tokens of a language model are judged) has to be said.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/io/json.hpp"
#include "merit/model/computed_tensor.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/model/published_gate.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a user says of a head, which goes before what the files say.
struct HeadRequest {
  std::string name = {};           // as Head::name(): "scalar", "step_logit", …; empty: as published
  std::vector<Token> tokens = {};  // of answer_logits and token_logits, bad before good
  std::vector<double> merge_weights = {};   // of attributes; empty: as published
  std::optional<ReadingRule> reading = {};  // nothing: as published
};

/// A head as published, and all that it takes to load it and to read its scores.
struct PublishedHead {
  std::string
      layout;  // of its tensors: "linear", "two_layer", "gated_regression", "binned_regression" or "logits"
  AnyHead settings;
  ReadingRule reading;
  std::vector<std::pair<std::string, std::string>> names;  // LoadOptions::names
  std::vector<ComputedTensor> computed;                    // LoadOptions::computed
  std::vector<std::string> labels;  // what each score of a row stands for; empty: not known
  /// How a row becomes one number: "raw"; "negative" (a cost); "log_odds" of the last of two labels, of which
  /// σ is its probability; "weighted" sum of labels; "gated"; of steps "softmax" (the probability of the last
  /// class) or "sigmoid".
  std::string score = "raw";
  std::string step_separator;  // what the model was trained with at each step's end; empty: not known
  bool steps_as_trl = false;   // prompt and steps are put together as TRL's PRMTrainer does
  std::string step_split;      // what divides an answer into steps where that is something else; empty: it
  std::string mean;            // a tensor of one number, the mean of its rewards; empty: none
  std::string variance;        // and of their variance
  std::string note;            // a sentence for a program to print once; empty: nothing to say
};

/// The head of a published model, from its config.json and what its tensors are called; nothing for a
/// language model, which has none. `where` names the model in errors.
///
/// Throws DataError where the head is not known, naming the tensors that were seen, where there are several,
/// where one is announced and missing, or where its shapes, the configuration and what is asked for do not
/// fit; ConfigError where a request lacks something or names what the model does not have.
std::optional<PublishedHead> recognise_head(const Json& config, std::span<const PublishedTensor> tensors,
                                            const std::string& where, const HeadRequest& request = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/published_head_body.hpp"
#endif
