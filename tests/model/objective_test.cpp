// Objectives: a language model's loss through its unembedding against the same loss of whole logits, and two
// losses of one model as the weighted sum of what each gives alone.
#include <doctest/doctest.h>

#include <numeric>
#include <type_traits>
#include <vector>

#include "../backend/backends.hpp"
#include "merit/batch/batch.hpp"
#include "merit/head/lm_gain_bias_head.hpp"
#include "merit/model/aliases.hpp"
#include "merit/nn/select_rows.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/testing/values.hpp"
#include "small_examples.hpp"

namespace objective_test {

using namespace merit;
using namespace merit_test;

/// Hidden rows and an unembedding that are parameters, so that both have gradients.
template <class B>
struct LanguageModel {
  using T = typename B::Stat;
  Index rows, width, vocabulary;
  typename B::Handle handle;
  Parameters<B> parameters{handle};
  Tape<B> tape{handle, parameters};
  std::uint32_t hidden, table;
  std::vector<std::uint32_t> counting;

  LanguageModel(Index r, Index d, Index v, double deviation, const B& settings = {}, bool train_table = true)
      : rows(r),
        width(d),
        vocabulary(v),
        handle(settings),
        hidden(parameters.declare({"hidden", {r, d}, Init::normal(1)})),
        table(parameters.declare({"table", {v, d}, Init::normal(deviation), true, false, train_table})),
        counting(r) {
    std::iota(counting.begin(), counting.end(), 0u);
    parameters.allocate(Rng(5));
  }

  struct Result {
    double loss;
    std::vector<T> hidden, table;  // gradients
    bool operator==(const Result&) const = default;
  };
  std::vector<T> gradient(std::uint32_t tensor) const {
    const T* begin = parameters.gradients().data + parameters.offset(tensor);
    return {begin, begin + parameters.element_count(tensor)};
  }

  double soft_cap = 0;  // of logits

  Result run(const NextTokenTargets& targets) {
    tape.reset();
    parameters.begin_gradients();
    const Var x = embedding(tape, VectorView<const std::uint32_t>(counting), parameters.slice(hidden));
    NextTokens<T> next;
    for (Index row = 0; row < rows; ++row) {
      bool any = false;
      for (const auto& target : targets.next) {
        if (target.row != row) continue;
        if (!any) {
          next.rows.push_back(target.row);
          next.begin.push_back(next.begin.back());
        }
        any = true;
        ++next.begin.back();
        next.tokens.push_back(target.token);
        next.weights.push_back(static_cast<T>(target.weight));
      }
    }
    const double loss = next_token_loss(tape, x, parameters.slice(table), next, true, soft_cap);
    tape.backward();
    parameters.end_gradients();
    return {loss, gradient(hidden), parameters.spec(table).trainable ? gradient(table) : std::vector<T>()};
  }

  /// The same by the logits of every row, in double.
  struct Dense {
    double loss;
    std::vector<double> hidden, table;
  };
  Dense dense(const NextTokenTargets& targets) const {
    const auto x = values_of(parameters, hidden), w = values_of(parameters, table);
    std::vector<double> logits(rows * vocabulary), gradient(rows * vocabulary);
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < vocabulary; ++j)
        for (Index k = 0; k < width; ++k)
          logits[i * vocabulary + j] +=
              static_cast<double>(x[i * width + k]) * static_cast<double>(w[j * width + k]);
    std::vector<double> slope(logits.size(), 1.0);
    for (Index i = 0; soft_cap != 0 && i < logits.size(); ++i) {
      const double t = std::tanh(logits[i] / soft_cap);
      logits[i] = soft_cap * t;
      slope[i] = 1 - t * t;
    }
    Dense result{0, std::vector<double>(rows * width), std::vector<double>(vocabulary * width)};
    result.loss = LanguageModelLoss{}.value_and_gradient(
        MatrixView<const double>{logits.data(), rows, vocabulary}, targets, 1.0,
        MatrixView<double>{gradient.data(), rows, vocabulary});
    for (Index i = 0; i < slope.size(); ++i) gradient[i] *= slope[i];
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < vocabulary; ++j)
        for (Index k = 0; k < width; ++k) {
          result.hidden[i * width + k] +=
              gradient[i * vocabulary + j] * static_cast<double>(w[j * width + k]);
          result.table[j * width + k] += gradient[i * vocabulary + j] * static_cast<double>(x[i * width + k]);
        }
    return result;
  }
};

