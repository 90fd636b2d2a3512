// Margin functions: by how much the chosen completion should win, m in −log σ(r_chosen − r_rejected − m)
// (Touvron et al. 2023, Llama 2).
#pragma once

#include <concepts>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What is known of one preference.
struct MarginInput {
  double record = 0;  // the record's own margin
  double chosen_rating = 0;
  double rejected_rating = 0;
  Index strength = 0;  // how clear the preference is: 0 hardly, then up
};

/// Anything that can be called with a MarginInput and gives a number; a lambda of the user's is one.
template <class F>
concept margin_function = requires(const F& f, const MarginInput& input) {
  { f(input) } -> std::convertible_to<double>;
};

/// Every margin is 0.
struct NoMargin {
  double operator()(const MarginInput&) const { return 0; }
};

/// The number that the record gives.
struct RecordMargin {
  double operator()(const MarginInput& input) const { return input.record; }
};

/// The difference of the two ratings: 5 against 2 is 3. `scale` turns points of the rating into scores.
struct RatingMargin {
  double scale = 1;
  double operator()(const MarginInput& input) const {
    return scale * (input.chosen_rating - input.rejected_rating);
  }
};

/// A table by strength. Llama 2's people said negligibly better or unsure (0), slightly better (1), better
/// (2) or significantly better (3).
struct StrengthMargin {
  std::vector<double> table;

  static StrengthMargin llama2_small() { return {{0, 1.0 / 3, 2.0 / 3, 1}}; }
  static StrengthMargin llama2_large() { return {{0, 1, 2, 3}}; }

  double operator()(const MarginInput& input) const {
    if (input.strength >= table.size()) {
      throw DataError(concat("the strength of a preference is ", input.strength, ", expected less than ",
                             table.size(), ", the size of the table of margins"));
    }
    return table[input.strength];
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
