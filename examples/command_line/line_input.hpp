// Input that knows whether a whole line is there, so that a program can answer what it has before it waits
// for more.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <istream>
#include <streambuf>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace programs {

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
    setg(buffer_.data(), buffer_.data(), buffer_.data() + kept + static_cast<std::size_t>(got));
  }

  int descriptor_;
  std::string name_;
  std::vector<char> buffer_;
  bool ended_ = false;
};

/// A file that is open for reading, or none.
class OpenFile {
 public:
  OpenFile() = default;
  /// Throws IoError.
  explicit OpenFile(const std::string& path) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (number_ < 0) {
      throw merit::IoError("cannot open " + path + ": " + std::generic_category().message(errno));
    }
  }
  OpenFile(OpenFile&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  OpenFile& operator=(OpenFile&&) = delete;
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
