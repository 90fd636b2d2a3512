// Of several names, the one that was probably meant.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Letters to put in, leave out, replace or swap with their neighbour until `a` is `b` (optimal string
/// alignment).
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last = std::move(last);
    last = row;
  }
  return last[b.size()];
}

/// The name that is least changed in `given`, or else the first that begins with it; empty where none is alike.
template <std::ranges::input_range Names>
std::string nearest_name(std::string_view given, const Names& names) {
  const std::size_t allowed = given.size() < 4 ? 1 : given.size() / 4 + 1;
  std::string nearest, longer;
  std::size_t least = allowed + 1;
  for (const std::string_view name : names) {
    const std::size_t distance = edit_distance(given, name);
    if (distance < least) {
      least = distance;
      nearest = name;
    }
    if (longer.empty() && given.size() > 2 && name.starts_with(given)) longer = name;
  }
  return nearest.empty() ? longer : nearest;
}

}  // namespace MERIT_ABI
}  // namespace merit
