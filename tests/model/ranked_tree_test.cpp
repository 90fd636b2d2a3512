// Ranked completions as one tree: the scores, loss and gradient of as many sequences apart, however a step is
// cut.
#include <doctest/doctest.h>

#include <algorithm>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/batch/batch.hpp"
#include "merit/model/aliases.hpp"
#include "merit/train/trainer.hpp"
#include "small_examples.hpp"

namespace ranked_tree_test {

using namespace merit;
using namespace merit_test;
using B = ReferenceBackend<double>;

/// Solutions in steps that have a beginning in common: an example of a user's own.
struct SolutionTree {
  std::vector<StepsExample> solutions;
};

template <class F>
void for_each_sequence(const SolutionTree& tree, const F& f) {
  for (const StepsExample& solution : tree.solutions) f(solution.sequence);
}

inline void append_targets(ClassTargets& targets, const SolutionTree& tree, const ExampleRows& rows) {
  for (Index s = 0; s < tree.solutions.size(); ++s) {
    targets.begin_sequence(tree.solutions[s].weight);
    for (Index k = 0; k < rows(s).size(); ++k) {
      const auto& label = tree.solutions[s].labels[k];
      if (label) targets.add(rows(s)[k], std::vector<double>{label->bad, label->neutral, label->good});
    }
  }
}
inline void append_targets(BinaryTargets& targets, const SolutionTree& tree, const ExampleRows& rows) {
  for (Index s = 0; s < tree.solutions.size(); ++s) {
    targets.begin_sequence(tree.solutions[s].weight);
    for (const std::uint32_t row : rows(s)) targets.add(row, s % 2 == 0 ? 1 : 0);
  }
}

/// What one step over a batch computed.
struct Step {
  std::vector<std::vector<double>> scores;  // of each sequence's rows
  double loss = 0;
  std::vector<double> gradient;
  Index tokens = 0;
  Index rows = 0;
};

template <class Model>
Step finish(Model& model, BatchBuilder<Model>& builder, Index sequences) {
  builder.finish();
  Step step;
  model.begin_step();
  step.loss =
      model.accumulate(builder.forest(), builder.targets(), model.loss().normaliser(builder.targets()));
  model.end_step();
  const auto gradients = model.parameters().gradients();
  step.gradient.assign(gradients.begin(), gradients.end());
  for (Index s = 0; s < sequences; ++s) {
    step.scores.emplace_back();
    for (const std::uint32_t row : builder.rows(s)) {
      for (Index k = 0; k < model.outputs(); ++k) {
        step.scores.back().push_back(model.scores()[row * model.outputs() + k]);
      }
    }
  }
  step.tokens = builder.token_count();
  step.rows = builder.forest().row_count();
  return step;
}

template <class Model, class Example>
Step run(Model& model, const std::vector<Example>& examples, Sharing sharing) {
  BatchBuilder<Model> builder(model, sharing);
  Index sequences = 0;
  for (const Example& example : examples) {
    builder.add(example);
    for_each_sequence(example, [&](const Sequence&) { ++sequences; });
  }
  return finish(model, builder, sequences);
}

/// The largest difference over the largest magnitude.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double apart = 0;
  double size = 0;
  for (Index i = 0; i < a.size(); ++i) {
    apart = std::max(apart, std::abs(a[i] - b[i]));
    size = std::max(size, std::abs(a[i]));
  }
  CHECK(size > 0);
  return apart / size;
}

/// `rounding`, relative, where a loss sums over what a row stands for before it sums over rows.
void check_equal(const Step& tree, const Step& apart, double rounding = 0) {
  CHECK(tree.scores == apart.scores);
  CHECK(std::abs(tree.loss - apart.loss) <= rounding * std::abs(apart.loss));
  CHECK(difference(tree.gradient, apart.gradient) < 1e-12);
  CHECK(tree.tokens < apart.tokens);
}

template <class Model, class Example>
void check_tree(const std::vector<Example>& examples, const typename Model::Config& config) {
  INFO(std::string(Model::BackboneType::name()), " ", std::string(Model::LossType::name()));
  Model model(config);
  check_equal(run(model, examples, Sharing::yes), run(model, examples, Sharing::no));
}

/// Solutions of one prompt whose first steps are the same.
std::vector<SolutionTree> solution_trees() {
  Rng rng(21);
  std::vector<SolutionTree> trees(3);
  for (SolutionTree& tree : trees) {
    std::vector<Token> common;
    append_random(rng, 7, common);
    for (Index s = 0; s < 4; ++s) {
      StepsExample solution;
      solution.sequence.tokens = common;
      solution.sequence.completion_begin = 2;
      solution.sequence.step_ends = {3, 6};  // both of them shared
      append_random(rng, 1 + s, solution.sequence.tokens);
      solution.sequence.step_ends.push_back(solution.sequence.tokens.size() - 1);
      for (Index k = 0; k < 3; ++k) {
        const bool good = rng.below(2) == 0;
        solution.labels.push_back(StepLabel{good ? 0.0 : 1.0, 0, good ? 1.0 : 0.0});
      }
      tree.solutions.push_back(solution);
    }
  }
  return trees;
}

