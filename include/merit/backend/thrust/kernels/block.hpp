// What a kernel is here, and what it may ask of the machine that runs it.
//
// A kernel is a struct of plain arguments with
//   static constexpr int most_threads              of a block; it is compiled for so many
//   static constexpr int least_blocks              that a multiprocessor should hold at once: bounds its registers
//   Grid grid() const                              how it is launched, from its arguments alone
//   template <class Block> void operator()(Block&) const     what one thread does
// `Block` is one thread's view of its block. cuda_block.cuh makes one of CUDA's intrinsics; the tests emulate one on a
// host, with a fibre for each thread, which checks what a GPU does not: that all threads meet at the same barrier, that
// no two of them touch a place in one epoch unless they only read, that nothing is read which nobody wrote, and that
// every access lies within its array. So a kernel touches memory through its block alone.
//
// A Block b has
//   int thread(), threads()                        the number of this thread in its block, and how many there are
//   Index column(), row(), columns()               the place of this block in the grid; blocks in a row of the grid
//   sync()                                         waits for all threads of the block; orders their accesses
//   T exchange(T x, int mask)                      x of the thread of this warp whose number differs in these bits
//   T from_lane(T x, int lane)                     x of this thread of the warp; T is a number of 4 or 8 bytes
//   T load(const T*), store(T*, T)                 one element of a global array
//   Pack<T> load_pack(const T*), store_pack(T*, Pack<T>)      16 bytes of one, aligned to 16
//   Shared<T> shared<T>(int offset, int count)     `count` elements of the block's memory from byte `offset` on, which
//                                                  hold anything at first; get, set, get_pack, set_pack of a place
//   copy_async(Shared<T>, int to, const T* from)   16 bytes from a global array, there after wait_async of this thread
//   commit_async(), wait_async<n>()                closes a group of copies; waits for all but the n latest groups
//   load_matrices(r[4], Shared<Bf16>, int place), load_matrices_transposed       PTX's ldmatrix .x4
//   multiply(c[4], a[4], b0, b1)                   PTX's mma.m16n8k16 of bf16: c += a · b in float
//   round_pair(float low, float high)              two bf16 in one word, rounded to nearest even
// exchange, from_lane, load_matrices and multiply are asked by all threads of a warp together.
#pragma once

#include <cstdint>
#include <cstring>

#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

// Before a function of a kernel. nvcc compiles it for the device alone, every other compiler for the host.
#if defined(__CUDACC__)
#define MERIT_KERNEL __device__
#else
#define MERIT_KERNEL
#endif

// Before a loop whose counter indexes an array that must stay in registers, and before one that would take registers for
// nothing if it were unrolled.
#if defined(__CUDACC__)
#define MERIT_UNROLL _Pragma("unroll")
#define MERIT_KEEP_ROLLED _Pragma("unroll 1")
#else
#define MERIT_UNROLL
#define MERIT_KEEP_ROLLED
#endif

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

inline constexpr int warp_size = 32;

/// The blocks of a launch, the threads of each, and the bytes of shared memory that it asks for.
struct Grid {
  Index columns = 1;  // up to 2^31 - 1; no block at all where it is 0
  Index rows = 1;     // up to 65535
  int threads = 128;
  int shared_bytes = 0;
};

/// A row-major matrix in a device's memory: where it begins, and how many elements its rows lie apart.
template <class T>
struct Rows {
  T* data = nullptr;
  Index stride = 0;

  MERIT_KERNEL T* row(Index i) const { return data + i * stride; }
};

/// 16 bytes of an array.
template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / static_cast<int>(sizeof(T));
  T value[size];
};

/// Some numbers in registers.
template <int n>
struct Numbers {
  float value[n];
};

