// Where a gradient goes, and which gradients are final while the others are still computed: those ranks send each other
// behind the backward pass.
#pragma once

#include <limits>
#include <vector>

#include "merit/backend/operation_arguments.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Where a gradient goes and how: the first writer of a step assigns, later writers add.
template <class Matrix>
struct GradientTarget {
  Matrix view;
  Write write;
};

/// Watches one pass over a model. An operation reads a parameter before it records the node that will write its gradient, so
/// a gradient is final when the way back has run the first node recorded after its first reading.
///
/// Parameters::watch_gradients() sets it before the pass; the backbone's tape drives it. A head that has a tape of its own
/// has carried its gradients back before the backbone's begins.
class GradientWatch {
 public:
  explicit GradientWatch(Index tensors) : first_use_(tensors, unused) {}
  GradientWatch(const GradientWatch&) = delete;
  GradientWatch& operator=(const GradientWatch&) = delete;
  virtual ~GradientWatch() = default;

  /// The values of a tensor are read. On the way back it says nothing.
  void read(Index tensor) {
    if (!backward_ && first_use_[tensor] == unused) first_use_[tensor] = nodes_;
  }
  /// So many nodes are recorded.
  void recorded(Index nodes) {
    if (!backward_) nodes_ = nodes;
  }
  /// The way back begins, with so many nodes.
  void begin_backward(Index nodes) {
    backward_ = true;
    uses_.assign(nodes + 1, {});
    for (Index i = 0; i < first_use_.size(); ++i)
      if (first_use_[i] == unused || first_use_[i] >= nodes) {
        on_final(i);
      } else {
        uses_[first_use_[i]].push_back(i);
      }
  }
  /// So many nodes are left to run.
  void left(Index nodes) {
    for (const Index tensor : uses_[nodes]) on_final(tensor);
  }
  /// Another pass is about to begin.
  void restart() {
    first_use_.assign(first_use_.size(), unused);
    nodes_ = 0;
    backward_ = false;
  }

 private:
  static constexpr Index unused = std::numeric_limits<Index>::max();

  /// Nobody writes the gradient of this tensor any more; called once for each.
  virtual void on_final(Index tensor) = 0;

  std::vector<Index> first_use_;          // by tensor: nodes recorded before its first reading
  std::vector<std::vector<Index>> uses_;  // by node: the tensors first read by it
  Index nodes_ = 0;
  bool backward_ = false;
};

}  // namespace MERIT_ABI
}  // namespace merit
