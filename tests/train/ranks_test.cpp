// Training over ranks: what one rank would have learned, whatever their number.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "../backend/opaque_backend.hpp"
#include "../io/temporary.hpp"
#include "../model/small_examples.hpp"
#include "fixtures.hpp"
#include "merit/backbone/bert.hpp"
#include "merit/comm/thread_comm.hpp"
#include "merit/model/aliases.hpp"
#include "merit/train/gradient_exchange.hpp"

namespace ranks_test {

using namespace merit;
using merit_test::contains;
using merit_test::error_of;
using merit_test::TemporaryDirectory;

template <class T>
struct Outcome {
  std::vector<double> losses, norms, accuracies;
  std::vector<T> values;  // of rank 0
  bool all_alike = true;  // the weights of all ranks
  Index tokens = 0, kept = 0, kept_most = 0;
  bool operator==(const Outcome&) const = default;
};

/// All steps of a run over `ranks` threads.
template <class Model, class Example>
Outcome<typename Model::BackendType::Stat> train_on(const std::vector<Example>& examples, Index ranks,
                                                    const TrainOptions& numbers,
                                                    const typename Model::Config& config) {
  using T = typename Model::BackendType::Stat;
  Outcome<T> outcome;
  std::mutex mutex;
  std::vector<std::vector<T>> values(ranks);
  run_ranks(ranks, [&](Comm& comm) {
    Model model(config);
    Trainer trainer(model, examples, numbers, comm);
    while (!trainer.finished()) {
      const StepReport report = trainer.step();
      if (comm.rank() != 0) continue;
      outcome.losses.push_back(report.loss);
      outcome.norms.push_back(report.gradient_norm);
      outcome.accuracies.push_back(report.accuracy);
      outcome.tokens += report.tokens;
    }
    Index kept = 0;
    for (const auto& tensor : trainer.optimizer().state()) kept += tensor.values.size;
    const std::scoped_lock lock(mutex);
    values[comm.rank()] = training::values_of(model);
    outcome.kept += kept;
    outcome.kept_most = std::max(outcome.kept_most, kept);
  });
  outcome.values = values[0];
  for (const auto& other : values) outcome.all_alike = outcome.all_alike && other == values[0];
  return outcome;
}

template <class Backend>
Outcome<typename Backend::Stat> train(Index ranks, const TrainOptions& numbers,
                                      const Llama& backbone = training::small_llama()) {
  return train_on<training::Llama<Backend>>(training::sorted_pairs(14), ranks, numbers,
                                            {.backbone = backbone});
}

template <class T>
double difference(const Outcome<T>& a, const Outcome<T>& b) {
  return std::max({training::largest_difference(a.losses, b.losses),
                   training::largest_difference(a.norms, b.norms),
                   training::largest_difference(a.values, b.values)});
}

TrainOptions few_steps(const AnyOptimizer& optimizer = AdamW{}) {
  TrainOptions options = training::few_steps(optimizer);
  options.batch_size = 5;  // 5, 5 and 4 records
  options.micro_batch_tokens = 24;
  return options;
}

TEST_CASE("any number of ranks learns what one does") {
  std::vector<AnyOptimizer> optimizers = training::other_optimizers();
  optimizers.insert(optimizers.begin(), AdamW{});
  for (const AnyOptimizer& optimizer : optimizers) {
    CAPTURE(name_of(optimizer));
    const auto one = train<ReferenceBackend<double>>(1, few_steps(optimizer));
    CHECK(one.losses.size() == 6);
    for (const Index ranks : {Index{2}, Index{3}, Index{7}}) {  // the last has ranks without a record
      CAPTURE(ranks);
      const auto several = train<ReferenceBackend<double>>(ranks, few_steps(optimizer));
      CHECK(several.all_alike);
      CHECK(several.accuracies == one.accuracies);
      CHECK(several.tokens == one.tokens);
      // Lion moves by signs: rounding may turn one where a momentum is about 0.
      CHECK(difference(one, several) < 1e-10);
      CHECK(several.kept == one.kept);  // each tensor's state once
      if (ranks == 2) CHECK(several.kept_most < one.kept * 3 / 4);
    }
  }
}

TEST_CASE(
    "every kind of weight is summed: read twice, seldom, beside a map, by sentences that see themselves") {
  using B = ReferenceBackend<double>;
  const auto check = [](const auto& run) {
    const auto one = run(Index{1});
    CHECK(one.losses.size() > 3);
    for (const Index ranks : {Index{2}, Index{3}}) CHECK(difference(one, run(ranks)) < 1e-10);
  };
  SUBCASE("an embedding that is the unembedding too, two losses") {
    check([](Index ranks) {
      return train_on<VerifierModel<Llama, B>>(merit_test::random_outcomes(9), ranks, few_steps(),
                                               {.backbone = merit_test::tiny_reward_llama()});
    });
  }
  SUBCASE("experts, some of which no token goes through") {
    Llama experts = training::small_llama();
    experts.experts = 5;
    experts.experts_per_token = 1;
    check([&](Index ranks) {
      return train_on<training::Llama<B>>(training::sorted_pairs(14), ranks, few_steps(),
                                          {.backbone = experts});
    });
  }
  SUBCASE("an adapter with magnitudes and dropout") {
    const Lora lora{.rank = 3, .alpha = 6, .dropout = 0.3, .dora = true};
    check([&](Index ranks) {
      return train_on<training::Llama<B>>(
          training::sorted_pairs(14), ranks, few_steps(),
          {.backbone = training::small_llama(), .adapters = {{.lora = lora}}});
    });
  }
  SUBCASE("an encoder") {
    const Bert bert{
        .vocabulary_size = 40, .hidden_size = 16, .intermediate_size = 24, .layers = 2, .heads = 2};
    TrainOptions options = few_steps();
    options.sharing = Sharing::no;
    check([&](Index ranks) {
      return train_on<RewardModel<Bert, ScalarHead, PairwiseLoss, B>>(training::sorted_pairs(14), ranks,
                                                                      options, {.backbone = bert});
    });
  }
}

TEST_CASE("with a fixed tree any number of ranks has the same bits") {
  const auto check = [](const auto& train_on, TrainOptions options) {
    options.fixed_tree = true;
    const auto one = train_on(Index{1}, options);
    for (const Index ranks : {Index{2}, Index{3}, Index{4}, Index{7}}) {
      CAPTURE(ranks);
      auto several = train_on(ranks, options);
      CHECK(several.kept_most <= one.kept_most);
      several.kept_most = one.kept_most;
      CHECK(several == one);
    }
    options.fixed_tree = false;  // another order of the same sums
    const auto loose = train_on(Index{1}, options);
    CHECK(loose.norms != one.norms);
    CHECK(difference(loose, one) < 2e-3);
  };
  SUBCASE("in plain loops") {
    for (const AnyOptimizer& optimizer : {AnyOptimizer(Adafactor{}), AnyOptimizer(Muon{})})
      check([](Index ranks,
               const TrainOptions& options) { return train<ReferenceBackend<double>>(ranks, options); },
            few_steps(optimizer));
  }
  SUBCASE("on the host, in float") {
    check([](Index ranks, const TrainOptions& options) { return train<EigenBackend<float>>(ranks, options); },
          few_steps());
  }
  SUBCASE("with every micro-batch a record, and recompute") {
    Llama backbone = training::small_llama();
    backbone.recompute = 1;
    TrainOptions options = few_steps();
    options.micro_batch_tokens = 1;
    check([&](Index ranks,
              const TrainOptions& numbers) { return train<EigenBackend<float>>(ranks, numbers, backbone); },
          options);
  }
}

TEST_CASE("ranks on a machine whose memory cannot be read from above have the bits of the host") {
  for (const bool fixed : {false, true}) {
    TrainOptions options = few_steps();
    options.fixed_tree = fixed;
    CHECK(train<merit_test::OpaqueBackend<double>>(3, options) ==
          train<ReferenceBackend<double>>(3, options));
  }
}

TEST_CASE("gradients that are sent behind the backward pass, in many small pieces, are all of them") {
  using Model = training::Llama<ReferenceBackend<double>>;
  for (const Index recomputed : {Index{0}, Index{2}}) {
    Llama backbone = training::small_llama();
    backbone.recompute = recomputed;
    const auto examples = training::sorted_pairs(6);
    const auto batch_of = [&](Model& model, std::span<const PreferenceExample> some) {
      BatchBuilder<Model> batch(model, Sharing::yes);
      for (const PreferenceExample& example : some) batch.add(example);
      batch.finish();
      return batch;
    };
    Model whole({.backbone = backbone});
    whole.begin_step();
    for (Index i = 0; i < examples.size(); ++i) {
      const auto batch = batch_of(whole, std::span(examples).subspan(i, 1));
      whole.accumulate(batch.forest(), batch.targets(), 6);
    }
    whole.end_step();
    const std::vector<double> expected = training::gradients_of(whole);
    for (const Index bucket : {Index{1}, Index{300}, Index{1} << 20}) {
      constexpr Index ranks = 3;
      std::vector<double> found(expected.size());
      std::vector<double> squares(ranks);
      run_ranks(ranks, [&](Comm& comm) {
        Model model({.backbone = backbone});
        detail::GradientExchange<ReferenceBackend<double>> exchange(model.parameters(), comm, false, bucket,
                                                                    7);
        for (int step = 0; step < 2; ++step) {
          model.begin_step();
          exchange.begin();
          for (Index i = 0; i < 2; ++i) {
            const auto batch = batch_of(model, std::span(examples).subspan(2 * comm.rank() + i, 1));
            exchange.before_batch(i == 0, i == 1);
            model.accumulate(batch.forest(), batch.targets(), 6);
            exchange.after_batch(2 * comm.rank() + i);
          }
          model.end_step();
          exchange.finish();
        }
        squares[comm.rank()] = exchange.sum_of_squares();
        const std::vector<double> own = training::gradients_of(model);
        for (const auto& [begin, end] : exchange.shard().runs())  // of one rank each
          std::copy(own.begin() + static_cast<std::ptrdiff_t>(begin),
                    own.begin() + static_cast<std::ptrdiff_t>(end),
                    found.begin() + static_cast<std::ptrdiff_t>(begin));
      });
      CHECK(training::largest_difference(found, expected) < 1e-14);
      double sum = 0;
      for (const double value : expected) sum += value * value;
      for (const double value : squares) CHECK(value == doctest::Approx(sum).epsilon(1e-12));
    }
  }
}

TEST_CASE("gradients leave while others are still computed, in one order") {
  struct Order final : GradientWatch {
    using GradientWatch::GradientWatch;
    void on_final(Index tensor) override { tensors.push_back(tensor); }
    std::vector<Index> tensors;
  };
  for (const Index recomputed : {Index{0}, Index{2}}) {
    Llama backbone = training::small_llama();
    backbone.recompute = recomputed;
    training::Llama<ReferenceBackend<double>> model({.backbone = backbone});
    auto& parameters = model.parameters();
    Order order(parameters.tensor_count());
    BatchBuilder<training::Llama<ReferenceBackend<double>>> batch(model, Sharing::yes);
    const auto examples = training::sorted_pairs(2);  // which the batch reads until it is finished
    for (const PreferenceExample& example : examples) batch.add(example);
    batch.finish();
    model.begin_step();
    parameters.watch_gradients(&order);
    model.accumulate(batch.forest(), batch.targets(), 2);
    parameters.watch_gradients(nullptr);
    model.end_step();
    const auto at = [&](const char* name) {
      return std::find(order.tensors.begin(), order.tensors.end(), parameters.find(name)) -
             order.tensors.begin();
    };
    CHECK(order.tensors.size() == parameters.tensor_count());
    CHECK(at("score.weight") < at("model.layers.1.mlp.down_proj.weight"));
    CHECK(at("model.layers.1.self_attn.q_proj.weight") < at("model.layers.0.mlp.down_proj.weight"));
    CHECK(at("model.layers.0.self_attn.q_proj.weight") < at("model.embed_tokens.weight"));
  }
}

TEST_CASE("a gradient that is written after it was final is refused") {
  training::Llama<ReferenceBackend<double>> model({.backbone = training::small_llama()});
  auto& parameters = model.parameters();
  parameters.begin_gradients();
  parameters.end_gradient(0);
  CHECK(contains(error_of<UsageError>([&] { parameters.gradient_target(parameters.slice(0)); }),
                 "is written after it was final"));
  parameters.begin_gradients();
  parameters.gradient_target(parameters.slice(0));
}

TEST_CASE("a run goes on with another number of ranks") {
  using Model = training::Llama<EigenBackend<float>>;
  const auto examples = training::sorted_pairs(14);
  TrainOptions numbers = few_steps(Muon{});
  numbers.fixed_tree = true;
  const auto straight = train<EigenBackend<float>>(1, numbers);
  const TemporaryDirectory directory;
  const Index ranks_of_part[] = {3, 1, 2};  // two steps each
  std::vector<double> losses;
  std::vector<float> values;
  for (Index part = 0; part < 3; ++part) {
    run_ranks(ranks_of_part[part], [&](Comm& comm) {
      Model model({.backbone = training::small_llama(), .seed = part == 0 ? 0u : 99u});
      Trainer trainer(model, examples, numbers, comm);
      if (part != 0) resume_run(directory / "run", model, trainer);
      for (int i = 0; i < 2; ++i) {
        const StepReport report = trainer.step();
        if (comm.rank() == 0) losses.push_back(report.loss);
      }
      save_run(directory / "run", model, trainer, {});
      gather_values(comm, 0);  // until the first one has written it
      if (comm.rank() == 0) values = training::values_of(model);
    });
  }
  CHECK(losses == straight.losses);
  CHECK(values == straight.values);
}

TEST_CASE("ranks that would learn something else end before their first step") {
  const auto run = [](const std::function<void(Index rank, TrainOptions&, std::uint64_t & seed, Index & count,
                                               double& decay)>& change) {
    return error_of<ConfigError>([&] {
      run_ranks(2, [&](Comm& comm) {
        TrainOptions options = few_steps();
        std::uint64_t seed = 0;
        Index count = 14;
        AdamW adamw;
        change(comm.rank(), options, seed, count, adamw.weight_decay);
        options.optimizer = adamw;
        training::Llama<ReferenceBackend<double>> model({.backbone = training::small_llama(), .seed = seed});
        const auto examples = training::sorted_pairs(count);
        Trainer(model, examples, options, comm).step();
      });
    });
  };
  CHECK(contains(
      run([](Index rank, TrainOptions& options, auto&, auto&, auto&) { options.batch_size = 5 + rank; }),
      "rank 1 differs from rank 0: batch_size is 6 and not 5;"));
  CHECK(contains(run([](Index rank, TrainOptions&, auto&, Index& count, auto&) { count -= rank; }),
                 "examples is 13 and not 14, the examples' hash is "));
  CHECK(contains(run([](Index rank, TrainOptions&, std::uint64_t& seed, auto&, auto&) { seed = rank; }),
                 "rank 1 differs from rank 0: the weights' hash is "));
  CHECK(contains(
      run([](Index rank, TrainOptions&, auto&, auto&, double& decay) { decay = rank == 0 ? 0.5 : 0.25; }),
      "optimizer.weight_decay is 0.25 and not 0.5;"));
  CHECK(contains(run([](Index rank, TrainOptions& options, auto&, auto&, double& decay) {
                   decay =
                       rank == 0 ? 0.5 : 0.5 + 0x1p-40;  // which differ in no digit that is usually written
                   options.schedule.peak = rank == 0 ? 0.125 : 0.125 + 0x1p-40;
                 }),
                 "learning_rate is 0.1250000000009095 and not 0.125, optimizer.weight_decay is "));
}

TEST_CASE("a stop that one rank hears, and an evaluation that one makes, end all after the same step") {
  const auto examples = training::sorted_pairs(14);
  for (const bool by_evaluation : {false, true}) {
    std::atomic<bool> stop = false;
    std::vector<Index> steps(3);
    run_ranks(3, [&](Comm& comm) {
      training::Llama<ReferenceBackend<double>> model({.backbone = training::small_llama()});
      TrainOptions options = few_steps();
      Trainer trainer(model, examples, options, comm);
      TrainHooks hooks;
      if (!by_evaluation && comm.rank() == 1) {
        hooks.stop = &stop;
        hooks.on_step = [&](const StepReport& report) { stop = report.step == 2; };
      }
      hooks.evaluate_every = by_evaluation ? 2 : 0;
      if (by_evaluation && comm.rank() == 0) hooks.on_evaluate = [](Index) { return false; };
      CHECK(trainer.run(hooks) == StopReason::requested);
      steps[comm.rank()] = trainer.steps_done();
    });
    CHECK(steps == std::vector<Index>{2, 2, 2});
  }
}

TEST_CASE("a record that one rank cannot compute ends all, whose gradients are on their way") {
  auto examples = training::sorted_pairs(6);
  examples[2].chosen.tokens.back() = 9999;
  std::atomic<int> ended = 0;
  CHECK(contains(error_of<DataError>([&] {
                   run_ranks(3, [&](Comm& comm) {
                     training::Llama<ReferenceBackend<double>> model({.backbone = training::small_llama()});
                     TrainOptions options = few_steps();
                     options.batch_size = 6;
                     Trainer trainer(model, examples, options, comm);
                     try {
                       trainer.step();
                     } catch (const CommError&) {
                       ++ended;
                       throw;
                     }
                   });
                 }),
                 "token 9999 is outside the model's vocabulary"));
  CHECK(ended == 2);
}

TEST_CASE("a fixed tree without ranks is refused, and one rank alone has it") {
  const auto examples = training::sorted_pairs(6);
  training::Llama<ReferenceBackend<double>> model({.backbone = training::small_llama()});
  TrainOptions options = few_steps();
  options.fixed_tree = true;
  CHECK(contains(error_of<ConfigError>([&] { Trainer(model, examples, options); }),
                 "fixed_tree is an order of sums over ranks"));
  SoloComm alone;
  CHECK(std::isfinite(Trainer(model, examples, options, alone).step().loss));
}

TEST_CASE("hooks that ranks would call at other steps are refused before the first one") {
  const auto examples = training::sorted_pairs(6);
  CHECK(contains(error_of<ConfigError>([&] {
                   run_ranks(2, [&](Comm& comm) {
                     training::Llama<ReferenceBackend<double>> model({.backbone = training::small_llama()});
                     TrainOptions options = few_steps();
                     Trainer trainer(model, examples, options, comm);
                     trainer.run({.checkpoint_every = comm.rank()});
                   });
                 }),
                 "rank 1 differs from rank 0: checkpoint_every is 1 and not 0"));
}

TEST_CASE("a gradient that is not finite on one rank is refused by all, by the name of its tensor") {
  auto examples = training::sorted_pairs(6);
  examples[2].weight = 1e300;  // times a slope in float
  std::atomic<int> refused = 0;
  const std::string error = error_of<DataError>([&] {
    run_ranks(3, [&](Comm& comm) {
      training::Llama<EigenBackend<float>> model({.backbone = training::small_llama()});
      // So large that products overflow.
      for (float& value : model.parameters().values()) value *= 1e12F;
      TrainOptions options = few_steps();
      Trainer trainer(model, examples, options, comm);
      try {
        trainer.step();
      } catch (const DataError&) {
        ++refused;
        throw;
      }
    });
  });
  CHECK(refused == 3);
  CHECK(contains(error, "step 1: the gradient of '"));
}

}  // namespace ranks_test
