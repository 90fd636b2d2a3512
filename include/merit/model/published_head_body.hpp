// The bodies of published_head.hpp.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/io/json.hpp"
#include "merit/model/computed_tensor.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/hf_encoders.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/model/published_gate.hpp"
#include "merit/model/published_head.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The fields of config.json that say something of a head.
class HeadConfig {
 public:
  HeadConfig(const Json& config, const std::string& where) : config_(config), where_(where) {
    if (!config.is_object())
      throw DataError(concat(where, ": config.json holds ", describe(config), ", expected an object"));
    const auto names = optional<std::vector<std::string>>(config, "architectures", where);
    if (names && !names->empty()) architecture = names->front();
  }

  /// A token's id; nothing where the field is missing, null or negative, which all mean none.
  std::optional<Token> token(std::string_view field) const {
    const auto at = config_.find(field);
    if (at == config_.end() || at->is_null()) return std::nullopt;
    if (at->is_number_integer() && !at->is_number_unsigned() && at->template get<std::int64_t>() < 0) {
      return std::nullopt;
    }
    return merit::require<Token>(config_, field, where_);
  }
  /// What ends a sequence: one token, a list of them, or none.
  std::vector<Token> eos() const {
    const auto at = config_.find("eos_token_id");
    if (at != config_.end() && at->is_array())
      return merit::require<std::vector<Token>>(config_, "eos_token_id", where_);
    const auto one = token("eos_token_id");
    return one ? std::vector<Token>{*one} : std::vector<Token>{};
  }
  template <class T>
  T value_or(std::string_view field, T otherwise) const {
    return optional<T>(config_, field, where_).value_or(std::move(otherwise));
  }
  Index hidden_width() const {
    if (config_.contains("dim")) return merit::require<Index>(config_, "dim", where_);  // DistilBERT
    return merit::require<Index>(config_, config_.contains("n_embd") ? "n_embd" : "hidden_size", where_);
  }
  /// The names of the labels by number; empty where the configuration has none of them. Names that
  /// transformers makes up itself are names too: they say how many there are.
  std::vector<std::string> labels() const {
    const auto map = optional<Json>(config_, "id2label", where_);
    std::vector<std::string> names;
    if (!map || !map->is_object()) return names;
    for (Index i = 0; i < map->size(); ++i) {
      const auto at = map->find(std::to_string(i));
      if (at == map->end() || !at->is_string()) {
        throw DataError(concat(where_, ": field \"id2label\" has no label ", i, " of ", map->size(),
                               ", expected a name for each number from 0"));
      }
      names.push_back(at->get<std::string>());
    }
    return names;
  }
  /// How many labels it says there are: `num_labels` of older files, or as many as are named.
  std::optional<Index> label_count() const {
    if (const auto count = optional<Index>(config_, "num_labels", where_)) return count;
    const Index named = labels().size();
    return named != 0 ? std::optional<Index>(named) : std::nullopt;
  }
  bool is_named(std::string_view part) const { return architecture.find(part) != std::string::npos; }
  /// Whether the class is one of transformers' own for this.
  bool is_stock(std::string_view ending) const {
    return architecture.ends_with(ending) && !architecture.starts_with("INFORM");
  }
  bool is_encoder() const { return is_encoder_type(value_or<std::string>("model_type", "")); }
  /// Whether its scores are of steps, or tokens.
  bool scores_steps() const {
    return architecture.ends_with("ForTokenClassification") || is_named("ProcessReward") || is_named("Prm");
  }

  std::string architecture;

 private:
  const Json& config_;
  const std::string& where_;
};

inline bool is_value_stem(std::string_view stem) {
  return stem.starts_with("v_head") || stem.starts_with("value_head");
}

/// What recognise_head() works on.
class HeadFinder {
 public:
  HeadFinder(const Json& config, std::span<const PublishedTensor> tensors, const std::string& where,
             const HeadRequest& request)
      : config_(config, where), tensors_(tensors, where), request_(request), where_(where) {}

  std::optional<PublishedHead> find() {
    check_name();
    if (request_.name == "token_logits" || request_.name == "answer_logits") return logits();
    if (!tensors_.layers(detail::binned_gate_stem).empty()) {
      binned();
      set_reading("");
      return std::move(head_);
    }
    const std::optional<std::string> stem = choose_stem();
    if (!stem) return std::nullopt;
    if (tensors_.layers("gating.layers.").empty()) {
      if (tensors_.find(*stem + ".weight") != nullptr) {
        linear(*stem);
      } else {
        two_layers(*stem);
      }
    } else {
      gated();
    }
    set_reading(*stem);
    return std::move(head_);
  }

