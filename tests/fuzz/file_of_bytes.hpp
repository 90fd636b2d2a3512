// A file in memory, for fuzz targets of readers that take a path. Linux.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace merit_fuzz {

/// Holds one file whose content each input replaces.
class FileOfBytes {
 public:
  explicit FileOfBytes(const char* name) : number_(::memfd_create(name, 0)) {
    if (number_ < 0) std::abort();
  }
  FileOfBytes(const FileOfBytes&) = delete;
  FileOfBytes& operator=(const FileOfBytes&) = delete;
  ~FileOfBytes() { ::close(number_); }

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(number_); }

  void set(const std::uint8_t* bytes, std::size_t size) {
    if (::ftruncate(number_, static_cast<off_t>(size)) != 0) std::abort();
    for (std::size_t done = 0; done < size;) {
      const ssize_t put = ::pwrite(number_, bytes + done, size - done, static_cast<off_t>(done));
      if (put <= 0) std::abort();
      done += static_cast<std::size_t>(put);
    }
  }

 private:
  int number_;
};

}  // namespace merit_fuzz
