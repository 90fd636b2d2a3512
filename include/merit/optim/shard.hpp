// The part of the trained tensors that one rank's optimizer moves, and for which alone it keeps anything (ZeRO's first
// stage: Rajbhandari et al. 2020).
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Whole tensors, as runs of the parameters' block; what is kept for them lies without the gaps between.
class OptimizerShard {
 public:
  struct Run {
    Index begin, end;  // elements of the parameters' block
  };

  /// Runs that are apart from each other.
  explicit OptimizerShard(std::vector<Run> runs) : runs_(std::move(runs)) {
    for (const Run& run : runs_) {
      places_.push_back(size_);
      size_ += run.end - run.begin;
    }
  }

  const std::vector<Run>& runs() const { return runs_; }
  /// Elements of all runs.
  Index size() const { return size_; }
  /// Whether the tensor at this place of the block is moved here.
  bool holds(Index begin) const {
    return std::any_of(runs_.begin(), runs_.end(),
                       [&](const Run& run) { return run.begin <= begin && begin < run.end; });
  }
  /// Where what lies at `begin` in the parameters' block lies among the shard's own elements.
  Index place(Index begin) const {
    for (Index r = 0; r < runs_.size(); ++r) {
      if (runs_[r].begin <= begin && begin < runs_[r].end) return places_[r] + (begin - runs_[r].begin);
    }
    throw UsageError("a tensor is asked for that another rank's optimizer moves");
  }

 private:
  std::vector<Run> runs_;
  std::vector<Index> places_;  // of each run
  Index size_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
