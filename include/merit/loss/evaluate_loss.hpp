// The one loop over the units of a loss's targets, on a host.
#pragma once

#include <algorithm>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The arrays that a loss is evaluated on; the caller owns them.
template <class Score>
struct LossArrays {
  MatrixView<const Score> scores;  // (R, k)
  MatrixView<Score> gradient;      // (R, k), to be assigned
  VectorView<double> scratch;      // scratch_size(loss, targets) or more, of any content
};

/// How many doubles of scratch evaluate_loss() needs: for the largest unit its scores, their slopes and what
/// its term asks for. 0 for a loss that is a loop of its own.
template <class Loss>
Index scratch_size(const Loss&, const typename Loss::Targets& targets) {
  Index largest = 0;
  if constexpr (term_loss<Loss>) {
    for (Index i = 0; i < targets.unit_count(); ++i)
      largest = std::max<Index>(largest, targets.unit(i).size());
  }
  return largest * (2 + scratch_per_score<Loss>);
}

/// A micro-batch's share of the step's loss; assigns its gradient by each score. `normaliser` is the sum of
/// loss.normaliser(targets) over the whole step. Units come in their order and are summed in double, so that
/// the same targets give the same bits. Throws UsageError where scratch is too small, and what the loss's
/// check_columns() throws.
template <class Loss, class Score>
double evaluate_loss(const Loss& loss, const typename Loss::Targets& targets,
                     const NormaliserOf<Loss>& normaliser, const LossArrays<Score>& arrays) {
  if constexpr (!term_loss<Loss>) {
    return loss.value_and_gradient(arrays.scores, targets, normaliser, arrays.gradient);
  } else {
    const MatrixView<Score> gradient = arrays.gradient;
    for (Index i = 0; i < gradient.rows; ++i) std::fill_n(gradient.row(i), gradient.cols, Score{0});
    if constexpr (requires { loss.check_columns(targets, Index{}); }) {
      loss.check_columns(targets, arrays.scores.cols);
    }
    const auto& plain = plain_loss(loss);
    double total = 0;
    const Index count = targets.unit_count();
    for (Index i = 0; i < count; ++i) {
      const auto unit = targets.unit(i);
      const Index size = unit.size();
      if (size == 0) continue;
      if (arrays.scratch.size < size * (2 + scratch_per_score<Loss>)) {
        throw UsageError(concat("a loss has scratch for ", arrays.scratch.size, " numbers, expected ",
                                scratch_size(loss, targets), " as scratch_size() says"));
      }
      double* const scores = arrays.scratch.data;
      double* const slopes = scores + size;
      for (Index j = 0; j < size; ++j) {
        const ScorePlace at = unit.place(j);
        scores[j] = static_cast<double>(arrays.scores(at.row, at.column));
      }
      const UnitLoss part = plain.term(unit, normaliser, UnitNumbers{scores, slopes, slopes + size});
      total += part.factor * part.value;
      for (Index j = 0; j < size; ++j) {
        const ScorePlace at = unit.place(j);
        gradient(at.row, at.column) += static_cast<Score>(slopes[j]);
      }
    }
    return total;
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
