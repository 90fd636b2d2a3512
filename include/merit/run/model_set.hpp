// The compiled set: the heads and losses that a model may be made of at run time, by their names.
#pragma once

#include <cstddef>
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
#include "merit/head/gated_regression_head.hpp"
#include "merit/io/json.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/fit.hpp"
#include "merit/model/policy_json.hpp"

namespace merit::inline MERIT_ABI {

/// Cobbe et al.'s verifier: one token's logit, beside the language model.
using VerifierHead = JointHead<LmGainBiasHead, LanguageModelHead>;
using VerifierLoss = JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_token>, LanguageModelLoss>;

using AnyHead = std::variant<ScalarHead, TwoLayerHead, AttributeHead, GatedRegressionHead, AnswerLogitHead,
                             TwoLayerStepHead, TokenHead, VerifierHead, StepHead<3>, StepHead<2>, StepHead<1>,
                             TokenLogitHead<ScoreMeaning::per_step, 2>, ValueHead>;
using AnyLoss = std::variant<PairwiseLoss, PlackettLuceLoss, RegressionLoss<ScoreMeaning::per_completion>,
                             BinaryCrossEntropyLoss<ScoreMeaning::per_completion>,
                             BinaryCrossEntropyLoss<ScoreMeaning::per_token>, VerifierLoss,
                             BinaryCrossEntropyLoss<ScoreMeaning::per_step>, CrossEntropyLoss, ValueLoss>;

/// Whether a head and a loss are compiled: what fits, but of the losses on two layers the pairwise one alone.
template <class Head, class Loss>
inline constexpr bool is_compiled = fit<Head, Loss> == Fit::yes && (!std::is_same_v<Head, TwoLayerHead> ||
                                                                    std::is_same_v<Loss, PairwiseLoss>);

/// Whether a backbone can carry a head: vectors have no tokens to score, and a bag of tokens no unembedding.
template <class Backbone, class Head>
inline constexpr bool carries = std::is_same_v<Backbone, Llama> || std::is_same_v<Backbone, Gpt2> ||
                                (!reads_unembedding<Head> && (!std::is_same_v<Backbone, Features> ||
                                                              Head::meaning == ScoreMeaning::per_completion));

namespace detail {

/// Calls f(T{}) for every type of a variant.
template <class Variant, class F, std::size_t... I>
void for_each_type(const F& f, std::index_sequence<I...>) {
  (f(std::variant_alternative_t<I, Variant>{}), ...);
}
template <class Variant, class F>
void for_each_type(const F& f) {
  for_each_type<Variant>(f, std::make_index_sequence<std::variant_size_v<Variant>>());
}

template <class Head>
std::string any_head_name() {
  return is_joint_head<Head> ? "verifier" : std::string(Head::name());
}

}  // namespace detail

/// "scalar", "token", …; "verifier" for the joint head.
inline std::string name_of(const AnyHead& head) {
  return std::visit([]<class Head>(const Head&) { return detail::any_head_name<Head>(); }, head);
}

/// "pairwise", …; "joint" for the verifier's.
inline std::string name_of(const AnyLoss& loss) {
  return std::visit([](const auto& one) { return std::string(one.name()); }, loss);
}

inline ScoreMeaning meaning_of(const AnyHead& head) {
  return std::visit([](const auto& one) { return one.meaning; }, head);
}

/// A head by its name, with its defaults; nothing for a name that no head has.
inline std::optional<AnyHead> head_named(const std::string& name) {
  std::optional<AnyHead> found;
  detail::for_each_type<AnyHead>([&]<class Head>(const Head& head) {
    if (!found && detail::any_head_name<Head>() == name) found = head;
  });
  return found;
}

/// The loss of that name that fits the head; nothing when none does.
inline std::optional<AnyLoss> loss_named(const std::string& name, const AnyHead& head) {
  std::optional<AnyLoss> found;
  std::visit(
      [&]<class Head>(const Head&) {
        detail::for_each_type<AnyLoss>([&]<class Loss>(const Loss& loss) {
          if constexpr (is_compiled<Head, Loss>) {
            if (Loss::name() == name) found = loss;
          }
        });
      },
      head);
  return found;
}

/// The head that a model card describes. Throws DataError that lists the known ones.
inline AnyHead head_from(const Json& card_head, const std::string& where) {
  const auto name = require<std::string>(card_head, "name", where);
  std::optional<AnyHead> head = head_named(name == VerifierHead::name() ? "verifier" : name);
  if (!head) {
    std::string names;
    detail::for_each_type<AnyHead>(
        [&]<class Head>(const Head&) { names += (names.empty() ? "" : ", ") + std::string(Head::name()); });
    throw DataError(where + ": the head is " + detail::quote(name) + ", expected one of: " + names);
  }
  std::visit([&](auto& one) { read_settings(card_head, where, one); }, *head);
  return *std::move(head);
}

}  // namespace merit::inline MERIT_ABI
