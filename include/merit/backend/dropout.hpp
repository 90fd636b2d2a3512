// Which elements dropout keeps (Srivastava et al. 2014), as every backend decides it: a pure function of numbers, so
// that no mask is stored, and the same row computed again, or in another batch, drops the same elements.
#pragma once

#include <cstdint>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Spreads every bit of `x` over all 64: the finisher of SplitMix64 (Steele et al. 2014).
MERIT_CALLABLE constexpr std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// The elements of one row of one matrix: element j is kept with probability 1 − `dropout`, by number j of the SplitMix64
/// stream that begins at the row's key and the matrix's `stream`.
struct DropoutRow {
  std::uint64_t begin;
  std::uint64_t threshold;  // of 2^32

  MERIT_CALLABLE DropoutRow(std::uint64_t row_key, std::uint64_t stream, double dropout)
      : begin(mixed(row_key ^ stream)), threshold(static_cast<std::uint64_t>(dropout * 4294967296.0)) {}
  MERIT_CALLABLE bool keeps(Index j) const {
    return mixed(begin + (static_cast<std::uint64_t>(j) + 1) * 0x9E3779B97F4A7C15u) >> 32 >= threshold;
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
