// Ranks that are threads of one process: for tests, for several devices, and where there is no MPI.
#pragma once

#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/core/concat.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// What the threads share: where they meet, and whether one has ended.
class ThreadMeeting {
 public:
  explicit ThreadMeeting(Index ranks) : out_(ranks), missing_(ranks) {}

  /// Returns when all have called it. Throws CommError where one never will.
  void meet() {
    std::unique_lock lock(mutex_);
    const Index round = round_;
    if (--missing_ == 0) {
      missing_ = out_.size();
      ++round_;
      all_met_.notify_all();
    } else {
      all_met_.wait(lock, [&] { return round_ != round || !ended_.empty(); });
    }
    if (round_ == round) throw CommError(ended_);
  }
  void end(std::string_view why) {
    const std::scoped_lock lock(mutex_);
    if (ended_.empty()) ended_ = why;
    all_met_.notify_all();
  }

  std::span<const std::span<const std::byte>>& out_of(Index rank) { return out_[rank]; }

 private:
  std::mutex mutex_;
  std::condition_variable all_met_;
  std::vector<std::span<const std::span<const std::byte>>> out_;  // of each rank, between two meetings
  Index missing_;
  Index round_ = 0;
  std::string ended_;  // why, once one has
};

class ThreadComm final : public Comm {
 public:
  ThreadComm(ThreadMeeting& meeting, Index rank, Index size) : Comm(rank, size), meeting_(&meeting) {}

  void exchange(std::span<const std::span<const std::byte>> out,
                std::span<const std::span<std::byte>> in) override {
    meeting_->out_of(rank()) = out;
    meeting_->meet();
    std::string fault;
    for (Index r = 0; r < size(); ++r) {
      const std::span<const std::byte> from = meeting_->out_of(r)[rank()];
      if (in[r].size() != from.size()) {
        fault = concat("ranks: rank ", r, " sends rank ", rank(), " ", from.size(), " bytes, expected ",
                       in[r].size(), ": they have not made the same calls");
      } else if (!from.empty() && from.data() != in[r].data()) {
        std::memmove(in[r].data(), from.data(), from.size());
      }
    }
    meeting_->meet();  // until here the others read what this one sends
    if (!fault.empty()) throw UsageError(fault);
  }
  void abandon(std::string_view why, int) noexcept override {
    meeting_->end(concat("rank ", rank(), " has ended: ", why));
  }

 private:
  ThreadMeeting* meeting_;
};

}  // namespace detail

/// Calls run(comm) on `ranks` threads, each with its own Comm, and returns when all have ended. Where one throws, or returns
/// before the others' last exchange, these end at their next one, and what was thrown first is thrown here.
inline void run_ranks(Index ranks, const std::function<void(Comm&)>& run) {
  if (ranks == 0) throw ConfigError("ranks: found 0, expected at least 1");
  detail::ThreadMeeting meeting(ranks);
  std::mutex mutex;
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (Index rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      detail::ThreadComm comm(meeting, rank, ranks);
      const auto fail = [&](std::string_view why) {
        const std::scoped_lock lock(mutex);
        if (!first) first = std::current_exception();
        comm.abandon(why, 1);
      };
      try {
        run(comm);
        // Who has made all of its calls does not hear it.
        comm.abandon("it has returned, expected the same calls of all ranks", 0);
      } catch (const std::exception& error) {
        fail(error.what());
      } catch (...) {
        fail("of an exception that is none of the standard's");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace MERIT_ABI
}  // namespace merit
