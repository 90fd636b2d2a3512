// A head and a loss of your own, composed with merit's backbone and backend and trained for a few seconds.
#include <cstdio>

#include "merit/files.hpp"

/// A two-layer head: score = w · gelu(W · hidden). `inner` is a number a user may change; Bound holds the
/// parameters.
struct GeluHead {
  merit::Index inner = 32;
  static constexpr merit::ScoreMeaning meaning = merit::ScoreMeaning::per_completion;
  static constexpr const char* name() { return "gelu"; }
  void validate() const {}
  void rows(const merit::SequenceShape& s, std::vector<merit::Index>& out) const {
    out.push_back(s.length - 1);
  }

  template <class B>
  struct Bound {
    merit::Parameters<B>* parameters;
    std::uint32_t up, down;
    Bound(const GeluHead& head, merit::Index width, merit::Parameters<B>& p) : parameters(&p) {
      up = p.declare({"score.0.weight", {head.inner, width}, merit::Init::normal(0.1)});
      down = p.declare({"score.2.weight", {1, head.inner}, merit::Init::normal(0.1)});
    }
    merit::Index outputs() const { return 1; }
    merit::Var forward(merit::Tape<B>& tape, merit::Var hidden) {  // (R, d) → (R, 1)
      const merit::Var h = merit::linear(tape, hidden, parameters->slice(up));
      return merit::linear(tape, merit::activate(tape, h, merit::Activation::gelu_tanh),
                           parameters->slice(down));
    }
  };
};

/// The hinge on pairs: max(0, 1 − (chosen − rejected)). A loss is a loop over numbers that assigns a
/// gradient.
struct HingeLoss {
  using Targets = merit::PairTargets;
  static constexpr merit::ScoreMeaning reads = merit::ScoreMeaning::per_completion;
  static constexpr const char* name() { return "hinge"; }
  void validate() const {}
  double normaliser(const Targets& targets) const { return static_cast<double>(targets.pairs.size()); }
  template <class Score>
  double value_and_gradient(merit::MatrixView<const Score> scores, const Targets& targets, double normaliser,
                            merit::MatrixView<Score> gradient) const {
    for (merit::Index i = 0; i < gradient.rows; ++i) gradient(i, 0) = 0;
    double total = 0;
    for (const auto& pair : targets.pairs) {
      const double short_of_one = 1.0 - (scores(pair.chosen, 0) - scores(pair.rejected, 0));
      if (short_of_one <= 0) continue;
      total += short_of_one / normaliser;
      gradient(pair.chosen, 0) -= static_cast<Score>(1 / normaliser);
      gradient(pair.rejected, 0) += static_cast<Score>(1 / normaliser);
    }
    return total;
  }
};

int main() {
  merit::RewardModel<merit::Llama, GeluHead, HingeLoss, merit::EigenBackend<float>> model(
      {.backbone = {.vocabulary_size = 257,
                    .hidden_size = 64,
                    .intermediate_size = 128,
                    .layers = 2,
                    .heads = 4,
                    .kv_heads = 4}});
  const auto pairs = merit::embedded_examples(merit::EmbeddedTaskOptions::of_difficulty(1),
                                              merit::EmbeddedSplit::train, 500);
  merit::Trainer trainer(model, std::span<const merit::PreferenceExample>(pairs),
                         {.schedule = {.peak = 2e-3}});
  while (!trainer.finished()) {
    const merit::StepReport report = trainer.step();
    if (report.step % 20 == 0)
      std::printf("step %zu  loss %.3f  accuracy %.2f\n", report.step, report.loss, report.accuracy);
  }
}
