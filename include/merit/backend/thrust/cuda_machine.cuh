// The machine of CudaSystem: one GPU, one stream of its own, its memory, its loops. Compiled by nvcc alone.
#pragma once

#include <cuda_runtime_api.h>
#include <thrust/execution_policy.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "merit/backend/thrust/attention_lists.hpp"
#include "merit/backend/thrust/block_pool.hpp"
#include "merit/backend/thrust/cuda_check.cuh"
#include "merit/backend/thrust/cuda_products.cuh"
#include "merit/backend/thrust/device_facts.hpp"
#include "merit/backend/thrust/functors/elementwise.hpp"
#include "merit/backend/thrust/functors/products.hpp"
#include "merit/backend/thrust/functors/rows.hpp"
#include "merit/backend/thrust/kernels/launch.cuh"
#include "merit/backend/thrust/sorted_ids.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// f(i) for each i below n.
template <class F>
__global__ void for_each_kernel(Index n, const __grid_constant__ F f) {
  const Index step = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) f(i);
}

/// What a kernel is asked of before any other: whether the device runs this program's code.
struct Nothing {
  MERIT_CALLABLE void operator()(Index) const {}
};

inline DeviceFacts device_facts(int device) {
  DeviceFacts facts;
  facts.device = device;
  cudaDriverGetVersion(&facts.driver_version);
  cudaRuntimeGetVersion(&facts.toolkit_version);
  const cudaError_t counted = cudaGetDeviceCount(&facts.device_count);
  if (counted != cudaSuccess) facts.device_count = 0;
  if (counted != cudaSuccess && counted != cudaErrorNoDevice)
    facts.count_problem = cudaGetErrorString(counted);
  cudaGetLastError();
  if (device < 0 || device >= facts.device_count) return facts;
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "asking for a GPU's properties");
  facts.name = properties.name;
  facts.capability = 10 * properties.major + properties.minor;
  cudaError_t answer = set_device(device);
  cudaFuncAttributes attributes{};
  if (answer == cudaSuccess) answer = cudaFuncGetAttributes(&attributes, for_each_kernel<Nothing>);
  facts.has_code = answer != cudaErrorNoKernelImageForDevice && answer != cudaErrorInvalidDeviceFunction;
  if (facts.has_code && answer != cudaSuccess) facts.problem = cudaGetErrorString(answer);
  cudaGetLastError();
  return facts;
}

/// to += scale · from, an element at a time.
template <class T>
struct AddScaled {
  MatrixView<const T, DeviceSpace> from;
  float scale;
  MatrixView<T, DeviceSpace> to;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / to.cols, j = e % to.cols;
    put(to.row(i)[j], scale * number<float>(from.row(i)[j]), Write::add);
  }
};

template <>
class Machine<CudaSystem> {
 public:
  /// Its batches bring what kernels of our own need.
  static constexpr bool has_kernels = true;

  struct Memory {
    int device;

    std::byte* allocate(Index bytes) const {
      use_device(device);
      void* block = nullptr;
      const cudaError_t answer = cudaMalloc(&block, bytes);
      if (answer == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        std::size_t free = 0, total = 0;
        check(cudaMemGetInfo(&free, &total), "asking for a GPU's memory");
        throw Error("thrust: " + memory_problem(device, bytes, free, total));
      }
      check(answer, "allocating memory");
      return static_cast<std::byte*>(block);
    }
    void release(std::byte* data) const noexcept {
      set_device(device);
      cudaFree(data);
    }
  };
  using Pool = BlockPool<Memory>;

