// Several numbers for an answer, one an attribute, and the weights by which they become one.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/head/head.hpp"
#include "merit/head/linear_scores.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Ratings of an answer's attributes, such as helpfulness and correctness, read at its last token (Wang et
/// al. 2024, HelpSteer2). They are learned by regression; merge() makes one score of them for ranking.
struct AttributeHead {
  std::vector<double> merge_weights = {1};  // one an attribute: their number is that of the outputs
  bool bias = true;
  double init_deviation = 0.02;

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_completion;
  static constexpr Index width = 0;  // decided at run time
  static constexpr std::string_view name() { return "attributes"; }

  /// Σ weight · attribute.
  double merge(std::span<const double> attributes) const {
    double sum = 0;
    for (Index i = 0; i < attributes.size(); ++i) sum += merge_weights[i] * attributes[i];
    return sum;
  }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"merge_weights", &AttributeHead::merge_weights, any_value().counted(1),
                "by which attributes become one score; all 1 if none are given"});
    visit(detail::bias_field(&AttributeHead::bias));
    visit(detail::init_deviation_field(&AttributeHead::init_deviation));
  }

  friend bool operator==(const AttributeHead&, const AttributeHead&) = default;
};

template <class B>
class AttributeHead::Bound : public detail::LinearScores<B> {
 public:
  Bound(const AttributeHead& head, Index hidden_width, Parameters<B>& parameters)
      : detail::LinearScores<B>("score", head.merge_weights.size(), hidden_width, head.bias,
                                head.init_deviation, parameters) {}
};

}  // namespace MERIT_ABI
}  // namespace merit
