// Every term in a kernel: that nvcc compiles it is the test, on a machine without a device too.
#include <type_traits>
#include <utility>

#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/expression_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"

namespace {

using namespace merit;

// The script compiles this file a second time with a function that a device may not call.
#ifdef MERIT_TEST_HOST_ONLY
#define MERIT_TEST_CALLABLE
#else
#define MERIT_TEST_CALLABLE MERIT_CALLABLE
#endif

struct Exponential : PairLoss<Exponential> {
  MERIT_TEST_CALLABLE auto operator()(auto chosen, auto rejected) const { return exp(rejected - chosen); }
};
struct Brier : RowLoss<Brier, ScoreMeaning::per_step> {
  MERIT_CALLABLE auto operator()(auto score, double label) const { return pow(sigmoid(score) - label, 2); }
};
struct Spread : GroupLoss<Spread> {
  MERIT_CALLABLE auto operator()(const auto& group) const {
    return softplus(group.score(group.size() - 1) - group.score(0)) / static_cast<double>(group.rank(1) + 1);
  }
};

/// One thread a unit, each with `stride` numbers of its own in every array; scores are gathered as on a host.
template <class Plain, class Unit>
__global__ void evaluate(Plain loss, const Unit* units, Index count, double normaliser, const float* scores,
                         Index columns, double* gathered, double* slopes, double* scratch, Index stride,
                         double* values) {
  const Index i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Unit& unit = units[i];
  for (Index j = 0; j < unit.size(); ++j) {
    const ScorePlace at = unit.place(j);
    gathered[i * stride + j] = scores[at.row * columns + at.column];
  }
  const UnitNumbers numbers{gathered + i * stride, slopes + i * stride, scratch + 2 * i * stride};
  if (unit.size() == 0) return;
  const UnitLoss part = loss.term(unit, normaliser, numbers);
  values[i] = part.factor * part.value;
}

/// The kernel for a loss and its units. Whoever takes its address has it compiled.
template <class Loss>
const void* kernel() {
  using Plain = std::remove_cvref_t<decltype(plain_loss(std::declval<const Loss&>()))>;
  using Unit = std::remove_cvref_t<decltype(std::declval<const typename Loss::Targets&>().unit(Index{}))>;
  return reinterpret_cast<const void*>(&evaluate<Plain, Unit>);
}

}  // namespace

const void* const kernels[] = {kernel<PairwiseLoss>(),
                               kernel<PlackettLuceLoss>(),
                               kernel<BinaryCrossEntropyLoss<>>(),
                               kernel<CrossEntropyLoss>(),
                               kernel<RegressionLoss<>>(),
                               kernel<ValueLoss>(),
                               kernel<Exponential>(),
                               kernel<Brier>(),
                               kernel<Spread>()};
