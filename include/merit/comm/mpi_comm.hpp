// Ranks that are processes, on one machine or many: over MPI. Needs the target merit::mpi, or MPI::MPI_CXX.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/core/concat.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The processes that mpirun started. Begins MPI and ends it, unless the program has begun it itself: then so that calls
/// may come from one thread at a time (MPI_THREAD_SERIALIZED).
///
/// MPI ends when all ranks end it: an exception on one of them is to be caught while its MpiComm is there, to be told and
/// then followed by abandon(). Otherwise that rank waits for the others, and they for it.
class MpiComm final : public Comm {
 public:
  MpiComm() : MpiComm(start()) {}
  ~MpiComm() override {
    MPI_Comm_free(&comm_);
    if (ends_mpi_) MPI_Finalize();
  }

  /// This rank's number among those of its machine: which of the machine's GPUs may be its own. All ranks ask together.
  Index local_rank() const {
    MPI_Comm machine = MPI_COMM_NULL;
    check(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine));
    int number = 0;
    MPI_Comm_rank(machine, &number);
    MPI_Comm_free(&machine);
    return static_cast<Index>(number);
  }

  void exchange(std::span<const std::span<const std::byte>> out,
                std::span<const std::span<std::byte>> in) override {
    requests_.clear();
    for (Index r = 0; r < size(); ++r) {
      if (r != rank())
        post(in[r], r, [&](std::byte* part, int bytes, int other, MPI_Request* request) {
          return MPI_Irecv(part, bytes, MPI_BYTE, other, 0, comm_, request);
        });
    }
    for (Index step = 1; step < size(); ++step) {  // not all to the same one first
      const Index r = (rank() + step) % size();
      post(out[r], r, [&](const std::byte* part, int bytes, int other, MPI_Request* request) {
        return MPI_Isend(part, bytes, MPI_BYTE, other, 0, comm_, request);
      });
    }
    const auto own = out[rank()];
    if (!own.empty() && own.data() != in[rank()].data())
      std::memmove(in[rank()].data(), own.data(), own.size());
    wait();
  }

  /// Ends all processes; mpirun ends with `status`. `why` is for the caller to have said.
  void abandon(std::string_view, int status) noexcept override { MPI_Abort(comm_, status); }

 private:
  struct Start {
    MPI_Comm comm;
    int rank, size;
    bool ends_mpi;
  };

  explicit MpiComm(const Start& start)
      : Comm(static_cast<Index>(start.rank), static_cast<Index>(start.size)),
        comm_(start.comm),
        ends_mpi_(start.ends_mpi) {}

  static Start start() {
    int begun = 0, level = MPI_THREAD_SINGLE;
    MPI_Initialized(&begun);
    if (begun != 0) {
      MPI_Query_thread(&level);
    } else {
      MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
    }
    if (level < MPI_THREAD_SERIALIZED) {
      throw CommError(begun != 0
                          ? "MPI was begun for one thread alone, expected MPI_Init_thread with at least "
                            "MPI_THREAD_SERIALIZED"
                          : "this MPI serves one thread alone, expected at least MPI_THREAD_SERIALIZED");
    }
    Start start{MPI_COMM_NULL, 0, 1, begun == 0};
    check(MPI_Comm_dup(MPI_COMM_WORLD, &start.comm));  // its messages are apart from the program's own
    MPI_Comm_rank(start.comm, &start.rank);
    MPI_Comm_size(start.comm, &start.size);
    MPI_Comm_set_errhandler(start.comm, MPI_ERRORS_RETURN);
    return start;
  }

  static void check(int status) {
    if (status == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(status, text, &length);
    throw CommError(concat("MPI: ", std::string_view(text, static_cast<std::size_t>(length))));
  }

  /// One message, or several where it is longer than MPI counts.
  template <class Byte, class Post>
  void post(std::span<Byte> bytes, Index other, Post post_one) {
    constexpr Index most = Index{1} << 30;
    for (Index at = 0; at < bytes.size(); at += most) {
      requests_.emplace_back();
      check(post_one(bytes.data() + at, static_cast<int>(std::min(most, bytes.size() - at)),
                     static_cast<int>(other), &requests_.back()));
    }
  }

  /// MPI_Waitall keeps a core busy, which the others of this machine, or this rank's own computing threads, are better at.
  void wait() {
    using namespace std::chrono_literals;
    std::chrono::microseconds pause = 5us;
    for (int tries = 0;; ++tries) {
      int done = 0;
      check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE));
      if (done != 0) return;
      if (tries < 100) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(pause);
        pause = std::min(2 * pause, std::chrono::microseconds(500us));
      }
    }
  }

  MPI_Comm comm_;
  bool ends_mpi_;
  std::vector<MPI_Request> requests_;
};

}  // namespace MERIT_ABI
}  // namespace merit
