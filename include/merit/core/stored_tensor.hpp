// A tensor as a file stores it, in memory that is shared.
#pragma once

#include <memory>

#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Numbers in host memory, row-major, aligned to their elements. The memory stays as long as `owner`.
struct StoredTensor {
  const void* data = nullptr;
  Dtype dtype = Dtype::f32;
  std::shared_ptr<const void> owner;
};

}  // namespace MERIT_ABI
}  // namespace merit
