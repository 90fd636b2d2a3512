// A training run on a terminal: its progress and remarks on stderr, and Ctrl-C.
#pragma once

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "merit/core/visible.hpp"
#include "merit/jobs/training_run.hpp"
#include "merit/train/progress.hpp"

namespace programs {

inline std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

/// The run ends after its current step. A second one ends the program at once. SIGUSR1 is what mpirun passes on without killing
/// the ranks itself a moment later.
inline void request_stop(int signal) {
  stop_requested = true;
  if (signal == SIGPIPE) return;  // whoever read our words has gone
  constexpr std::string_view text = "\nmerit_train: stopping after this step; once more to stop at once\n";
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, text.data(), text.size());
}
inline void install_handlers(bool ours) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE}) {
    struct sigaction before {};
    sigaction(signal, nullptr, &before);
    // What nohup and shells tell us to ignore stays ignored.
    if (signal != SIGPIPE && before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = ours ? request_stop : signal == SIGPIPE ? SIG_IGN : SIG_DFL;
    action.sa_flags = static_cast<int>(signal == SIGPIPE ? SA_RESTART : SA_RESETHAND | SA_RESTART);
    sigaction(signal, &action, nullptr);
  }
}

class RunConsole final : public merit::RunListener {
 public:
  explicit RunConsole(const char* program) : program_(program) {}

  void remark(const std::string& sentence) override {
    std::fprintf(stderr, "%s: %s\n", program_, merit::visible(sentence).c_str());
  }
  void begin(const std::string& what, merit::Index total, merit::Index done) override {
    progress_.emplace(what, total, done);
  }
  void progress(merit::Index done, const std::string& note) override { progress_->update(done, note); }
  void end() override { progress_.reset(); }
  void say(const std::string& line) override { progress_->say(line); }
  void training(bool goes_on) override { install_handlers(goes_on); }

 private:
  const char* program_;
  std::optional<merit::Progress> progress_;
};

}  // namespace programs
