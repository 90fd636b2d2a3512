// What a kernel sees of the emulator: one thread's view of its block, as described in
// merit/backend/thrust/kernels/block.hpp.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "backend/emulation/emulator.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/dtype.hpp"

namespace merit_test {

class EmulatedBlock {
 public:
  explicit EmulatedBlock(int thread) : thread_(thread) {}

  int thread() const { return thread_; }
  int threads() const { return machine_.grid().threads; }
  merit::Index column() const { return machine_.column(); }
  merit::Index row() const { return machine_.row(); }
  merit::Index columns() const { return machine_.grid().columns; }

  void sync(const Line& here = Line::here()) { machine_.sync(thread_, here); }

  template <class T>
  T exchange(T x, int mask, const Line& here = Line::here()) {
    return from_lane(x, lane() ^ mask, here);
  }
  template <class T>
  T from_lane(T x, int lane, const Line& here = Line::here()) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    struct Mine {
      T given, taken;
      int lane;
    } mine{x, {}, lane};
    machine_.meet_warp(thread_, here, mine, [](const std::array<Mine*, 32>& all) {
      for (Mine* one : all) one->taken = all.at(static_cast<std::size_t>(one->lane))->given;
    });
    return mine.taken;
  }

  // --- global memory
  template <class T>
  T load(const T* from) {
    expect_aligned(from, alignof(T));
    machine_.read_global(thread_, from, sizeof(T));
    return *from;
  }
  template <class T>
  void store(T* to, T value) {
    expect_aligned(to, alignof(T));
    machine_.write_global(thread_, to, sizeof(T));
    *to = value;
  }
  template <class T>
  merit::kernels::Pack<T> load_pack(const T* from) {
    expect_aligned(from);
    machine_.read_global(thread_, from, 16);
    merit::kernels::Pack<T> pack;
    std::memcpy(static_cast<void*>(&pack), from, 16);
    return pack;
  }
  template <class T>
  void store_pack(T* to, const merit::kernels::Pack<T>& pack) {
    expect_aligned(to);
    machine_.write_global(thread_, to, 16);
    std::memcpy(static_cast<void*>(to), &pack, 16);
  }

  // --- shared memory
  template <class T>
  class Shared {
   public:
    T get(int i) const {
      T value;
      machine().read_shared(thread_, byte(i, 1), sizeof(T));
      std::memcpy(static_cast<void*>(&value), machine().shared() + byte(i, 1), sizeof(T));
      return value;
    }
    void set(int i, T value) const {
      machine().write_shared(thread_, byte(i, 1), sizeof(T));
      std::memcpy(machine().shared() + byte(i, 1), &value, sizeof(T));
    }
    merit::kernels::Pack<T> get_pack(int i) const {
      merit::kernels::Pack<T> pack;
      machine().read_shared(thread_, aligned_byte(i), 16);
      std::memcpy(static_cast<void*>(&pack), machine().shared() + aligned_byte(i), 16);
      return pack;
    }
    void set_pack(int i, const merit::kernels::Pack<T>& pack) const {
      machine().write_shared(thread_, aligned_byte(i), 16);
      std::memcpy(machine().shared() + aligned_byte(i), &pack, 16);
    }

   private:
    friend class EmulatedBlock;
    Shared(int thread, int offset, int count) : thread_(thread), offset_(offset), count_(count) {}

    static Emulator& machine() { return Emulator::only(); }
    std::size_t byte(int i, int count) const {
      if (i < 0 || i + count > count_) throw EmulationError("goes outside of an array of shared memory");
      return static_cast<std::size_t>(offset_) + static_cast<std::size_t>(i) * sizeof(T);
    }
    std::size_t aligned_byte(int i) const {
      const std::size_t at = byte(i, merit::kernels::Pack<T>::size);
      if (at % 16 != 0) throw EmulationError("takes 16 bytes from where they are not aligned");
      return at;
    }

    int thread_, offset_, count_;
  };

  template <class T>
  Shared<T> shared(int offset, int count) {
    if (offset < 0 ||
        offset + count * static_cast<int>(sizeof(T)) > static_cast<int>(machine_.shared_bytes()))
      throw EmulationError("wants more shared memory than the grid says");
    return {thread_, offset, count};
  }

  // --- asynchronous copies
  template <class T>
  void copy_async(const Shared<T>& to, int place, const T* from) {
    expect_aligned(from);
    machine_.copy_async(thread_, to.aligned_byte(place), from);
  }
  void commit_async() { machine_.commit_async(thread_); }
  template <int latest>
  void wait_async() {
    machine_.wait_async(thread_, latest);
  }

