// What a training step asks of the ranks that share it.
#pragma once

#include "merit/optim/shard.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A step's gradient over ranks, in this order of calls. A trainer that is given no ranks has none, and its unit
/// compiles none.
class StepExchange {
 public:
  virtual ~StepExchange() = default;

  /// What this rank's optimizer moves.
  virtual const OptimizerShard& shard() const = 0;

  /// Before its first micro-batch.
  virtual void begin() = 0;
  /// Before one of this rank's micro-batches, which are numbered over all ranks.
  virtual void before_batch(bool first, bool last) = 0;
  virtual void after_batch(Index number) = 0;
  /// After its last one. From here on the gradients of the shard are sums over all ranks, and the others' are none.
  virtual void finish() = 0;
  /// Of the gradient as finish() left it, over all ranks: the same on each.
  virtual double sum_of_squares() = 0;
  /// After each rank has moved its shard: all have all weights.
  virtual void spread_values() = 0;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
