// Every named reward model on small examples: finite losses, and gradients as differences say.
#include <doctest/doctest.h>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/batch/batch.hpp"
#include "merit/model/aliases.hpp"
#include "merit/testing/gradcheck.hpp"
#include "small_examples.hpp"

namespace compositions_test {

using namespace merit;
using namespace merit_test;
using B = ReferenceBackend<double>;

/// Builds one batch and checks every parameter's gradient by a few of its numbers.
template <class Model, class Example>
void check_model(const std::vector<Example>& examples, const typename Model::Config& config) {
  INFO(std::string(Model::BackboneType::name()), " ", std::string(Model::HeadType::name()), " ",
       std::string(Model::LossType::name()));
  Model model(config);
  Rng rng(17);
  for (double& value : model.parameters().values()) value += 0.05 * rng.normal();
  BatchBuilder<Model> builder(model);
  for (const Example& example : examples) builder.add(example);
  builder.finish();
  const double loss = model.loss_value(builder.forest(), builder.targets());
  CHECK(loss > 0);
  CHECK(std::isfinite(loss));
  const GradientReport report =
      check_gradients(model, builder.forest(), builder.targets(), {.samples = 5, .seed = 1});
  INFO(report);
  CHECK(report.error < 1e-6);
  // The reward's own parameters learn.
  const auto& parameters = model.parameters();
  double size = 0;
  for (const double g : parameters.gradients()) size += std::abs(g);
  CHECK(size > 0);
}

/// The alias on each backbone that it allows.
template <template <class, class> class Alias, class Example>
void check_alias(const std::vector<Example>& examples, const auto& head, const auto& loss) {
  check_model<Alias<Llama, B>>(examples, {.backbone = tiny_reward_llama(), .head = head, .loss = loss});
  check_model<Alias<Gpt2, B>>(examples, {.backbone = tiny_reward_gpt2(), .head = head, .loss = loss});
  if constexpr (!reads_unembedding<std::remove_cvref_t<decltype(head)>>) {
    check_model<Alias<BagOfTokens, B>>(examples, {.backbone = tiny_bag(), .head = head, .loss = loss});
  }
}

TEST_CASE("models of pairs, rankings and ratings have the gradients of their losses") {
  check_alias<BradleyTerryModel>(random_preferences(4), ScalarHead{}, PairwiseLoss{});
  check_alias<BradleyTerryModel>(random_rankings(2), ScalarHead{.bias = true},
                                 PairwiseLoss{.label_smoothing = 0.1, .centering = 0.05});
  check_alias<PlackettLuceModel>(random_rankings(3), ScalarHead{}, PlackettLuceLoss{});
  check_alias<PlackettLuceModel>(random_rankings(3), ScalarHead{},
                                 PlackettLuceLoss{.top = 2, .ties = Ties::breslow});
  check_alias<RatingModel>(random_rankings(2), ScalarHead{.bias = true},
                           RegressionLoss<ScoreMeaning::per_completion>{});
  check_alias<AttributeModel>(random_rankings(2, 3), AttributeHead{.merge_weights = {1, 0.5, -1}},
                              RegressionLoss<ScoreMeaning::per_completion>{});
}

TEST_CASE("models of outcomes, steps and values have the gradients of their losses") {
  const BinaryCrossEntropyLoss<ScoreMeaning::per_token> tokens{
      .denominator = Denominator::per_sequence, .positive_weight = 1.5, .focal = 1};
  check_alias<OutcomeRewardModel>(random_outcomes(4), TokenHead{}, tokens);
  check_alias<ProcessRewardModel>(random_steps(4), StepHead<3>{},
                                  CrossEntropyLoss{.class_weights = {2, 1, 0.5}, .label_smoothing = 0.1});
  check_alias<BinaryProcessRewardModel>(random_steps(4), StepHead<1>{},
                                        BinaryCrossEntropyLoss<ScoreMeaning::per_step>{});
  check_alias<TokenProcessRewardModel>(random_steps(4), TokenLogitHead<ScoreMeaning::per_step, 2>{{1, 2}},
                                       CrossEntropyLoss{});
  check_alias<ValueModel>(random_rollouts(4), ValueHead{}, ValueLoss{.clip = 0.5});
}

TEST_CASE("a verifier learns to judge and to write at once") {
  using Loss = JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_token>, LanguageModelLoss>;
  check_alias<VerifierModel>(random_outcomes(3),
                             JointHead<LmGainBiasHead, LanguageModelHead>{.first = {.token = 10}},
                             Loss{.second_weight = 0.3});
}

TEST_CASE("two heads and two losses, one head and two losses") {
  {
    using Model = RewardModel<Llama, JointHead<ScalarHead, LanguageModelHead>,
                              JointLoss<PairwiseLoss, LanguageModelLoss>, B>;
    check_model<Model>(random_preferences(3), {.backbone = tiny_reward_llama()});
    check_model<Model>(random_rankings(2), {.backbone = tiny_reward_llama()});
  }
  {
    using Model = RewardModel<Gpt2, JointHead<StepHead<2>, LanguageModelHead>,
                              JointLoss<CrossEntropyLoss, LanguageModelLoss>, B>;
    check_model<Model>(random_steps(3), {.backbone = tiny_reward_gpt2()});
  }
  {  // several classes on both sides: each set of targets knows its own number
    using Model = RewardModel<Llama, JointHead<TokenLogitHead<ScoreMeaning::per_step, 2>, StepHead<3>>,
                              JointLoss<CrossEntropyLoss, CrossEntropyLoss>, B>;
    check_model<Model>(random_steps(3), {.backbone = tiny_reward_llama(), .head = {.first = {{1, 2}}}});
  }
  {
    using Model = RewardModel<BagOfTokens, ScalarHead,
                              JointLoss<PlackettLuceLoss, RegressionLoss<ScoreMeaning::per_completion>>, B>;
    check_model<Model>(random_rankings(3), {.backbone = tiny_bag(), .loss = {.second_weight = 0.25}});
  }
}

TEST_CASE("other pairs of heads and losses that fit learn, too") {
  {
    using Model = RewardModel<Llama, TwoLayerHead, PairwiseLoss, B>;
    for (const ActivationFunction activation :
         {ActivationFunction::relu, ActivationFunction::gelu, ActivationFunction::gelu_tanh}) {
      check_model<Model>(random_preferences(3),
                         {.backbone = tiny_reward_llama(), .head = {.inner = 6, .activation = activation}});
    }
  }
  {
    using Model = RewardModel<Gpt2, StepHead<2>, CrossEntropyLoss, B>;
    check_model<Model>(random_steps(3), {.backbone = tiny_reward_gpt2()});
  }
  {
    using Model = RewardModel<Llama, TokenLogitHead<ScoreMeaning::per_token, 1>,
                              BinaryCrossEntropyLoss<ScoreMeaning::per_token>, B>;
    check_model<Model>(random_outcomes(3), {.backbone = tiny_reward_llama(), .head = {{4}}});
  }
  {  // an answer judged as a whole
    using Model =
        RewardModel<BagOfTokens, ScalarHead, BinaryCrossEntropyLoss<ScoreMeaning::per_completion>, B>;
    check_model<Model>(random_outcomes(4), {.backbone = tiny_bag()});
  }
  {
    using Model = RewardModel<Llama, ValueHead, RegressionLoss<ScoreMeaning::per_state>, B>;
    check_model<Model>(random_rollouts(3), {.backbone = tiny_reward_llama()});
  }
  {
    using Model = RewardModel<Llama, LanguageModelHead, LanguageModelLoss, B>;
    check_model<Model>(random_outcomes(2), {.backbone = tiny_reward_llama()});
  }
}

}  // namespace compositions_test
