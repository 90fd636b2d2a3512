// The owner: host memory aligned for vector loads and cache lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include "merit/core/free_memory.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Every host block starts on a cache line; so does every slice that is rounded up to `alignment /
/// sizeof(T)`.
inline constexpr std::size_t alignment = 64;

/// `count` rounded up so that what follows it starts aligned.
template <class T>
constexpr Index aligned_count(Index count) {
  constexpr Index unit = alignment / sizeof(T);
  return (count + unit - 1) / unit * unit;
}

/// What is asked for at once without a look at how much there is.
inline constexpr std::size_t small_block = std::size_t{256} << 20;

/// A block of `count` elements of host memory, of zero bytes and aligned; null for none. std::bad_alloc where there is not so
/// much. Up to `small_block` what is never written takes no memory; more is taken at once, so that the next look at
/// how much there is sees it.
template <class T>
T* allocate_on_host(Index count) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (count == 0) return nullptr;
  if (count > ~Index{0} / sizeof(T)) throw std::bad_alloc();
  if (count * sizeof(T) > small_block) {
    if (const auto bytes = free_memory(); bytes && count * sizeof(T) > *bytes) throw std::bad_alloc();
  }
  // The pointer that free() needs is kept in the bytes before the first element.
  constexpr Index before = alignment + sizeof(void*);
  const Index bytes = count * sizeof(T);
  std::byte* const whole =
      bytes > ~Index{0} - before ? nullptr : static_cast<std::byte*>(std::calloc(bytes + before, 1));
  if (whole == nullptr) throw std::bad_alloc();
  const auto beyond_alignment = reinterpret_cast<std::uintptr_t>(whole + before) % alignment;
  std::byte* const block = whole + before - beyond_alignment;
  std::memcpy(block - sizeof(void*), &whole, sizeof(void*));
  if (bytes > small_block) {
    constexpr Index page = 4096;
    for (Index at = 0; at < bytes; at += page) static_cast<volatile std::byte*>(block)[at] = std::byte{0};
  }
  return reinterpret_cast<T*>(block);
}
template <class T>
void release_on_host(T* block) {
  if (block == nullptr) return;
  void* whole = nullptr;
  std::memcpy(&whole, reinterpret_cast<const std::byte*>(block) - sizeof(void*), sizeof(void*));
  std::free(whole);
}

/// Owns `size` elements of host memory, zeroed. Moves, does not copy.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(Index size) : data_(allocate_on_host<T>(size)), size_(size) {}
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release_on_host(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  Index size() const { return size_; }
  VectorView<T> view() { return {data_, size_}; }
  VectorView<const T> view() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  Index size_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
