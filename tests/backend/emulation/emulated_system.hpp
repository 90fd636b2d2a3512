// A system of ThrustBackend whose kernels run in the emulator, and whose other loops run on the host: so that what chooses
// kernels, and gives them their arguments, is tested without a GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>

#include "backend/emulation/emulated_block.hpp"
#include "backend/emulation/emulator.hpp"
#include "merit/backend/thrust/attention_lists.hpp"
#include "merit/backend/thrust/block_pool.hpp"
#include "merit/backend/thrust/functors/products.hpp"
#include "merit/backend/thrust/sorted_ids.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/core/buffer.hpp"

namespace merit_test {

struct EmulatedSystem {
  static constexpr const char* name = "emulated";
};

/// Memory that kernels may touch. Loops of functors write to it, too, so what nobody wrote is not looked for.
class EmulatedBlocks {
 public:
  std::byte* allocate(merit::Index bytes) {
    auto* const memory = new ShadowedMemory;
    memory->resize(bytes);
    if (bytes != 0) std::memset(memory->data(), 0, bytes);
    memory->for_each_shadow(0, bytes, [](Shadow& shadow) { shadow.fill(); });
    Emulator::only().add_memory(*memory);
    auto* const block = reinterpret_cast<std::byte*>(memory->data());
    blocks_[block] = memory;
    return block;
  }
  void release(std::byte* block) noexcept {
    const auto found = blocks_.find(block);
    if (found == blocks_.end()) return;
    Emulator::only().remove_memory(*found->second);
    delete found->second;
    blocks_.erase(found);
  }

 private:
  std::map<const std::byte*, ShadowedMemory*> blocks_;
};

}  // namespace merit_test

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

template <>
class Machine<merit_test::EmulatedSystem> {
 public:
  static constexpr bool has_kernels = true;
  static constexpr int most_shared_bytes = 227 * 1024;  // of a block on Hopper

  struct Memory {
    merit_test::EmulatedBlocks* blocks;
    std::byte* allocate(Index bytes) const { return blocks->allocate(bytes); }
    void release(std::byte* data) const noexcept { blocks->release(data); }
  };
  using Pool = BlockPool<Memory>;

  explicit Machine(const MachineSettings&) : pool_(Memory{&blocks_}) {}

  std::byte* allocate(Index bytes) { return bytes == 0 ? nullptr : blocks_.allocate(bytes); }
  void release(std::byte* block) noexcept { blocks_.release(block); }
  void to_host(const std::byte* from, std::byte* to, Index bytes) { move(from, to, bytes); }
  void from_host(const std::byte* from, std::byte* to, Index bytes) { move(from, to, bytes); }
  void wait() {}
  DeviceMemory memory() const { return memory_; }
  void set_memory(const DeviceMemory& memory) { memory_ = memory; }
  Pool& pool() { return pool_; }
  SortedIds& sorted_ids() { return sorted_ids_; }
  AttentionLists& attention_lists() { return attention_lists_; }

  template <class Kernel>
  bool fits(const Kernel& kernel) const {
    return kernel.grid().shared_bytes <= most_shared_bytes;
  }
  template <class Kernel>
  void run(const Kernel& kernel) {
    ++kernels_run_;
    merit_test::emulate(kernel);
  }
  /// How many kernels have been run so far.
  Index kernels_run() const { return kernels_run_; }

  std::byte* staging(Index bytes) {
    if (staging_.size() < bytes) staging_ = Buffer<std::byte>(bytes);
    return staging_.data();
  }
  template <class F>
  void for_each(Index n, const F& f) {
    for (Index i = 0; i < n; ++i) f(i);
  }
  void sort(std::uint64_t* numbers, Index n) { std::sort(numbers, numbers + n); }
  template <class T>
  void multiply(const Product<T>& product) {
    const ProductTile<T> tiles{product};
    for_each(tiles.size(), tiles);
  }

 private:
  static void move(const std::byte* from, std::byte* to, Index bytes) {
    if (bytes != 0) std::memcpy(to, from, bytes);
  }

  merit_test::EmulatedBlocks blocks_;
  Pool pool_;
  SortedIds sorted_ids_;
  AttentionLists attention_lists_;
  Buffer<std::byte> staging_;
  DeviceMemory memory_;
  Index kernels_run_ = 0;
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
