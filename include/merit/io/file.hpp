// Files as a checkpoint needs them: read whole or by range, and replaced so that a crash, a full disk or
// a kill at any moment leaves either all of the old bytes or all of the new ones. POSIX (Linux, macOS).
//
// How a replacement works. The new bytes go to `NAME.tmp-<pid>-<n>` beside NAME, are synced to the disk, and
// only then take the name in one step of the file system. A temporary is locked (flock) while its writer
// lives; the lock dies with the process, so the next writer of NAME can tell a leftover from a write in
// progress and removes the leftover.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/core/visible.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// "cannot <doing> PATH: <what the system says about `error`>", thrown as IoError.
[[noreturn]] inline void throw_io(std::string_view doing, const std::filesystem::path& path, int error) {
  throw IoError(concat("cannot ", doing, " ", path.string(), ": ", std::generic_category().message(error)));
}

/// Owns an open file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor() {
    if (is_open()) ::close(number_);
  }

  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }

  /// Closes now; false (and errno) when the system reports a late write error.
  bool close() { return ::close(std::exchange(number_, -1)) == 0; }

 private:
  int number_ = -1;
};

/// Opens, repeating when a signal interrupts. Not open on failure, with errno set.
inline FileDescriptor open_file(const std::filesystem::path& path, int flags, mode_t mode = 0) {
  int number = -1;
  do number = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (number < 0 && errno == EINTR);
  return FileDescriptor(number);
}

/// Makes the content of a file, or the names in a directory, survive a power cut.
inline void sync_path(const std::filesystem::path& path) {
  const FileDescriptor file = open_file(path, O_RDONLY);
  if (!file.is_open()) throw_io("open", path, errno);
  // Some network file systems cannot sync a directory and say EINVAL; there is nothing more to do there.
  if (::fsync(file.get()) != 0 && errno != EINVAL && errno != ENOTSUP) throw_io("sync", path, errno);
}

/// The real place of `path`: absolute, links followed, no slash at the end. A link is written through, not
/// replaced.
inline std::filesystem::path resolved(const std::filesystem::path& path) {
  if (path.empty()) throw IoError("cannot write: the path is empty");
  std::error_code error;
  std::filesystem::path result = std::filesystem::absolute(path, error);
  if (!error) result = std::filesystem::weakly_canonical(result, error);
  if (error) throw_io("resolve", path, error.value());
  if (result.filename().empty()) result = result.parent_path();
  return result;
}

/// Removes a file if it is there.
inline void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_io("remove", path, errno);
}

/// A fresh name for a temporary beside `path`.
inline std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter = 0;
  return path.string() + concat(".tmp-", ::getpid(), "-", counter++);
}

/// Is `name` a temporary of the file or directory called `base`?
inline bool is_temporary_of(std::string_view name, std::string_view base) {
  constexpr std::string_view mark = ".tmp-";
  if (!name.starts_with(base) || !name.substr(base.size()).starts_with(mark)) return false;
  const std::string_view tail = name.substr(base.size() + mark.size());
  return !tail.empty() && std::all_of(tail.begin(), tail.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0 || c == '-'; });
}

