// Files and directories that are replaced all or nothing.
#include "merit/io/file.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <string>
#include <thread>

#include "merit/core/rng.hpp"
#include "temporary.hpp"

namespace file_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

/// Lets no file of this process grow beyond `bytes` while it lives: a full disk, on any machine and for any
/// user.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{bytes, limit_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit limit_{};
  void (*handler_)(int) = nullptr;
};

void write_checkpoint(const fs::path& directory, std::string_view content) {
  AtomicDirectory writer(directory);
  put(writer.staging() / "a", content);
  fs::create_directory(writer.staging() / "deep");
  put(writer.staging() / "deep" / "b", content);
  writer.commit();
}

/// The same by the two renames that file systems without exchange get.
void write_checkpoint_by_renames(const fs::path& directory, std::string_view content) {
  AtomicDirectory writer(directory);
  put(writer.staging() / "a", content);
  fs::create_directory(writer.staging() / "deep");
  put(writer.staging() / "deep" / "b", content);
  detail::replace_by_renames(writer.staging(), writer.path());
}

/// The checkpoint's content, checked to be whole.
std::string read_checkpoint(const fs::path& directory) {
  recover_directory(directory);
  const std::string a = read_file(directory / "a");
  CHECK(a == read_file(directory / "deep" / "b"));
  return a;
}

TEST_CASE("a file is read whole and by range") {
  TemporaryDirectory temporary;
  const std::string text("line\0with zero\n", 15);
  put(temporary / "file", text);
  CHECK(read_file(temporary / "file") == text);
  put(temporary / "empty", "");
  CHECK(read_file(temporary / "empty").empty());

  const InputFile file(temporary / "file");
  CHECK(file.size() == 15);
  std::string part(4, ' ');
  file.read_at(5, part.data(), 4);
  CHECK(part == "with");
}

TEST_CASE("a file that is missing, a directory, or shorter than expected is an error with its name") {
  TemporaryDirectory temporary;
  const fs::path missing = temporary / "missing";
  CHECK(error_of<IoError>([&] { read_file(missing); }) ==
        "cannot open " + missing.string() + ": No such file or directory");
  CHECK(error_of<IoError>([&] { InputFile file(missing); }) ==
        "cannot open " + missing.string() + ": No such file or directory");
  CHECK(contains(error_of<IoError>([&] { read_file(temporary.path()); }), "not a regular file"));
  CHECK(contains(error_of<IoError>([&] { InputFile file(temporary.path()); }), "not a regular file"));

  put(temporary / "short", "12345678");
  const InputFile file(temporary / "short");
  fs::resize_file(temporary / "short", 3);  // someone cuts it while we have it open
  std::string bytes(8, ' ');
  CHECK(error_of<IoError>([&] { file.read_at(0, bytes.data(), 8); }) ==
        (temporary / "short").string() + ": the file ends at byte 3, expected to read up to byte 8");
}

TEST_CASE("an atomic file appears only on commit and leaves nothing else") {
  TemporaryDirectory temporary;
  put(temporary / "file", "old");
  {
    AtomicFile file(temporary / "file");
    file.write("new");
    CHECK(read_file(temporary / "file") == "old");
    file.commit();
    CHECK(read_file(temporary / "file") == "new");
    CHECK_THROWS_AS(file.commit(), UsageError);
    CHECK_THROWS_AS(file.write("more"), UsageError);
  }
  {
    AtomicFile file(temporary / "file");
    file.write("given up");
  }
  CHECK(read_file(temporary / "file") == "new");
  CHECK(temporary.count() == 1);
}

TEST_CASE("a write that fails halfway leaves the old file and no temporary") {
  TemporaryDirectory temporary;
  put(temporary / "file", "old");
  std::string message;
  {
    const FullDisk full(1000);
    message = error_of<IoError>([&] { write_file_atomically(temporary / "file", std::string(5000, 'x')); });
  }
  CHECK(message == "cannot write " + (temporary / "file").string() + ": File too large");
  CHECK(read_file(temporary / "file") == "old");
  CHECK(temporary.count() == 1);
}

