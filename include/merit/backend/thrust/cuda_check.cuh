// What CUDA answers, as errors with the place that asked, and what it hands out, owned.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>
#include <utility>

#include "merit/core/concat.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// Where a call stands: std::source_location, which clang++ 14 does not have.
struct CallSite {
  const char* file;
  int line;

  static constexpr CallSite current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// Throws Error with what CUDA says where it did not succeed. `what` is what was tried.
inline void check(cudaError_t answer, std::string_view what, const CallSite& at = CallSite::current()) {
  if (answer == cudaSuccess) return;
  cudaGetLastError();  // it was said once; the next operation is not to blame
  throw Error(concat("thrust: ", what, ": ", cudaGetErrorString(answer), " (", at.file, ":", at.line, ")"));
}

/// A handle of a library, destroyed by `destroy`, whose answer nobody can use any more.
template <class T, auto destroy>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (value_ != T{}) static_cast<void>(destroy(value_));
  }
  T* out() { return &value_; }
  /// Gives it up, without an end.
  void leave() { value_ = {}; }
  T get() const { return value_; }

 private:
  T value_{};
};

/// Makes a device the current one of the calling thread, and leaves it so: to set back another, one that nobody has used,
/// would begin a context on it, which takes hundreds of megabytes.
inline cudaError_t set_device(int device) noexcept {
  int current = -1;
  if (cudaGetDevice(&current) == cudaSuccess && current == device) return cudaSuccess;
  return cudaSetDevice(device);
}
inline void use_device(int device) {
  check(set_device(device), "choosing a GPU");
}

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
