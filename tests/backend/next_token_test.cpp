// The cross-entropy of the next token, value and gradient, against its formula in double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "backend/backends.hpp"

namespace next_token_test {

using namespace merit_test;

/// Rows of logits and the targets of each.
struct Rows {
  Index rows, vocabulary;
  Numbers logits;
  Ids begin{0}, tokens;
  Numbers weights;
};

/// Losses of the rows, then gradients, by `B`.
template <class B>
std::vector<Numbers> run(const Rows& r) {
  Machine<B> m;
  Array<B> logits(m, r.rows, r.vocabulary, r.logits);
  StatArray<B> losses(m, 1, r.rows, 9.0);
  const StatArray<B> weights(m, 1, r.weights.size(), r.weights);
  const Copied<B, std::uint32_t> begin(m, r.begin), tokens(m, r.tokens);
  B::next_token_loss(m.handle, {.logits = logits.matrix(),
                                .begin = begin.view(),
                                .tokens = tokens.view(),
                                .weights = weights.constant_vector(),
                                .losses = losses.vector()});
  return {losses.values(), logits.values()};
}

/// The same by the formula: −log softmax of each target, and Σ weight · (softmax − [token]).
std::vector<Numbers> expected(const Rows& r) {
  Numbers losses(r.rows), gradients(r.rows * r.vocabulary);
  for (Index i = 0; i < r.rows; ++i) {
    const double* const row = r.logits.data() + i * r.vocabulary;
    const double largest = *std::max_element(row, row + r.vocabulary);
    double sum = 0;
    for (Index j = 0; j < r.vocabulary; ++j) sum += std::exp(row[j] - largest);
    for (Index t = r.begin[i]; t < r.begin[i + 1]; ++t) {
      losses[i] += r.weights[t] * (largest + std::log(sum) - row[r.tokens[t]]);
      for (Index j = 0; j < r.vocabulary; ++j)
        gradients[i * r.vocabulary + j] += r.weights[t] * std::exp(row[j] - largest) / sum;
      gradients[i * r.vocabulary + r.tokens[t]] -= r.weights[t];
    }
  }
  return {losses, gradients};
}

TEST_CASE_TEMPLATE("the loss of the next token and its gradient follow their formula", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(60);
  for (const Index vocabulary : {Index{1}, Index{7}, Index{130}}) {
    Rows r{.rows = 9, .vocabulary = vocabulary, .logits = {}, .begin = {0}, .tokens = {}, .weights = {}};
    r.logits = held<B>(random_numbers(rng, r.rows * vocabulary, 3.0));
    for (Index i = 0; i < r.rows; ++i) {
      for (Index t = 0; t < i % 4; ++t) {  // none, one, or several, of which two may be the same
        r.tokens.push_back(static_cast<std::uint32_t>(rng.below(std::min<Index>(vocabulary, 5))));
        r.weights.push_back(0.25 + static_cast<double>(rng.below(4)));
      }
      r.begin.push_back(static_cast<std::uint32_t>(r.tokens.size()));
    }
    const std::vector<Numbers> found = run<B>(r), wanted = expected(r);
    CHECK(relative_error(found[0], wanted[0]) <= Tolerance<typename B::Stat>::value);
    if (vocabulary > 1)
      CHECK(relative_error(found[1], wanted[1]) <= Tolerance<typename B::Activation>::value);
  }
}

TEST_CASE_TEMPLATE("a token that is nearly sure keeps its digits", B, MERIT_TEST_BACKENDS) {
  // Its loss is log(1 + 2·e^-20) and its gradient −2·e^-20 / (1 + 2·e^-20), far below what 1 − p leaves of p in float.
  const Rows r{
      .rows = 1, .vocabulary = 3, .logits = {20, 0, 0}, .begin = {0, 1}, .tokens = {0}, .weights = {1}};
  const std::vector<Numbers> found = run<B>(r);
  const double small = 2 * std::exp(-20.0);
  CHECK(relative_error(found[0], Numbers{std::log1p(small)}) <= Tolerance<typename B::Stat>::value);
  CHECK(relative_error(part(found[1], 0, 1), Numbers{-small / (1 + small)}) <=
        Tolerance<typename B::Activation>::value);
}

}  // namespace next_token_test
