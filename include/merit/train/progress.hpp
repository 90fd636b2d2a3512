// Progress of long work: one line that redraws itself on a terminal, plain lines now and then when piped.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Seconds as a person says them: "42 s", "3 min 05 s", "2 h 10 min".
inline std::string spell_seconds(double seconds) {
  char text[64];
  const auto whole = static_cast<long long>(seconds + 0.5);
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld min %02lld s", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
  }
  return text;
}

/// What is being done, how far it is, and how long it will still take.
class Progress {
 public:
  /// The total of what nobody has counted. Nothing is said of it before it has taken a while.
  static constexpr Index unknown = ~Index{0};

  /// `total` units of work, of which `done` were there before (a resumed run). Writes to `file`, usually
  /// stderr.
  Progress(std::string what, Index total, Index done = 0, std::FILE* file = stderr)
      : what_(std::move(what)),
        total_(total),
        before_(done),
        file_(file),
        terminal_(::isatty(::fileno(file)) == 1) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { finish(); }

  /// `done` units are complete; `note` says something about them ("loss 0.412").
  void update(Index done, const std::string& note = {}) {
    using namespace std::chrono;
    const auto now = steady_clock::now();
    const bool counts = total_ == unknown;
    const bool last = !counts && done >= total_;
    const auto pause = terminal_ ? milliseconds(100) : milliseconds(10000);
    if (!last && drawn_ && now - last_drawn_ < pause) return;
    if (counts && now - start_ < (terminal_ ? milliseconds(1000) : pause)) return;
    if (last && ended_) return;
    drawn_ = true;
    ended_ = last;
    last_drawn_ = now;
    const double elapsed = duration<double>(now - start_).count();
    const double share = total_ == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total_);
    std::string line = what_ + " ";
    if (terminal_ && !counts) line += bar(share) + " ";
    line.append(std::to_string(done));
    if (!counts) line.append("/").append(std::to_string(total_));
    if (!note.empty()) line += "  " + note;
    if (counts) {
      line.append("  ").append(spell_seconds(elapsed));
    } else if (last) {
      line.append("  in ").append(spell_seconds(elapsed));
    } else if (done > before_) {
      const double rest = elapsed * static_cast<double>(total_ - done) / static_cast<double>(done - before_);
      line.append("  ").append(spell_seconds(rest)).append(" left");
    }
    if (terminal_) {
      std::fprintf(file_, "\r\033[K%s%s", line.c_str(), last ? "\n" : "");
    } else {
      std::fprintf(file_, "%s\n", line.c_str());
    }
    std::fflush(file_);
  }

  /// Prints a line of its own, above the one that redraws itself.
  void say(const std::string& line) {
    std::fprintf(file_, "%s%s\n", terminal_ && drawn_ && !ended_ ? "\r\033[K" : "", line.c_str());
    std::fflush(file_);
  }

  /// Leaves the line, so that what is printed next starts on a fresh one.
  void finish() {
    if (terminal_ && drawn_ && !ended_) std::fputc('\n', file_);
    ended_ = true;
  }

 private:
  static std::string bar(double share) {
    constexpr int width = 24;
    const int filled = static_cast<int>(share * width);
    std::string text = "[";
    for (int i = 0; i < width; ++i) text += i < filled ? '#' : '.';
    return text + "]";
  }

  std::string what_;
  Index total_;
  Index before_;
  std::FILE* file_;
  bool terminal_;
  bool drawn_ = false;
  bool ended_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_drawn_{};
};

}  // namespace MERIT_ABI
}  // namespace merit
