// Threads and working space of the Eigen backend. Without OpenMP everything here is one plain loop.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <atomic>

#include "merit/core/buffer.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// How many threads a handle may use: `wanted`, or all that OpenMP gives when that is 0.
inline Index available_threads(int wanted) {
#ifdef _OPENMP
  return static_cast<Index>(std::max(1, wanted > 0 ? wanted : omp_get_max_threads()));
#else
  static_cast<void>(wanted);
  return 1;
#endif
}

/// Below this many elementary operations a second thread costs more than it gives.
inline constexpr Index work_per_thread = Index{1} << 18;

/// The number of threads worth starting for `work` elementary operations: all or one, since OpenMP runtimes
/// allocate each time a team's size changes.
constexpr Index useful_threads(Index threads, Index work) {
  return work >= 2 * work_per_thread ? threads : 1;
}

/// Calls f(id, count) on `count` threads, count <= threads. Called from inside someone else's parallel region
/// it stays on the calling thread.
template <class F>
void parallel(Index threads, F&& f) {
#ifdef _OPENMP
  if (threads > 1 && omp_in_parallel() == 0) {
#pragma omp parallel num_threads(static_cast <int>(threads))
    f(static_cast<Index>(omp_get_thread_num()), static_cast<Index>(omp_get_num_threads()));
    return;
  }
#endif
  static_cast<void>(threads);
  f(Index{0}, Index{1});
}

/// All threads of the innermost `parallel` wait for each other.
inline void barrier() {
#ifdef _OPENMP
#pragma omp barrier
#endif
}

/// Calls f(begin, end) on contiguous parts of [0, count) whose inner borders are multiples of `unit`. `work`
/// is the whole loop's elementary operations.
template <class F>
void parallel_ranges(Index threads, Index count, Index unit, Index work, F&& f) {
  const Index units = (count + unit - 1) / unit;
  parallel(std::min(useful_threads(threads, work), std::max<Index>(units, 1)), [&](Index id, Index team) {
    const Index begin = units * id / team * unit;
    const Index end = std::min(count, units * (id + 1) / team * unit);
    if (begin < end) f(begin, end);
  });
}

/// Calls f(i, id) for i = 0 .. count-1, each on whichever thread is free. For items of very different cost
/// that write to different places.
template <class F>
void parallel_items(Index threads, Index count, Index work, F&& f) {
  // Not schedule(dynamic): LLVM's runtime allocates for each such loop.
  std::atomic<Index> next = 0;
  parallel(std::min(useful_threads(threads, work), std::max<Index>(count, 1)), [&](Index id, Index) {
    for (Index i = next++; i < count; i = next++) f(i, id);
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
