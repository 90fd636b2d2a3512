// The pieces of a model and their ids, both ways.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Ids are below this: a file with one large number must not ask for gigabytes.
inline constexpr Token token_id_limit = Token{1} << 24;

/// A hash of short strings, for tables in memory alone.
inline std::uint64_t hash_bytes(std::string_view bytes) {
  std::uint64_t hash = 0x9E3779B97F4A7C15u ^ bytes.size();
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
  };
  Index at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    mix(word);
  }
  std::uint64_t word = 0;
  if (at < bytes.size()) std::memcpy(&word, bytes.data() + at, bytes.size() - at);
  mix(word);
  return hash ^ (hash >> 29);
}

/// Strings with ids. The strings lie in one buffer, and the table holds ids alone.
class Vocabulary {
 public:
  /// Adds a piece. False where the id or, with `unique`, the piece was there before.
  bool add(std::string_view piece, Token id) {
    if (id >= entries_.size()) entries_.resize(std::max<Index>(Index{id} + 1, entries_.size() * 2));
    if (entries_[id].used) return false;
    entries_[id] = {bytes_.size(), static_cast<std::uint32_t>(piece.size()), true};
    bytes_ += piece;
    size_ = std::max<Index>(size_, Index{id} + 1);
    ++count_;
    longest_ = std::max(longest_, piece.size());
    return true;
  }

  /// Builds the table; pieces that were added twice are found by the later id.
  void finish() {
    entries_.resize(size_);
    entries_.shrink_to_fit();
    Index capacity = 16;
    while (capacity < count_ * 2) capacity *= 2;
    table_.assign(capacity, empty);
    for (Index id = 0; id < size_; ++id) {
      if (entries_[id].used) table_[slot_of(piece(static_cast<Token>(id)))] = static_cast<Token>(id);
    }
  }

  std::optional<Token> find(std::string_view piece) const {
    if (piece.size() > longest_ || table_.empty()) return std::nullopt;
    const Token id = table_[slot_of(piece)];
    return id == empty ? std::nullopt : std::optional(id);
  }

  bool contains(Token id) const { return id < size_ && entries_[id].used; }
  /// The piece of an id, or nothing.
  std::string_view piece(Token id) const {
    if (!contains(id)) return {};
    return std::string_view(bytes_).substr(entries_[id].begin, entries_[id].size);
  }

  /// One more than the highest id.
  Index size() const { return size_; }
  Index count() const { return count_; }
  Index longest() const { return longest_; }

 private:
  static constexpr Token empty = ~Token{0};

  struct Entry {
    Index begin = 0;
    std::uint32_t size = 0;
    bool used = false;
  };

  Index slot_of(std::string_view text) const {
    const Index mask = table_.size() - 1;
    Index slot = hash_bytes(text) & mask;
    while (table_[slot] != empty && piece(table_[slot]) != text) slot = (slot + 1) & mask;
    return slot;
  }

  std::string bytes_;
  std::vector<Entry> entries_;
  std::vector<Token> table_;
  Index size_ = 0;
  Index count_ = 0;
  Index longest_ = 0;
};

/// The vocabulary of an object from pieces to ids. Throws DataError for ids that are no ids or occur twice.
inline Vocabulary read_vocabulary(const Json& json, const std::string& where) {
  if (!json.is_object()) throw DataError(concat(where, ": expected an object, found ", describe(json)));
  // Ids may have gaps, but not so that a short file asks for much memory.
  const auto limit = static_cast<std::int64_t>(std::min<Index>(token_id_limit, json.size() * 8 + 65536));
  Vocabulary result;
  for (const auto& [piece, value] : json.items()) {
    const auto number = value.is_number_integer() ? value.template get<std::int64_t>() : -1;
    const bool fits = number >= 0 && number < limit;
    if (!fits) {
      throw DataError(concat(where, ": piece ", quote(piece), ": found ", describe(value),
                             ", expected an id from 0 to ", limit - 1));
    }
    const auto id = static_cast<Token>(number);
    if (!result.add(piece, id)) {
      throw DataError(concat(where, ": found the id ", id, " for both ", quote(result.piece(id)), " and ",
                             quote(piece), ", expected an id of its own for each piece"));
    }
  }
  result.finish();
  return result;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
