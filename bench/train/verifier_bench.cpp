// A step of a joint verifier (Cobbe et al. 2021: a token's logit as the score, the language model trained
// along) with a large vocabulary: what the logits of every row cost in time and memory. Run before and after
// a change, it prints both.
#include <benchmark/benchmark.h>

#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "merit/merit.hpp"

namespace {

using namespace merit;
using Model = VerifierModel<Llama, EigenBackend<float>>;

constexpr Index vocabulary = 50'000, solutions = 8, completion = 250, prompt = 50;

/// The most memory that the process has had, in MiB (Linux; 0 elsewhere).
double peak_mebibytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

void step_of_2000_rows(benchmark::State& state) {
  Rng rng(3);
  std::vector<OutcomeExample> examples;
  std::vector<Token> start(prompt);
  for (Token& token : start) token = static_cast<Token>(rng.below(vocabulary));
  for (Index i = 0; i < solutions; ++i) {
    Sequence sequence{.tokens = start, .completion_begin = prompt};
    for (Index t = 0; t < completion; ++t)
      sequence.tokens.push_back(static_cast<Token>(rng.below(vocabulary)));
    examples.push_back({std::move(sequence), i % 2 == 0 ? 1.0 : 0.0});
  }
  Model model({.backbone = {.vocabulary_size = vocabulary,
                            .hidden_size = 128,
                            .intermediate_size = 352,
                            .layers = 2,
                            .heads = 4,
                            .kv_heads = 4}});
  TrainOptions options;
  options.epochs = 1'000'000;  // more steps than any measurement makes
  options.batch_size = solutions;
  options.micro_batch_tokens = 8192;
  options.schedule = {.peak = 1e-6, .warmup = 0, .decay = Schedule::Decay::constant};
  Trainer trainer(model, std::span<const OutcomeExample>(examples), options);
  double loss = 0;
  for (auto _ : state) loss = trainer.step().loss;
  state.counters["peak_MiB"] = peak_mebibytes();
  state.counters["tape_MiB"] = static_cast<double>(model.tape().bytes()) / (1 << 20);
  state.counters["loss"] = loss;
}

BENCHMARK(step_of_2000_rows)->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(2.0);

}  // namespace

BENCHMARK_MAIN();
