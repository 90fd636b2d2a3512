// The compiled set (model/policy_set.hpp) at run time: heads and losses by their names.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
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

namespace merit {
inline namespace MERIT_ABI {

inline bool is_features(const BackboneConfig& backbone) {
  return std::holds_alternative<Features>(backbone);
}
inline std::string_view name_of_backbone(const BackboneConfig& backbone) {
  return std::visit([](const auto& one) { return std::string_view(one.name()); }, backbone);
}

/// "scalar", "token", …; "verifier" for the joint head.
inline std::string name_of(const AnyHead& head) {
  return std::visit([]<class Head>(const Head&) { return std::string(name_in_set<Head>()); }, head);
}

/// "pairwise", …; "joint" for the verifier's.
inline std::string name_of(const AnyLoss& loss) {
  return std::visit([](const auto& one) { return std::string(one.name()); }, loss);
}

inline ScoreMeaning meaning_of(const AnyHead& head) {
  return std::visit([](const auto& one) { return one.meaning; }, head);
}

/// Throws ConfigError where a backbone cannot carry a head: vectors have no tokens to score, and a bag of
/// tokens no unembedding.
inline void check_carried(const BackboneConfig& backbone, const AnyHead& head) {
  if (std::holds_alternative<Llama>(backbone) || std::holds_alternative<Gpt2>(backbone)) return;
  const bool logits = std::visit([]<class Head>(const Head&) { return reads_unembedding<Head>; }, head);
  const bool vectors = is_features(backbone);
  if (!logits && (!vectors || meaning_of(head) == ScoreMeaning::per_completion)) return;
  throw ConfigError(concat("the backbone ", name_of_backbone(backbone), " cannot carry the head ",
                           name_of(head),
                           vectors ? ": it reads one vector a completion; use scalar, two_layer or attributes"
                                   : ": that reads the logits of a language model; use llama or gpt2"));
}

/// Whether a loss learns from pairs of completions, which may have margins.
template <class Loss>
constexpr bool reads_pairs(const Loss&) {
  return std::is_same_v<typename Loss::Targets, PairTargets>;
}
inline bool reads_pairs(const AnyLoss& loss) {
  return std::visit([](const auto& one) { return reads_pairs(one); }, loss);
}

/// Whether a loss reads differences of scores alone, so that a constant in them changes nothing.
inline bool compares(const AnyLoss& loss) {
  return reads_pairs(loss) || std::holds_alternative<PlackettLuceLoss>(loss);
}

/// A head by its name, with its defaults; nothing for a name that no head has.
inline std::optional<AnyHead> head_named(const std::string& name) {
  std::optional<AnyHead> found;
  for_each_type<AnyHead>([&]<class Head>(const Head& head) {
    if (!found && name_in_set<Head>() == name) found = head;
  });
  return found;
}

/// The loss of that name that fits the head; nothing when none does.
inline std::optional<AnyLoss> loss_named(const std::string& name, const AnyHead& head) {
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

/// The first loss of the set that is compiled with the head: for a model that learns nothing.
inline AnyLoss some_loss(const AnyHead& head) {
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

/// The head that a model card describes. Throws DataError that lists the known ones.
inline AnyHead head_from(const Json& card_head, const std::string& where) {
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
