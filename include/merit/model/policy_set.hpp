// The compiled set: the heads and losses that a model may be made of at run time, which of them go together,
// and what each pair learns from. Programs, cards and published checkpoints know no others.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "merit/forest/record_kind.hpp"
#include "merit/fwd.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/head/lm_gain_bias_head.hpp"
#include "merit/head/token_logit_head.hpp"
#include "merit/head/two_layer_head.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/hinge_loss.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"
#include "merit/model/fit.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Cobbe et al.'s verifier: one token's logit, beside the language model.
using VerifierHead = JointHead<LmGainBiasHead, LanguageModelHead>;
using VerifierLoss = JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_token>, LanguageModelLoss>;

using AnyHead =
    std::variant<ScalarHead, CompletionClassHead, TwoLayerHead, AttributeHead, GatedRegressionHead,
                 AnswerLogitHead, TwoLayerStepHead, TokenHead, VerifierHead, StepHead<3>, StepHead<2>,
                 StepHead<1>, TokenLogitHead<ScoreMeaning::per_step, 2>, ValueHead>;
using AnyLoss =
    std::variant<PairwiseLoss, HingeLoss, PlackettLuceLoss, RegressionLoss<ScoreMeaning::per_completion>,
                 BinaryCrossEntropyLoss<ScoreMeaning::per_completion>,
                 BinaryCrossEntropyLoss<ScoreMeaning::per_token>, VerifierLoss,
                 BinaryCrossEntropyLoss<ScoreMeaning::per_step>, CrossEntropyLoss, CompletionCrossEntropyLoss,
                 ValueLoss>;

/// Some kinds of records.
class RecordKinds {
 public:
  template <class... Kinds>
  constexpr RecordKinds(Kinds... kinds) : bits_((0u | ... | bit(kinds))) {}
  constexpr bool any() const { return bits_ != 0; }
  constexpr bool has(RecordKind kind) const { return (bits_ & bit(kind)) != 0; }

 private:
  static constexpr unsigned bit(RecordKind kind) { return 1u << static_cast<unsigned>(kind); }
  unsigned bits_;
};

/// A head and a loss that are compiled together, by their names.
struct PolicyPair {
  std::string_view head;
  std::string_view loss;
  RecordKinds usual = {};  // kinds of records for which this is the usual pair
  RecordKinds also = {};   // kinds from which it learns, too

  /// Whether it learns from any; else the head is scored with alone.
  constexpr bool is_trained() const { return usual.any() || also.any(); }
};

/// Of what fits, in the order of preference where a head or a loss is asked for alone.
inline constexpr PolicyPair policy_pairs[] = {
    {.head = "scalar",
     .loss = "pairwise",
     .usual = {RecordKind::preference, RecordKind::judge},
     .also = {RecordKind::ranking, RecordKind::ratings}},
    {.head = "two_layer",
     .loss = "pairwise",
     .also = {RecordKind::preference, RecordKind::judge, RecordKind::ranking, RecordKind::ratings}},
    {.head = "scalar",
     .loss = "plackett_luce",
     .usual = {RecordKind::ranking},
     .also = {RecordKind::preference, RecordKind::ratings}},
    {.head = "token", .loss = "binary_cross_entropy", .usual = {RecordKind::outcome}},
    {.head = "verifier", .loss = "joint", .also = {RecordKind::outcome}},
    {.head = "scalar", .loss = "binary_cross_entropy", .also = {RecordKind::outcome}},
    {.head = "scalar", .loss = "regression", .usual = {RecordKind::ratings}, .also = {RecordKind::outcome}},
    {.head = "scalar",
     .loss = "hinge",
     .also = {RecordKind::preference, RecordKind::judge, RecordKind::ranking, RecordKind::ratings}},
    {.head = "completion_binary", .loss = "cross_entropy", .also = {RecordKind::outcome}},
    {.head = "attributes", .loss = "regression", .also = {RecordKind::ratings}},
    {.head = "step_logit", .loss = "binary_cross_entropy", .usual = {RecordKind::steps}},
    {.head = "step_ternary", .loss = "cross_entropy", .also = {RecordKind::steps}},
    {.head = "step_binary", .loss = "cross_entropy", .also = {RecordKind::steps}},
    {.head = "token_logits", .loss = "cross_entropy", .also = {RecordKind::steps}},
    {.head = "value", .loss = "value", .usual = {RecordKind::rollout}},
    {.head = "step_two_layer", .loss = "cross_entropy"},
    {.head = "gated_regression", .loss = "regression"},
    {.head = "answer_logits", .loss = "regression"},
};

/// Calls f(pair) for the pairs that learn from a kind of records, the usual one first.
template <class F>
void for_each_pair(RecordKind kind, const F& f) {
  for (const PolicyPair& pair : policy_pairs) {
    if (pair.usual.has(kind)) f(pair);
  }
  for (const PolicyPair& pair : policy_pairs) {
    if (pair.also.has(kind)) f(pair);
  }
}

/// The name of a head in the set: "scalar", "token", …; "verifier" for the joint head.
template <class Head>
constexpr std::string_view name_in_set() {
  return is_joint_head<Head> ? "verifier" : std::string_view(Head::name());
}

/// Whether a head and a loss are compiled together.
template <class Head, class Loss>
inline constexpr bool is_compiled = [] {
  bool listed = false;
  for (const PolicyPair& pair : policy_pairs) {
    listed = listed || (pair.head == name_in_set<Head>() && pair.loss == Loss::name());
  }
  return listed && fit<Head, Loss> == Fit::yes;
}();

/// Calls f(T{}) for every type of a variant.
template <class Variant, class F>
void for_each_type(const F& f) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (f(std::variant_alternative_t<I, Variant>{}), ...);
  }
  (std::make_index_sequence<std::variant_size_v<Variant>>());
}

}  // namespace MERIT_ABI
}  // namespace merit