/// A conversation with ranked replies at each of its turns; the best one of a turn goes on.
RankingExample conversation() {
  Rng rng(31);
  RankingExample example;
  std::vector<Token> history;
  for (Index turn = 0; turn < 3; ++turn) {
    append_random(rng, 3, history);  // what is asked
    RankedGroup group;
    for (Index k = 0; k < 3 + turn % 2; ++k) {
      Sequence reply;
      reply.tokens = history;
      reply.completion_begin = history.size();
      append_random(rng, 2 + k, reply.tokens);
      reply.tokens.push_back(static_cast<Token>(k));
      group.completions.push_back(reply);
      group.ranks.push_back(k);
    }
    group.weight = 1 + 0.5 * static_cast<double>(turn);
    history = group.completions[0].tokens;
    example.groups.push_back(group);
  }
  return example;
}

TEST_CASE("ranked completions in one tree are as many sequences apart: scores and loss to the bit") {
  const auto rankings = random_rankings(3);
  check_tree<BradleyTerryModel<Llama, B>>(random_preferences(4), {.backbone = tiny_reward_llama()});
  check_tree<BradleyTerryModel<Gpt2, B>>(rankings, {.backbone = tiny_reward_gpt2()});
  check_tree<PlackettLuceModel<Llama, B>>(rankings, {.backbone = tiny_reward_llama()});
  check_tree<PlackettLuceModel<Gpt2, B>>(rankings, {.backbone = tiny_reward_gpt2()});
  check_tree<AttributeModel<Llama, B>>(random_rankings(3, 2),
                                       {.backbone = tiny_reward_llama(), .head = {.merge_weights = {1, 2}}});
}

TEST_CASE("solutions that begin alike share rows, each with the labels of all") {
  const auto trees = solution_trees();
  check_tree<ProcessRewardModel<Llama, B>>(trees, {.backbone = tiny_reward_llama()});
  check_tree<ProcessRewardModel<Llama, B>>(
      trees, {.backbone = tiny_reward_llama(), .loss = {.denominator = Denominator::per_sequence}});
  check_tree<OutcomeRewardModel<Gpt2, B>>(trees, {.backbone = tiny_reward_gpt2()});
  ProcessRewardModel<Llama, B> model({.backbone = tiny_reward_llama()});
  CHECK(run(model, trees, Sharing::no).rows == 3 * 4 * 3);
  CHECK(run(model, trees, Sharing::yes).rows == 3 * (2 + 4));
}

TEST_CASE("completions that part after a token follow its row with a token each") {
  using Model = RewardModel<Llama, JointHead<ScalarHead, LanguageModelHead>,
                            JointLoss<PlackettLuceLoss, LanguageModelLoss>, B>;
  auto rankings = random_rankings(2);
  for (RankingExample& example : rankings) example.groups[0].ranks = {0, 0, 0, 1};  // several best ones
  Model model({.backbone = tiny_reward_llama()});
  check_equal(run(model, rankings, Sharing::yes), run(model, rankings, Sharing::no), 1e-15);
}

TEST_CASE("a conversation with ranked replies at each turn is one tree") {
  const std::vector<RankingExample> whole{conversation()};
  check_tree<PlackettLuceModel<Llama, B>>(whole, {.backbone = tiny_reward_llama()});
  check_tree<BradleyTerryModel<Gpt2, B>>(whole, {.backbone = tiny_reward_gpt2()});

  // The same as its turns as examples of their own, only cheaper.
  std::vector<RankingExample> turns;
  for (const RankedGroup& group : whole[0].groups) turns.push_back({{group}});
  PlackettLuceModel<Llama, B> model({.backbone = tiny_reward_llama()});
  check_equal(run(model, whole, Sharing::yes), run(model, turns, Sharing::yes));

  // Each turn adds what is asked and its replies, and no token before them.
  Index tokens = 0;
  for (const RankedGroup& group : whole[0].groups) {
    tokens += 3;
    for (const Sequence& reply : group.completions) tokens += reply.tokens.size() - reply.completion_begin;
  }
  BatchBuilder<PlackettLuceModel<Llama, B>> builder(model);
  builder.add(whole[0]);
  builder.finish();
  CHECK(builder.forest().tree_count() == 1);
  CHECK(builder.token_count() <= tokens);
  CHECK(builder.token_count() == shared_tokens(whole[0]));
}

