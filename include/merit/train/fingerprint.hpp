// What tells one set of examples from another.
#pragma once

#include <bit>
#include <cstdint>
#include <string>

#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A number that changes when the examples or their order do.
class Fingerprint {
 public:
  template <class Example>
  void add(const Example& example) {
    for_each_sequence(example, [&](const Sequence& sequence) {
      mix(sequence.tokens.size());
      mix(sequence.completion_begin);
      for (const Token token : sequence.tokens) mix(token);
      mix(sequence.step_ends.size());
      for (const Index end : sequence.step_ends) mix(end);
      for (const float value : sequence.features) mix(std::bit_cast<std::uint32_t>(value));
    });
    for_each_number(example, [&](double value) { mix(std::bit_cast<std::uint64_t>(value)); });
  }

  /// Hexadecimal, as JSON numbers lose bits.
  std::string text() const {
    std::string text;
    for (std::uint64_t rest = hash_; rest != 0 || text.empty(); rest >>= 4)
      text.insert(text.begin(), "0123456789abcdef"[rest & 0xF]);
    return text;
  }

 private:
  void mix(std::uint64_t value) {
    for (int byte = 0; byte < 8; ++byte) hash_ = (hash_ ^ ((value >> (8 * byte)) & 0xFF)) * 0x100000001B3u;
  }

  std::uint64_t hash_ = fnv1a("examples");
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