/// Removes the temporaries of `path` whose writers are gone. Never throws: a leftover that cannot be removed
/// is harmless.
inline void remove_stale_temporaries(const std::filesystem::path& path) noexcept try {
  std::error_code error;
  const std::string base = path.filename().string();
  for (std::filesystem::directory_iterator entry(path.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    if (!is_temporary_of(entry->path().filename().string(), base)) continue;
    const FileDescriptor file = open_file(entry->path(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file.is_open() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;  // its writer lives
    std::error_code ignored;
    std::filesystem::remove_all(entry->path(), ignored);
  }
} catch (...) {  // out of memory while listing: the next writer tries again
}

/// Locks a temporary just made, which marks it as alive. False when another writer took it for a leftover and
/// removed it before the lock was there.
inline bool lock_temporary(const FileDescriptor& file) {
  if (::flock(file.get(), LOCK_EX) != 0) return true;  // no locks here: leftovers stay, nothing breaks
  struct stat status {};
  return ::fstat(file.get(), &status) == 0 && status.st_nlink > 0;
}

}  // namespace detail

/// A regular file open for reading by range. Reads with pread and not through a memory map, so that a file
/// cut short by someone else gives an error and not a SIGBUS. Safe to read from several threads.
class InputFile {
 public:
  /// Throws IoError when the file is missing, not readable, or not a regular file.
  explicit InputFile(std::filesystem::path path)
      : path_(std::move(path)), file_(detail::open_file(path_, O_RDONLY | O_NONBLOCK)) {
    if (!file_.is_open()) detail::throw_io("open", path_, errno);
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) detail::throw_io("examine", path_, errno);
    if (!S_ISREG(status.st_mode)) throw IoError(concat(path_.string(), ": not a regular file"));
    size_ = static_cast<Index>(status.st_size);
  }

  const std::filesystem::path& path() const { return path_; }

  /// Bytes, as they were when the file was opened.
  Index size() const { return size_; }

  /// Reads bytes [offset, offset + count) into `out`. Throws IoError when the file ends before that.
  void read_at(Index offset, void* out, Index count) const {
    Index done = 0;
    while (done < count) {
      const ssize_t got = ::pread(file_.get(), static_cast<char*>(out) + done, count - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) detail::throw_io("read", path_, errno);
      if (got == 0) {
        throw IoError(concat(path_.string(), ": the file ends at byte ", offset + done,
                             ", expected to read up to byte ", offset + count));
      }
      done += static_cast<Index>(got);
    }
  }

  /// The whole file as memory that is read from it when it is first looked at. It stays when the file is
  /// closed or replaced, but not when it is cut short. Throws IoError where the system refuses.
  std::shared_ptr<const std::byte> map() const {
    if (size_ == 0) return nullptr;
    void* const data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.get(), 0);
    if (data == MAP_FAILED) detail::throw_io("map", path_, errno);
    return {static_cast<const std::byte*>(data),
            [data, size = size_](const std::byte*) { ::munmap(data, size); }};
  }

 private:
  std::filesystem::path path_;
  detail::FileDescriptor file_;
  Index size_ = 0;
};

/// Whether a name is there, a broken link among them. Throws IoError where the system does not let us look: what
/// cannot be examined is not missing.
inline bool file_exists(const std::filesystem::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  detail::throw_io("examine", path, errno);
}

/// What a folder holds, for "found …": the first names and how many more there are.
inline std::string folder_content(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    names.push_back(entry->path().filename().string() + (entry->is_directory(ignored) ? "/" : ""));
  }
  if (error) return "it cannot be listed";
  if (names.empty()) return "it is empty";
  std::sort(names.begin(), names.end());
  constexpr Index shown = 8;
  std::string text = "it holds ";
  for (Index i = 0; i < std::min(shown, names.size()); ++i) text += (i == 0 ? "" : ", ") + visible(names[i]);
  if (names.size() > shown) text += concat(" and ", names.size() - shown, " more");
  return text;
}

