// The policies that are template arguments, and RewardModel, declared. Default template arguments live here
// and nowhere else.
#pragma once

#include "merit/core/score_meaning.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

// backend/
template <class T = double>
struct ReferenceBackend;
template <class T = float>
struct EigenBackend;
template <class Precision, class System>
struct ThrustBackend;

// backbone/
struct Llama;
struct Gpt2;
struct BagOfTokens;
struct Features;

// head/
template <ScoreMeaning Meaning, Index Outputs>
struct LinearHead;
template <ScoreMeaning Meaning, Index Outputs>
struct TwoLayers;
struct AttributeHead;
struct GatedRegressionHead;
template <ScoreMeaning Meaning = ScoreMeaning::per_step, Index Count = 2>
struct TokenLogitHead;
struct LmGainBiasHead;
struct LanguageModelHead;
template <class First, class Second>
struct JointHead;

using ScalarHead = LinearHead<ScoreMeaning::per_completion, 1>;
using CompletionClassHead = LinearHead<ScoreMeaning::per_completion, 2>;
using TokenHead = LinearHead<ScoreMeaning::per_token, 1>;
template <Index Classes = 3>
using StepHead = LinearHead<ScoreMeaning::per_step, Classes>;
using ValueHead = LinearHead<ScoreMeaning::per_state, 1>;
using TwoLayerHead = TwoLayers<ScoreMeaning::per_completion, 1>;
using TwoLayerStepHead = TwoLayers<ScoreMeaning::per_step, 2>;
using AnswerLogitHead = TokenLogitHead<ScoreMeaning::per_completion, 0>;
using TernaryStepHead = StepHead<3>;
using BinaryStepHead = StepHead<2>;
using LogitStepHead = StepHead<1>;

// loss/
struct PairwiseLoss;
struct HingeLoss;
struct PlackettLuceLoss;
template <ScoreMeaning Meaning = ScoreMeaning::per_token>
struct BinaryCrossEntropyLoss;
template <ScoreMeaning Meaning>
struct CategoricalCrossEntropyLoss;
template <ScoreMeaning Meaning = ScoreMeaning::per_completion>
struct RegressionLoss;
struct ValueLoss;
struct LanguageModelLoss;
template <class First, class Second>
struct JointLoss;
struct BinaryTargets;
template <class Self>
struct PairLoss;
template <class Self, ScoreMeaning Meaning = ScoreMeaning::per_token, class RowTargets = BinaryTargets>
struct RowLoss;
template <class Self>
struct GroupLoss;

using CrossEntropyLoss = CategoricalCrossEntropyLoss<ScoreMeaning::per_step>;
using CompletionCrossEntropyLoss = CategoricalCrossEntropyLoss<ScoreMeaning::per_completion>;

// model/
template <class Backbone = Llama, class Head = ScalarHead, class Loss = PairwiseLoss,
          class Backend = EigenBackend<float>>
class RewardModel;

}  // namespace MERIT_ABI
}  // namespace merit
