// Input that knows whether a whole line is there, so that a program can answer what it has before it waits
// for more; and what it has read, so that a program that goes on finds that it is the same.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <istream>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"

namespace programs {

/// Bytes that were read or written, all of them from the first.
struct BytesSoFar {
  merit::Index count = 0;
  std::uint64_t hash = merit::fnv1a({});

  void add(std::string_view bytes) {
    count += bytes.size();
    hash = merit::fnv1a(bytes, hash);
  }
  bool operator==(const BytesSoFar&) const = default;
};

/// Bytes of a file descriptor, read as they come.
class LineInput : public std::streambuf {
 public:
  /// `name` stands for the input in errors. The descriptor stays the caller's.
  LineInput(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}

  /// True if reading a line will not wait: a whole one has come, or the input has ended. Bytes that are ready
  /// are taken in; for none is waited.
  bool line_ready() {
    constexpr std::ptrdiff_t longest = std::ptrdiff_t{64} << 20;  // the reader refuses such a line by itself
    while (true) {
      const std::ptrdiff_t count = egptr() - gptr();
      if (ended_ || count >= longest ||
          (count > 0 && std::memchr(gptr(), '\n', static_cast<std::size_t>(count)))) {
        return true;
      }
      pollfd waiting{descriptor_, POLLIN, 0};
      if (::poll(&waiting, 1, 0) <= 0) return false;
      read_more();
    }
  }

  /// From here on bytes are hashed, from the first one; to be called before any is read. Where `before` was read by a
  /// program that was interrupted, require_same() compares.
  void count_bytes(const BytesSoFar& before = {}) {
    counts_ = true;
    before_ = before;
  }
  /// What was read so far, which may be more than what was consumed.
  const BytesSoFar& taken() const { return taken_; }
  /// Throws merit::ConfigError unless the input begins with the bytes that were read before, all of which it reads.
  void require_same() {
    while (!ended_ && taken_.count < before_.count) read_more();
    const BytesSoFar found = taken_.count < before_.count ? taken_ : at_before_;
    if (before_.count == 0 || found == before_) return;
    throw merit::ConfigError(
        merit::concat(name_, ": ", found.count < before_.count ? "it ends after " : "its first ", found.count,
                      found.count < before_.count ? " bytes, expected at least the " : " bytes are not the ",
                      before_.count, " that were read before the interruption"));
  }

 protected:
  int_type underflow() override {
    if (gptr() == egptr() && !ended_) read_more();
    return gptr() == egptr() ? traits_type::eof() : traits_type::to_int_type(*gptr());
  }

 private:
  /// Reads what there is behind what was not consumed yet; waits only if there is nothing.
  void read_more() {
    constexpr std::size_t block = std::size_t{1} << 16;
    const auto kept = static_cast<std::size_t>(egptr() - gptr());
    if (kept != 0) std::memmove(buffer_.data(), gptr(), kept);
    if (buffer_.size() < kept + block) buffer_.resize(2 * kept + block);
    ssize_t got = 0;
    do got = ::read(descriptor_, buffer_.data() + kept, buffer_.size() - kept);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
      throw merit::IoError("cannot read " + name_ + ": " + std::generic_category().message(errno));
    }
    ended_ = got == 0;
    if (counts_) count({buffer_.data() + kept, static_cast<std::size_t>(got)});
    setg(buffer_.data(), buffer_.data(), buffer_.data() + kept + static_cast<std::size_t>(got));
  }

  void count(std::string_view bytes) {
    if (taken_.count < before_.count && taken_.count + bytes.size() >= before_.count) {
      const std::string_view part = bytes.substr(0, before_.count - taken_.count);
      taken_.add(part);
      at_before_ = taken_;
      bytes.remove_prefix(part.size());
    }
    taken_.add(bytes);
  }

  int descriptor_;
  std::string name_;
  std::vector<char> buffer_;
  bool ended_ = false;
  bool counts_ = false;
  BytesSoFar taken_, before_, at_before_;
};

/// A file that is open, or none.
class OpenFile {
 public:
  OpenFile() = default;
  /// `flags` as open() takes them. Throws IoError.
  explicit OpenFile(const std::string& path, int flags = O_RDONLY)
      : number_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (number_ < 0) {
      throw merit::IoError("cannot open " + path + ": " + std::generic_category().message(errno));
    }
  }
  OpenFile(OpenFile&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~OpenFile() {
    if (is_open()) ::close(number_);
  }
  bool is_open() const { return number_ >= 0; }
  int get() const { return number_; }

 private:
  int number_ = -1;
};

/// A file of lines, or the standard input for "-". Throws IoError when it cannot be opened or is a directory.
struct LineFile {
  explicit LineFile(const std::string& path)
      : name(path == "-" ? "standard input" : path),
        file(opened(path)),
        bytes(descriptor(), name),
        stream(&bytes) {}
  int descriptor() const { return file.is_open() ? file.get() : STDIN_FILENO; }
  /// Nothing for a pipe.
  std::optional<merit::Index> size() const {
    struct stat status {};
    if (::fstat(descriptor(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    return static_cast<merit::Index>(status.st_size);
  }

  std::string name;
  OpenFile file;
  LineInput bytes;
  std::istream stream;

 private:
  static OpenFile opened(const std::string& path) {
    if (path == "-") return {};
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
      throw merit::IoError(path + ": found a directory, expected a file of JSON lines");
    }
    return OpenFile(path);
  }
};

/// Lines of a file, counted ahead for the progress; 0 for a pipe.
inline merit::Index count_lines(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  std::vector<char> block(std::size_t{1} << 20);
  merit::Index lines = 1;
  off_t offset = 0;
  while (true) {
    const ssize_t got = ::pread(descriptor, block.data(), block.size(), offset);
    if (got <= 0) return lines;
    lines += static_cast<merit::Index>(std::count(block.begin(), block.begin() + got, '\n'));
    offset += got;
  }
}

}  // namespace programs