namespace detail {

/// All that an open file gives, at most `largest` bytes.
inline std::string read_all(const FileDescriptor& file, const std::filesystem::path& path, Index size,
                            Index largest) {
  // One byte more than the size, so that the end of a regular file is seen without growing the buffer.
  std::string text(std::min(size, largest) + 1, '\0');
  Index done = 0;
  while (true) {
    if (done > largest) {
      throw IoError(concat(path.string(), ": holds more than ", largest, " bytes, expected a smaller file"));
    }
    if (done == text.size()) text.resize(2 * text.size());
    const ssize_t got = ::read(file.get(), text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_io("read", path, errno);
    if (got == 0) break;
    done += static_cast<Index>(got);
  }
  text.resize(done);
  return text;
}

}  // namespace detail

/// What a file may hold that is read whole: more than any configuration, card or vocabulary.
inline constexpr Index largest_whole_file = Index{1} << 30;

/// The whole content of a regular file. Throws IoError with the path and the system's reason, for a pipe or a
/// device, which might never end, and for a file of more than `largest` bytes.
inline std::string read_file(const std::filesystem::path& path, Index largest = largest_whole_file) {
  // A pipe without a writer is opened without waiting for one.
  const detail::FileDescriptor file = detail::open_file(path, O_RDONLY | O_NONBLOCK);
  if (!file.is_open()) detail::throw_io("open", path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) detail::throw_io("examine", path, errno);
  if (!S_ISREG(status.st_mode)) throw IoError(concat(path.string(), ": not a regular file"));
  return detail::read_all(file, path, static_cast<Index>(status.st_size), largest);
}

/// The same of data, which may also come from a pipe and be of any size.
inline std::string read_file_or_pipe(const std::filesystem::path& path) {
  const detail::FileDescriptor file = detail::open_file(path, O_RDONLY);
  if (!file.is_open()) detail::throw_io("open", path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) detail::throw_io("examine", path, errno);
  constexpr Index block = 65536;
  return detail::read_all(file, path, S_ISREG(status.st_mode) ? static_cast<Index>(status.st_size) : block,
                          ~Index{0} / 4);
}

/// A file that appears under its name only when it is whole. Write, then commit(); without commit() the old
/// file stays as it was and the temporary is removed. Every failure throws IoError and changes nothing.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path) : path_(detail::resolved(path)) {
    struct stat old {};
    const bool exists = ::stat(path_.c_str(), &old) == 0;
    if (exists && !S_ISREG(old.st_mode)) {
      throw IoError(concat("cannot write ", path.string(), ": it exists and is not a regular file"));
    }
    detail::remove_stale_temporaries(path_);
    do {
      temporary_ = detail::temporary_beside(path_);
      file_ = detail::open_file(temporary_, O_WRONLY | O_CREAT | O_EXCL, 0666);
      if (!file_.is_open() && errno == EEXIST) continue;  // left by a process that had our number
      if (!file_.is_open()) detail::throw_io("write", path_, errno);
    } while (!file_.is_open() || !detail::lock_temporary(file_));
    if (exists) (void)!::fchmod(file_.get(), old.st_mode & 07777);  // best effort: keep the old permissions
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  /// Appends `count` bytes.
  void write(const void* bytes, Index count) {
    if (!file_.is_open()) throw UsageError("AtomicFile: write() after commit()");
    Index done = 0;
    while (done < count) {
      const ssize_t put = ::write(file_.get(), static_cast<const char*>(bytes) + done, count - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) detail::throw_io("write", path_, errno);
      done += static_cast<Index>(put);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Syncs the bytes, gives them the name, syncs the directory. When this returns, the new file survives a
  /// power cut.
  void commit() {
    if (!file_.is_open()) throw UsageError("AtomicFile: commit() twice");
    if (::fsync(file_.get()) != 0) detail::throw_io("sync", path_, errno);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) detail::throw_io("replace", path_, errno);
    temporary_.clear();
    if (!file_.close()) detail::throw_io("close", path_, errno);
    detail::sync_path(path_.parent_path());
  }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  detail::FileDescriptor file_;
};

/// Replaces the content of `path` by `text`, all or nothing.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

namespace detail {

/// Where the old directory waits for the moment between two renames, on file systems that cannot exchange two
/// names. What lies there is always whole.
inline std::filesystem::path set_aside_name(const std::filesystem::path& directory) {
  return directory.string() + ".merit-old";
}

/// Exchanges two names in one step. False when the system or the file system cannot.
inline bool exchange_names(const std::filesystem::path& a, const std::filesystem::path& b) {
#if defined(__linux__) && defined(SYS_renameat2)
  constexpr unsigned exchange = 2;  // RENAME_EXCHANGE
  if (::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), exchange) == 0) return true;
  if (errno != ENOSYS && errno != EINVAL && errno != ENOTSUP && errno != EPERM) throw_io("replace", b, errno);
#else
  (void)a, (void)b;
#endif
  return false;
}

/// Deletes a directory under another name first, so that a kill halfway leaves a temporary to be swept and
/// not half a directory under its own name. Never throws.
inline void discard_directory(const std::filesystem::path& directory) noexcept try {
  const std::filesystem::path temporary = temporary_beside(directory);
  std::error_code ignored;
  std::filesystem::rename(directory, temporary, ignored);
  std::filesystem::remove_all(temporary, ignored);
} catch (...) {  // out of memory: what is left is swept by the next writer
}

}  // namespace detail

/// To be called before a directory is read that AtomicDirectory wrote: when the writer was killed between the
/// two renames of a file system that cannot exchange names, the directory is missing and the old one waits
/// beside it; this gives it its name back. Returns true when it did. A whole directory is left alone.
inline bool recover_directory(const std::filesystem::path& path) {
  const std::filesystem::path directory = detail::resolved(path);
  const std::filesystem::path aside = detail::set_aside_name(directory);
  std::error_code error;
  if (std::filesystem::exists(directory, error) || !std::filesystem::is_directory(aside, error)) return false;
  if (::rename(aside.c_str(), directory.c_str()) != 0) {
    // Another process may have recovered it, or its writer may have finished, since we looked.
    const int reason = errno;
    if (std::filesystem::is_directory(directory, error)) return false;
    detail::throw_io("recover", directory, reason);
  }
  detail::sync_path(directory.parent_path());
  return true;
}

