// What a server has answered, counted as Prometheus reads it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "merit/core/concat.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/view.hpp"
#include "merit/serve/score_queue.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Counts of answers, by endpoint and status, and how long they took. Any thread may call it.
class ServeMetrics {
 public:
  void add(const std::string& endpoint, int status, double seconds) {
    const std::lock_guard lock(mutex_);
    ++requests_[{endpoint, status}];
    Histogram& one = seconds_[endpoint];
    for (Index i = 0; i < limits.size(); ++i) one.at_most[i] += seconds <= limits[i] ? 1u : 0u;
    ++one.count;
    one.sum += seconds;
  }

  /// All of it in Prometheus' text format 0.0.4.
  std::string text(const QueueFigures& queue, Index reused_tokens) const {
    std::string out;
    const auto family = [&](const char* name, const char* type, const char* help) {
      out += concat("# HELP ", name, ' ', help, "\n# TYPE ", name, ' ', type, '\n');
    };
    // All digits of a number: of a sum of six the small part of a day is lost.
    const auto single = [&](const char* name, const char* type, const char* help, const auto& value) {
      family(name, type, help);
      out += concat(name, ' ', shortest(value), '\n');
    };
    single("merit_records_scored_total", "counter", "Records that were scored.", queue.records);
    single("merit_tokens_scored_total", "counter",
           "Tokens of what was scored, prompts counted for each completion.", queue.tokens);
    single("merit_tokens_reused_total", "counter", "Tokens of kept prompts that were not computed again.",
           reused_tokens);
    single("merit_batches_total", "counter", "Batches that were computed.", queue.batches);
    single("merit_busy_seconds_total", "counter", "Time in which batches were computed.", queue.busy_seconds);
    single("merit_records_waiting", "gauge", "Records that wait or are being computed.", queue.waiting);

    const std::lock_guard lock(mutex_);
    family("merit_requests_total", "counter", "Answers, by endpoint and HTTP status.");
    for (const auto& [which, count] : requests_) {
      out += concat("merit_requests_total{endpoint=\"", which.first, "\",status=\"", which.second, "\"} ",
                    count, '\n');
    }
    const char* name = "merit_request_seconds";
    family(name, "histogram", "From a request's arrival to its answer.");
    for (const auto& [endpoint, one] : seconds_) {
      const std::string label = concat("{endpoint=\"", endpoint, '"');
      for (Index i = 0; i < limits.size(); ++i) {
        out += concat(name, "_bucket", label, ",le=\"", limits[i], "\"} ", one.at_most[i], '\n');
      }
      out += concat(name, "_bucket", label, ",le=\"+Inf\"} ", one.count, '\n');
      out += concat(name, "_sum", label, "} ", shortest(one.sum), '\n', name, "_count", label, "} ",
                    one.count, '\n');
    }
    return out;
  }

 private:
  static constexpr std::array limits{0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,
                                     1.0,   2.5,  5.0,   10.0, 30.0, 60.0};
  struct Histogram {
    std::array<std::uint64_t, limits.size()> at_most{};  // of each limit
    std::uint64_t count = 0;
    double sum = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> requests_;
  std::map<std::string, Histogram> seconds_;
};

}  // namespace MERIT_ABI
}  // namespace merit
