// The promises about forests on the host backend, within its stated tolerance.
#if __has_include("merit/backend/eigen/eigen_backend.hpp")

#include "forest_equivalence.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "sanitized.hpp"

namespace forest_equivalence_eigen_test {

TEST_CASE("on the host backend packed forests give the scores and gradients of single sequences") {
  using Backend = merit::EigenBackend<double>;
  merit_test::check_packing<Backend>(merit_test::tiny_llama(), merit_test::random_cases(100), 1e-10, 1e-10);
  merit_test::check_packing<Backend>(merit_test::tiny_llama_with_all(), merit_test::random_cases(100), 1e-10,
                                     1e-10);
  merit_test::check_packing<Backend>(merit_test::tiny_gpt2(), merit_test::random_cases(200), 1e-10, 1e-10);
}

TEST_CASE("in float on the host backend packed forests give the scores and gradients of single sequences") {
  using Backend = merit::EigenBackend<float>;
  merit_test::check_packing<Backend>(merit_test::tiny_llama(), 50, 1e-5, 1e-4);
  merit_test::check_packing<Backend>(merit_test::tiny_llama_with_all(), 50, 1e-5, 1e-4);
  merit_test::check_packing<Backend>(merit_test::tiny_gpt2(), 50, 1e-5, 1e-4);
}

}  // namespace forest_equivalence_eigen_test

#endif
