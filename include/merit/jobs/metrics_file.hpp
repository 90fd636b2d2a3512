// The metrics of a run as JSON lines: one object an event, appended as it happens.
#pragma once

#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/jobs/output_place.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Throws IoError when `path` is a file that holds something else than metrics, or a pipe or folder.
void check_metrics(const std::string& path);

/// The metrics of one run.
class MetricsFile {
 public:
  /// Opens `path`: empty for a new run. For one that goes on after `last_step`, at its end, without the
  /// events of later steps, which the run makes again, and without a last line that a kill cut short.
  MetricsFile(const std::string& path, std::optional<Index> last_step);
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  ~MetricsFile() {
    if (file_ != nullptr) std::fclose(file_);
  }

  void write(const Json& event);

 private:
  void keep_until(Index last_step) const;

  [[noreturn]] void fail() const;

  std::string path_;
  std::FILE* file_ = nullptr;
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/metrics_file_body.hpp"
#endif
