// How a checkpoint is described: by its card, or its config.json and its tensors.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/model/published_head.hpp"
#include "merit/model/weight_files.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/read_model_text.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The tokenization options that a card holds.
inline TokenizeOptions tokenize_options_of(const ModelCard& card) {
  TokenizeOptions options;
  if (card.max_tokens != 0) options.max_tokens = card.max_tokens;
  if (!card.truncation.empty()) options.truncation = truncation_from_name(card.truncation);
  options.without_prompt = card.without_prompt;
  options.append_eos = card.append_eos;
  options.strings_as_chat = card.strings_as_chat;
  if (!card.step_separator.empty()) options.step_separator = card.step_separator;
  if (!card.step_layout.empty()) options.step_layout = step_layout_from_name(card.step_layout);
  options.step_split = optional<std::string>(card.other, "step_split", "merit.json").value_or("");
  if (!card.reading.empty()) options.reading = reading_rule_from_name(card.reading);
  return options;
}

/// The loss that a card describes; nothing for one that is not of the compiled set. Throws where one of the set does not
/// go with the head.
inline std::optional<AnyLoss> loss_from(const Json& card_loss, const std::string& where,
                                        const AnyHead& head) {
  const std::string name = optional<std::string>(card_loss, "name", where).value_or("");
  std::optional<AnyLoss> loss = loss_named(name, head);
  if (!loss) {
    bool known = false;
    for_each_type<AnyLoss>([&]<class Loss>(const Loss&) { known = known || Loss::name() == name; });
    if (known) {
      throw DataError(concat("field \"loss\" is ", quote(name), ", which does not go with the head ",
                             quote(name_of(head))));
    }
    return loss;
  }
  std::visit(
      [&](auto& one) {
        read_settings(card_loss, where, one);
        validate(one);
      },
      *loss);
  return loss;
}

/// Throws where the labels of a card are not as many as the scores of a row, or name one that stands elsewhere.
inline void check_labels(const ModelCard& card, const AnyHead& head) {
  const std::vector<std::string> ours = labels_of(head);
  const std::vector<std::string>& found = card.labels;
  if (found.empty() || ours.empty()) return;
  bool good = found.size() == ours.size();
  for (Index i = 0; good && i < ours.size(); ++i) {
    const auto known = std::find(ours.begin(), ours.end(), found[i]);
    good = known == ours.end() || *known == ours[i];
  }
  if (good) return;
  throw DataError(concat(
      "field \"labels\" is ", Json(found).dump(-1, ' ', false, Json::error_handler_t::replace), ", expected ",
      Json(ours).dump(), ", the scores of the head ", quote(name_of(head)), " in their order"));
}

/// Throws where the threshold of steps is no probability.
inline void check_step_threshold(const ModelCard& card) {
  const auto found = card.other.find("step_threshold");
  if (found == card.other.end()) return;
  const double threshold = found->is_number() ? found->get<double>() : -1;
  if (threshold >= 0 && threshold <= 1) return;
  throw DataError(
      concat("field \"step_threshold\" is ", describe(*found), ", expected a probability from 0 to 1"));
}

/// Throws where the reading rule waits for a token that the model does not have. A pad that no text has is no fault:
/// published models name such ones.
inline void check_reading(const SavedModel& saved, const OpenOptions& options) {
  if (is_features(saved.backbone)) return;
  using Kind = ReadingRule::Kind;
  const ReadingRule& rule = saved.tokenize.reading;
  const bool pads = rule.kind == Kind::last_not_pad || rule.kind == Kind::before_first_pad;
  std::vector<Token> tokens = rule.gate;
  if (!pads) tokens.insert(tokens.end(), rule.tokens.begin(), rule.tokens.end());
  const Index size = vocabulary_of(saved.backbone);
  if (std::all_of(tokens.begin(), tokens.end(),
                  [&](Token token) { return static_cast<Index>(token) < size; }))
    return;
  const std::string found =
      concat(quote(name_of(rule)), ", expected ids below ", size, ", the vocabulary of the model");
  if (!options.reading.empty()) throw ConfigError(concat("--reading is ", found));
  const char* file = saved.card && !saved.card->reading.empty() ? "merit.json" : "config.json";
  throw DataError(concat((saved.place / file).string(), ": field \"reading\" is ", found));
}

