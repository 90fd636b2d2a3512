// How much memory of this process is there, as Linux says; elsewhere 0.
#pragma once

#include <fstream>
#include <string>

#include "merit/core/view.hpp"

namespace merit_test {

/// Of the mappings whose line holds `name`; of all of them without one.
inline merit::Index resident_bytes(const std::string& name = "") {
  std::ifstream file("/proc/self/smaps");
  merit::Index kilobytes = 0;
  bool counts = false;
  for (std::string line; std::getline(file, line);) {
    if (line.find(':') > line.find(' ')) counts = line.find(name) != line.npos;  // "address-address rw-p …"
    if (counts && line.starts_with("Rss:")) kilobytes += std::stoul(line.substr(4));
  }
  return kilobytes * 1024;
}

}  // namespace merit_test
