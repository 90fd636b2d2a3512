// Examples that are not held in memory: where a trainer takes them from when their turn comes.
#pragma once

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Examples by their numbers. Each is asked for once while the trainer is made, for its cost, and then whenever its turn
/// comes: it must be the same each time.
template <class Example>
class ExampleSource {
 public:
  virtual ~ExampleSource() = default;
  virtual Index size() const = 0;
  virtual Example at(Index i) const = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
