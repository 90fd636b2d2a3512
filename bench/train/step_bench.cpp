// What a training step and a scoring pass save by computing less: sharing common prefixes, packing without
// padding, a last layer for the wanted rows alone. Each is timed against the same work done without it,
// beside the ratio that tokens and arithmetic predict.
#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "../support/alternate.hpp"
#include "../support/arithmetic.hpp"
#include "../support/pairs.hpp"

namespace {

using namespace bench;
using Model = RewardModel<Llama, ScalarHead, PairwiseLoss, EigenBackend<float>>;
using Pairs = std::vector<PreferenceExample>;

const Llama llama{.vocabulary_size = 1024,
                  .hidden_size = 256,
                  .intermediate_size = 688,
                  .layers = 4,
                  .heads = 8,
                  .kv_heads = 8};

std::unique_ptr<Model> make_model() {
  return std::make_unique<Model>(Model::Config{.backbone = llama});
}

/// A training step over all examples, with the optimizer: how it is with a Trainer.
template <class Trained, class Example>
Way training_step(const std::vector<Example>& examples, Sharing sharing) {
  auto model = std::make_shared<Trained>(typename Trained::Config{.backbone = llama});
  BatchBuilder<Trained> batch(*model, sharing);
  for (const Example& example : examples) batch.add(example);
  batch.finish();
  const Work work = count_work(llama, batch.forest());
  TrainOptions options;
  options.epochs = 1000000;  // more steps than any measurement makes
  options.batch_size = examples.size();
  options.micro_batch_tokens = 8192;
  options.schedule = {.peak = 1e-6, .warmup = 0, .decay = Schedule::Decay::constant};
  options.sharing = sharing;
  auto trainer =
      std::make_shared<Trainer<Trained, Example>>(*model, std::span<const Example>(examples), options);
  return {[model, trainer] { return trainer->step().loss; }, work.tokens, work.step};
}

/// Scores and gradients of one forest, without the optimizer.
Way gradient(const std::shared_ptr<Batch>& batch) {
  const Work work = count_work(llama, batch->builder.view());
  std::shared_ptr<Model> model = make_model();
  const auto run = [model, batch] {
    model->begin_step();
    const double loss =
        model->accumulate(batch->builder.view(), batch->targets, model->loss().normaliser(batch->targets));
    model->end_step();
    return loss;
  };
  return {run, work.tokens, work.step};
}

/// Pairs of 300 to 500 tokens a side which agree in the first 60% of them.
void step_sharing_60_percent(benchmark::State& state) {
  Pairs pairs;
  Rng rng(1);
  for (int i = 0; i < 8; ++i) {
    const Index length = 300 + static_cast<Index>(rng.below(201));
    const Index shared = length * 6 / 10;
    pairs.push_back(make_pair(rng, shared, length - shared, length - shared, llama.vocabulary_size));
  }
  alternate(state, training_step<Model>(pairs, Sharing::no), training_step<Model>(pairs, Sharing::yes),
            pairs.size());
}

/// Prompts of 100 to 300 tokens with eight ranked completions of 40 to 120 each, under Plackett–Luce: every
/// group one tree, against eight sequences.
void step_8_ranked_completions(benchmark::State& state) {
  std::vector<RankingExample> rankings;
  Rng rng(5);
  for (int i = 0; i < 4; ++i) {
    const auto prompt = random_tokens(rng, random_length(rng, 100, 300), llama.vocabulary_size);
    RankedGroup group;
    for (Index k = 0; k < 8; ++k) {
      Sequence sequence{prompt, prompt.size()};
      const auto completion = random_tokens(rng, random_length(rng, 40, 120), llama.vocabulary_size);
      sequence.tokens.push_back(static_cast<Token>(1 + k));  // they differ from their first token on
      sequence.tokens.insert(sequence.tokens.end(), completion.begin(), completion.end());
      group.completions.push_back(std::move(sequence));
      group.ranks.push_back(k);
    }
    rankings.push_back({{std::move(group)}});
  }
  using Ranked = PlackettLuceModel<Llama>;
  alternate(state, training_step<Ranked>(rankings, Sharing::no),
            training_step<Ranked>(rankings, Sharing::yes), rankings.size());
}

/// Sequences of 50 to 500 tokens with nothing in common: one after the other, against a batch in which each
/// is filled up to the longest with tokens behind its last one, which nobody sees.
void step_packing(benchmark::State& state) {
  Pairs packed;
  Rng rng(2);
  Index longest = 0;
  for (int i = 0; i < 8; ++i) {
    packed.push_back(
        make_pair(rng, 0, random_length(rng, 50, 500), random_length(rng, 50, 500), llama.vocabulary_size));
    longest = std::max({longest, packed.back().chosen.tokens.size(), packed.back().rejected.tokens.size()});
  }
  // The rows stay those of the last real tokens.
  Pairs padded = packed;
  auto padded_batch = std::make_shared<Batch>(Pairs{}, Sharing::no);
  padded_batch->builder.clear();
  std::vector<std::uint32_t> last;
  for (PreferenceExample& pair : padded) {
    for (std::vector<Token>* tokens : {&pair.chosen.tokens, &pair.rejected.tokens}) {
      const Index length = tokens->size();
      tokens->resize(longest, padding);
      const std::span<const Token> sequence = *tokens;
      const Index group = padded_batch->builder.add_tree({&sequence, 1});
      last.push_back(padded_batch->builder.index(group, 0, length - 1));
      padded_batch->builder.want_row(last.back());
    }
  }
  padded_batch->builder.finish();
  for (Index i = 0; i < last.size(); i += 2) {
    padded_batch->targets.pairs.push_back(
        {padded_batch->builder.row_of(last[i]), padded_batch->builder.row_of(last[i + 1])});
  }
  alternate(state, gradient(padded_batch), gradient(std::make_shared<Batch>(packed)), packed.size());
}

/// The last layer for the two rows a pair's scores are read from, against a last layer for every token.
void step_row_pruning(benchmark::State& state) {
  Pairs pairs;
  Rng rng(3);
  for (int i = 0; i < 8; ++i) pairs.push_back(make_pair(rng, 200, 150, 150, llama.vocabulary_size));
  alternate(state, gradient(std::make_shared<Batch>(pairs, Sharing::yes, true)),
            gradient(std::make_shared<Batch>(pairs)), pairs.size());
}

/// Eight completions of one prompt scored as one tree, against eight sequences.
void score_8_completions(benchmark::State& state) {
  constexpr Index completions = 8;
  Rng rng(4);
  const auto prompt = random_tokens(rng, 400, llama.vocabulary_size);
  std::vector<std::vector<Token>> sequences;
  for (Index i = 0; i < completions; ++i) {
    auto tokens = random_tokens(rng, 100, llama.vocabulary_size);
    tokens[0] = static_cast<Token>(1 + i);  // they differ from their first token on
    tokens.insert(tokens.begin(), prompt.begin(), prompt.end());
    sequences.push_back(tokens);
  }
  const auto way = [&](Sharing sharing) -> Way {
    auto builder = std::make_shared<ForestBuilder>(sharing);
    const std::vector<std::span<const Token>> views(sequences.begin(), sequences.end());
    const Index group = builder->add_tree(views);
    for (Index i = 0; i < completions; ++i) {
      builder->want_row(builder->index(group, i, sequences[i].size() - 1));
    }
    builder->finish();
    const Work work = count_work(llama, builder->view());
    std::shared_ptr<Model> model = make_model();
    const auto run = [model, builder] {
      double total = 0;
      for (const float score : model->score(builder->view())) total += static_cast<double>(score * score);
      return total;
    };
    return {run, work.tokens, work.forward};
  };
  alternate(state, way(Sharing::no), way(Sharing::yes), completions);
}

}  // namespace

BENCHMARK(step_sharing_60_percent)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(step_8_ranked_completions)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(step_packing)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(step_row_pruning)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(score_8_completions)->Unit(benchmark::kMillisecond)->UseRealTime();

BENCHMARK_MAIN();
