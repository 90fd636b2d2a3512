// How much memory there is to take. A Linux system promises more than it has and ends the program that uses it, so
// that what asks for much looks first.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The number behind `name` in a text of lines "name number", such as that of /proc/meminfo.
inline std::optional<Index> number_behind(std::string_view text, std::string_view name) {
  for (auto at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const auto digit = text.find_first_not_of(' ', at + name.size());
    if (digit == text.npos) return std::nullopt;
    Index number = 0;
    const auto [end, error] = std::from_chars(text.data() + digit, text.data() + text.size(), number);
    if (error == std::errc{} && end != text.data() + digit) return number;
  }
  return std::nullopt;
}

/// The bytes that can be taken: of a machine (/proc/meminfo), and in a control group with a limit (memory.max,
/// memory.current, memory.stat) what that leaves, where what is read from files makes room.
inline std::optional<Index> free_memory(std::string_view meminfo, std::string_view limit,
                                        std::string_view current, std::string_view stat) {
  std::optional<Index> bytes;
  if (const auto available = number_behind(meminfo, "MemAvailable:")) {
    bytes = 1024 * (*available + number_behind(meminfo, "SwapFree:").value_or(0));
  }
  const auto most = number_behind(limit, "");
  const auto used = number_behind(current, "");
  if (most && used) {
    const Index kept = *used - std::min(*used, number_behind(stat, "inactive_file").value_or(0));
    const Index left = *most - std::min(*most, kept);
    bytes = std::min(bytes.value_or(left), left);
  }
  return bytes;
}

}  // namespace detail

/// The bytes of memory that this process can take without others being ended for it; nothing where the system
/// does not tell.
inline std::optional<Index> free_memory() {
  const auto text_of = [](const std::string& path) {
    std::string text;
    if (std::FILE* const file = std::fopen(path.c_str(), "re")) {
      text.resize(8192);
      text.resize(std::fread(text.data(), 1, text.size(), file));
      std::fclose(file);
    }
    return text;
  };
  const std::string group = "/sys/fs/cgroup/";
  return detail::free_memory(text_of("/proc/meminfo"), text_of(group + "memory.max"),
                             text_of(group + "memory.current"), text_of(group + "memory.stat"));
}

}  // namespace MERIT_ABI
}  // namespace merit
