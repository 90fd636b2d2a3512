// Memory for one step: bump allocation from blocks that are kept. After the first step the blocks are merged
// into one, and from then on a step of the same size asks the system for nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A bump allocator of bytes in the backend's memory. Pointers stay valid until reset() or a rewind() before
/// them.
template <class B>
class Arena {
 public:
  /// A place to rewind to.
  struct Mark {
    Index block = 0;
    Index used = 0;    // bytes of the block
    Index before = 0;  // bytes given out of the blocks before it
  };

  explicit Arena(typename B::Handle& handle) : handle_(&handle) {}
  Arena(Arena&& other) noexcept
      : handle_(other.handle_),
        blocks_(std::exchange(other.blocks_, {})),
        at_(std::exchange(other.at_, {})),
        most_(std::exchange(other.most_, 0)) {}
  Arena& operator=(Arena&&) = delete;
  ~Arena() { release(); }

  /// `count` elements, aligned; their content is whatever was there.
  template <class Element>
  Element* allocate(Index count) {
    if (count > (~Index{0} - alignment) / sizeof(Element)) throw std::bad_alloc();
    const Index bytes = std::max<Index>(aligned_count<std::byte>(count * sizeof(Element)), alignment);
    while (at_.block < blocks_.size() && bytes > blocks_[at_.block].size - at_.used)
      at_ = {at_.block + 1, 0, at_.before + at_.used};
    if (at_.block == blocks_.size()) grow(bytes);
    std::byte* const result = blocks_[at_.block].data + at_.used;
    at_.used += bytes;
    most_ = std::max(most_, at_.before + at_.used);
    return reinterpret_cast<Element*>(result);
  }

  Mark mark() const { return at_; }
  void rewind(Mark mark) { at_ = mark; }

  /// Forgets everything; in place of several blocks there is one as large as the largest step so far has needed, so that
  /// what is held does not depend on how blocks happened to follow each other.
  void reset() {
    at_ = {};
    if (blocks_.size() < 2) return;
    release();
    grow(most_);
  }

  /// Forgets everything and gives the memory back.
  void trim() {
    at_ = {};
    most_ = 0;
    release();
  }

  /// Bytes given out at this moment.
  Index bytes() const { return at_.before + at_.used; }
  /// Bytes held.
  Index capacity() const {
    Index total = 0;
    for (const Block& block : blocks_) total += block.size;
    return total;
  }

 private:
  struct Block {
    std::byte* data;
    Index size;
  };

  void grow(Index bytes) {
    constexpr Index smallest = Index{1} << 16;
    Index size = std::max({bytes, capacity() / 2, smallest});
    blocks_.reserve(blocks_.size() + 1);
    std::byte* data = nullptr;
    try {
      data = B::template allocate<std::byte>(*handle_, size);
    } catch (...) {  // room to spare is not worth ending for
      if (size == bytes) throw;
      size = bytes;
      data = B::template allocate<std::byte>(*handle_, size);
    }
    blocks_.push_back({data, size});
  }
  void release() {
    for (const Block& block : blocks_) B::release(*handle_, block.data, block.size);
    blocks_.clear();
  }

  typename B::Handle* handle_;
  std::vector<Block> blocks_;
  Mark at_;
  Index most_ = 0;  // bytes given out at once
};

}  // namespace MERIT_ABI
}  // namespace merit
