// Vectors computed elsewhere, one a completion: with a scalar head, the linear-probe reward model.
#pragma once

#include <string_view>

#include "merit/backbone/backbone.hpp"
#include "merit/core/field.hpp"
#include "merit/nn/check.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// hidden = the feature vector that came with the completion. It has no parameters; the head learns alone.
struct Features {
  Index width = 0;  // numbers in a vector

  template <class B>
  class Bound;

  static constexpr bool reads_features = true;
  static constexpr std::string_view name() { return "features"; }
  Index token_limit() const { return 0; }
  Index position_limit() const { return 0; }
  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"width", &Features::width, at_least(1), "numbers in a vector"});
  }
  void validate() const { check_fields(*this); }
  friend bool operator==(const Features&, const Features&) = default;
};

template <class B>
class Features::Bound {
 public:
  Bound(const Features& settings, Parameters<B>&) : settings_(settings) {}
  Index hidden_width() const { return settings_.width; }
  Var forward(Tape<B>& tape, const typename BackendTypes<B>::Forest& forest) {
    const MatrixView<const float, typename B::Space> features = forest.features;  // (R, d)
    detail::check_extent("features", "the number of vectors", features.rows, forest.row_count());
    if (features.cols != settings_.width) {
      throw DataError(concat("a feature vector has ", features.cols, " numbers, expected ", settings_.width,
                             ", the model's width"));
    }
    const Var out = tape.make(features.rows, features.cols, false);
    B::gather_rows(tape.handle(), features, {}, Write::assign, tape.value(out));  // all rows, converted
    return out;
  }

 private:
  Features settings_;
};

}  // namespace MERIT_ABI
}  // namespace merit
