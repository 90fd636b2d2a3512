// Heads and losses of your own, composed with merit's backbone and backend and trained for a few seconds:
// first on pairs, then on reasoning steps.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "merit/files.hpp"

using Backend = merit::EigenBackend<float>;

// ---- Pairs: a head of two layers and the squared hinge ---

/// score = w · gelu(W · hidden). `inner` is a number a user may change, and fields() says what it may be;
/// Bound holds the parameters.
struct GeluHead {
  merit::Index inner = 32;
  static constexpr merit::ScoreMeaning meaning = merit::ScoreMeaning::per_completion;
  static constexpr const char* name() { return "gelu"; }
  template <class Visit>
  static void fields(const Visit& visit) {
    visit(merit::Field{"inner", &GeluHead::inner, merit::at_least(1), "width of the hidden layer"});
  }

  template <class B>
  struct Bound {
    std::uint32_t up, down;
    Bound(const GeluHead& head, merit::Index width, merit::Parameters<B>& p) {
      up = p.declare({"score.0.weight", {head.inner, width}, merit::Init::normal(0.1)});
      down = p.declare({"score.2.weight", {1, head.inner}, merit::Init::normal(0.1)});
    }
    merit::Var forward(merit::Tape<B>& tape, merit::Var hidden) {  // (R, d) → (R, 1)
      const merit::Var h = merit::linear(tape, hidden, tape.parameters().slice(up));
      return merit::linear(tape, merit::activate(tape, h, merit::ActivationFunction::gelu_tanh),
                           tape.parameters().slice(down));
    }
  };
};

/// The squared hinge. A loss of pairs is one expression: its slopes, the weights of pairs, their margins and
/// soft labels are merit's business.
struct SquaredHinge : merit::PairLoss<SquaredHinge> {
  auto operator()(auto chosen, auto rejected) const { return pow(max(0, 1 - (chosen - rejected)), 2); }
};

// ---- Steps: a head, targets and a loss that is a loop ---

/// One logit a step, read at its last token: `meaning` says so.
struct MyStepHead {
  static constexpr merit::ScoreMeaning meaning = merit::ScoreMeaning::per_step;
  static constexpr const char* name() { return "my_steps"; }

  template <class B>
  struct Bound {
    std::uint32_t weight, bias;
    Bound(const MyStepHead&, merit::Index width, merit::Parameters<B>& p) {
      weight = p.declare({"score.weight", {1, width}, merit::Init::normal(0.02)});
      bias = p.declare({"score.bias", {1}, merit::Init::zeros(), /*decay=*/false});
    }
    merit::Var forward(merit::Tape<B>& tape, merit::Var hidden) {  // (R, d) → (R, 1)
      return merit::linear(tape, hidden, tape.parameters().slice(weight), tape.parameters().slice(bias));
    }
  };
};

/// What the loss below learns from: for a row, the probability that its step is right.
struct StepTargets {
  struct Step {
    std::uint32_t row;
    double right;
  };
  std::vector<Step> steps;
  void clear() { steps.clear(); }
};

/// How targets come from an example: merit finds this function beside the type. rows(0) are the rows that the
/// head reads in the example's first, here only, sequence.
void append_targets(StepTargets& targets, const merit::StepsExample& example,
                    const merit::ExampleRows& rows) {
  for (merit::Index k = 0; k < example.labels.size(); ++k) {
    if (example.labels[k]) targets.steps.push_back({rows(0)[k], example.labels[k]->good});
  }
}

/// Brier's score: the mean of (σ(z) − right)², as a loop of its own that assigns a gradient. With merit's
/// BinaryTargets it would be one expression, too (RowLoss); with a loop, targets may be anything.
struct BrierLoss {
  using Targets = StepTargets;
  static constexpr merit::ScoreMeaning reads = merit::ScoreMeaning::per_step;
  static constexpr auto reads_width = merit::ScoreWidth::one;  // StepHead<3> with it would not compile
  static constexpr const char* name() { return "brier"; }
  double normaliser(const Targets& targets) const { return static_cast<double>(targets.steps.size()); }
  template <class Score>
  double value_and_gradient(merit::MatrixView<const Score> scores, const Targets& targets, double normaliser,
                            merit::MatrixView<Score> gradient) const {
    for (merit::Index i = 0; i < gradient.rows; ++i) gradient(i, 0) = 0;
    double total = 0;
    for (const auto& step : targets.steps) {
      const double p = merit::sigmoid(static_cast<double>(scores(step.row, 0)));
      total += (p - step.right) * (p - step.right) / normaliser;
      gradient(step.row, 0) += static_cast<Score>(2 * (p - step.right) * p * (1 - p) / normaliser);
    }
    return total;
  }
};

// ---------------------------------------------------------------------------------------------------------

const merit::Llama backbone{.vocabulary_size = 257,
                            .hidden_size = 64,
                            .intermediate_size = 128,
                            .layers = 2,
                            .heads = 4,
                            .kv_heads = 4};

template <class Model, class Example>
void train(Model& model, const std::vector<Example>& examples, merit::Index report_every) {
  merit::Trainer trainer(model, examples, {.schedule = {.peak = 2e-3}});
  while (!trainer.finished()) {
    const merit::StepReport report = trainer.step();
    if (report.step % report_every == 0) {
      std::printf("  step %zu  loss %.3f\n", report.step, report.loss);
    }
  }
}

int main() {
  const auto task = merit::EmbeddedTaskOptions::of_difficulty(1);

  std::printf("pairs, by a gelu head and the squared hinge\n");
  merit::RewardModel<merit::Llama, GeluHead, SquaredHinge, Backend> of_pairs({.backbone = backbone});
  train(of_pairs, merit::embedded_examples(task, merit::EmbeddedSplit::train, 500), 50);
  const auto pairs = merit::embedded_examples(task, merit::EmbeddedSplit::held_out, 100);
  std::printf("  held-out pairs in the right order: %.3f\n",
              merit::evaluate_pairs(of_pairs, pairs).accuracy.value);

  std::printf("steps, by a head of steps and Brier's score\n");
  merit::RewardModel<merit::Llama, MyStepHead, BrierLoss, Backend> of_steps({.backbone = backbone});
  train(of_steps, merit::embedded_steps(task, merit::EmbeddedSplit::train, 500), 50);
  const auto held_out = merit::embedded_steps(task, merit::EmbeddedSplit::held_out, 100);
  const auto scores = merit::score_rows(of_steps, std::span<const merit::StepsExample>(held_out));
  merit::Index right = 0, judged = 0;
  for (merit::Index i = 0; i < held_out.size(); ++i) {
    for (merit::Index k = 0; k < held_out[i].labels.size(); ++k) {
      if (!held_out[i].labels[k]) continue;
      right += (scores[i].row(k)[0] > 0) == (held_out[i].labels[k]->good > 0.5);
      ++judged;
    }
  }
  std::printf("  held-out steps judged right: %.3f of %zu\n",
              static_cast<double>(right) / static_cast<double>(judged), judged);
}
