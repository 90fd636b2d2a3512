// The machine of OmpSystem and CppSystem: the host's memory and Thrust's loops over it. A unit that includes
// this needs Thrust's headers, and no CUDA: its THRUST_DEVICE_SYSTEM is THRUST_DEVICE_SYSTEM_CPP, so that none is
// looked for; which system a loop takes is said at the loop.
#pragma once

#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/sort.h>
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/system/omp/execution_policy.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "merit/backend/thrust/block_pool.hpp"
#include "merit/backend/thrust/functors/products.hpp"
#include "merit/backend/thrust/sorted_ids.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/core/buffer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// What both host systems are. Work is done where it is issued.
template <class System>
class HostMachine {
 public:
  static constexpr bool has_kernels = false;

  struct Memory {
    std::byte* allocate(Index bytes) const { return allocate_on_host<std::byte>(bytes); }
    void release(std::byte* data) const noexcept { release_on_host(data); }
  };
  using Pool = BlockPool<Memory>;

  explicit HostMachine(int threads) : threads_(threads), pool_(Memory{}) {}

  std::byte* allocate(Index bytes) { return Memory{}.allocate(bytes); }
  void release(std::byte* data) noexcept { Memory{}.release(data); }
  void to_host(const std::byte* from, std::byte* to, Index bytes) { move(from, to, bytes); }
  void from_host(const std::byte* from, std::byte* to, Index bytes) { move(from, to, bytes); }
  void wait() {}
  DeviceMemory memory() const {
    return {};
  }  // the host's own allocations are looked after where they are made
  Pool& pool() { return pool_; }
  SortedIds& sorted_ids() { return sorted_ids_; }

  /// Host memory from which a copy is quick, until the next call.
  std::byte* staging(Index bytes) {
    if (staging_.size() < bytes) staging_ = Buffer<std::byte>(bytes);
    return staging_.data();
  }

  /// f(i) for each i below n, in any order.
  template <class F>
  void for_each(Index n, const F& f) {
    const ::thrust::counting_iterator<Index> first(0);
    if (n < 2) {  // not worth waking anybody
      if (n == 1) f(Index{0});
    } else if constexpr (std::is_same_v<System, OmpSystem>) {
      const Threads limit(threads_);
      ::thrust::for_each_n(::thrust::omp::par, first, n, f);
    } else {
      ::thrust::for_each_n(::thrust::cpp::par, first, n, f);
    }
  }

  /// Ascending; on one thread, as Thrust's threads of OpenMP would ask the system for memory at each call.
  void sort(std::uint64_t* numbers, Index n) {
    PoolAllocator<Pool> allocator{&pool_};
    ::thrust::sort(::thrust::cpp::par(allocator), numbers, numbers + n);
  }

  template <class T>
  void multiply(const Product<T>& product) {
    const ProductTile<T> tiles{product};
    for_each(tiles.size(), tiles);
  }

 private:
  /// OpenMP's number of threads while it lives: Thrust asks nobody else.
  class Threads {
   public:
#ifdef _OPENMP
    explicit Threads(int wanted) : before_(omp_get_max_threads()) {
      if (wanted > 0) omp_set_num_threads(wanted);
    }
    ~Threads() {
      omp_set_num_threads(before_);
    }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

   private:
    int before_;
#else
    explicit Threads(int) {}
#endif
  };

  static void move(const std::byte* from, std::byte* to, Index bytes) {
    if (bytes != 0) std::memcpy(to, from, bytes);
  }

  int threads_;
  Pool pool_;
  SortedIds sorted_ids_;
  Buffer<std::byte> staging_;
};

template <>
class Machine<OmpSystem> : public HostMachine<OmpSystem> {
 public:
  explicit Machine(const MachineSettings& settings) : HostMachine(settings.threads) {}
};
template <>
class Machine<CppSystem> : public HostMachine<CppSystem> {
 public:
  explicit Machine(const MachineSettings& settings) : HostMachine(settings.threads) {}
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