namespace detail {

/// Gives `fresh` the name `directory` by two renames: old out of the way, new in place. A kill between the
/// two is what recover_directory mends.
inline void replace_by_renames(const std::filesystem::path& fresh, const std::filesystem::path& directory) {
  const std::filesystem::path aside = set_aside_name(directory);
  for (int attempt = 0;; ++attempt) {
    // Between our two renames a reader may call recover_directory and put the old one back; then again.
    recover_directory(directory);
    discard_directory(aside);
    if (::rename(directory.c_str(), aside.c_str()) != 0 && errno != ENOENT) {
      throw_io("replace", directory, errno);
    }
    if (::rename(fresh.c_str(), directory.c_str()) == 0) break;
    const int reason = errno;
    recover_directory(directory);
    if ((reason != ENOTEMPTY && reason != EEXIST) || attempt == 100) throw_io("replace", directory, reason);
  }
  sync_path(directory.parent_path());
  discard_directory(aside);
}

}  // namespace detail

/// A directory that is replaced as a whole: write files into staging(), then commit(). Killed at any moment,
/// either the old directory or the new one is there, complete (after recover_directory, which a reader calls
/// first). Without commit() the staged files are removed and the old directory stays.
class AtomicDirectory {
 public:
  /// Stages a replacement of `path`, making missing parents. `mark` names a file that tells our directories
  /// from others, for example "merit.json": a directory that holds files but not this one is not ours and is
  /// not replaced (IoError). Empty: any directory may be replaced, with all that is in it.
  explicit AtomicDirectory(const std::filesystem::path& path, std::string_view mark = {})
      : path_(detail::resolved(path)) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::create_directories(path_.parent_path(), error);
    if (error) detail::throw_io("make the parent of", path_, error.value());
    recover_directory(path_);
    const bool exists = fs::exists(path_, error);
    if (exists && !fs::is_directory(path_, error)) {
      throw IoError(concat("cannot write ", path.string(), ": it exists and is not a directory"));
    }
    if (exists && !mark.empty() && !fs::is_empty(path_, error) && !fs::exists(path_ / mark, error)) {
      throw IoError(concat("will not replace ", path.string(), ": it holds files but no ", mark,
                           ", so it is not a directory of ours"));
    }
    detail::remove_stale_temporaries(path_);
    detail::remove_stale_temporaries(detail::set_aside_name(path_));
    do {
      staging_ = detail::temporary_beside(path_);
      if (::mkdir(staging_.c_str(), 0777) != 0) {
        const int reason = errno;
        if (reason == EEXIST) continue;
        staging_.clear();
        detail::throw_io("write", path_, reason);
      }
      lock_ = detail::open_file(staging_, O_RDONLY);
    } while (!lock_.is_open() || !detail::lock_temporary(lock_));
    if (exists) fs::permissions(staging_, fs::status(path_, error).permissions(), error);
  }
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  ~AtomicDirectory() {
    std::error_code ignored;
    if (!staging_.empty()) std::filesystem::remove_all(staging_, ignored);
  }

  /// Where the files are to be written before commit().
  const std::filesystem::path& staging() const { return staging_; }

  /// The directory that will be replaced, absolute.
  const std::filesystem::path& path() const { return path_; }

  /// Syncs every staged file, puts the new directory in place of the old one, and deletes the old one.
  void commit() {
    namespace fs = std::filesystem;
    if (staging_.empty()) throw UsageError("AtomicDirectory: commit() twice");
    std::error_code error;
    for (fs::recursive_directory_iterator entry(staging_, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->is_regular_file() || entry->is_directory()) detail::sync_path(entry->path());
    }
    if (error) detail::throw_io("list", staging_, error.value());
    detail::sync_path(staging_);
    if (!fs::exists(path_, error)) {
      if (::rename(staging_.c_str(), path_.c_str()) != 0) detail::throw_io("write", path_, errno);
      detail::sync_path(path_.parent_path());
    } else if (detail::exchange_names(staging_, path_)) {
      // staging_ now names the old directory. The new one must be on the disk before the old one goes.
      detail::sync_path(path_.parent_path());
      fs::remove_all(staging_, error);
    } else {
      detail::replace_by_renames(staging_, path_);
    }
    // An old one that an earlier kill left aside must not come back when this directory is deleted one day.
    detail::discard_directory(detail::set_aside_name(path_));
    staging_.clear();
    lock_ = {};
  }

 private:
  std::filesystem::path path_;
  std::filesystem::path staging_;
  detail::FileDescriptor lock_;
};

}  // namespace MERIT_ABI
}  // namespace merit