/// Whether a tokenizer of this name is made of files.
inline bool has_files(std::string_view name) {
  return name.starts_with("pretrained:");
}

/// The tokenizer and the template of the place, its card and its user.
inline void set_text(SavedModel& saved, const OpenOptions& options) {
  const std::string where = saved.place.string();
  const std::string carded = saved.card ? saved.card->tokenizer : "";
  std::optional<ModelText> own;
  if (carded.empty() || has_files(carded)) {
    own = read_model_text(saved.place);
    if (!own && saved.base != saved.place) own = read_model_text(saved.base);
  }
  if (has_files(carded)) {
    if (!own) {
      throw DataError(concat(where, ": the card names the tokenizer ", carded,
                             ", but its files are not there: expected tokenizer.json beside the weights"));
    }
    if (own->tokenizer.name() != carded) {
      throw ConfigError(concat(where, ": a different tokenizer: found ", own->tokenizer.name(),
                               " in the files, expected ", carded, ", with which the model was trained"));
    }
  } else if (!carded.empty()) {
    read_card((saved.place / "merit.json").string(),
              [&] { own = ModelText{.tokenizer = make_tokenizer(carded)}; });
  }
  if (!options.tokenizer.empty()) {
    const ModelText given = text_named(options.tokenizer);
    if (own && own->tokenizer.name() != given.tokenizer.name()) {
      throw ConfigError(concat("--tokenizer ", options.tokenizer, " contradicts ", where,
                               ", whose tokenizer is ", own->tokenizer.name()));
    }
    if (!own) own = given;
    // Ids have no words of their own, so any vocabulary that holds them will do.
    const std::string name = given.tokenizer.name();
    if (carded.empty() && !is_features(saved.backbone) && !name.starts_with("ids:") && !has_files(name) &&
        given.tokenizer.vocabulary_size() != vocabulary_of(saved.backbone)) {
      throw ConfigError(concat("--tokenizer ", options.tokenizer, " has ", given.tokenizer.vocabulary_size(),
                               " ids, but ", where, " was trained with a vocabulary of ",
                               vocabulary_of(saved.backbone),
                               ": its scores would mean nothing; expected its own tokenizer"));
    }
  }
  if (!own && is_features(saved.backbone)) own = ModelText{};
  if (!own) {
    throw ConfigError(
        concat(where,
               ": neither files of a tokenizer (tokenizer.json, vocab.json with merges.txt, vocab.txt, "
               "tokenizer.model) nor a card (merit.json) say how text becomes tokens for this model; "
               "give a tokenizer with --tokenizer"));
  }
  saved.tokenizer = own->tokenizer;
  saved.files = std::move(own->files);
  saved.ends = std::move(own->ends);
  saved.tokenize.conversation = own->conversation;
  if (options.strings_as_chat) saved.tokenize.strings_as_chat = *options.strings_as_chat;

  const TemplateIdentity found = identity_of(own->conversation.get());
  if (!saved.card || saved.card->template_name.empty()) return;
  if (saved.card->template_name == "plain") {
    saved.tokenize.conversation.reset();
  } else if (found.name != saved.card->template_name || found.hash != saved.card->template_hash) {
    throw ConfigError(concat(where, ": a different chat template: found ",
                             own->conversation ? own->conversation->name() : std::string("none"),
                             ", expected ", saved.card->template_name, ":", saved.card->template_hash,
                             ", with which the model was trained"));
  }
}

/// One number of a small tensor.
inline double number_in(const WeightSource& weights, const std::string& name) {
  const TensorInfo* tensor = weights.find(name);
  if (tensor == nullptr || tensor->elements != 1) {
    throw DataError(concat(weights.path().string(), ": tensor ", quote(name), " holds no single number"));
  }
  double value = 0;
  weights.read(name, VectorView<double>(&value, 1));
  return value;
}

