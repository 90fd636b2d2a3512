// Ranks: the processes, or threads, that train one model together, and how they speak to each other.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Another rank has ended, and this one cannot go on without it.
class CommError : public Error {
 public:
  using Error::Error;
};

/// The way from the memory of one rank's device to the others', where they have one beside the host's: NCCL's, for instance.
/// The host does not wait for what it moves.
class DeviceExchange {
 public:
  virtual ~DeviceExchange() = default;

  /// As Comm::exchange(), of memory of the device that the backend's handle at `handle` computes on. Returns when all ranks
  /// have called it. Moves when the handle has done what it was asked for before, beside what it is asked for afterwards,
  /// which until end() must leave alone what is sent and what is received. Throws UsageError where it is not the handle that
  /// this was made for.
  virtual void begin(const void* handle, std::span<const std::span<const std::byte>> out,
                     std::span<const std::span<std::byte>> in) = 0;
  /// What the handle is asked for from here on waits until all that has begun is done.
  virtual void end() = 0;
};

/// One rank's way to the others. All ranks make the same calls in the same order; one thread of a rank at a time does.
///
/// It moves bytes and computes nothing: who receives numbers adds them in the order of ranks, so that sums
/// have the same bits each time, whatever the system below does.
class Comm {
 public:
  Comm(const Comm&) = delete;
  Comm& operator=(const Comm&) = delete;
  virtual ~Comm() = default;

  /// 0 to size() − 1. Rank 0 is the one that writes files and tells people.
  Index rank() const { return rank_; }
  Index size() const { return size_; }

  /// Sends out[r] to each rank r and receives in[r] from it: what a rank sends another is as long as what that one receives
  /// from it. A rank's own part is copied, or left where out and in are the same memory. Ends when all of `in` is
  /// there and `out` may be overwritten. Throws CommError where a rank has ended.
  virtual void exchange(std::span<const std::span<const std::byte>> out,
                        std::span<const std::span<std::byte>> in) = 0;

  /// Null where the ranks' devices do not reach each other: what lies in their memory goes through the host's.
  virtual DeviceExchange* devices() { return nullptr; }

  /// Ends all ranks, because this one cannot go on: `why` is what the others say of it, where they still can; otherwise
  /// their processes end with this status.
  virtual void abandon(std::string_view why, int status) noexcept = 0;

 protected:
  Comm(Index rank, Index size) : rank_(rank), size_(size) {}

 private:
  Index rank_, size_;
};

/// A rank alone.
class SoloComm final : public Comm {
 public:
  SoloComm() : Comm(0, 1) {}
  void exchange(std::span<const std::span<const std::byte>> out,
                std::span<const std::span<std::byte>> in) override {
    if (!in[0].empty() && in[0].data() != out[0].data())
      std::memmove(in[0].data(), out[0].data(), in[0].size());
  }
  void abandon(std::string_view, int) noexcept override {}
};

/// The bytes of all ranks, one after another in the order of ranks: things of `unit` bytes.
inline std::vector<std::byte> gather_bytes(Comm& comm, std::span<const std::byte> own, Index unit) {
  const Index ranks = comm.size(), bytes = own.size();
  std::vector<Index> sizes(ranks);
  std::vector<std::span<const std::byte>> out(ranks, std::as_bytes(std::span<const Index>(&bytes, 1)));
  std::vector<std::span<std::byte>> in(ranks);
  for (Index r = 0; r < ranks; ++r) in[r] = std::as_writable_bytes(std::span(&sizes[r], 1));
  comm.exchange(out, in);

  Index total = 0;
  for (const Index size : sizes) {
    if (size % unit != 0)
      throw UsageError("ranks: lists of unlike things are gathered: they have not made the same calls");
    total += size;
  }
  std::vector<std::byte> all(total);
  std::span<std::byte> rest(all);
  for (Index r = 0; r < ranks; ++r) {
    out[r] = own;
    in[r] = rest.first(sizes[r]);
    rest = rest.subspan(sizes[r]);
  }
  comm.exchange(out, in);
  return all;
}

/// The same of lists.
template <class T>
std::vector<T> gather_lists(Comm& comm, const std::vector<T>& own) {
  static_assert(std::is_trivially_copyable_v<T>, "what is sent is copied as bytes");
  const std::vector<std::byte> bytes = gather_bytes(comm, std::as_bytes(std::span(own)), sizeof(T));
  std::vector<T> all(bytes.size() / sizeof(T));
  if (!all.empty()) std::memcpy(static_cast<void*>(all.data()), bytes.data(), bytes.size());
  return all;
}

/// Each rank's value, in the order of ranks.
template <class T>
requires std::is_trivially_copyable_v<T> std::vector<T> gather_values(Comm& comm, const T& own) {
  return gather_lists(comm, std::vector<T>{own});
}

/// Each rank's text.
inline std::vector<std::string> gather_texts(Comm& comm, std::string_view own) {
  const std::vector<Index> sizes = gather_values(comm, Index{own.size()});
  const std::vector<std::byte> all = gather_bytes(comm, std::as_bytes(std::span(own)), 1);
  std::vector<std::string> texts;
  const char* at = reinterpret_cast<const char*>(all.data());
  for (const Index size : sizes) {
    texts.emplace_back(at, size);
    at += size;
  }
  return texts;
}

}  // namespace MERIT_ABI
}  // namespace merit
