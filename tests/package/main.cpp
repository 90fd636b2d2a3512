// The program that each consumer project builds.
#include <iostream>

#include "merit/core/rng.hpp"
#include "merit/core/version.hpp"

int main() {
#ifdef EIGEN_USE_BLAS
  const char* arithmetic = "BLAS";
#else
  const char* arithmetic = "Eigen";
#endif
  std::cout << "merit " << MERIT_VERSION << " on " << arithmetic
            << ", a random number: " << merit::Rng(1).uniform() << '\n';
  return 0;
}
