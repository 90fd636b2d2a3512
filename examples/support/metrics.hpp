// The metrics of a run as JSON lines: one object an event, appended as it happens.
#pragma once

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>

#include "merit/io/file.hpp"
#include "merit/io/json.hpp"

namespace programs {

class MetricsFile {
 public:
  /// Opens `path`: empty for a new run, at its end for one that goes on. A last line that a kill cut short is
  /// removed.
  MetricsFile(const std::string& path, bool append) : path_(path) {
    std::error_code error;
    if (append && std::filesystem::is_regular_file(path, error)) {
      const std::string text = merit::read_file(path);
      std::filesystem::resize_file(path, text.rfind('\n') + 1, error);  // npos + 1 == 0
    }
    const auto folder = std::filesystem::path(path).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder, error);
    file_ = std::fopen(path.c_str(), append ? "ab" : "wb");
    if (file_ == nullptr) fail();
  }
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  ~MetricsFile() {
    if (file_ != nullptr) std::fclose(file_);
  }

  void write(const merit::Json& event) {
    const std::string line = event.dump() + '\n';
    if (std::fwrite(line.data(), 1, line.size(), file_) != line.size() || std::fflush(file_) != 0) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw merit::IoError("cannot write the metrics " + path_ + ": " + std::generic_category().message(errno));
  }

  std::string path_;
  std::FILE* file_ = nullptr;
};

}  // namespace programs