/// Rows with none, one, several and repeated tokens, in no order, some of no weight.
NextTokenTargets some_targets(Rng& rng, Index rows, Index vocabulary) {
  NextTokenTargets targets;
  for (Index i = 0; i < 2 * rows; ++i) {
    const auto row = static_cast<std::uint32_t>(rng.below(rows));
    const auto token = static_cast<Token>(rng.below(vocabulary));
    targets.next.push_back({row, token, i % 7 == 0 ? 0.0 : 0.1 + rng.uniform()});
    if (i % 5 == 0) targets.next.push_back({row, token, 0.25});
  }
  return targets;
}

template <class T>
Numbers numbers(const std::vector<T>& values) {
  return Numbers(values.begin(), values.end());
}

TEST_CASE_TEMPLATE("the loss through the unembedding is that of whole logits", B, ReferenceBackend<float>,
                   ReferenceBackend<double>, EigenBackend<float>, EigenBackend<double>) {
  Rng rng(21);
  // The last is several chunks.
  const Index shapes[][3] = {{1, 3, 2}, {4, 5, 7}, {9, 8, 130}, {10, 8, 130}, {130, 3, 70'000}};
  for (const auto& shape : shapes) {
    for (const double deviation : {0.3, 4.0}) {  // and tokens that are nearly sure
      // The large one takes long.
      if (shape[2] > 1000 && (deviation > 1 || !std::is_same_v<typename B::Stat, float>)) continue;
      INFO("rows ", shape[0], " vocabulary ", shape[2], " deviation ", deviation);
      LanguageModel<B> model(shape[0], shape[1], shape[2], deviation);
      model.soft_cap = shape[0] % 2 == 0 ? 2 : 0;  // as Gemma 2's
      const NextTokenTargets targets = some_targets(rng, shape[0], shape[2]);
      const auto found = model.run(targets);
      const auto expected = model.dense(targets);
      const double tolerance = Tolerance<typename B::Stat>::value;
      CHECK(std::abs(found.loss - expected.loss) <= tolerance * std::max(1.0, std::abs(expected.loss)));
      CHECK(relative_error(numbers(found.hidden), expected.hidden) <= tolerance);
      CHECK(relative_error(numbers(found.table), expected.table) <= tolerance);
      CHECK(next_token_chunk / 70'000 < 130);
    }
  }
}

TEST_CASE("a token that is nearly sure keeps its digits") {
  // One row whose right token leads the other by 30: the loss is e^-30, its gradient as small.
  LanguageModel<EigenBackend<float>> model(1, 1, 2, 1);
  model.parameters.set(model.hidden, std::vector<float>{1}.data());
  model.parameters.set(model.table, std::vector<float>{30, 0}.data());
  NextTokenTargets targets;
  targets.next.push_back({0, 0, 1});
  const auto result = model.run(targets);
  CHECK(result.loss == doctest::Approx(std::exp(-30.0)).epsilon(1e-5));
  CHECK(static_cast<double>(result.table[0]) == doctest::Approx(-std::exp(-30.0)).epsilon(1e-5));
  CHECK(static_cast<double>(result.table[1]) == doctest::Approx(std::exp(-30.0)).epsilon(1e-5));
  targets.next[0].token = 1;  // the wrong one
  CHECK(model.run(targets).loss == doctest::Approx(30));
}

TEST_CASE("the loss through the unembedding has the same bits with any number of threads") {
  Rng rng(22);
  const NextTokenTargets targets = some_targets(rng, 300, 5000);
  const auto run = [&](int threads) {
    LanguageModel<EigenBackend<float>> model(300, 32, 5000, 0.5, {.threads = threads});
    return model.run(targets);
  };
  const auto one = run(1);
  for (const int threads : {2, 3, 5}) CHECK(run(threads) == one);
}

TEST_CASE("a frozen unembedding has no gradient, the hidden rows have theirs") {
  Rng rng(23);
  const NextTokenTargets targets = some_targets(rng, 6, 9);
  LanguageModel<ReferenceBackend<double>> all(6, 4, 9, 1), frozen(6, 4, 9, 1, {}, false);
  CHECK(frozen.run(targets).hidden == all.run(targets).hidden);
}

TEST_CASE("a token outside the vocabulary is refused") {
  LanguageModel<ReferenceBackend<double>> model(1, 2, 3, 1);
  NextTokenTargets targets;
  targets.next.push_back({0, 3, 1});
  CHECK_THROWS_WITH_AS(model.run(targets), "next_token_loss: token 3 is outside the vocabulary of 3",
                       UsageError);
}

using B = ReferenceBackend<double>;

/// Loss and gradients of one step over all examples.
struct Step {
  double loss = 0;
  std::vector<double> gradients;
};
template <class Model, class Example>
Step step_of(Model& model, const std::vector<Example>& examples) {
  BatchBuilder<Model> builder(model);
  for (const Example& example : examples) builder.add(example);
  builder.finish();
  const auto normaliser = model.loss().normaliser(builder.targets());
  Step step;
  model.begin_step();
  step.loss = model.accumulate(builder.forest(), builder.targets(), normaliser);
  model.end_step();
  const auto gradients = model.parameters().gradients();
  step.gradients.assign(gradients.begin(), gradients.end());
  CHECK(model.loss_value(builder.forest(), builder.targets()) == doctest::Approx(step.loss).epsilon(1e-14));
  return step;
}

template <class Model>
double gradient_of(const Model& model, const Step& step, const char* name, Index element) {
  return step.gradients[model.parameters().offset(model.parameters().find(name)) + element];
}

TEST_CASE("two heads learn the weighted sum of their losses, each from its own scores") {
  const auto examples = random_outcomes(4);
  const Llama llama = tiny_reward_llama();
  using Reward = RewardModel<Llama, TokenHead, BinaryCrossEntropyLoss<ScoreMeaning::per_token>, B>;
  using Language = RewardModel<Llama, LanguageModelHead, LanguageModelLoss, B>;
  using Both = RewardModel<Llama, JointHead<TokenHead, LanguageModelHead>,
                           JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_token>, LanguageModelLoss>, B>;
  Reward reward({.backbone = llama, .seed = 3});
  Language language({.backbone = llama, .seed = 3});
  Both both({.backbone = llama, .loss = {.first_weight = 0.5, .second_weight = 3}, .seed = 3});
  const Step first = step_of(reward, examples), second = step_of(language, examples),
             sum = step_of(both, examples);
  CHECK(sum.loss == doctest::Approx(0.5 * first.loss + 3 * second.loss).epsilon(1e-13));
  for (const char* name :
       {"model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight", "model.norm.weight"}) {
    for (Index e = 0; e < 8; ++e) {
      CHECK(gradient_of(both, sum, name, e) == doctest::Approx(0.5 * gradient_of(reward, first, name, e) +
                                                               3 * gradient_of(language, second, name, e))
                                                   .epsilon(1e-11));
    }
  }
  CHECK(gradient_of(both, sum, "score.weight", 2) ==
        doctest::Approx(0.5 * gradient_of(reward, first, "score.weight", 2)).epsilon(1e-12));
  // What it scores is the reward alone, and the same.
  CHECK(both.outputs() == 1);
  const std::span<const OutcomeExample> list(examples);
  BatchBuilder<Reward> alone(reward);
  BatchBuilder<Both> joint(both);
  for (const auto& example : list) {
    alone.add(example);
    joint.add(example);
  }
  alone.finish();
  joint.finish();
  const auto expected = reward.score(alone.forest());
  const auto found = both.score(joint.forest());
  for (Index s = 0; s < examples.size(); ++s) {
    for (Index i = 0; i < alone.rows(s).size(); ++i)
      CHECK(found[joint.rows(s)[i]] == expected[alone.rows(s)[i]]);
  }
}

TEST_CASE("two losses of one head add their gradients") {
  const auto examples = random_rankings(3);
  using Regression = RegressionLoss<ScoreMeaning::per_completion>;
  RewardModel<BagOfTokens, ScalarHead, PlackettLuceLoss, B> ranks({.backbone = tiny_bag(), .seed = 3});
  RewardModel<BagOfTokens, ScalarHead, Regression, B> ratings({.backbone = tiny_bag(), .seed = 3});
  RewardModel<BagOfTokens, ScalarHead, JointLoss<PlackettLuceLoss, Regression>, B> both(
      {.backbone = tiny_bag(), .loss = {.first_weight = 2, .second_weight = 0.25}, .seed = 3});
  const Step first = step_of(ranks, examples), second = step_of(ratings, examples),
             sum = step_of(both, examples);
  CHECK(sum.loss == doctest::Approx(2 * first.loss + 0.25 * second.loss).epsilon(1e-14));
  for (Index e = 0; e < sum.gradients.size(); ++e)
    CHECK(std::abs(sum.gradients[e] - (2 * first.gradients[e] + 0.25 * second.gradients[e])) < 1e-13);
}

TEST_CASE("a part without anything to learn from is 0, not a division by zero") {
  using Model = RewardModel<Llama, JointHead<TokenHead, LanguageModelHead>,
                            JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_token>, LanguageModelLoss>, B>;
  Model model({.backbone = tiny_reward_llama(), .seed = 3});
  const auto examples = random_outcomes(2);
  BatchBuilder<Model> builder(model);
  for (const auto& example : examples) builder.add(example);
  builder.finish();
  auto targets = builder.targets();
  targets.second.clear();
  auto normaliser = model.loss().normaliser(targets);
  CHECK(is_positive(normaliser));
  model.begin_step();
  CHECK(model.accumulate(builder.forest(), targets, normaliser) > 0);
  model.end_step();
  for (const double g : model.parameters().gradients()) CHECK(std::isfinite(g));
  targets.first.clear();
  normaliser = model.loss().normaliser(targets);
  CHECK_FALSE(is_positive(normaliser));
  model.begin_step();
  CHECK(model.accumulate(builder.forest(), targets, normaliser) == 0);
  model.end_step();
  for (const double g : model.parameters().gradients()) CHECK(g == 0);
}

TEST_CASE("micro-batches that were issued are collected in any order, and others are refused") {
  using Model = BradleyTerryModel<BagOfTokens, ReferenceBackend<double>>;
  Model model({.backbone = tiny_bag(), .seed = 5});
  const auto examples = random_preferences(4);
  BatchBuilder<Model> first(model), second(model);
  first.add(examples[0]);
  for (Index i = 1; i < examples.size(); ++i) second.add(examples[i]);
  first.finish();
  second.finish();
  model.begin_step();
  const double of_first = model.accumulate(first.forest(), first.targets(), 4);
  const double of_second = model.accumulate(second.forest(), second.targets(), 4);
  model.end_step();
  model.begin_step();
  CHECK_THROWS_WITH_AS(model.collect(0), doctest::Contains("expected issue() before collect()"), UsageError);
  model.issue(first.forest(), first.targets(), 4, 0);
  model.issue(second.forest(), second.targets(), 4, 1);
  CHECK(model.collect(1) == of_second);
  CHECK(model.scores().size() == 6);
  CHECK(model.collect(0) == of_first);
  CHECK(model.scores().size() == 2);
  CHECK_THROWS_AS(model.collect(2), UsageError);
  model.end_step();
  model.trim();
  CHECK_THROWS_AS(model.collect(0), UsageError);
}

}  // namespace objective_test