/// Loss and gradient of a model of pairs and of one of rankings, over the same pairs.
template <class Backbone>
void check_two(const Backbone& backbone) {
  const auto pairs = random_preferences(6);
  BradleyTerryModel<Backbone, B> by_pairs({.backbone = backbone, .seed = 5});
  PlackettLuceModel<Backbone, B> by_rankings({.backbone = backbone, .seed = 5});
  const Step a = run(by_pairs, pairs, Sharing::yes);
  const Step b = run(by_rankings, pairs, Sharing::yes);
  CHECK(a.loss > 0);
  CHECK(a.loss == b.loss);
  CHECK(a.scores == b.scores);
  CHECK(a.gradient == b.gradient);
  // As rankings of two, the worse one named first.
  std::vector<RankingExample> rankings;
  for (const PreferenceExample& pair : pairs) {
    RankedGroup group;
    group.completions = {pair.rejected, pair.chosen};
    group.ranks = {1, 0};
    group.weight = pair.weight;
    rankings.push_back({{group}});
  }
  const Step c = run(by_pairs, rankings, Sharing::yes);
  const Step d = run(by_rankings, rankings, Sharing::yes);
  CHECK(c.loss == a.loss);
  CHECK(d.loss == a.loss);
  CHECK(c.gradient == d.gradient);
  CHECK(difference(a.gradient, c.gradient) < 1e-12);  // the tree's branches lie in another order
}

TEST_CASE("Plackett–Luce over two is the pairwise loss to the bit, in every parameter's gradient") {
  check_two(tiny_reward_llama());
  check_two(tiny_reward_gpt2());
  check_two(tiny_bag());
}

/// The parameters after a step of a trainer whose forests hold at most so many tokens.
template <class Model, class Example>
std::vector<double> after_step(const std::vector<Example>& examples, const typename Model::Config& config,
                               Index micro_batch_tokens, Index& micro_batches, double& loss) {
  Model model(config);
  // With this epsilon the first update follows the gradient, and not its sign alone.
  Trainer trainer(model, examples,
                  {.batch_size = 5,
                   .micro_batch_tokens = micro_batch_tokens,
                   .optimizer = merit::AdamW{.epsilon = 0.1},
                   .schedule = {.peak = 0.1, .warmup = 0}});
  const StepReport report = trainer.step();
  micro_batches = report.micro_batches;
  loss = report.loss;
  const auto values = model.parameters().values();
  return {values.begin(), values.end()};
}

template <class Model, class Example>
void check_cuts(const std::vector<Example>& examples, const typename Model::Config& config) {
  INFO(std::string(Model::HeadType::name()), " ", std::string(Model::LossType::name()));
  Index forests = 0;
  double loss = 0;
  const auto whole = after_step<Model>(examples, config, 100000, forests, loss);
  CHECK(forests == 1);
  for (const Index budget : {Index{1}, Index{30}}) {
    double cut_loss = 0;
    const auto cut = after_step<Model>(examples, config, budget, forests, cut_loss);
    CHECK((budget == 1 ? forests == 5 : forests > 1));
    CHECK(difference(whole, cut) < 1e-12);
    CHECK(cut_loss == doctest::Approx(loss).epsilon(1e-13));
  }
}

TEST_CASE("a step of any kind does not depend on how it is cut into forests") {
  const Llama llama = tiny_reward_llama();
  check_cuts<BradleyTerryModel<Llama, B>>(random_preferences(5), {.backbone = llama});
  check_cuts<BradleyTerryModel<Llama, B>>(random_rankings(5), {.backbone = llama});
  check_cuts<PlackettLuceModel<Llama, B>>(random_rankings(5), {.backbone = llama});
  check_cuts<RatingModel<Llama, B>>(random_rankings(5), {.backbone = llama});
  check_cuts<OutcomeRewardModel<Llama, B>>(random_outcomes(5), {.backbone = llama});
  check_cuts<OutcomeRewardModel<Llama, B>>(
      random_outcomes(5), {.backbone = llama, .loss = {.denominator = Denominator::per_sequence}});
  check_cuts<ProcessRewardModel<Llama, B>>(random_steps(5), {.backbone = llama});
  check_cuts<ProcessRewardModel<Llama, B>>(
      random_steps(5), {.backbone = llama, .loss = {.denominator = Denominator::per_sequence}});
  check_cuts<BinaryProcessRewardModel<Llama, B>>(random_steps(5), {.backbone = llama});
  check_cuts<ValueModel<Llama, B>>(random_rollouts(5), {.backbone = llama});
  check_cuts<VerifierModel<Llama, B>>(random_outcomes(5), {.backbone = llama});
}

}  // namespace ranked_tree_test