TEST_CASE("a place that cannot be written is an error with its name") {
  TemporaryDirectory temporary;
  const fs::path nowhere = temporary / "no" / "such" / "file";
  CHECK(error_of<IoError>([&] { write_file_atomically(nowhere, "x"); }) ==
        "cannot write " + nowhere.string() + ": No such file or directory");
  CHECK(contains(error_of<IoError>([&] { write_file_atomically(temporary.path(), "x"); }),
                 "it exists and is not a regular file"));
  CHECK(contains(error_of<IoError>([&] { write_file_atomically("/dev/null", "x"); }), "/dev/null"));
  CHECK(contains(error_of<IoError>([&] { write_file_atomically("", "x"); }), "the path is empty"));
  if (::geteuid() != 0) {  // root may write anywhere
    fs::permissions(temporary.path(), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(contains(error_of<IoError>([&] { write_file_atomically(temporary / "x", "x"); }),
                   "Permission denied"));
    fs::permissions(temporary.path(), fs::perms::owner_all);
  }
}

TEST_CASE("a link is written through and permissions stay") {
  TemporaryDirectory temporary;
  put(temporary / "real", "old");
  fs::permissions(temporary / "real", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("real", temporary / "link");
  write_file_atomically(temporary / "link", "new");
  CHECK(fs::is_symlink(temporary / "link"));
  CHECK(read_file(temporary / "real") == "new");
  CHECK(fs::status(temporary / "real").permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("leftovers of dead writers are removed, those of living writers and other names are not") {
  TemporaryDirectory temporary;
  put(temporary / "file.tmp-123-0", "leftover");
  put(temporary / "file.tmp-x", "not ours");
  put(temporary / "file2.tmp-1-0", "of another file");
  AtomicFile alive(temporary / "file");
  CHECK_FALSE(fs::exists(temporary / "file.tmp-123-0"));
  CHECK(temporary.count() == 3);
  write_file_atomically(temporary / "file", "second");  // its sweep must spare the first writer
  CHECK(temporary.count() == 4);
  alive.write("first");
  alive.commit();
  CHECK(read_file(temporary / "file") == "first");
  CHECK(fs::exists(temporary / "file.tmp-x"));
  CHECK(fs::exists(temporary / "file2.tmp-1-0"));
}

TEST_CASE("an atomic directory replaces all of the old one or nothing") {
  TemporaryDirectory temporary;
  const fs::path directory = temporary / "parent" / "checkpoint";
  write_checkpoint(directory, "one");
  CHECK(read_checkpoint(directory) == "one");
  put(directory / "extra", "of the old one");
  write_checkpoint(directory.string() + "/", "two");  // a slash at the end changes nothing
  CHECK(read_checkpoint(directory) == "two");
  CHECK_FALSE(fs::exists(directory / "extra"));
  {
    AtomicDirectory writer(directory);
    put(writer.staging() / "a", "given up");
  }
  CHECK(read_checkpoint(directory) == "two");
  write_checkpoint_by_renames(directory, "three");
  CHECK(read_checkpoint(directory) == "three");
  fs::create_directory_symlink(directory, temporary / "link");
  write_checkpoint(temporary / "link", "four");
  CHECK(fs::is_symlink(temporary / "link"));
  CHECK(read_checkpoint(directory) == "four");
  CHECK(std::distance(fs::directory_iterator(temporary / "parent"), fs::directory_iterator()) == 1);
}

TEST_CASE("an atomic directory does not replace what is not ours") {
  TemporaryDirectory temporary;
  put(temporary / "file", "a file");
  CHECK(contains(error_of<IoError>([&] { AtomicDirectory writer(temporary / "file"); }),
                 "it exists and is not a directory"));
  fs::create_directory(temporary / "home");
  { AtomicDirectory writer(temporary / "home", "merit.json"); }  // empty: may be replaced
  put(temporary / "home" / "letter", "keep me");
  const std::string message =
      error_of<IoError>([&] { AtomicDirectory writer(temporary / "home", "merit.json"); });
  CHECK(contains(message, (temporary / "home").string()));
  CHECK(contains(message, "it holds files but no merit.json"));
  put(temporary / "home" / "merit.json", "{}");
  { AtomicDirectory writer(temporary / "home", "merit.json"); }
  CHECK(read_file(temporary / "home" / "letter") == "keep me");
  CHECK(temporary.count() == 2);
}

TEST_CASE("a full disk while staging leaves the old directory") {
  TemporaryDirectory temporary;
  write_checkpoint(temporary / "c", "old");
  {
    const FullDisk full(1000);
    CHECK_THROWS_AS(
        [&] {
          AtomicDirectory writer(temporary / "c");
          write_file_atomically(writer.staging() / "a", std::string(5000, 'x'));
          writer.commit();
        }(),
        IoError);
  }
  CHECK(read_checkpoint(temporary / "c") == "old");
  CHECK(temporary.count() == 1);
}

TEST_CASE("recover_directory mends each state a kill can leave") {
  TemporaryDirectory temporary;
  const fs::path directory = temporary / "c";
  const fs::path aside = temporary / "c.merit-old";
  SUBCASE("nothing there") {
    CHECK_FALSE(recover_directory(directory));
    CHECK_FALSE(fs::exists(directory));
  }
  SUBCASE("killed while staging the first: nothing to recover, the next write sweeps") {
    fs::create_directory(temporary / "c.tmp-77-3");
    put(temporary / "c.tmp-77-3" / "a", "half");
    CHECK_FALSE(recover_directory(directory));
    write_checkpoint(directory, "new");
    CHECK(read_checkpoint(directory) == "new");
  }
  SUBCASE("killed between the two renames: the old one comes back") {
    write_checkpoint(directory, "old");
    fs::rename(directory, aside);
    CHECK(recover_directory(directory));
    CHECK_FALSE(recover_directory(directory));
    CHECK(read_checkpoint(directory) == "old");
  }
  SUBCASE("killed between the two renames, and the next is a write") {
    write_checkpoint(directory, "old");
    fs::rename(directory, aside);
    { AtomicDirectory given_up(directory); }
    CHECK(read_checkpoint(directory) == "old");
    fs::rename(directory, aside);
    write_checkpoint_by_renames(directory, "new");
    CHECK(read_checkpoint(directory) == "new");
    fs::rename(directory, aside);
    {
      AtomicDirectory writer(directory);
      CHECK(fs::exists(directory));  // from the beginning, not only after the commit
    }
  }
  SUBCASE("killed after the second rename: the new one stays") {
    write_checkpoint(directory, "old");
    fs::rename(directory, aside);
    fs::create_directories(directory);
    CHECK_FALSE(recover_directory(directory));
    write_checkpoint(directory, "new");
    CHECK(read_checkpoint(directory) == "new");
    CHECK_FALSE(fs::exists(aside));
  }
  SUBCASE("killed while deleting the old one") {
    write_checkpoint(directory, "new");
    fs::create_directories(temporary / "c.merit-old.tmp-5-1" / "deep");
    fs::create_directories(temporary / "c.tmp-5-1" / "deep");
    CHECK_FALSE(recover_directory(directory));
    write_checkpoint(directory, "newer");
    CHECK(read_checkpoint(directory) == "newer");
  }
  CHECK(temporary.count() <= 1);
}

TEST_CASE("killed at any moment, one whole checkpoint remains and no older than the last one reported") {
  TemporaryDirectory temporary;
  const fs::path directory = temporary / "c";
  Rng rng(1);
  int last = 0;
  for (int kill = 0; kill < 40; ++kill) {
    const bool by_renames = kill % 2 == 1;
    int progress[2];
    REQUIRE(::pipe(progress) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      // Content starts with the number and is long enough to be torn. Each number is reported once committed.
      for (int number = last + 1;; ++number) {
        const std::string content = std::to_string(number) + std::string(100000, ' ');
        by_renames ? write_checkpoint_by_renames(directory, content) : write_checkpoint(directory, content);
        if (::write(progress[1], &number, sizeof number) != sizeof number) ::_exit(1);
      }
    }
    ::close(progress[1]);
    int number = last;
    (void)!::read(progress[0], &number, sizeof number);  // at least one is there
    std::this_thread::sleep_for(std::chrono::microseconds(rng.below(5000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(progress[0], &number, sizeof number) > 0) {
    }
    ::close(progress[0]);
    last = std::stoi(read_checkpoint(directory));
    CHECK(last >= number);
    CHECK(last <= number + 1);
    REQUIRE(read_file(directory / "a").size() > 100000);
  }
  write_checkpoint(directory, "end");
  CHECK(temporary.count() == 1);
}

}  // namespace file_test
