// A file of scores, or of what a judge said, that goes on where a kill left it.
//
// Beside FILE lies FILE.state: what the scores are made of (input, model, options), and how far the file is whole: so many
// records, so many bytes of FILE, with the hash of them and of the input that was read. It is replaced in one step, after
// the bytes that it speaks of are on the disk. So at any moment the two say where to go on: what FILE holds beyond is cut
// off, and made again. The end of a batch is such a place, since the last digit of a score may depend on what is computed
// together: the file that was interrupted is, byte for byte, the one that was not.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "line_input.hpp"
#include "merit/core/error.hpp"
#include "merit/core/visible.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/jobs/output_lock.hpp"

namespace programs {

class ScoresFile {
 public:
  /// How far the file is whole.
  struct Progress {
    merit::Index records = 0;  // of the input, those of other shards among them
    merit::Index errors = 0;   // records of this shard that could not be read
    BytesSoFar input = {};
  };

  /// Begins `path`, or goes on with it. `made_of` is all that decides what is written, an object of objects: what it has
  /// must be what it was. Throws ConfigError that names what is not, or where a file is there and neither `resume` nor
  /// `overwrite` is asked for; IoError for a file that is not ours, or where another process writes it.
  /// `option`: which names it.
  ScoresFile(std::string path, merit::Json made_of, bool resume, bool overwrite,
             const std::string& option = "--out")
      : path_(std::move(path)), state_path_(path_ + ".state"), made_of_(std::move(made_of)) {
    const bool has_file = merit::file_exists(path_), has_state = merit::file_exists(state_path_);
    if (has_file && !resume && !overwrite) {
      throw merit::ConfigError(path_ + " is there already: give " +
                               (has_state ? "--resume to go on with it, or " : "") + "another " + option +
                               (has_state ? ", or --overwrite to replace it" : ""));
    }
    lock_.emplace(path_);
    if (has_file && !has_state) require_empty();
    if (has_state && resume) {
      read_state();
    } else {
      save();  // before the file: what it holds beyond 0 bytes is cut off
    }
    file_ = OpenFile(path_, O_RDWR | O_CREAT);
    cut_to_whole();
  }

  /// Where to go on; nothing where it begins.
  const std::optional<Progress>& resumed() const { return resumed_; }
  /// What was cut off and is made again, as a sentence; empty: nothing.
  const std::string& remark() const { return remark_; }

  void line(const std::string& text) {
    waiting_ += text;
    waiting_ += '\n';
  }

  /// Writes what was added. Throws IoError.
  void flush() {
    for (std::string_view rest = waiting_; !rest.empty();) {
      const ssize_t put = ::write(file_.get(), rest.data(), rest.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail("write");
      rest.remove_prefix(static_cast<std::size_t>(put));
    }
    written_.add(waiting_);
    waiting_.clear();
  }

  /// All that was added is the end of a batch, up to there. Said on disk at once where `last`, else so that it takes a
  /// twentieth of the time at most.
  void batch_done(const Progress& progress, bool last) {
    progress_ = progress;
    const auto now = std::chrono::steady_clock::now();
    if (!last && now < next_save_) return;
    if (::fsync(file_.get()) != 0 && errno != EINVAL && errno != ENOTSUP) fail("sync");
    save();
    const auto end = std::chrono::steady_clock::now();
    next_save_ = end + 20 * (end - now);
  }

 private:
  [[noreturn]] void fail(const char* doing) const {
    throw merit::IoError(
        merit::concat("cannot ", doing, " ", path_, ": ", std::generic_category().message(errno)));
  }

  void save() {
    const merit::Json state = {{"made_of", made_of_},
                               {"records", progress_.records},
                               {"errors", progress_.errors},
                               {"output_bytes", written_.count},
                               {"output_hash", written_.hash},
                               {"input_bytes", progress_.input.count},
                               {"input_hash", progress_.input.hash}};
    merit::write_file_atomically(state_path_, state.dump(1) + '\n');
  }

  void require_empty() const {
    const merit::InputFile file(path_);
    if (file.size() == 0) return;
    throw merit::IoError("will not write to " + path_ + ": it holds something, and there is no " +
                         state_path_ + " that would say from which input and model");
  }

  void read_state() {
    const merit::Json state = merit::read_json(state_path_);
    const auto field = [&](const char* name) {
      return merit::require<std::uint64_t>(state, name, state_path_);
    };
    require_same(merit::require<merit::Json>(state, "made_of", state_path_));
    progress_ = {field("records"), field("errors"), {field("input_bytes"), field("input_hash")}};
    written_ = {field("output_bytes"), field("output_hash")};
    resumed_ = progress_;
  }

  void require_same(const merit::Json& before) const {
    const auto text = [](const merit::Json& value) -> std::string {
      const merit::Json& one = value.is_array() && value.size() == 1 ? value.front() : value;
      if (one.is_null() || one.empty()) return "not there";
      return merit::visible(one.is_string() ? one.get<std::string>() : one.dump());
    };
    const auto none = merit::Json::object();
    for (const auto& [part, now] : made_of_.items()) {
      const merit::Json was = before.value(part, none);
      if (!was.is_object())
        throw merit::DataError(state_path_ + ": field \"made_of\" is not as it is written");
      merit::Json all = was;
      all.update(now);
      for (const auto& [name, ignored] : all.items()) {
        const merit::Json one = was.value(name, merit::Json()), other = now.value(name, merit::Json());
        if (one == other) continue;
        throw merit::ConfigError(path_ + " was made otherwise: " + part + ' ' + name + " was " + text(one) +
                                 ", now it is " + text(other) +
                                 "; give the same to go on with it, or --overwrite to begin anew");
      }
    }
  }

  /// Leaves of the file what the state speaks of, which must be there as it was written.
  void cut_to_whole() {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) fail("examine");
    if (!S_ISREG(status.st_mode))
      throw merit::IoError("cannot write " + path_ + ": it is not a regular file");
    const auto size = static_cast<merit::Index>(status.st_size);
    BytesSoFar found;
    std::vector<char> block(std::size_t{1} << 16);
    while (found.count < written_.count) {
      const ssize_t got = ::read(file_.get(), block.data(),
                                 std::min<merit::Index>(block.size(), written_.count - found.count));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("read");
      if (got == 0) break;
      found.add({block.data(), static_cast<std::size_t>(got)});
    }
    if (found != written_) {
      throw merit::DataError(merit::concat(path_, ": its first ", written_.count,
                                           " bytes are not what was written there, expected ",
                                           "the file as it was left; --overwrite begins anew"));
    }
    if (size == written_.count) return;
    if (::ftruncate(file_.get(), static_cast<off_t>(written_.count)) != 0) fail("cut");
    if (resumed_) {
      remark_ = merit::concat(path_, ": cut off ", size - written_.count,
                              " bytes behind its last whole batch, which are made again");
    }
  }

  std::string path_, state_path_;
  merit::Json made_of_;
  std::optional<merit::OutputLock> lock_;
  OpenFile file_;
  Progress progress_;
  std::optional<Progress> resumed_;
  BytesSoFar written_;
  std::string waiting_, remark_;
  std::chrono::steady_clock::time_point next_save_{};
};

}  // namespace programs
