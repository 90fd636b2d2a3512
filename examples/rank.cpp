#include <cstdio>

#include "merit/open.hpp"

int main(int count, char** words) try {
  if (count < 4) throw merit::ConfigError("expected a folder, a prompt, and answers to put in order");
  for (const auto& ranked : merit::open(words[1]).rank(words[2], std::span(words + 3, words + count)))
    std::printf("%8.4f  %s\n", ranked.score, ranked.text.c_str());
} catch (const std::exception& error) {
  std::fprintf(stderr, "rank: %s\n", error.what());
  return 1;
}
