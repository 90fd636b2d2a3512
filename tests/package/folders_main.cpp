// A consumer of whom only the folders of headers are asked, merit's and Eigen's: those with a model take seconds each.
#include <iostream>

#include "merit/core/version.hpp"

#if !__has_include(<Eigen/Core>)
#error "Eigen's folder was not given"
#endif

int main() {
  std::cout << "merit " << MERIT_VERSION << " beside Eigen\n";
  return 0;
}