  explicit Machine(const MachineSettings& settings)
      : device_(usable(settings.device)), memory_{device_}, pool_(memory_) {
    use_device(device_);
    check(cudaStreamCreateWithFlags(stream_.out(), cudaStreamNonBlocking), "making a stream");
    check(cudaEventCreateWithFlags(staged_.out(), cudaEventDisableTiming), "making an event");
    check(cudaDeviceGetAttribute(&most_shared_bytes_, cudaDevAttrMaxSharedMemoryPerBlockOptin, device_),
          "asking for a GPU's shared memory");
    workspace_ = pool_.take(CudaProducts::workspace_bytes);
    if (!settings.product_plans.empty())
      products_.open_plans(settings.product_plans, device_facts(device_).name);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine() {
    set_device(device_);
    if (stream_.get() != nullptr) cudaStreamSynchronize(stream_.get());
  }

  int device() const { return device_; }
  cudaStream_t stream() const { return stream_.get(); }

  std::byte* allocate(Index bytes) {
    if (bytes == 0) return nullptr;
    std::byte* block = nullptr;
    try {
      block = memory_.allocate(bytes);
    } catch (const Error&) {
      if (!pool_.release_free()) throw;
      block = memory_.allocate(bytes);
    }
    use_device(device_);
    check(cudaMemsetAsync(block, 0, bytes, stream()), "clearing memory");
    return block;
  }
  void release(std::byte* block) noexcept {
    if (block == nullptr) return;
    set_device(device_);
    cudaStreamSynchronize(stream());  // what uses it ends first
    memory_.release(block);
  }
  void to_host(const std::byte* from, std::byte* to, Index bytes) {
    if (bytes == 0) return;
    use_device(device_);
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream()), "copying to the host");
  }
  void from_host(const std::byte* from, std::byte* to, Index bytes) {
    if (bytes == 0) return;
    use_device(device_);
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream()), "copying from the host");
    if (from == staging_.get()) check(cudaEventRecord(staged_.get(), stream()), "recording an event");
  }
  void wait() {
    use_device(device_);
    check(cudaStreamSynchronize(stream()), "waiting");
  }
  DeviceMemory memory() const {
    use_device(device_);
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "asking for a GPU's memory");
    return {free, total};
  }
  Pool& pool() { return pool_; }
  SortedIds& sorted_ids() { return sorted_ids_; }
  AttentionLists& attention_lists() { return attention_lists_; }

  /// Whether a block gets the shared memory that a kernel of ours asks for.
  template <class Kernel>
  bool fits(const Kernel& kernel) const {
    return kernel.grid().shared_bytes <= most_shared_bytes_;
  }
  template <class Kernel>
  void run(const Kernel& kernel) {
    use_device(device_);
    check(kernels::launch(kernel, stream()), "starting a kernel");
  }

  /// Pinned host memory, until the next call, which waits for the copy that was made from it.
  std::byte* staging(Index bytes) {
    use_device(device_);
    check(cudaEventSynchronize(staged_.get()), "waiting for a copy");
    if (staging_bytes_ < bytes) {
      if (staging_.get() != nullptr) cudaFreeHost(*staging_.out());
      *staging_.out() = nullptr;
      staging_bytes_ = 0;
      const Index larger = bytes + bytes / 4;
      check(cudaMallocHost(reinterpret_cast<void**>(staging_.out()), larger), "allocating pinned memory");
      staging_bytes_ = larger;
    }
    return staging_.get();
  }

  /// f(i) for each i below n, in any order, a thread each. An overload for a functor's type puts a kernel in the
  /// place of this loop: the functor has all arguments of its operation.
  template <class F>
  void for_each(Index n, const F& f) {
    if (n == 0) return;
    constexpr unsigned threads = 256;
    const Index blocks = std::min<Index>((n + threads - 1) / threads, std::numeric_limits<int>::max());
    use_device(device_);
    for_each_kernel<<<static_cast<unsigned>(blocks), threads, 0, stream()>>>(n, f);
    check(cudaGetLastError(), "starting a kernel");
  }

  /// Ascending.
  void sort(std::uint64_t* numbers, Index n) {
    use_device(device_);
    PoolAllocator<Pool> allocator{&pool_};
    try {
      ::thrust::sort(::thrust::cuda::par_nosync(allocator).on(stream()), numbers, numbers + n);
    } catch (const ::thrust::system_error& error) {
      throw Error(concat("thrust: sorting: ", error.what()));
    }
  }

  /// By cuBLASLt, whose epilogue takes a bias of the result's type and one matrix to add; factors that are
  /// stored in another type than they are used in are converted before.
  template <class T>
  void multiply(Product<T> p) {
    const Index size = p.out.rows * p.out.cols;
    if (size == 0) return;
    if (p.depth == 0) return for_each(size, ProductElement<T>{p});
    std::optional<Taken<Pool, std::byte>> room_of_a, room_of_b;
    p.a =
        as_used(p.a, p.a.transposed ? p.depth : p.out.rows, p.a.transposed ? p.out.rows : p.depth, room_of_a);
    p.b =
        as_used(p.b, p.b.transposed ? p.out.cols : p.depth, p.b.transposed ? p.depth : p.out.cols, room_of_b);
    const Taken<Pool, T> bias(pool_, std::is_same_v<T, float> ? 0 : p.bias.size);
    const void* bias_data = p.bias.empty() ? nullptr : p.bias.data;
    if constexpr (!std::is_same_v<T, float>) {
      if (!p.bias.empty()) {
        const MatrixView<const float, DeviceSpace> from{p.bias.data, 1, p.bias.size};
        for_each(p.bias.size, Copy<float, T>{from, Write::assign, {bias.data(), 1, p.bias.size}});
        bias_data = bias.data();
      }
    }
    if (p.write == Write::add && !p.addend.empty()) {
      for_each(size, AddScaled<T>{p.addend, p.addend_scale, p.out});
      p.addend = {};
    }
    use_device(device_);
    if (!products_.multiply(p, bias_data, workspace_, pool_, stream())) for_each(size, ProductElement<T>{p});
  }

 private:
  /// The device, if it can be used; else why not.
  static int usable(int device) {
    const std::string problem = device_problem(device_facts(device));
    if (!problem.empty()) throw Error("thrust: " + problem);
    return device;
  }

  /// A factor (rows, cols) in the type it is used in: itself, or a copy in `room`.
  Factor as_used(const Factor& f, Index rows, Index cols, std::optional<Taken<Pool, std::byte>>& room) {
    if (f.dtype == f.used_as) return f;
    room.emplace(pool_, rows * cols * size_of(f.used_as));
    const WeightView<DeviceSpace> stored{f.data, f.dtype, rows, cols, f.stride};
    const auto convert = [&]<class T>(T* to) {
      for_each(rows * cols, GatherRows<T>{stored, {}, Write::assign, {to, rows, cols}});
    };
    if (f.used_as == Dtype::bf16) {
      convert(reinterpret_cast<Bf16*>(room->data()));
    } else {
      convert(reinterpret_cast<float*>(room->data()));
    }
    return {room->data(), f.used_as, cols, f.transposed, f.used_as};
  }

  int device_;
  Memory memory_;
  Owned<cudaStream_t, cudaStreamDestroy> stream_;
  Owned<cudaEvent_t, cudaEventDestroy> staged_;
  Owned<std::byte*, cudaFreeHost> staging_;
  Index staging_bytes_ = 0;
  Pool pool_;
  SortedIds sorted_ids_;
  AttentionLists attention_lists_;
  int most_shared_bytes_ = 0;  // of a block
  CudaProducts products_;
  std::byte* workspace_ = nullptr;  // of the pool
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
