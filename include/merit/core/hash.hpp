// One fixed hash of a byte string, the same on every machine and in every version of merit.
#pragma once

#include <cstdint>
#include <string_view>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// FNV-1a, 64 bits (Fowler, Noll and Vo): xor each byte in, multiply by the prime. Saved models depend on it. `hash` is
/// that of the bytes before, where a string comes in parts.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = 0xCBF29CE484222325u) {
  for (const char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001B3u;
  }
  return hash;
}

}  // namespace MERIT_ABI
}  // namespace merit
