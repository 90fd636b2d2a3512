// One run at a time writes to a place.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Holds PATH.lock, a file that says who holds it, until it is destroyed or its process ends, however it ends. A
/// file that a kill has left is no lock. Where the file system has no locks it holds nothing.
class OutputLock {
 public:
  /// Throws IoError that names the process which holds it, its host and since when; or where the file cannot be
  /// made.
  explicit OutputLock(const std::filesystem::path& path) : path_(detail::resolved(path).string() + ".lock") {
    std::error_code error;
    std::filesystem::create_directories(path_.parent_path(), error);
    if (error) detail::throw_io("make the parent of", path, error.value());
    do {
      file_ = detail::open_file(path_, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
      if (!file_.is_open()) detail::throw_io("write", path_, errno);
      if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) continue;
      if (errno != EWOULDBLOCK) return;  // no locks here
      throw IoError(
          concat(path.string(), ": another run writes there, ", holder(), ": expected one at a time"));
    } while (!is_still_there());
    const std::string text = concat("process ", ::getpid(), " on ", host(), " since ", now());
    if (::ftruncate(file_.get(), 0) == 0) (void)!::pwrite(file_.get(), text.data(), text.size(), 0);
    held_ = true;
  }
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;
  ~OutputLock() {
    if (held_) ::unlink(path_.c_str());
  }

 private:
  /// Whether the name still leads to the file that was locked: its last holder removes it.
  bool is_still_there() const {
    struct stat locked {
    }, named{};
    return ::fstat(file_.get(), &locked) == 0 && ::stat(path_.c_str(), &named) == 0 &&
           locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
  }

  std::string holder() const {
    std::array<char, 300> text{};
    const ssize_t got = ::pread(file_.get(), text.data(), text.size(), 0);
    if (got <= 0) return "which has just begun";
    return visible(std::string_view(text.data(), static_cast<Index>(got)));
  }

  static std::string host() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "an unknown host";
  }

  static std::string now() {
    const std::time_t time = std::time(nullptr);
    std::tm parts{};
    std::array<char, 64> text{};
    if (::localtime_r(&time, &parts) == nullptr ||
        std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts) == 0) {
      return "an unknown time";
    }
    return text.data();
  }

  std::filesystem::path path_;
  detail::FileDescriptor file_;
  bool held_ = false;
};

}  // namespace MERIT_ABI
}  // namespace merit
