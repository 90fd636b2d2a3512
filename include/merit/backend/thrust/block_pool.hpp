// Blocks of memory that are kept: what an operation needs for a moment, and batches, which are as large from
// step to step. Once it has served a step, a pool asks the system for nothing in another of its shape.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// Source allocates bytes by Source::allocate(bytes) and frees them by Source::release(pointer), which does not
/// throw. A block that is given back is used again at once: work must be issued in order.
template <class Source>
class BlockPool {
 public:
  explicit BlockPool(Source source) : source_(std::move(source)) {}
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool() {
    for (const Block& block : blocks_) source_.release(block.data);
  }

  /// At least `bytes`, of any content: the smallest free block that is large enough, but not one of which most would lie
  /// idle; else a new one, rounded up so that a slightly larger batch fits it, too. Where there is no memory for that, what
  /// is free is given up first.
  std::byte* take(Index bytes) {
    constexpr Index unit = 4096, small = Index{1} << 20;
    const Index most = std::max(4 * bytes, small);
    Block* best = nullptr;
    for (Block& block : blocks_) {
      if (block.used || block.size < bytes || block.size > most) continue;
      if (best == nullptr || block.size < best->size) best = &block;
    }
    if (best == nullptr) {
      const Index size = (bytes + bytes / 4 + unit) / unit * unit;
      blocks_.reserve(blocks_.size() + 1);
      std::byte* data = nullptr;
      try {
        data = source_.allocate(size);
      } catch (...) {
        if (!release_free()) throw;
        data = source_.allocate(size);
      }
      blocks_.push_back({data, size, false});
      best = &blocks_.back();
    }
    best->used = true;
    return best->data;
  }

  /// Pointers that are none of its own are left alone.
  void give_back(const void* data) noexcept {
    for (Block& block : blocks_) {
      if (block.data == data) block.used = false;
    }
  }

  /// Gives up what is free: whether there was any.
  bool release_free() noexcept {
    const auto used = std::partition(blocks_.begin(), blocks_.end(), [](const Block& b) { return b.used; });
    const bool any = used != blocks_.end();
    for (auto block = used; block != blocks_.end(); ++block) source_.release(block->data);
    blocks_.erase(used, blocks_.end());
    return any;
  }

 private:
  struct Block {
    std::byte* data;
    Index size;
    bool used;
  };

  Source source_;
  std::vector<Block> blocks_;
};

/// A block for as long as this lives.
template <class Pool, class Element>
class Taken {
 public:
  Taken(Pool& pool, Index count)
      : pool_(&pool), data_(reinterpret_cast<Element*>(pool.take(count * sizeof(Element)))) {}
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  ~Taken() { pool_->give_back(data_); }

  Element* data() const { return data_; }

 private:
  Pool* pool_;
  Element* data_;
};

/// The pool as Thrust's algorithms ask for temporary memory.
template <class Pool>
struct PoolAllocator {
  using value_type = char;

  Pool* pool;

  char* allocate(std::ptrdiff_t bytes) {
    return reinterpret_cast<char*>(pool->take(static_cast<Index>(bytes)));
  }
  void deallocate(char* data, std::size_t) noexcept { pool->give_back(data); }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
