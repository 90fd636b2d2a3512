// The mean of token embeddings: a floor that any model of language must beat, and a small backbone for tests.
#pragma once

#include <string_view>

#include "merit/backbone/backbone.hpp"
#include "merit/core/field.hpp"
#include "merit/nn/attention.hpp"
#include "merit/nn/select_rows.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// hidden = mean of the embeddings of all tokens up to the row. With a scalar head this is a linear model of
/// token frequencies; it knows nothing of order.
struct BagOfTokens {
  Index vocabulary_size = 257;
  Index width = 64;
  double init_deviation = 0.02;

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "bag_of_tokens"; }
  Index token_limit() const { return vocabulary_size; }
  Index position_limit() const { return 0; }
  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"vocabulary_size", &BagOfTokens::vocabulary_size, at_least(1), "tokens"});
    visit(Field{"width", &BagOfTokens::width, at_least(1), "width of an embedding"});
    visit(Field{"init_deviation", &BagOfTokens::init_deviation, at_least(0),
                "standard deviation of the embedding at the start"});
  }
  void validate() const { check_fields(*this); }
  friend bool operator==(const BagOfTokens&, const BagOfTokens&) = default;
};

template <class B>
class BagOfTokens::Bound {
 public:
  Bound(const BagOfTokens& settings, Parameters<B>& parameters)
      : settings_(settings), parameters_(&parameters) {
    table_ = parameters.declare({"embedding.weight",
                                 {settings.vocabulary_size, settings.width},
                                 Init::normal(settings.init_deviation)});
  }
  Index hidden_width() const { return settings_.width; }
  Var forward(Tape<B>& tape, const typename BackendTypes<B>::Forest& forest) {
    const Var x = embedding(tape, forest.tokens, parameters_->slice(table_));  // (T, d)
    return path_mean(tape, forest, x);                                         // (R, d)
  }

 private:
  BagOfTokens settings_;
  Parameters<B>* parameters_;
  std::uint32_t table_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
