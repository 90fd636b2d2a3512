// The bodies of model_set.hpp.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "merit/backbone/features.hpp"
#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/io/json.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/run/model_set.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE bool is_features(const BackboneConfig& backbone) {
  return std::holds_alternative<Features>(backbone);
}

MERIT_INLINE std::string_view name_of_backbone(const BackboneConfig& backbone) {
  return std::visit([](const auto& one) { return std::string_view(one.name()); }, backbone);
}

MERIT_INLINE std::string name_of(const AnyHead& head) {
  return std::visit([]<class Head>(const Head&) { return std::string(name_in_set<Head>()); }, head);
}

MERIT_INLINE std::string name_of(const AnyLoss& loss) {
  return std::visit([](const auto& one) { return std::string(one.name()); }, loss);
}

MERIT_INLINE ScoreMeaning meaning_of(const AnyHead& head) {
  return std::visit([](const auto& one) { return one.meaning; }, head);
}

/// An encoder has no logits, and one row for a sequence, or one for each of its tokens.
inline void check_encoder(Pooling pooling, const AnyHead& head) {
  const bool logits = std::visit([]<class Head>(const Head&) { return reads_unembedding<Head>; }, head);
  if (!logits && (pooling == Pooling::token || meaning_of(head) == ScoreMeaning::per_completion)) return;
  throw ConfigError(
      concat("an encoder cannot carry the head ", name_of(head),
             logits ? ": that reads the logits of a language model; use llama, gpt2 or gpt_neox"
                    : ": it has one row for a whole sequence; use scalar, two_layer or attributes"));
}

MERIT_INLINE void check_carried(const BackboneConfig& backbone, const AnyHead& head) {
  if (std::holds_alternative<Llama>(backbone) || std::holds_alternative<Gpt2>(backbone) ||
      std::holds_alternative<GptNeox>(backbone))
    return;
  if (const auto* bert = std::get_if<Bert>(&backbone)) return check_encoder(bert->pooling, head);
  if (const auto* deberta = std::get_if<Deberta>(&backbone)) return check_encoder(deberta->pooling, head);
  if (const auto* bert = std::get_if<ModernBert>(&backbone)) return check_encoder(bert->pooling, head);
  const bool logits = std::visit([]<class Head>(const Head&) { return reads_unembedding<Head>; }, head);
  const bool vectors = is_features(backbone);
  if (!logits && (!vectors || meaning_of(head) == ScoreMeaning::per_completion)) return;
  throw ConfigError(
      concat("the backbone ", name_of_backbone(backbone), " cannot carry the head ", name_of(head),
             vectors ? ": it reads one vector a completion; use scalar, two_layer or attributes"
                     : ": that reads the logits of a language model; use llama, gpt2 or gpt_neox"));
}

MERIT_INLINE bool reads_pairs(const AnyLoss& loss) {
  return std::visit([](const auto& one) { return reads_pairs(one); }, loss);
}

MERIT_INLINE std::optional<AnyHead> head_named(const std::string& name) {
  std::optional<AnyHead> found;
  for_each_type<AnyHead>([&]<class Head>(const Head& head) {
    if (!found && name_in_set<Head>() == name) found = head;
  });
  return found;
}

MERIT_INLINE std::vector<std::string> labels_of(const AnyHead& any_head) {
  return std::visit(
      []<class Head>(const Head&) -> std::vector<std::string> {
        constexpr Index scores = head_width<Head>;
        switch (Head::meaning) {
          case ScoreMeaning::per_token: return {"right"};
          case ScoreMeaning::per_state: return {"return"};
          default: break;
        }
        if (scores == 3) return {"bad", "neutral", "good"};
        if (scores == 2) return {"bad", "good"};
        if (Head::meaning == ScoreMeaning::per_step) return {"good"};
        return {};
      },
      any_head);
}

MERIT_INLINE std::optional<AnyLoss> loss_named(const std::string& name, const AnyHead& head) {
  std::optional<AnyLoss> found;
  std::visit(
      [&]<class Head>(const Head&) {
        for_each_type<AnyLoss>([&]<class Loss>(const Loss& loss) {
          if constexpr (is_compiled<Head, Loss>) {
            if (Loss::name() == name) found = loss;
          }
        });
      },
      head);
  return found;
}

MERIT_INLINE AnyLoss some_loss(const AnyHead& head) {
  std::optional<AnyLoss> found;
  std::visit(
      [&]<class Head>(const Head&) {
        for_each_type<AnyLoss>([&]<class Loss>(const Loss& loss) {
          if (is_compiled<Head, Loss> && !found) found = loss;
        });
      },
      head);
  return found.value();
}

MERIT_INLINE AnyHead head_from(const Json& card_head, const std::string& where) {
  const auto name = require<std::string>(card_head, "name", where);
  std::optional<AnyHead> head = head_named(name == VerifierHead::name() ? "verifier" : name);
  if (!head) {
    std::string names;
    for_each_type<AnyHead>(
        [&]<class Head>(const Head&) { names += (names.empty() ? "" : ", ") + std::string(Head::name()); });
    throw DataError(where + ": the head is " + detail::quote(name) + ", expected one of: " + names);
  }
  std::visit([&](auto& one) { read_settings(card_head, where, one); }, *head);
  return *std::move(head);
}

}  // namespace MERIT_ABI
}  // namespace merit
