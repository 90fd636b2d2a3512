// Runs a kernel on the host as a GPU would: one block after the other, and in a block a fibre for each thread. What a GPU
// leaves undefined is an error here.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <string>
#include <vector>

#include "backend/emulation/fibre.hpp"
#include "backend/emulation/shadow.hpp"
#include "merit/backend/thrust/kernels/block.hpp"

namespace merit_test {

/// A line of the source, where a thread waits for others. (clang++ 14 has no std::source_location with GNU's library.)
struct Line {
  const char* file = "";
  int number = 0;

  static Line here(const char* file = __builtin_FILE(), int number = __builtin_LINE()) {
    return {file, number};
  }
  friend bool operator==(const Line& a, const Line& b) {
    return a.number == b.number && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
  }
  std::string text() const {
    const std::string path = file;
    return path.substr(path.rfind('/') + 1) + ":" + std::to_string(number);
  }
};

/// The machine: its global memory, and the block that runs.
class Emulator {
 public:
  /// Of the program, which has one.
  static Emulator& only() {
    static Emulator emulator;
    return emulator;
  }

  void add_memory(ShadowedMemory& memory) { global_.push_back(&memory); }
  void remove_memory(ShadowedMemory& memory) {
    std::erase(global_, &memory);
    last_ = nullptr;
  }

  /// Runs all blocks of the grid; body(thread) is what one thread does. Throws what a thread throws, with its place; then
  /// all threads are dropped where they stand.
  template <class Body>
  void launch(const merit::kernels::Grid& grid, const Body& body) {
    grid_ = grid;
    shared_.resize(static_cast<std::size_t>(grid.shared_bytes));
    launch_begin_ = ++now_;
    while (threads_.size() < static_cast<std::size_t>(grid.threads)) threads_.emplace_back();
    for (row_ = 0; row_ < grid.rows; ++row_)
      for (column_ = 0; column_ < grid.columns; ++column_) run_block(body);
  }

  const merit::kernels::Grid& grid() const { return grid_; }
  merit::Index column() const { return column_; }
  merit::Index row() const { return row_; }

  // --- memory, by the number of the thread that touches it
  void read_global(int thread, const void* from, std::size_t bytes) {
    global_shadows(from, bytes, [at = moment(thread)](Shadow& shadow) { shadow.read(at); });
  }
  void write_global(int thread, const void* to, std::size_t bytes) {
    global_shadows(to, bytes, [at = moment(thread)](Shadow& shadow) { shadow.write(at); });
  }
  void read_shared(int thread, std::size_t offset, std::size_t bytes) {
    shared_.for_each_shadow(offset, bytes, [at = moment(thread)](Shadow& shadow) { shadow.read(at); });
  }
  void write_shared(int thread, std::size_t offset, std::size_t bytes) {
    shared_.for_each_shadow(offset, bytes, [at = moment(thread)](Shadow& shadow) { shadow.write(at); });
  }
  unsigned char* shared() { return shared_.data(); }
  std::size_t shared_bytes() const { return shared_.size(); }

  // --- asynchronous copies of 16 bytes: they lie at `to` when their thread has waited for them, not before
  void copy_async(int thread, std::size_t to, const void* from) {
    read_global(thread, from, 16);
    write_shared(thread, to, 16);
    shared_.for_each_shadow(to, 16, [](Shadow& shadow) { shadow.set_pending(true); });
    Thread& self = of(thread);
    self.copies.push_back({to, {}, self.group});
    std::memcpy(self.copies.back().bytes.data(), from, 16);
  }
  void commit_async(int thread) { ++of(thread).group; }
  void wait_async(int thread, int latest) {
    Thread& self = of(thread);
    std::erase_if(self.copies, [&](const Copy& copy) {
      if (copy.group >= self.group - latest) return false;
      shared_.for_each_shadow(copy.to, 16, [](Shadow& shadow) { shadow.set_pending(false); });
      write_shared(thread, copy.to, 16);
      std::memcpy(shared_.data() + copy.to, copy.bytes.data(), 16);
      return true;
    });
  }

  // --- threads that wait for each other
  void sync(int thread, const Line& where) {
    Thread& self = of(thread);
    self.where = where;
    for (int other = 0; other < grid_.threads; ++other)
      if (of(other).state == State::at_barrier && of(other).where != where)
        throw EmulationError("waits at " + where.text() + " while thread " + std::to_string(other) +
                             " waits at " + of(other).where.text());
    if (++at_barrier_ < grid_.threads) return wait(self, State::at_barrier);
    at_barrier_ = 0;
    ++now_;
    for (int other = 0; other < grid_.threads; ++other) of(other).state = State::ready;
  }