/// The head of a model that no card describes: as its config.json and its tensors say, or its user.
inline void set_published_head(SavedModel& saved, const OpenOptions& options) {
  HeadRequest request{.name = options.head};
  for (const std::string& text : options.head_tokens) {
    request.tokens.push_back(token_of(text, *saved.tokenizer, "--head-tokens"));
  }
  if (!options.reading.empty()) request.reading = reading_rule_from_name(options.reading);
  const std::filesystem::path file = saved.base / "config.json";
  std::error_code ignored;
  const std::optional<std::filesystem::path> gguf = find_gguf(saved.base);
  Json config = gguf ? gguf_config_json(GgufFile(*gguf)) : read_json(file);
  const std::vector<std::string> own =
      saved.adapters.empty() ? std::vector<std::string>() : AdapterWeights(saved.place, nullptr).own_names();
  const bool has_module = std::ranges::any_of(
      own, [](const std::string& name) { return !is_adapter_tensor(name) && !name.ends_with(".bias"); });
  if (has_module) config = with_task_of_adapter(std::move(config), saved.place);
  const std::unique_ptr<WeightSource> weights = open_weights(saved.place, saved.base);
  const std::vector<PublishedTensor> tensors = tensors_of(*weights);
  std::optional<PublishedHead> head;
  try {
    head = recognise_head(config, tensors, saved.place.string(), request);
  } catch (const DataError&) {
    if (!options.makes_head) throw;
  }
  if (!head) {
    saved.has_head = false;
    return;
  }
  saved.head = head->settings;
  saved.published_head = name_of(saved.head);
  saved.head_names = head->names;
  saved.head_computed = head->computed;
  saved.tokenize.reading = head->reading;
  saved.tokenize.step_split = head->step_split;
  if (!head->step_separator.empty()) saved.tokenize.step_separator = head->step_separator;
  if (head->steps_as_trl) saved.tokenize.step_layout = StepLayout::trl;
  saved.about.labels = head->labels;
  saved.about.step_separator = head->step_separator;
  if (!head->mean.empty()) {
    saved.about.reward_mean = number_in(*weights, head->mean);
    saved.about.reward_deviation = std::sqrt(number_in(*weights, head->variance));
  }
  if (!head->note.empty()) saved.remarks.push_back(head->note);
  std::visit(
      [&]<class Head>(const Head&) {
        if (!reads_unembedding<Head>) return;
        std::visit(
            [](auto& backbone) {
              if constexpr (requires { backbone.tied_embedding; })
                if (!backbone.tied_embedding) backbone.unembedding = true;
            },
            saved.backbone);
      },
      saved.head);
}

/// Throws ConfigError where its user says of a model what its card says otherwise.
inline void check_said(std::string_view option, const std::string& said, const std::string& carded,
                       const SavedModel& saved) {
  if (said.empty() || carded.empty() || said == carded) return;
  throw ConfigError(concat(option, ' ', quote(said), " contradicts the card of ", saved.place.string(),
                           ", which says ", quote(carded)));
}

/// Throws ConfigError where tokens are named whose logits a model's head does not read.
inline void check_head_tokens(const SavedModel& saved, const OpenOptions& options) {
  if (options.head_tokens.empty() || !saved.has_head) return;
  const bool carded = saved.card && !saved.card->head.empty();
  const bool reads_logits = std::visit(
      []<class Head>(const Head&) {
        return requires(Head head) {
          head.tokens;
        };
      },
      saved.head);
  if (!carded && reads_logits) return;
  throw ConfigError(concat("--head-tokens is given, but ", saved.place.string(), " has the head ",
                           name_of(saved.head),
                           carded ? ", of which its card says all" : ", which reads no logits of tokens"));
}

