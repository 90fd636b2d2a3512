// A consumer of whom only the folders of headers are asked, merit's and Eigen's: those with a model take seconds each.
#include <Eigen/src/Core/util/Macros.h>
#include <iostream>

#include "merit/core/version.hpp"

int main() {
  std::cout << "merit " << MERIT_VERSION << " beside Eigen " << EIGEN_WORLD_VERSION << '\n';
  return 0;
}