MERIT_KERNEL inline float to_float(float x) {
  return x;
}
MERIT_KERNEL inline float to_float(double x) {
  return static_cast<float>(x);
}
MERIT_KERNEL inline float to_float(Bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

MERIT_KERNEL inline float to_float(F16 x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(x.bits & 0x7FFFu) << 13;
  float value;
  std::memcpy(&value, &rest, sizeof(value));
  value *= 0x1.0p112f;  // the exponent's bias is 127 instead of 15; subnormal numbers become normal
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(value));
  bits = sign | (rest >= 0x0F800000u ? rest | 0x7F800000u : bits);  // infinity and NaN stay what they are
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// x as an element of an array: bf16 to nearest, ties to even.
template <class T, class Block>
MERIT_KERNEL T rounded(Block& block, float x) {
  if constexpr (sizeof(T) == sizeof(Bf16)) {
    return T{static_cast<std::uint16_t>(block.round_pair(x, 0.0f))};
  } else {
    return x;
  }
}

MERIT_KERNEL inline int smaller(int a, int b) {
  return a < b ? a : b;
}
MERIT_KERNEL inline std::uint32_t smaller(std::uint32_t a, std::uint32_t b) {
  return a < b ? a : b;
}
MERIT_KERNEL inline Index smaller(Index a, Index b) {
  return a < b ? a : b;
}
/// The larger; a NaN in either is not looked for.
MERIT_KERNEL inline float larger(float a, float b) {
  return a < b ? b : a;
}

template <class T>
MERIT_KERNEL bool aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

/// n numbers of a row, of which `count` are there; the others are 0. 16 bytes at a time where that can be.
template <int n, class Block, class T>
MERIT_KERNEL Numbers<n> load_numbers(Block& block, const T* from, int count) {
  Numbers<n> numbers;
  if (count >= n && aligned(from)) {
    static_assert(n % Pack<T>::size == 0);
    MERIT_UNROLL
    for (int i = 0; i < n; i += Pack<T>::size) {
      const Pack<T> pack = block.load_pack(from + i);
      MERIT_UNROLL
      for (int k = 0; k < Pack<T>::size; ++k) numbers.value[i + k] = to_float(pack.value[k]);
    }
  } else {
    MERIT_UNROLL
    for (int i = 0; i < n; ++i) numbers.value[i] = i < count ? to_float(block.load(from + i)) : 0.0f;
  }
  return numbers;
}

/// The first `count` of the numbers, rounded to the array's type; with `add`, onto what it holds.
template <int n, class Block, class T>
MERIT_KERNEL void store_numbers(Block& block, T* to, int count, Numbers<n> numbers, bool add = false) {
  if (add) {
    const Numbers<n> before = load_numbers<n>(block, static_cast<const T*>(to), count);
    MERIT_UNROLL
    for (int i = 0; i < n; ++i) numbers.value[i] += before.value[i];
  }
  if (count >= n && aligned(to)) {
    MERIT_UNROLL
    for (int i = 0; i < n; i += Pack<T>::size) {
      Pack<T> pack;
      MERIT_UNROLL
      for (int k = 0; k < Pack<T>::size; ++k) pack.value[k] = rounded<T>(block, numbers.value[i + k]);
      block.store_pack(to + i, pack);
    }
  } else {
    MERIT_UNROLL
    for (int i = 0; i < n; ++i)
      if (i < count) block.store(to + i, rounded<T>(block, numbers.value[i]));
  }
}

/// How many numbers a thread takes at a time of rows of T, so that an access of T is 16 bytes wide.
template <class T>
inline constexpr int numbers_at_once = 16 / static_cast<int>(sizeof(T));

/// Calls f(j, count) for each run of n columns of a row of `width`, or what is left of it, that is this lane's of a warp.
template <int n, class Block, class F>
MERIT_KERNEL void for_each_run_of_lane(Block& block, Index width, F&& f) {
  for (Index j = static_cast<Index>(block.thread() % warp_size) * n; j < width; j += Index{warp_size} * n)
    f(j, static_cast<int>(smaller(width - j, Index{n})));
}

/// The sum of x over the threads of a warp, in the same order in each of them.
template <class Block, class T>
MERIT_KERNEL T sum_over_warp(Block& block, T x) {
  MERIT_UNROLL
  for (int mask = warp_size / 2; mask > 0; mask /= 2) x += block.exchange(x, mask);
  return x;
}

/// Bytes of shared memory that sum_over_block takes.
inline constexpr int sum_over_block_bytes = 32 * sizeof(double);

/// The sum of x over the threads of a block, in the same order in each of them. `shared` holds 32 numbers, which nobody
/// may touch without a sync() before.
template <class Block, class T, class Shared>
MERIT_KERNEL T sum_over_block(Block& block, T x, const Shared& shared) {
  x = sum_over_warp(block, x);
  if (block.thread() % warp_size == 0) shared.set(block.thread() / warp_size, x);
  block.sync();
  T sum = 0;
  for (int warp = 0; warp < block.threads() / warp_size; ++warp) sum += shared.get(warp);
  return sum;
}

/// The first i in [0, count) with list[i] >= value, or count. list is ascending.
template <class Block>
MERIT_KERNEL Index first_not_below(Block& block, const std::uint32_t* list, Index count,
                                   std::uint32_t value) {
  Index begin = 0, end = count;
  while (begin < end) {
    const Index middle = (begin + end) / 2;
    if (block.load(list + middle) < value) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

/// count / by, rounded up; also asked on the host, for a grid.
MERIT_CALLABLE constexpr Index divide_up(Index count, Index by) {
  return (count + by - 1) / by;
}

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
