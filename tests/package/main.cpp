// The program that each consumer project builds: one model, scored once.
#include <iostream>

#include "merit/merit.hpp"

#if defined(MERIT_COMPILED) && defined(EIGEN_WORLD_VERSION)
#error "with the library a unit includes no Eigen, whose functions depend on its flags"
#endif

int main() {
#ifdef EIGEN_USE_BLAS
  const char* arithmetic = "BLAS";
#else
  const char* arithmetic = "Eigen";
#endif
  std::cout << "merit " << MERIT_VERSION << " on " << arithmetic
            << ", a random number: " << merit::Rng(1).uniform() << '\n';
  merit::RewardModel<merit::BagOfTokens> model({.backbone = {.width = 8}});
  const merit::Sequence sequences[] = {merit::embedded_sequence("Is merit here? ", "Yes.")};
  std::cout << "a score: " << merit::score(model, sequences)[0] << '\n';
  return 0;
}
