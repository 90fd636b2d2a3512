// Beside each place in memory, what has happened to it: so that a read of what nobody wrote, an access outside of an
// array, and two accesses that no barrier orders are errors where they happen.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "merit/core/view.hpp"

namespace merit_test {

/// What a kernel did that it may not do.
struct EmulationError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Who touches a place, and when. Time is a number that grows with each barrier, block and launch.
struct Moment {
  std::uint32_t now = 1, block_begin = 1, launch_begin = 1;
  std::int16_t thread = 0;
};

/// The history of one place.
class Shadow {
 public:
  /// Before a launch: written from outside, holding nothing, or between arrays, where nobody may go.
  void fill() { *this = Shadow{}, written_ = 1; }
  void empty() { *this = Shadow{}; }
  void forbid() { *this = Shadow{}, forbidden_ = true; }
  /// A copy to it has begun, or ended.
  void set_pending(bool pending) { pending_ = pending; }
  bool is_filled() const { return written_ != 0 && !pending_; }

  void read(const Moment& at) {
    if (written_ == 0 || forbidden_ || pending_) {
      throw EmulationError(forbidden_ ? "reads outside of an array"
                           : pending_ ? "reads what is still being copied"
                                      : "reads what nobody wrote");
    }
    if (unordered(at, written_, writer_)) throw EmulationError("reads what another thread writes");
    if (read_ >= at.launch_begin && read_ < at.block_begin) read_elsewhere_ = at.launch_begin;
    reader_ = read_ == at.now && reader_ != at.thread ? several : at.thread;
    read_ = at.now;
  }

  void write(const Moment& at) {
    if (forbidden_) throw EmulationError("writes outside of an array");
    if (pending_) throw EmulationError("writes where something is still being copied");
    if (unordered(at, written_, writer_)) throw EmulationError("writes what another thread writes");
    if (unordered(at, read_, reader_) || read_elsewhere_ == at.launch_begin)
      throw EmulationError("writes what another thread reads");
    written_ = at.now;
    writer_ = at.thread;
  }

 private:
  static constexpr std::int16_t several = -1;

  /// Whether no barrier lies between an earlier access of this launch and one now.
  static bool unordered(const Moment& at, std::uint32_t then, int thread) {
    return then >= at.launch_begin && (then < at.block_begin || (then == at.now && thread != at.thread));
  }

  std::uint32_t written_ = 0, read_ = 0, read_elsewhere_ = 0;
  std::int16_t writer_ = 0, reader_ = 0;
  bool forbidden_ = false, pending_ = false;
};

/// Memory with a shadow for every two bytes of it.
class ShadowedMemory {
 public:
  static constexpr std::size_t grain = 2;

  void resize(std::size_t bytes) {
    bytes_.assign((bytes + 15) / 16, Block16{});
    shadows_.assign((bytes + grain - 1) / grain, Shadow{});
    size_ = bytes;
    poison();
  }
  /// Every byte becomes part of a NaN, and nothing may be read.
  void poison() {
    std::memset(static_cast<void*>(bytes_.data()), 0xFF, bytes_.size() * sizeof(Block16));
    for (Shadow& shadow : shadows_) shadow.empty();
  }

  std::size_t size() const { return size_; }
  unsigned char* data() { return reinterpret_cast<unsigned char*>(bytes_.data()); }
  bool holds(const void* p) const {
    const auto* const byte = static_cast<const unsigned char*>(p);
    const auto* const begin = reinterpret_cast<const unsigned char*>(bytes_.data());
    return byte >= begin && byte < begin + size_;
  }

  /// Calls f(shadow) for each place of [offset, offset + count).
  template <class F>
  void for_each_shadow(std::size_t offset, std::size_t count, F&& f) {
    if (offset + count > size_) throw EmulationError("goes outside of its memory");
    for (std::size_t i = offset / grain; i < (offset + count + grain - 1) / grain; ++i) f(shadows_[i]);
  }

 private:
  struct alignas(16) Block16 {
    unsigned char byte[16] = {};
  };
  std::vector<Block16> bytes_;
  std::vector<Shadow> shadows_;
  std::size_t size_ = 0;
};

}  // namespace merit_test