/// What its user says of how steps are put together.
inline void set_steps(SavedModel& saved, const OpenOptions& options) {
  if (options.step_separator.empty() && options.step_layout.empty()) return;
  if (saved.has_head && meaning_of(saved.head) != ScoreMeaning::per_step) {
    throw ConfigError(concat("--step-separator and --step-layout are for models that score steps, but ",
                             saved.place.string(), " has the head ", name_of(saved.head)));
  }
  if (!options.step_layout.empty()) saved.tokenize.step_layout = step_layout_from_name(options.step_layout);
  if (!options.step_separator.empty()) {
    saved.tokenize.step_separator = options.step_separator;
    saved.tokenize.step_split.clear();  // a text is cut at the separator that is said
  }
  if (!saved.card) return;
  check_said("--step-separator", options.step_separator, saved.card->step_separator, saved);
  check_said("--step-layout", options.step_layout, saved.card->step_layout, saved);
}

/// The adapters of the place and its user.
inline void set_adapters(SavedModel& saved, const OpenOptions& options) {
  if (!is_adapter(saved.place)) {
    if (!options.base.empty())
      throw ConfigError(
          concat("--base is given, but ", saved.place.string(), " holds no adapter (adapter_config.json)"));
    return;
  }
  saved.adapter_places = {{"default", saved.place}};
  saved.adapter_places.insert(saved.adapter_places.end(), options.adapters.begin(), options.adapters.end());
  for (const AdapterPlace& one : options.adapters) {
    const auto same = [&](const AdapterPlace& other) { return other.name == one.name; };
    if (one.name.empty() || std::ranges::count_if(saved.adapter_places, same) > 1)
      throw ConfigError(concat("--adapter: ", one.folder.string(), " is called ", quote(one.name),
                               ", expected a name that no other adapter has; \"default\" is the first's"));
    if (!is_adapter(one.folder))
      throw ConfigError(
          concat("--adapter: ", one.folder.string(), " holds no adapter (adapter_config.json)"));
  }
  for (const AdapterPlace& one : saved.adapter_places)
    saved.adapters.push_back({one.name, read_lora(one.folder)});
  // As an absolute path, by which what is trained on from here finds it.
  saved.adapters.front().lora.base = std::filesystem::absolute(saved.base).lexically_normal().string();
}

/// Throws where `place` is no model's folder and no GGUF file: what is there, and what would be one.
inline void check_place(const std::filesystem::path& place) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!file_exists(place))
    throw IoError(place.string() + ": there is no such directory, expected one with a model");
  if (!fs::is_directory(place, ignored)) {
    if (place.extension() == ".gguf") return;
    const fs::path folder = place.has_parent_path() ? place.parent_path() : fs::path(".");
    throw IoError(concat(place.string(), ": is a file, expected the folder of a model or a .gguf file",
                         fs::exists(folder / "config.json", ignored)
                             ? "; its folder, " + folder.string() + ", holds one"
                             : std::string()));
  }
  if (file_exists(place / "config.json") || find_gguf(place)) return;
  std::vector<std::string> inside;
  for (fs::directory_iterator entry(place, ignored), end; entry != end; entry.increment(ignored)) {
    std::error_code error;
    if (fs::exists(entry->path() / "config.json", error)) inside.push_back(entry->path().string());
  }
  std::sort(inside.begin(), inside.end());
  throw IoError(concat(place.string(), ": there is no config.json in it, expected the folder of a model; ",
                       folder_content(place),
                       inside.empty() ? std::string() : "; " + inside.back() + " is such a folder"));
}

}  // namespace detail