  /// Holds out `mine` to the threads of its warp. When all 32 have come, the last calls combine(all of theirs).
  template <class Mine, class Combine>
  void meet_warp(int thread, const Line& where, Mine& mine, const Combine& combine) {
    constexpr int size = merit::kernels::warp_size;
    const int lane = thread % size, first = thread - lane;
    Thread& self = of(thread);
    Warp& warp = warps_[static_cast<std::size_t>(thread / size)];
    self.where = where;
    if (warp.waiting == 0) warp.where = where;
    if (warp.where != where)
      throw EmulationError("asks its warp at " + where.text() + " while another of it asks at " +
                           warp.where.text());
    warp.held[static_cast<std::size_t>(lane)] = &mine;
    if (++warp.waiting < size) return wait(self, State::in_warp);
    warp.waiting = 0;
    std::array<Mine*, size> all;
    for (int i = 0; i < size; ++i) {
      all[static_cast<std::size_t>(i)] = static_cast<Mine*>(warp.held[static_cast<std::size_t>(i)]);
      of(first + i).state = State::ready;
    }
    combine(all);
  }

 private:
  enum class State { ready, at_barrier, in_warp, done };
  struct Copy {
    std::size_t to;
    std::array<unsigned char, 16> bytes;
    int group;
  };
  struct Thread {
    Fibre fibre;
    State state = State::done;
    Line where;
    std::vector<Copy> copies;
    int group = 0;
  };
  /// The threads of a warp that wait for the rest of it, all at one place, and what each holds out.
  struct Warp {
    int waiting = 0;
    Line where;
    std::array<void*, merit::kernels::warp_size> held{};
  };

  Thread& of(int thread) { return threads_[static_cast<std::size_t>(thread)]; }
  Moment moment(int thread) const {
    return {now_, block_begin_, launch_begin_, static_cast<std::int16_t>(thread)};
  }

  template <class F>
  void global_shadows(const void* at, std::size_t bytes, const F& f) {
    if (last_ == nullptr || !last_->holds(at)) {
      const auto holds = [&](ShadowedMemory* memory) { return memory->holds(at); };
      const auto found = std::find_if(global_.begin(), global_.end(), holds);
      if (found == global_.end()) throw EmulationError("touches what is no memory of the machine");
      last_ = *found;
    }
    last_->for_each_shadow(static_cast<std::size_t>(static_cast<const unsigned char*>(at) - last_->data()),
                           bytes, f);
  }

  static void wait(Thread& thread, State state) {
    thread.state = state;
    thread.fibre.leave();
  }

  template <class Body>
  void run_block(const Body& body) {
    block_begin_ = ++now_;
    shared_.poison();
    at_barrier_ = 0;
    warps_.assign(
        static_cast<std::size_t>(grid_.threads + merit::kernels::warp_size - 1) / merit::kernels::warp_size,
        Warp{});
    failure_ = nullptr;
    for (int i = 0; i < grid_.threads; ++i) {
      Thread& thread = of(i);
      thread.state = State::ready;
      thread.copies.clear();
      thread.group = 0;
      thread.fibre.begin([this, i, &body] {
        try {
          body(i);
          if (!of(i).copies.empty()) throw EmulationError("ends while it copies");
        } catch (const std::exception& error) {
          failure_ = std::make_exception_ptr(EmulationError("thread " + std::to_string(i) + " of block " +
                                                            std::to_string(column_) + ", " +
                                                            std::to_string(row_) + " " + error.what()));
        }
        of(i).state = State::done;
      });
    }
    for (bool moved = true; moved;) {
      moved = false;
      for (int i = 0; i < grid_.threads; ++i) {
        if (of(i).state != State::ready) continue;
        of(i).fibre.enter();
        if (failure_) std::rethrow_exception(failure_);
        moved = true;
      }
    }
    for (int i = 0; i < grid_.threads; ++i)
      if (of(i).state != State::done)
        throw EmulationError("thread " + std::to_string(i) + " waits for ever at " + of(i).where.text());
  }

  std::vector<ShadowedMemory*> global_;
  ShadowedMemory* last_ = nullptr;  // where the last access went
  ShadowedMemory shared_;
  std::deque<Thread> threads_;
  std::vector<Warp> warps_;

  merit::kernels::Grid grid_;
  merit::Index column_ = 0, row_ = 0;
  std::uint32_t now_ = 1, block_begin_ = 1, launch_begin_ = 1;
  int at_barrier_ = 0;
  std::exception_ptr failure_;
};

}  // namespace merit_test