 private:
  /// Throws ConfigError where a head is asked for that there is none of.
  void check_name() const {
    bool known = request_.name.empty();
    std::string names;
    for_each_type<AnyHead>([&]<class Head>(const Head& head) {
      if constexpr (std::is_same_v<Head, VerifierHead>) return;  // of models with a card alone
      known = known || head.name() == request_.name;
      names.append(names.empty() ? "" : ", ").append(head.name());
    });
    if (!known) throw ConfigError(concat("--head is ", quote(request_.name), ", expected one of: ", names));
  }
  [[noreturn]] void fail(const std::string& what) const { throw DataError(concat(where_, ": ", what)); }

  /// The head's own name before its layers; nothing for a language model. Throws where there is none although
  /// one is announced, several, or one that is not known.
  std::optional<std::string> choose_stem() const {
    std::vector<std::string> stems;
    for (const std::string_view stem : head_stems) {
      std::string name(stem);
      if (tensors_.find(name + ".weight") != nullptr || tensors_.find(name + ".0.weight") != nullptr) {
        stems.push_back(std::move(name));
      }
    }
    if (stems.size() > 1 && !request_.name.empty()) {  // a request says which: values, or the other
      const bool values = request_.name == ValueHead::name();
      std::erase_if(stems, [&](const std::string& stem) { return is_value_stem(stem) != values; });
    }
    if (stems.size() == 1) return stems[0];
    if (!stems.empty()) {
      fail(concat("there are several heads, ", tensors_.seen(),
                  ", expected one; say which is meant with --head NAME, value for the value head"));
    }
    const bool announced = config_.is_named("Classification") || config_.is_named("Reward") ||
                           config_.is_named("Prm") || config_.is_named("ForScore");
    if (!announced && !tensors_.name_a_head()) return std::nullopt;
    if (tensors_.empty()) {
      fail(concat(
          "config.json says ", quote(config_.architecture),
          ", but there is no tensor of a head, expected score.weight or the like; "
          "merit_train --from makes a head for such a model, and --head with the name of a head of logits "
          "reads those of a language model"));
    }
    fail(concat(
        "the head is not known: found ", tensors_.seen(), " with the architecture ",
        quote(config_.architecture), ", expected one of score, classifier, v_head, value_head, ",
        "regression_head, score_head, rm_head, reward_head (.weight, .bias; or .0 and .2 of two layers) "
        "or regression_layer with gating or gating_layer; to use the language model under it, remove these tensors or "
        "name a head of logits with --head"));
  }

  /// (rows, hidden) of a layer that reads a hidden row.
  Index rows_of(const PublishedTensor& weight) const {
    require_extent(tensors_, weight, 1, config_.hidden_width(), "the width of a hidden row");
    return weight.shape[0];
  }
  bool has_bias(const std::string& stem, Index rows) const {
    if (tensors_.find(stem + ".bias") == nullptr) return false;
    require_extent(tensors_, tensors_.require(stem + ".bias", 1), 0, rows, "as many as the weight has rows");
    return true;
  }
  void name(const std::string& ours, const std::string& theirs, bool bias) {
    head_.names.emplace_back(ours + ".weight", tensors_.require(theirs + ".weight", 2).name);
    if (bias) head_.names.emplace_back(ours + ".bias", tensors_.require(theirs + ".bias", 1).name);
  }

  /// Which head is meant: asked for, or as published.
  bool is(std::string_view name, bool published) const {
    return request_.name.empty() ? published : request_.name == name;
  }
  [[noreturn]] void misfit(Index outputs) const {
    const std::string what = request_.name.empty() ? concat("the architecture ", quote(config_.architecture))
                                                   : concat("--head ", request_.name);
    fail(concat("the head has ", outputs, outputs == 1 ? " output" : " outputs", " and is ", head_.layout,
                ": ", tensors_.seen(), ", which does not fit ", what));
  }

  void linear(const std::string& stem) {
    head_.layout = "linear";
    const Index outputs = rows_of(tensors_.require(stem + ".weight", 2));
    const bool bias = has_bias(stem, outputs);
    const auto count = config_.label_count();
    if (count && *count != outputs &&
        (config_.is_stock("ForSequenceClassification") || config_.is_stock("ForTokenClassification"))) {
      fail(concat("config.json names ", *count, " labels, but the head has ", outputs,
                  " outputs: ", tensors_.seen()));
    }
    const std::string name_of_head = linear_name(outputs);
    if (name_of_head == AttributeHead::name()) {
      head_.settings = attributes(outputs, bias);
    } else if (!set_linear(name_of_head, outputs, bias)) {
      misfit(outputs);
    }
    name(request_.name == "value" ? "value_head" : "score", stem, bias);
    set_labels(outputs);
    if (stem == "score_head" && tensors_.find("normalizer.mean") != nullptr &&
        tensors_.find("normalizer.var") != nullptr) {
      head_.mean = tensors_.find("normalizer.mean")->name;
      head_.variance = tensors_.find("normalizer.var")->name;
    }
  }

