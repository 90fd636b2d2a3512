// The program that each consumer project builds: one product.
#include <iostream>

#include "merit/core/version.hpp"
#include "product.hpp"

#if defined(MERIT_COMPILED) && defined(EIGEN_WORLD_VERSION)
#error "with the library a unit includes no Eigen, whose functions depend on its flags"
#endif

int main() {
#ifdef EIGEN_USE_BLAS
  const char* arithmetic = "BLAS";
#else
  const char* arithmetic = "Eigen";
#endif
  std::cout << "merit " << MERIT_VERSION << " on " << arithmetic << ": " << product() << '\n';
  return product() == 70 ? 0 : 1;
}
