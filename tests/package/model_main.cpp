// A consumer that includes the umbrella: one model, scored once.
#include <iostream>

#include "merit/merit.hpp"

int main() {
  merit::RewardModel<merit::BagOfTokens> model({.backbone = {.width = 8}});
  const merit::Sequence sequences[] = {merit::embedded_sequence("Is merit here? ", "Yes.")};
  std::cout << "a score: " << merit::score(model, sequences)[0] << '\n';
  return 0;
}
