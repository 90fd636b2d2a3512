// The usual reward models by their names in papers.
#pragma once

#include "merit/backbone/llama.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/head/lm_gain_bias_head.hpp"
#include "merit/head/token_logit_head.hpp"
#include "merit/head/two_layer_head.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One score an answer, learned from pairs (Bradley & Terry 1952; Ouyang et al. 2022).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using BradleyTerryModel = RewardModel<Backbone, ScalarHead, PairwiseLoss, Backend>;

/// One score an answer, learned from rankings of several (Plackett 1975).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using PlackettLuceModel = RewardModel<Backbone, ScalarHead, PlackettLuceLoss, Backend>;

/// One score an answer, learned from ratings of it.
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using RatingModel = RewardModel<Backbone, ScalarHead, RegressionLoss<ScoreMeaning::per_completion>, Backend>;

/// A rating for each attribute of an answer, merged by weights (Wang et al. 2024, HelpSteer2).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using AttributeModel =
    RewardModel<Backbone, AttributeHead, RegressionLoss<ScoreMeaning::per_completion>, Backend>;

/// At each token, the logit that the answer will be right, learned from right and wrong answers (Lightman et
/// al. 2023).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using OutcomeRewardModel =
    RewardModel<Backbone, TokenHead, BinaryCrossEntropyLoss<ScoreMeaning::per_token>, Backend>;

/// The same from one token's logit of the language model, which is trained along (Cobbe et al. 2021).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using VerifierModel =
    RewardModel<Backbone, JointHead<LmGainBiasHead, LanguageModelHead>,
                JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_token>, LanguageModelLoss>, Backend>;

/// Bad, neutral or good at each reasoning step (Lightman et al. 2023).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using ProcessRewardModel = RewardModel<Backbone, StepHead<3>, CrossEntropyLoss, Backend>;

/// At each reasoning step the logit that it is good.
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using BinaryProcessRewardModel =
    RewardModel<Backbone, StepHead<1>, BinaryCrossEntropyLoss<ScoreMeaning::per_step>, Backend>;

/// Bad or good at each reasoning step from the logits of two named tokens (Wang et al. 2024, Math-Shepherd).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using TokenProcessRewardModel =
    RewardModel<Backbone, TokenLogitHead<ScoreMeaning::per_step, 2>, CrossEntropyLoss, Backend>;

/// The return to expect from each state of an answer (Schulman et al. 2017).
template <class Backbone = Llama, class Backend = EigenBackend<float>>
using ValueModel = RewardModel<Backbone, ValueHead, ValueLoss, Backend>;

}  // namespace MERIT_ABI
}  // namespace merit
