// The bodies of saved_model.hpp.
#pragma once

#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/model/computed_tensor.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/model_text.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::string headless_sentence(const SavedModel& saved) {
  if (saved.adapters.empty()) {
    return saved.place.string() +
           ": holds a language model without a head, expected a reward model; merit_train --from makes one of it, and "
           "the head answer_logits (--head answer_logits --head-tokens no,yes) reads the language model's own logits";
  }
  return concat(
      saved.place.string(), ": the adapter holds no head, nor does its base model ", saved.base.string(),
      ": PEFT leaves a head out that is not named when the adapter is made, and what it had learnt is lost with it; "
      "expected an adapter saved with task_type SEQ_CLS, or with score in modules_to_save; or give the model whose "
      "head it is as the base, with --base");
}

MERIT_INLINE LoadOptions load_options(const SavedModel& saved) {
  LoadOptions options;
  options.base = saved.base;
  options.published_head = saved.published_head;
  options.names = saved.head_names;
  options.computed = saved.head_computed;
  return options;
}

namespace detail {

MERIT_INLINE Index vocabulary_of(const BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return b.token_limit(); }, backbone);
}

inline Index positions_of(const BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return b.position_limit(); }, backbone);
}

MERIT_INLINE TemplateIdentity identity_of(const ConversationTemplate* conversation) {
  if (conversation == nullptr) return {};
  const std::string name = conversation->name();
  const auto colon = name.find(':');
  return {name.substr(0, colon), colon == name.npos ? "" : name.substr(colon + 1)};
}

}  // namespace detail

MERIT_INLINE ModelCard card_of(const SavedModel& model) {
  const AnyTokenizer& tokenizer = *model.tokenizer;
  const TokenizeOptions& options = model.tokenize;
  ModelCard card;
  if (!is_features(model.backbone)) {
    const detail::TemplateIdentity identity = detail::identity_of(options.conversation.get());
    card.tokenizer = tokenizer.name();
    card.template_name = identity.name;
    card.template_hash = identity.hash;
    card.strings_as_chat = options.strings_as_chat;
  }
  card.truncation = name_of(options.truncation);
  card.max_tokens = options.max_tokens == std::numeric_limits<Index>::max() ? 0 : options.max_tokens;
  card.without_prompt = options.without_prompt;
  card.append_eos = options.append_eos;
  if (!(options.reading == ReadingRule{})) card.reading = name_of(options.reading);
  if (meaning_of(model.head) == ScoreMeaning::per_step) {
    card.step_separator = options.step_separator;
    card.step_layout = name_of(options.step_layout);
  }
  if (!options.step_split.empty()) card.other["step_split"] = options.step_split;
  for (const SavedFile& file : model.files) card.other["files"].push_back(file.name);
  return card;
}

MERIT_INLINE std::set<std::string> kept_files(const std::filesystem::path& directory) {
  try {
    const auto card = read_model_card(directory);
    if (!card) return {};
    const auto names = optional<std::vector<std::string>>(card->other, "files", "merit.json");
    return names ? std::set<std::string>(names->begin(), names->end()) : std::set<std::string>{};
  } catch (const Error&) {
    return {};
  }
}

MERIT_INLINE Token token_of(const std::string& text, const AnyTokenizer& tokenizer, const char* option) {
  std::vector<Token> tokens;
  tokenizer.encode(text, tokens);
  if (tokens.size() == 1) return tokens[0];
  throw ConfigError(concat(option, " is ", detail::quote(text), ", which is ", tokens.size(), " tokens of ",
                           tokenizer.name(), ", expected one"));
}

MERIT_INLINE void fit_to_backbone(BackboneConfig& backbone, const AnyTokenizer& tokenizer,
                                  TokenizeOptions& options) {
  if (is_features(backbone)) return;
  if (tokenizer.vocabulary_size() > detail::vocabulary_of(backbone)) {
    throw ConfigError(concat("the tokenizer ", tokenizer.name(), " has ", tokenizer.vocabulary_size(),
                             " ids, expected at most ", detail::vocabulary_of(backbone),
                             ", the vocabulary of the model"));
  }
  const Index positions = detail::positions_of(backbone);
  if (positions != 0 && options.max_tokens > positions) options.max_tokens = positions;
  const std::vector<Token> between = tokenizer.between();
  std::visit(
      [&](auto& one) {
        if (sight_of(one) == Sight::tree && !between.empty()) {
          options.segments = SegmentMarks{tokenizer.before(), between, tokenizer.after()};
        } else {
          options.segments.reset();
        }
        if constexpr (requires { one.separator; }) {
          if (options.segments && one.separator == 0) one.separator = between.front();
        }
      },
      backbone);
}

}  // namespace MERIT_ABI
}  // namespace merit