  /// The name of the linear head that is asked for, or else published; empty where there is none such.
  std::string linear_name(Index outputs) const {
    if (!request_.name.empty()) return request_.name;
    if (!config_.scores_steps()) return outputs == 1 && !is_cost() ? "scalar" : "attributes";
    return outputs == 1 ? "step_logit" : outputs == 2 ? "step_binary" : outputs == 3 ? "step_ternary" : "";
  }
  /// The linear head of the compiled set that has this name and width; false where there is none.
  bool set_linear(std::string_view name, Index outputs, bool bias) {
    bool found = false;
    for_each_type<AnyHead>([&]<class Head>(const Head&) {
      if constexpr (is_linear_head<Head>) {
        if (Head::name() != name || Head::width != outputs) return;
        found = true;
        head_.settings = Head{.bias = bias};
        const bool probable =
            Head::meaning == ScoreMeaning::per_step || Head::meaning == ScoreMeaning::per_token;
        if (probable) head_.score = outputs == 1 ? "sigmoid" : "softmax";
      }
    });
    return found;
  }

  bool is_cost() const { return config_.value_or<std::string>("score_type", "") == "cost"; }

  /// Several outputs, or one that is a cost. Labels go from worst to best, so with two of them the sum is the
  /// log-odds of the second, with more it grows with each step up.
  AttributeHead attributes(Index outputs, bool bias) {
    AttributeHead head{.merge_weights = request_.merge_weights, .bias = bias};
    if (!head.merge_weights.empty()) {
      if (head.merge_weights.size() != outputs) {
        throw ConfigError(concat(where_, ": there are ", head.merge_weights.size(),
                                 " merge weights, expected one for each of the head's ", outputs,
                                 " outputs"));
      }
      head_.score = "weighted";
    } else if (outputs == 1) {
      head.merge_weights = {is_cost() ? -1.0 : 1.0};
      head_.score = is_cost() ? "negative" : "raw";
    } else if (config_.value_or<std::string>("problem_type", "") == "regression") {
      head.merge_weights.assign(outputs, 1.0);
      head_.score = "weighted";
    } else {
      for (Index i = 0; i < outputs; ++i) {
        head.merge_weights.push_back(2 * static_cast<double>(i) / static_cast<double>(outputs - 1) - 1);
      }
      head_.score = outputs == 2 ? "log_odds" : "weighted";
    }
    return head;
  }

  /// The names that somebody gave.
  void set_labels(Index outputs) {
    const std::vector<std::string> names = config_.labels();
    const auto made_up = [](const std::string& label) { return label.starts_with("LABEL_"); };
    if (names.size() == outputs && std::none_of(names.begin(), names.end(), made_up)) head_.labels = names;
    const bool classes =
        std::visit([](const auto& one) { return one.meaning == ScoreMeaning::per_step; }, head_.settings);
    if (!head_.labels.empty() || !classes) return;
    if (outputs == 2) head_.labels = {"bad", "good"};
    if (outputs == 3) head_.labels = {"bad", "neutral", "good"};
  }

  void two_layers(const std::string& stem) {
    head_.layout = "two_layer";
    const std::string up = stem + ".0";
    const std::string down = stem + ".2";
    const Index inner = rows_of(tensors_.require(up + ".weight", 2));
    const PublishedTensor& last = tensors_.require(down + ".weight", 2);
    require_extent(tensors_, last, 1, inner, "the width of the first layer");
    const Index outputs = last.shape[0];
    const bool bias = has_bias(up, inner);
    if (tensors_.layers(stem + ".").size() != 2 || has_bias(down, outputs) != bias) {
      fail(concat("the head has ", tensors_.seen(),
                  ", expected the layers 0 and 2, both with a bias or none"));
    }
    const bool steps = config_.scores_steps();
    if (is("two_layer", !steps) && outputs == 1) {
      head_.settings = TwoLayerHead{.inner = inner, .bias = bias};
    } else if (is("step_two_layer", steps) && outputs == 2) {
      head_.settings = TwoLayerStepHead{.inner = inner, .bias = bias};
      head_.score = "softmax";
      if (config_.is_named("ProcessReward")) {  // as published: a tag behind each paragraph
        head_.step_separator = "<extra_0>";
        head_.step_split = "\n\n";
      }
    } else {
      misfit(outputs);
    }
    name("score.0", up, bias);
    name("score.2", down, bias);
    set_labels(outputs);
  }

