// The bodies of metrics_file.hpp.
#pragma once

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/jobs/metrics_file.hpp"
#include "merit/jobs/output_place.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE void check_metrics(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  // A pipe without a reader would wait for one. Devices take what is written, and so do pipes that are open already,
  // which have their names there: /dev/null, /dev/fd/63 of a shell's >(...).
  const fs::file_status status = fs::status(path, ignored);
  const bool device = path.starts_with("/dev/") || path.starts_with("/proc/");
  if (fs::exists(status) && !fs::is_regular_file(status) && !device)
    throw IoError(concat("cannot write ", path, ": it exists and is not a regular file"));
  check_own(path, "the metrics of a run", [](const std::string& content) {
    const std::string_view first = std::string_view(content).substr(0, content.find('\n'));
    const bool ends = first.size() < content.size();
    for (const std::string_view begin : {R"({"event":"start")", R"({"event":"resume")"}) {
      if (!ends && begin.starts_with(first)) return true;  // the only line there is, cut short by a kill
      if (!first.starts_with(begin)) continue;
      const Json event = Json::parse(first, nullptr, false);
      return event.is_discarded() ? !ends : event.contains("parameters") && event.contains("steps");
    }
    return false;
  });
}

MERIT_INLINE MetricsFile::MetricsFile(const std::string& path, std::optional<Index> last_step) : path_(path) {
  std::error_code error;
  if (last_step && std::filesystem::is_regular_file(path, error)) keep_until(*last_step);
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  file_ = std::fopen(path.c_str(), "ab");
  if (file_ == nullptr) fail();
  const int number = ::fileno(file_);
  if (!std::filesystem::is_regular_file(path, error)) return;
  if (::flock(number, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    std::fclose(std::exchange(file_, nullptr));
    throw IoError("cannot write the metrics " + path + ": another run writes them");
  }
  if (!last_step && ::ftruncate(number, 0) != 0) fail();
}

MERIT_INLINE void MetricsFile::write(const Json& event) {
  const std::string line = event.dump() + '\n';
  if (std::fwrite(line.data(), 1, line.size(), file_) != line.size() || std::fflush(file_) != 0) fail();
}

MERIT_INLINE void MetricsFile::keep_until(Index last_step) const {
  const std::string text = read_file(path_, ~Index{0} / 4);
  std::string kept;
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    const std::string_view line = std::string_view(text).substr(begin, end + 1 - begin);
    const Json event = Json::parse(line, nullptr, false);
    const bool later = event.is_object() && event.contains("step") && event["step"].is_number_unsigned() &&
                       event["step"].get<Index>() > last_step;
    if (!later) kept += line;
  }
  if (kept != text) write_file_atomically(path_, kept);
}

[[noreturn]] MERIT_INLINE void MetricsFile::fail() const {
  throw IoError("cannot write the metrics " + path_ + ": " + std::generic_category().message(errno));
}

}  // namespace MERIT_ABI
}  // namespace merit
