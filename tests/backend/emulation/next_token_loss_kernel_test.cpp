// The cross-entropy of the next token beside the reference backend in double.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "backend/emulation/machine.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/backend/thrust/kernels/next_token_loss_kernel.hpp"

namespace next_token_loss_kernel_test {

using namespace merit_test;

using Arbiter = ReferenceBackend<double>;

struct Results {
  List losses, gradient;
};

template <class T>
Results kernel(Index rows, Index cols, const List& logits, const Ids& begin, const Ids& tokens,
               const List& weights, Index padding) {
  Array<T> matrix(rows, cols, logits, padding);
  const Array<std::uint32_t> from = row_of<std::uint32_t>(begin), which = row_of<std::uint32_t>(tokens);
  const Array<float> weight = row_of<float>(weights);
  Array<float> losses(1, rows);
  run(NextTokenLossKernel<T>{rows, cols, matrix.rows(), from.data(), which.data(), weight.data(),
                             losses.data()});
  return {losses.values(), matrix.values()};
}

Results reference(Index rows, Index cols, const List& logits, const Ids& begin, const Ids& tokens,
                  const List& weights) {
  Arbiter::Handle handle{Arbiter{}};
  Results results{List(rows), logits};
  Arbiter::next_token_loss(handle,
                           {{results.gradient.data(), rows, cols}, begin, tokens, weights, results.losses});
  return results;
}

TEST_CASE_TEMPLATE("the loss of next tokens is the reference's", T, float, Bf16) {
  Rng rng(1);
  for (const auto& [rows, cols, padding] :
       {std::array<Index, 3>{1, 1, 0}, {3, 17, 3}, {5, 300, 0}, {2, 5000, 1}, {17, 64, 8}}) {
    const List logits = random_list<T>(rng, rows * cols, 3);
    Ids begin{0}, tokens;
    List weights;
    for (Index i = 0; i < rows; ++i) {  // none, one, some, the same twice
      for (Index t = 0; t < i % 5; ++t) {
        tokens.push_back(t == 2 ? tokens.back() : static_cast<std::uint32_t>(rng.below(cols)));
        weights.push_back(static_cast<double>(static_cast<float>(rng.uniform())));
      }
      begin.push_back(static_cast<std::uint32_t>(tokens.size()));
    }
    const Results results = kernel<T>(rows, cols, logits, begin, tokens, weights, padding);
    const Results expected = reference(rows, cols, logits, begin, tokens, weights);
    CHECK(relative_error(results.losses, expected.losses) <= Tolerance<float>::value);
    // A target's place is rounded when all are written and when its own share is taken off.
    CHECK(relative_error(results.gradient, expected.gradient) <= Kept<T>::gradient_after(2));
  }
}

TEST_CASE("a token that is nearly sure keeps its digits") {
  // The first of two equal tops, a target that is sure, one that is not.
  for (const List& logits :
       {List{30, 0, 1, -2}, List{0, 40, 0, 1}, List{5, 5, 5, 5}, List{-1000, 3, 3, -900}}) {
    for (const std::uint32_t token : {0u, 1u, 3u}) {
      const Results results = kernel<float>(1, 4, logits, {0, 1}, {token}, {0.5}, 0);
      const Results expected = reference(1, 4, logits, {0, 1}, {token}, {0.5});
      CHECK(std::abs(results.losses[0] - expected.losses[0]) <= 1e-5 * expected.losses[0]);
      for (Index j = 0; j < 4; ++j)
        CHECK(std::abs(results.gradient[j] - expected.gradient[j]) <=
              1e-5 * std::abs(expected.gradient[j]) + 1e-37);
    }
  }
}

}  // namespace next_token_loss_kernel_test