  void gated() {
    head_.layout = "gated_regression";
    if (!is("gated_regression", true)) misfit(1);
    head_.settings = gated_head(tensors_, config_.hidden_width(), config_.value_or<Index>("num_quantiles", 1),
                                config_.value_or<double>("gating_temperature", 10.0), head_.computed);
    head_.score = "gated";
  }

  void binned() {
    head_.layout = "binned_regression";
    if (!is("gated_regression", true)) misfit(1);
    head_.settings =
        binned_head(tensors_, config_.hidden_width(), config_.value_or<double>("temperature", 1.0),
                    config_.value_or<bool>("softmax", false), head_.names);
    head_.score = "gated";
  }

  /// Rows of the language model's own head, which a user names.
  std::optional<PublishedHead> logits() {
    head_.layout = "logits";
    const bool steps = request_.name == "token_logits";
    const Index given = request_.tokens.size();
    if (steps ? given != 2 : (given == 0 || given > 2)) {
      throw ConfigError(concat(where_, ": --head ", request_.name, " has ", given, " tokens, expected ",
                               steps ? "2, bad and good" : "1, or 2, bad and good"));
    }
    if (const Index vocabulary = config_.value_or<Index>("vocab_size", 0); vocabulary != 0) {
      for (const Token token : request_.tokens) {
        if (token < vocabulary) continue;
        throw ConfigError(concat(where_, ": --head ", request_.name, " names token ", token,
                                 ", expected one below ", vocabulary, ", the model's vocabulary"));
      }
    }
    if (steps) {
      head_.settings = TokenLogitHead<ScoreMeaning::per_step, 2>{{request_.tokens[0], request_.tokens[1]}};
      head_.labels = {"bad", "good"};
      head_.score = "softmax";
    } else {
      head_.settings = AnswerLogitHead{request_.tokens};
      if (given == 2) head_.labels = {"bad", "good"};
      head_.score = given == 2 ? "log_odds" : "raw";
    }
    if (request_.reading) head_.reading = *request_.reading;
    return std::move(head_);
  }

  /// Where the class of the architecture reads.
  void set_reading(const std::string& stem) {
    using Kind = ReadingRule::Kind;
    const std::optional<Token> pad = config_.token("pad_token_id");
    ReadingRule& rule = head_.reading;
    const bool completions = std::visit(
        [](const auto& one) { return one.meaning == ScoreMeaning::per_completion; }, head_.settings);
    const bool gate = head_.layout == "gated_regression";
    const bool binned = head_.layout == "binned_regression";  // whose class reads so whatever it is called
    if (binned) {
      if (pad) rule = {Kind::before_first_pad, {*pad}};
    } else if (config_.architecture.starts_with("InternLM2")) {
      if (const auto token = config_.token("reward_token_id")) rule = {Kind::appended, {*token}};
    } else if (config_.is_encoder()) {  // reads its first token, or all of them
    } else if (config_.is_stock("ForSequenceClassification")) {
      if (pad) rule = {Kind::last_not_pad, {*pad}};
    } else if (gate || config_.architecture.starts_with("INFORM") || config_.is_named("ForRewardModel") ||
               stem == "v_head") {  // v_head alone: Starling
      if (pad) rule = {Kind::before_first_pad, {*pad}};
    }
    if (!completions) rule = {};
    // Of Llama 3's template: the end of the turn before, and the header of the assistant's.
    if (gate) rule.gate = {128009, 128006, 78191, 128007, 271};
    if (config_.is_named("Prm") && head_.step_separator.empty()) head_.step_separator = "\n";
    head_.steps_as_trl = !completions && config_.is_stock("ForTokenClassification");
    if (request_.reading) rule = *request_.reading;
    head_.note = note_about(rule, config_.eos()).value_or("");
  }

  HeadConfig config_;
  HeadTensors tensors_;
  const HeadRequest& request_;
  const std::string& where_;
  PublishedHead head_;
};

}  // namespace detail

MERIT_INLINE std::optional<PublishedHead> recognise_head(const Json& config,
                                                         std::span<const PublishedTensor> tensors,
                                                         const std::string& where,
                                                         const HeadRequest& request) {
  return detail::HeadFinder(config, tensors, where, request).find();
}

}  // namespace MERIT_ABI
}  // namespace merit
