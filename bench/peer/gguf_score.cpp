// Our side of gguf_score.py: scores completions with a model in a GGUF file, held as the file stores it, and says what
// that took.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/files.hpp"
#include "merit/infer/score.hpp"

namespace {

using namespace merit;
using Model = RewardModel<Llama, ScalarHead, PairwiseLoss, EigenBackend<float>>;

constexpr const char* usage =
    "usage: gguf_score FILE THREADS\n"
    "Reads lines of token ids, the sequences of a call with | between them, and answers each with the seconds of the\n"
    "processors, the seconds on the clock, and the peak of memory in KiB. \"plain\" first: the weights as numbers.\n";

std::vector<Sequence> parse(const std::string& line) {
  std::vector<Sequence> sequences(1);
  for (const char* at = line.c_str(); *at != '\0';) {
    char* end = nullptr;
    const unsigned long token = std::strtoul(at, &end, 10);
    if (end == at) {
      if (*at == '|') sequences.emplace_back();
      ++at;
      continue;
    }
    sequences.back().tokens.push_back(static_cast<Token>(token));
    at = end;
  }
  return sequences;
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::fputs(usage, stderr);
    return 2;
  }
  const std::string file = argv[1];
  const bool plain = argc > 3;
  Model model({.backbone = read_backbone_config<Llama>(file),
               .backend = {.threads = std::stoi(argv[2])},
               .initial = Initial::from_file,
               .scores_only = !plain});
  const LoadReport report = load_model_parameters(file, model, {.allow_missing_head = true});
  std::printf("loaded %zu mapped %zu owned\n", report.memory.mapped, report.memory.owned);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    RankingExample group;  // completions of one prompt, which is computed once
    RankedGroup& completions = group.groups.emplace_back();
    completions.completions = parse(line);
    completions.ranks.resize(completions.completions.size());
    const auto clock = std::chrono::steady_clock::now();
    const std::clock_t processors = std::clock();
    const std::vector<RankingExample> examples{group};
    const std::vector<double> scores = score(model, examples, 1 << 16);
    const double cpu = static_cast<double>(std::clock() - processors) / CLOCKS_PER_SEC;
    const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - clock).count();
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    std::printf("%.6f %.6f %ld %.9g\n", cpu, wall, used.ru_maxrss, scores.front());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gguf_score: %s\n", error.what());
    return 1;
  }
}
