// The language-modelling loss: the next token, among all.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The token that follows a row. Sequences that part there follow one row with several tokens.
struct NextTokenTargets {
  struct Next {
    std::uint32_t row = 0;
    Token token = 0;
    double weight = 1;
  };
  std::vector<Next> next;

  void clear() { next.clear(); }
};

/// L = Σ w · −log softmax(scores of the row)[token] / Σ w: the shifted cross-entropy of language models, over
/// the tokens of completions.
struct LanguageModelLoss {
  using Targets = NextTokenTargets;
  static constexpr ScoreMeaning reads = ScoreMeaning::next_token;
  static constexpr ScoreWidth reads_width = ScoreWidth::several;
  static constexpr std::string_view name() { return "language_model"; }

  double normaliser(const Targets& targets) const {
    double sum = 0;
    for (const NextTokenTargets::Next& next : targets.next) sum += next.weight;
    return sum;
  }

  /// scores (R, V). Throws UsageError for a token of V or above.
  template <class Score>
  double value_and_gradient(MatrixView<const Score> scores, const Targets& targets, double normaliser,
                            MatrixView<Score> gradient) const {
    for (Index i = 0; i < gradient.rows; ++i) {
      for (Index j = 0; j < gradient.cols; ++j) gradient(i, j) = 0;
    }
    double total = 0;
    for (const NextTokenTargets::Next& next : targets.next) {
      if (next.token >= scores.cols) {
        throw UsageError(concat("language_model: token ", next.token, " has no score among ", scores.cols));
      }
      const double share = next.weight / normaliser;
      Index largest = 0;
      for (Index j = 1; j < scores.cols; ++j) {
        if (scores(next.row, j) > scores(next.row, largest)) largest = j;
      }
      // Relative to the largest, whose own term 1 is added by log1p: a sure token keeps its digits.
      const auto top = static_cast<double>(scores(next.row, largest));
      double rest = 0;
      for (Index j = 0; j < scores.cols; ++j) {
        if (j != largest) rest += std::exp(static_cast<double>(scores(next.row, j)) - top);
      }
      const double sum = 1 + rest;
      total += share * (std::log1p(rest) + (top - static_cast<double>(scores(next.row, next.token))));
      double others = 0;  // of the probability
      for (Index j = 0; j < scores.cols; ++j) {
        if (j == next.token) continue;
        const double p = std::exp(static_cast<double>(scores(next.row, j)) - top) / sum;
        others += p;
        gradient(next.row, j) += static_cast<Score>(share * p);
      }
      gradient(next.row, next.token) -= static_cast<Score>(share * others);
    }
    return total;
  }

  friend bool operator==(const LanguageModelLoss&, const LanguageModelLoss&) = default;
};

}  // namespace MERIT_ABI
}  // namespace merit
