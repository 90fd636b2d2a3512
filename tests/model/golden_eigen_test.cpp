// Whole models against values from transformers, on the host backend.
#if __has_include("merit/backend/eigen/eigen_backend.hpp")

#include "golden.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"

namespace golden_eigen_test {

TEST_CASE("the host backend in float agrees with transformers on every golden model") {
  CHECK(merit_test::check_all_golden<merit::EigenBackend<float>>() >= 10);
}

}  // namespace golden_eigen_test

#endif
