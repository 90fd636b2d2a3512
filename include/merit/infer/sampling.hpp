// From logits to a token: a pure function of logits, settings, what was written so far and one random number.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How the next token is chosen. The filters act in the order of the members, as in transformers: what one takes away the
/// next does not see. The defaults change nothing: a token is drawn by the model's own probabilities.
struct Sampling {
  /// Logits of tokens that stand in the text before are divided by it where they are positive, multiplied where they are
  /// negative (Keskar et al. 2019). 1: nothing.
  double repetition_penalty = 1;
  /// Logits are divided by it. 0: the most likely token is taken, and what follows does nothing.
  double temperature = 1;
  /// The k most likely tokens are left, with those that are as likely as the last of them (Fan et al. 2018). 0: all.
  Index top_k = 0;
  /// The most likely tokens are left, as many as have this probability together (Holtzman et al. 2020). 1: all.
  double top_p = 1;
  /// Tokens are left that have this share of the most likely one's probability (Nguyen et al. 2024). 0: all.
  double min_p = 0;

  static constexpr std::string_view name() { return "sampling"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"repetition_penalty", &Sampling::repetition_penalty, above(0),
                "divides logits of tokens that were written before; 1: nothing"});
    visit(Field{"temperature", &Sampling::temperature, at_least(0),
                "divides logits; 0: the most likely token is taken"});
    visit(Field{"top_k", &Sampling::top_k, any_value(), "the K most likely tokens are left; 0: all"});
    visit(Field{"top_p", &Sampling::top_p, above(0, 1),
                "the most likely tokens are left that have this probability together; 1: all"});
    visit(Field{"min_p", &Sampling::min_p, between(0, 1),
                "tokens are left that have this share of the most likely one's probability; 0: all"});
  }

  friend bool operator==(const Sampling&, const Sampling&) = default;
};

namespace detail {

/// Of logits, of which some are −∞: their softmax. A filter sees what those before it have left.
inline std::vector<double> softmax_of(const std::vector<double>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> probabilities(logits.size());
  double sum = 0;
  for (Index i = 0; i < logits.size(); ++i) sum += probabilities[i] = std::exp(logits[i] - largest);
  for (double& probability : probabilities) probability /= sum;
  return probabilities;
}

/// Takes away what is not among the most likely tokens that have `share` together; the first of equals stay.
inline void leave_top_p(std::vector<double>& logits, double share) {
  const std::vector<double> probabilities = softmax_of(logits);
  // A heap, as a few tokens usually have nearly all.
  std::vector<Index> order(logits.size());
  std::iota(order.begin(), order.end(), Index{0});
  const auto later = [&](Index a, Index b) {
    return probabilities[a] < probabilities[b] || (probabilities[a] == probabilities[b] && a > b);
  };
  std::make_heap(order.begin(), order.end(), later);
  auto end = order.end();
  for (double sum = 0; sum < share && end != order.begin();) {
    std::pop_heap(order.begin(), end, later);
    sum += probabilities[*--end];
  }
  for (auto gone = order.begin(); gone != end; ++gone)
    logits[*gone] = -std::numeric_limits<double>::infinity();
}

}  // namespace detail

/// The probability with which each token is drawn next, of its logits; `before` are the tokens of the text so far, in any
/// order. Throws ConfigError for settings out of their range, DataError where a logit is no number, UsageError for none.
template <class Score>
std::vector<double> token_probabilities(std::span<const Score> logits, const Sampling& sampling,
                                        std::span<const Token> before = {}) {
  constexpr double nothing = -std::numeric_limits<double>::infinity();
  check_fields(sampling);
  if (logits.empty()) throw UsageError("sampling: there are no logits, expected one for each token");
  std::vector<double> left(logits.begin(), logits.end());
  for (Index token = 0; token < left.size(); ++token) {
    if (std::isfinite(left[token])) continue;
    throw DataError(
        concat("sampling: the logit of token ", token, " is ", left[token], ", expected a number"));
  }
  if (sampling.repetition_penalty != 1) {
    for (const Token token : before) {
      if (token >= left.size()) continue;
      const double logit = static_cast<double>(logits[token]);  // however often it was written
      left[token] = logit > 0 ? logit / sampling.repetition_penalty : logit * sampling.repetition_penalty;
    }
  }
  if (sampling.temperature == 0) {
    const auto best = std::max_element(left.begin(), left.end());
    std::vector<double> probabilities(left.size(), 0.0);
    probabilities[static_cast<Index>(best - left.begin())] = 1;
    return probabilities;
  }
  for (double& logit : left) logit /= sampling.temperature;
  if (sampling.top_k != 0 && sampling.top_k < left.size()) {
    std::vector<double> sorted = left;
    const auto last = sorted.begin() + static_cast<std::ptrdiff_t>(sampling.top_k - 1);
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
    for (double& logit : left) logit = logit < *last ? nothing : logit;
  }
  if (sampling.top_p < 1) detail::leave_top_p(left, sampling.top_p);
  if (sampling.min_p > 0) {
    const double least = *std::max_element(left.begin(), left.end()) + std::log(sampling.min_p);
    for (double& logit : left) logit = logit < least ? nothing : logit;
  }
  return detail::softmax_of(left);
}

/// The token at which the probabilities of tokens, summed in their order, pass `uniform`, a number from 0 to below 1.
inline Token drawn_token(std::span<const double> probabilities, double uniform) {
  double sum = 0;
  Index last = 0;
  for (Index token = 0; token < probabilities.size(); ++token) {
    if (probabilities[token] == 0) continue;
    last = token;
    sum += probabilities[token];
    if (uniform < sum) break;
  }
  return static_cast<Token>(last);  // where rounding leaves the sum below `uniform`, the last there is
}

}  // namespace MERIT_ABI
}  // namespace merit
