// The compiled set (model/policy_set.hpp) at run time: heads and losses by their names.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

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

bool is_features(const BackboneConfig& backbone);
std::string_view name_of_backbone(const BackboneConfig& backbone);

/// "scalar", "token", …; "verifier" for the joint head.
std::string name_of(const AnyHead& head);

/// "pairwise", …; "joint" for the verifier's.
std::string name_of(const AnyLoss& loss);

ScoreMeaning meaning_of(const AnyHead& head);

/// Throws ConfigError where a backbone cannot carry a head: vectors have no tokens to score, and a bag of
/// tokens no unembedding.
void check_carried(const BackboneConfig& backbone, const AnyHead& head);

/// Whether a loss learns from pairs of completions, which may have margins.
template <class Loss>
constexpr bool reads_pairs(const Loss&) {
  return std::is_same_v<typename Loss::Targets, PairTargets>;
}
bool reads_pairs(const AnyLoss& loss);

/// Whether a loss reads differences of scores alone, so that a constant in them changes nothing.
inline bool compares(const AnyLoss& loss) {
  return reads_pairs(loss) || std::holds_alternative<PlackettLuceLoss>(loss);
}

/// What each score of a row of the head stands for, in the words of our cards; empty: it is a reward.
std::vector<std::string> labels_of(const AnyHead& head);

/// A head by its name, with its defaults; nothing for a name that no head has.
std::optional<AnyHead> head_named(const std::string& name);

/// The loss of that name that fits the head; nothing when none does.
std::optional<AnyLoss> loss_named(const std::string& name, const AnyHead& head);

/// The first loss of the set that is compiled with the head: for a model that learns nothing.
AnyLoss some_loss(const AnyHead& head);

/// The head that a model card describes. Throws DataError that lists the known ones.
AnyHead head_from(const Json& card_head, const std::string& where);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/model_set_body.hpp"
#endif
