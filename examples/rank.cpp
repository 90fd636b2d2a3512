// Puts answers to a prompt in order, with a reward model's folder as it is published or as merit saved it.
#include <cstdio>
#include <exception>

#include "merit/open.hpp"

int main(int count, char** words) try {
  if (count < 4) throw merit::ConfigError("expected a folder, a prompt, and answers to put in order");
  merit::Scorer scorer = merit::open(words[1]);
  const std::vector<std::string> answers(words + 3, words + count);
  for (const auto& [index, score] : scorer.rank(words[2], answers)) {
    std::printf("%8.4f  %s\n", score, answers[index].c_str());
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "rank: %s\n", error.what());
  return 1;
}