  // --- fragments of matrices
  void load_matrices(std::uint32_t (&r)[4], const Shared<merit::Bf16>& from, int place,
                     const Line& here = Line::here()) {
    load_matrices<false>(r, from, place, here);
  }
  void load_matrices_transposed(std::uint32_t (&r)[4], const Shared<merit::Bf16>& from, int place,
                                const Line& here = Line::here()) {
    load_matrices<true>(r, from, place, here);
  }

  /// Lane l holds, with g = l / 4 and t = l % 4 (PTX, "Matrix fragments for mma.m16n8k16"):
  ///   a[r]  rows g + 8·(r % 2), columns 2t + 8·(r / 2) and the next      c[0], c[1]  row g, columns 2t and the next
  ///   b[r]  rows 2t + 8·r and the next, column g                         c[2], c[3]  row g + 8
  void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                const Line& here = Line::here()) {
    struct Mine {
      std::uint32_t a[4], b[2];
      float* c;
    } mine{{a[0], a[1], a[2], a[3]}, {b0, b1}, c};
    machine_.meet_warp(thread_, here, mine, [](const std::array<Mine*, 32>& all) {
      float left[16][16], right[16][8];
      for (std::size_t l = 0; l < 32; ++l) {
        const std::size_t g = l / 4, t = l % 4;
        for (std::size_t half = 0; half < 2; ++half) {
          for (std::size_t r = 0; r < 4; ++r)
            left[g + 8 * (r % 2)][2 * t + 8 * (r / 2) + half] = part(all[l]->a[r], half);
          for (std::size_t r = 0; r < 2; ++r) right[2 * t + 8 * r + half][g] = part(all[l]->b[r], half);
        }
      }
      for (std::size_t l = 0; l < 32; ++l) {
        for (std::size_t i = 0; i < 4; ++i) {
          const std::size_t row = l / 4 + 8 * (i / 2), col = 2 * (l % 4) + i % 2;
          for (std::size_t k = 0; k < 16; ++k) all[l]->c[i] += left[row][k] * right[k][col];
        }
      }
    });
  }

  static std::uint32_t round_pair(float low, float high) {
    return merit::to_bf16(low) | static_cast<std::uint32_t>(merit::to_bf16(high)) << 16;
  }

 private:
  static float part(std::uint32_t word, std::size_t half) {
    return merit::from_bf16(static_cast<std::uint16_t>(word >> (16 * half)));
  }

  /// Each lane names the row of 8 elements, 16 bytes, that is row lane % 8 of matrix lane / 8. r[m] becomes two elements
  /// of matrix m: of row lane / 4, columns 2 · (lane % 4) and the next, or transposed.
  template <bool transposed>
  void load_matrices(std::uint32_t (&r)[4], const Shared<merit::Bf16>& from, int place, const Line& here) {
    struct Mine {
      merit::kernels::Pack<merit::Bf16> row;
      std::uint32_t* r;
    } mine{from.get_pack(place), r};
    machine_.meet_warp(thread_, here, mine, [](const std::array<Mine*, 32>& all) {
      for (std::size_t l = 0; l < 32; ++l) {
        for (std::size_t m = 0; m < 4; ++m) {
          const std::size_t row = l / 4, col = 2 * (l % 4);
          const auto at = [&](std::size_t i, std::size_t j) -> std::uint32_t {
            return all[8 * m + i]->row.value[j].bits;
          };
          all[l]->r[m] =
              transposed ? at(col, row) | at(col + 1, row) << 16 : at(row, col) | at(row, col + 1) << 16;
        }
      }
    });
  }

  int lane() const { return thread_ % merit::kernels::warp_size; }
  static void expect_aligned(const void* p, std::size_t bytes = 16) {
    if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0)
      throw EmulationError("takes " + std::to_string(bytes) + " bytes from where they are not aligned");
  }

  Emulator& machine_ = Emulator::only();
  int thread_;
};

/// Runs a kernel to its end.
template <class Kernel>
void emulate(const Kernel& kernel) {
  const merit::kernels::Grid grid = kernel.grid();
  if (grid.threads > Kernel::most_threads || grid.threads % merit::kernels::warp_size != 0)
    throw EmulationError("is launched with " + std::to_string(grid.threads) + " threads");
  Emulator::only().launch(grid, [&](int thread) {
    EmulatedBlock block(thread);
    kernel(block);
  });
}

}  // namespace merit_test
