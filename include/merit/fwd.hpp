// Every public name of merit, declared. Default template arguments live here and nowhere else.
#pragma once

#include "merit/core/score_meaning.hpp"
#include "merit/core/version.hpp"

namespace merit::inline MERIT_ABI {

// backend/
template <class T = double>
struct ReferenceBackend;
template <class T = float>
struct EigenBackend;

// backbone/
struct Llama;
struct Gpt2;
struct BagOfTokens;
struct Features;

// head/
struct ScalarHead;

// loss/
struct PairwiseLoss;
struct PlackettLuceLoss;
template <ScoreMeaning Meaning = ScoreMeaning::per_token>
struct BinaryCrossEntropyLoss;
struct CrossEntropyLoss;
template <ScoreMeaning Meaning = ScoreMeaning::per_completion>
struct RegressionLoss;
struct ValueLoss;

// model/
template <class Backbone = Llama, class Head = ScalarHead, class Loss = PairwiseLoss,
          class Backend = EigenBackend<float>>
class RewardModel;

}  // namespace merit::inline MERIT_ABI
