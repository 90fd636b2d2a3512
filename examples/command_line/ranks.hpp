// The ranks of a program that mpirun started several times: the first one speaks, and what ends one ends all.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "merit/comm/comm.hpp"
#include "merit/core/concat.hpp"
#include "merit/core/visible.hpp"
#include "program.hpp"
#if defined(MERIT_USE_MPI)
#include "merit/comm/mpi_comm.hpp"
#endif

namespace programs {

class Ranks {
 public:
  /// Begins MPI where mpirun, or srun, started several of this program. Throws ConfigError where it was built without MPI.
  Ranks() {
    if (!is_one_of_several()) return;
#if defined(MERIT_USE_MPI)
    auto mpi = std::make_unique<merit::MpiComm>();
    local_ = static_cast<int>(mpi->local_rank());
    comm_ = std::move(mpi);
    if (!leads()) fall_silent();
#else
    throw merit::ConfigError(
        "mpirun has started several of this program, which was built without MPI, so that all would do the same and write "
        "to one place: build it where MPI is (Debian: libopenmpi-dev), or start it once");
#endif
  }

  /// Null alone.
  merit::Comm* comm() const {
    return count() > 1 ? comm_.get() : nullptr;
  }
  merit::Index count() const {
    return comm_ == nullptr ? 1 : comm_->size();
  }
  bool leads() const {
    return comm_ == nullptr || comm_->rank() == 0;
  }

  /// This one's number among those of its machine.
  int local_rank() const {
    return local_;
  }

  /// What the first rank has found.
  bool from_first(bool own) const {
    return comm() == nullptr ? own : merit::gather_values(*comm(), static_cast<char>(own ? 1 : 0))[0] != 0;
  }

  /// Runs `body`, and where it fails ends all ranks with its exit code. What several of them find is said once: each gives
  /// those before it time to say it and to end all.
  int run(const char* name, const std::function<int()>& body) const {
    if (comm() == nullptr) return body();
    bool ends = false;
    const int status = exit_code(body, [&](std::string_view what) {
      ends = true;
      if (!leads()) {
        const auto turn = static_cast<int>(std::min<merit::Index>(comm()->rank(), 20));
        std::this_thread::sleep_for(std::chrono::milliseconds(1750 + 250 * turn));
      }
      const std::string rank = leads() ? "" : merit::concat("rank ", comm()->rank(), ": ");
      const std::string line =
          merit::concat(name, ": ", rank, merit::visible(one_line(std::string(what))), "\n");
      (void)!::write(spoken_, line.data(), line.size());
    });
    if (ends) comm()->abandon("", status);
    return status;
  }

 private:
  static bool is_one_of_several() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
      if (const char* const size = std::getenv(name)) return std::string_view(size) != "1";
    return std::getenv("PMIX_RANK") != nullptr;  // of how many it does not say
  }

  /// The standard streams lead nowhere from here on; an error still finds its way.
  void fall_silent() {
    spoken_ = ::dup(STDERR_FILENO);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (spoken_ < 0 || nowhere < 0) throw merit::IoError("cannot open /dev/null");
    for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, stream);
    ::close(nowhere);
  }

  std::unique_ptr<merit::Comm> comm_;
  int local_ = 0;
  int spoken_ = STDERR_FILENO;
};

}  // namespace programs
