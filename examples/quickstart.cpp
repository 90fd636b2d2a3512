// The main job from end to end, on problems made from a seed: train a Bradley-Terry reward model, measure it
// on problems it has never seen, let it choose the best of 8 answers, save it, load it, and find the same
// scores.
#include <cstdio>
#include <filesystem>

#include "merit/files.hpp"

using namespace merit;

namespace {

using Model = RewardModel<Llama, ScalarHead, PairwiseLoss, EigenBackend<float>>;
using Examples = std::span<const PreferenceExample>;

constexpr Index train_pairs = 24000;
constexpr Index held_out_pairs = 2000;
constexpr Index held_out_problems = 500;  // of 8 answers each

void print_accuracy(const char* what, const Estimate& accuracy) {
  std::printf("  %-34s %.3f  (95%%: %.3f to %.3f)\n", what, accuracy.value, accuracy.low, accuracy.high);
}

/// The baseline that sees which bytes there are, but not their order.
PairReport train_bag_of_bytes(Examples train, Examples held_out) {
  RewardModel<BagOfTokens, ScalarHead, PairwiseLoss, EigenBackend<float>> bag({.backbone = {.width = 16}});
  Trainer trainer(bag, train, {.batch_size = 32, .schedule = {.peak = 0.03}});
  trainer.run();
  return evaluate_pairs(bag, held_out);
}

/// The candidates of each held-out problem, with their scores and whether they are right.
std::vector<Candidates> score_candidates(Model& model, const std::vector<EmbeddedProblem>& problems) {
  std::vector<Candidates> result;
  for (const EmbeddedProblem& problem : problems) {
    std::vector<Sequence> sequences;
    Candidates candidates;
    for (const EmbeddedSolution& solution : problem.solutions) {
      sequences.push_back(embedded_sequence(problem.prompt, solution.text()));
      candidates.correct.push_back(solution.correct ? 1 : 0);
    }
    for (const float score : score_sequences(model, sequences)) candidates.scores.push_back(score);
    result.push_back(std::move(candidates));
  }
  return result;
}

void show_ranking(const EmbeddedProblem& problem, const Candidates& candidates) {
  std::printf("\n  %s", problem.prompt.c_str());
  std::vector<Index> order(candidates.scores.size());
  for (Index i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](Index a, Index b) { return candidates.scores[a] > candidates.scores[b]; });
  for (const Index i : order) {
    std::string text = problem.solutions[i].text();
    std::replace(text.begin(), text.end(), '\n', ' ');
    std::printf("  %8.2f  %-5s  %s\n", candidates.scores[i], candidates.correct[i] != 0 ? "right" : "wrong",
                text.c_str());
  }
}

int run(const std::filesystem::path& directory) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // lines appear in order beside the progress on stderr
  const EmbeddedTaskOptions task;
  EmbeddedTaskOptions pairs_only;  // two solutions a problem, one right and one wrong
  pairs_only.completions = 2;
  const auto train = embedded_examples(pairs_only, EmbeddedSplit::train, train_pairs);
  const auto held_out = embedded_examples(pairs_only, EmbeddedSplit::held_out, held_out_pairs);
  std::vector<EmbeddedProblem> problems;
  for (Index i = 0; i < held_out_problems; ++i) {
    problems.push_back(make_embedded_problem(task, EmbeddedSplit::held_out, 0, i));
  }
  std::printf(
      "The task: which solution of a sorting puzzle is right? %zu pairs to learn from, %zu held "
      "out.\n\n%s%s\n",
      train.size(), held_out.size(), problems[0].prompt.c_str(), problems[0].solutions[0].text().c_str());

  Model model({.backbone = {.vocabulary_size = ByteTokenizer().vocabulary_size(),
                            .hidden_size = 64,
                            .intermediate_size = 192,
                            .layers = 2,
                            .heads = 4,
                            .kv_heads = 4},
               .seed = 1});
  Trainer trainer(model, train,
                  {.batch_size = 16,
                   .optimizer = {.beta2 = 0.95},
                   .schedule = {.peak = 2e-3, .warmup = 0.1, .floor = 0.05}});
  std::printf("Training a Llama of %zu parameters for one epoch of %zu steps.\n",
              model.parameters().elements(), trainer.steps());
  {
    Progress progress("training", trainer.steps());
    double loss = 0.69;
    trainer.run({.on_step = [&](const StepReport& report) {
      loss += 0.05 * (report.loss - loss);
      progress.update(report.step, detail::concat("loss ", std::to_string(loss).substr(0, 5)));
    }});
  }

  const PairReport report = evaluate_pairs(model, held_out);
  const PairReport bag = train_bag_of_bytes(train, held_out);
  std::printf("\nHeld-out pairs in the right order:\n");
  print_accuracy("the reward model", report.accuracy);
  print_accuracy("a bag of bytes, trained alike", bag.accuracy);
  print_accuracy("the longer answer", report.longer_wins);

  const auto candidates = score_candidates(model, problems);
  const BestOfNReport best = report_best_of_n(candidates);
  std::printf("\nBest of %zu answers, right in:\n", task.completions);
  print_accuracy("chosen by the reward model", best.chosen);
  std::printf("  %-34s %.3f\n  %-34s %.3f\n", "chosen at random", best.random, "chosen by an oracle",
              best.oracle);
  std::printf("\nOne held-out problem, its answers ranked:\n");
  show_ranking(problems[1], candidates[1]);

  ModelCard card;
  card.tokenizer = ByteTokenizer().name();
  save_model(directory, model, card);
  Model loaded({.backbone = std::get<Llama>(read_backbone_config(directory / "config.json"))});
  load_model_parameters(directory, loaded);
  const auto again = score_candidates(loaded, problems);
  for (Index i = 0; i < again.size(); ++i) {
    if (again[i].scores != candidates[i].scores)
      throw Error("the loaded model scores differently from the saved one");
  }
  std::printf("\nSaved to %s and loaded again: the same scores, bit for bit.\nheld-out accuracy %.3f\n",
              directory.c_str(), report.accuracy.value);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? argv[1] : "quickstart-model");
  } catch (const Error& error) {
    std::fprintf(stderr, "quickstart: %s\n", error.what());
    return 1;
  }
}
