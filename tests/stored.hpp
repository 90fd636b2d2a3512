// Where tests find stored values and real data, and how one that cannot run says so.
#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace merit_test {

/// A file or folder of tests/golden. All of them are part of the project: one that is missing is a failure.
inline std::filesystem::path stored(const std::string& name) {
  const char* const folder = std::getenv("MERIT_GOLDEN");
  REQUIRE_MESSAGE(folder != nullptr, "MERIT_GOLDEN names the folder tests/golden");
  const std::filesystem::path path = std::filesystem::path(folder) / name;
  REQUIRE_MESSAGE(std::filesystem::exists(path), "there is no ", path.string());
  return path;
}

/// Says that the running test case does not apply here, in the line that totals.py counts: it is no pass, and
/// a failure unless totals.py allows it.
inline void say_skipped(const std::string& why) {
  std::printf("SKIPPED: %s: %s\n", doctest::getContextOptions()->currentTest->m_name, why.c_str());
}

/// A file or folder of the shared data, or nothing, said so, on a machine without it. Where there is shared
/// data, one that is missing is a failure.
inline std::optional<std::filesystem::path> shared_data(const std::string& name) {
  const char* const folder = std::getenv("MERIT_SHARED");
  if (folder == nullptr || *folder == '\0') {
    say_skipped("MERIT_SHARED names no folder of shared data");
    return std::nullopt;
  }
  const std::filesystem::path path = std::filesystem::path(folder) / name;
  REQUIRE_MESSAGE(std::filesystem::exists(path), "there is no ", path.string());
  return path;
}

}  // namespace merit_test
