// What a kernel sees of CUDA: the block of block.hpp by its intrinsics. Needs compute capability 8.0, the first with bf16
// fragments and asynchronous copies.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/dtype.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// The memory of the block that the launch asked for.
MERIT_KERNEL inline unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
}

/// The address of shared memory as its own instructions take it.
template <class T>
MERIT_KERNEL std::uint32_t shared_address(T* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

struct CudaBlock {
  static constexpr unsigned all_lanes = 0xFFFFFFFFu;

  MERIT_KERNEL int thread() const { return static_cast<int>(threadIdx.x); }
  MERIT_KERNEL int threads() const { return static_cast<int>(blockDim.x); }
  MERIT_KERNEL Index column() const { return blockIdx.x; }
  MERIT_KERNEL Index row() const { return blockIdx.y; }
  MERIT_KERNEL Index columns() const { return gridDim.x; }

  MERIT_KERNEL void sync() { __syncthreads(); }
  template <class T>
  MERIT_KERNEL T exchange(T x, int mask) {
    return __shfl_xor_sync(all_lanes, x, mask);
  }
  template <class T>
  MERIT_KERNEL T from_lane(T x, int lane) {
    return __shfl_sync(all_lanes, x, lane);
  }

  template <class T>
  MERIT_KERNEL T load(const T* from) {
    return *from;
  }
  template <class T>
  MERIT_KERNEL void store(T* to, T value) {
    *to = value;
  }
  template <class T>
  MERIT_KERNEL Pack<T> load_pack(const T* from) {
    return __builtin_bit_cast(Pack<T>, *reinterpret_cast<const uint4*>(from));
  }
  template <class T>
  MERIT_KERNEL void store_pack(T* to, const Pack<T>& pack) {
    *reinterpret_cast<uint4*>(to) = __builtin_bit_cast(uint4, pack);
  }

  template <class T>
  struct Shared {
    T* data;

    MERIT_KERNEL T get(int i) const { return data[i]; }
    MERIT_KERNEL void set(int i, T value) const { data[i] = value; }
    MERIT_KERNEL Pack<T> get_pack(int i) const {
      return __builtin_bit_cast(Pack<T>, *reinterpret_cast<const uint4*>(data + i));
    }
    MERIT_KERNEL void set_pack(int i, const Pack<T>& pack) const {
      *reinterpret_cast<uint4*>(data + i) = __builtin_bit_cast(uint4, pack);
    }
  };
  template <class T>
  MERIT_KERNEL Shared<T> shared(int offset, int /*count*/) {
    return {reinterpret_cast<T*>(shared_memory() + offset)};
  }

  template <class T>
  MERIT_KERNEL void copy_async(Shared<T> to, int place, const T* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to.data + place)), "l"(from)
                 : "memory");
  }
  MERIT_KERNEL void commit_async() { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int latest>
  MERIT_KERNEL void wait_async() {
    asm volatile("cp.async.wait_group %0;" ::"n"(latest) : "memory");
  }

  MERIT_KERNEL void load_matrices(std::uint32_t (&r)[4], Shared<Bf16> from, int place) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from.data + place))
                 : "memory");
  }
  MERIT_KERNEL void load_matrices_transposed(std::uint32_t (&r)[4], Shared<Bf16> from, int place) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from.data + place))
                 : "memory");
  }
  MERIT_KERNEL void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
  MERIT_KERNEL static std::uint32_t round_pair(float low, float high) {
    std::uint32_t word;  // the instruction takes the high half first
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