MERIT_INLINE SavedModel read_saved_model(const std::filesystem::path& place, const OpenOptions& options) {
  if (!options.adapters.empty() && !is_adapter(place)) {
    // As the first adapter with this base.
    const AdapterPlace first = options.adapters.front();
    if (!options.base.empty())
      throw ConfigError(
          concat("--base is given, but ", place.string(), " holds no adapter (adapter_config.json)"));
    if (!is_adapter(first.folder))
      throw ConfigError(
          concat("--adapter: ", first.folder.string(), " holds no adapter (adapter_config.json)"));
    OpenOptions of_first = options;
    of_first.base = place;
    of_first.adapters.erase(of_first.adapters.begin());
    SavedModel saved = read_saved_model(first.folder, of_first);
    saved.adapter_places.front().name = first.name;
    const auto same = [&](const AdapterPlace& other) { return other.name == first.name; };
    if (first.name.empty() || std::ranges::count_if(saved.adapter_places, same) > 1)
      throw ConfigError(concat("--adapter: two adapters are called ", detail::quote(first.name)));
    return saved;
  }
  recover_directory(place);
  SavedModel saved;
  saved.place = place;
  saved.base = base_of(place, options.base);
  check_weight_files(saved.base);
  detail::check_place(saved.base);
  detail::set_adapters(saved, options);
  saved.card = read_model_card(place);
  if (!saved.card && saved.base != place) saved.card = read_model_card(saved.base);
  saved.backbone = read_backbone_config(saved.base);
  if (saved.card) {
    const ModelCard& card = *saved.card;
    const std::string where = (place / "merit.json").string();
    detail::read_card(where, [&] {
      if (!card.head.empty()) saved.head = head_from(card.head, where + ": head");
      if (!card.loss.empty()) saved.loss = detail::loss_from(card.loss, where + ": loss", saved.head);
      if (!card.head.empty()) {
        detail::check_labels(card, saved.head);
        if (!saved.loss) {
          const std::string name = card.loss.is_object() ? card.loss.value("name", "") : "";
          saved.remarks.push_back(
              concat(where, ": field \"loss\" names ",
                     name.empty() ? "none" : detail::quote(name) + ", which is not known here",
                     ": no loss is reported, and each score is read by itself"));
        }
      }
      detail::check_step_threshold(card);
      saved.tokenize = detail::tokenize_options_of(card);
      if (!card.kind.empty()) kind_named(card.kind, "field \"kind\"");
      if (!card.aggregation.empty()) aggregation_from_name(card.aggregation);
      if (card.calibration != "temperature" && card.calibration != "platt" && !card.calibration.empty()) {
        throw DataError("field \"calibration\" is " + detail::quote(card.calibration) +
                        ", expected temperature or platt");
      }
    });
  }
  detail::set_text(saved, options);
  saved.about = saved.card.value_or(ModelCard{});
  if (!saved.card || saved.card->head.empty()) {
    detail::set_published_head(saved, options);
  } else {
    detail::check_said("--head", options.head, std::string(name_of(saved.head)), saved);
    const std::string reading =
        options.reading.empty() ? "" : name_of(reading_rule_from_name(options.reading));
    detail::check_said("--reading", reading, name_of(saved.tokenize.reading), saved);
  }
  detail::check_head_tokens(saved, options);
  detail::set_steps(saved, options);
  if (!saved.card && saved.tokenize.conversation && !options.strings_as_chat &&
      saved.tokenize.step_layout != StepLayout::chat_turns) {
    saved.note_on_strings =
        "a prompt and a completion that are strings are read as plain text, as they stand; "
        "--strings-as-chat (OpenOptions::strings_as_chat) makes them a user's message and the "
        "assistant's answer in the model's chat template";
  }
  detail::check_reading(saved, options);
  fit_to_backbone(saved.backbone, *saved.tokenizer, saved.tokenize);
  return saved;
}

MERIT_INLINE std::vector<SavedModel> read_other_adapters(const SavedModel& first,
                                                         const OpenOptions& options) {
  std::vector<SavedModel> others;
  for (Index n = 1; n < first.adapter_places.size(); ++n) {
    OpenOptions of_one = options;
    of_one.base = first.base;
    of_one.adapters.clear();
    others.push_back(read_saved_model(first.adapter_places[n].folder, of_one));
    if (others.back().has_head && others.back().head == first.head) continue;
    throw ConfigError(concat(
        "--adapter: ", first.adapter_places[n].folder.string(), " has ",
        others.back().has_head ? concat("the head ", name_of(others.back().head), " or other settings of it")
                               : std::string("no head"),
        ", expected the head ", name_of(first.head), " of ", first.place.string(),
        " with its settings: adapters that are used in turn have one head"));
  }
  return others;
}

}  // namespace MERIT_ABI
}  // namespace merit
