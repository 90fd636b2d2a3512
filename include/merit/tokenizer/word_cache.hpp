// A cache of short words and their tokens that any number of threads read and write without waiting.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/tokenizer/vocabulary.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Each word has one place; a word that comes later takes it over. A place is a sequence lock (Boehm, "Can
/// seqlocks get along with programming language memory models?", 2012) over words of 64 bits: a reader that
/// meets a writer takes it for a miss. The size is fixed: 2^14 places of 64 bytes.
class WordCache {
 public:
  static constexpr Index longest_word = 23;
  static constexpr Index most_tokens = 7;

  /// Calls `use(id)` for the tokens of `word` where it is known.
  template <class Use>
  bool find(std::string_view word, const Use& use) const {
    if (word.size() > longest_word) return false;
    const Key key = key_of(word);
    const Place& place = places_[hash_bytes(word) % place_count];
    const std::uint64_t before = place.version.load(std::memory_order_acquire);
    if (before == 0 || before % 2 == 1) return false;
    std::array<std::uint64_t, 7> data{};
    for (Index i = 0; i < 7; ++i) data[i] = place.data[i].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (place.version.load(std::memory_order_relaxed) != before) return false;
    if (data[0] != key[0] || data[1] != key[1] || data[2] != key[2]) return false;
    const auto token = [&](Index i) { return static_cast<Token>(data[3 + i / 2] >> (32 * (i % 2))); };
    const Index count = token(7);
    for (Index i = 0; i < count; ++i) use(token(i));
    return true;
  }

  /// Keeps the tokens of `word` where they are few; not while another thread writes there.
  template <class Units>
  void put(std::string_view word, const Units* units, Index count) const {
    if (word.size() > longest_word || count > most_tokens) return;
    const Key key = key_of(word);
    std::array<std::uint64_t, 7> data{key[0], key[1], key[2], 0, 0, 0, 0};
    for (Index i = 0; i < count; ++i) data[3 + i / 2] |= std::uint64_t{units[i].id} << (32 * (i % 2));
    data[6] |= std::uint64_t{count} << 32;
    Place& place = places_[hash_bytes(word) % place_count];
    std::uint64_t version = place.version.load(std::memory_order_relaxed);
    if (version % 2 == 1 ||
        !place.version.compare_exchange_strong(version, version + 1, std::memory_order_acquire)) {
      return;
    }
    std::atomic_thread_fence(std::memory_order_release);
    for (Index i = 0; i < 7; ++i) place.data[i].store(data[i], std::memory_order_relaxed);
    place.version.store(version + 2, std::memory_order_release);
  }

 private:
  static constexpr Index place_count = Index{1} << 14;
  using Key = std::array<std::uint64_t, 3>;
  struct alignas(64) Place {
    std::atomic<std::uint64_t> version{0};
    std::array<std::atomic<std::uint64_t>, 7> data{};
  };

  /// The word's bytes and, in the last one, its length.
  static Key key_of(std::string_view word) {
    std::array<char, 24> bytes{};
    std::memcpy(bytes.data(), word.data(), word.size());
    bytes[23] = static_cast<char>(word.size());
    Key key{};
    std::memcpy(key.data(), bytes.data(), bytes.size());
    return key;
  }

  std::unique_ptr<Place[]> places_ = std::make_unique<Place[]>(place_count);
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
