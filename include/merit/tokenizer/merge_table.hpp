// The merges of byte pair encoding: which two tokens become which one, and in what order.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/vocabulary.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

struct Merge {
  static constexpr std::uint32_t never = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t rank = never;  // lower ones come first
  Token id = 0;
};

/// A hash table from pairs of tokens to merges.
class MergeTable {
 public:
  explicit MergeTable(Index count) {
    Index capacity = 16;
    while (capacity < count * 2) capacity *= 2;
    entries_.resize(capacity);
  }

  /// Adds a merge or, for a pair that is there, replaces it.
  void set(Token left, Token right, Merge merge) {
    entries_[slot_of(key_of(left, right))] = {key_of(left, right), merge};
  }

  /// The merge of a pair; one of rank `never` where there is none.
  Merge find(Token left, Token right) const { return entries_[slot_of(key_of(left, right))].merge; }

 private:
  struct Entry {
    std::uint64_t key = ~std::uint64_t{0};
    Merge merge;
  };

  static std::uint64_t key_of(Token left, Token right) { return (std::uint64_t{left} << 32) | right; }
  Index slot_of(std::uint64_t key) const {
    const Index mask = entries_.size() - 1;
    std::uint64_t hash = key * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    Index slot = hash & mask;
    while (entries_[slot].key != key && entries_[slot].merge.rank != Merge::never) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Entry> entries_;
};

/// The merges of a model: "left right" strings or pairs of strings; both and what they give must be pieces.
/// What they give is the left piece and the right one without `prefix`.
inline MergeTable read_merges(const Json& json, const Vocabulary& vocabulary, const std::string& prefix,
                              const std::string& where) {
  if (!json.is_array()) throw DataError(concat(where, ": expected an array, found ", describe(json)));
  MergeTable result(json.size());
  std::string joined;
  std::uint32_t rank = 0;
  Index index = 0;
  const auto fail = [&](const std::string& what) { throw DataError(concat(where, "[", index, "]: ", what)); };
  const auto id_of = [&](std::string_view piece) {
    const auto id = vocabulary.find(piece);
    if (!id) fail(concat("found ", quote(piece), ", which is not in the vocabulary"));
    return *id;
  };
  for (const Json& item : json) {
    std::string_view left;
    std::string_view right;
    if (item.is_string()) {
      const std::string_view text = item.get_ref<const std::string&>();
      if (text.starts_with("#version")) {  // the first line of a merges.txt
        ++index;
        continue;
      }
      const Index space = text.find(' ');
      if (space == text.npos || text.find(' ', space + 1) != text.npos) {
        fail(concat("found ", quote(text), ", expected two pieces and one space between"));
      }
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      left = item[0].get_ref<const std::string&>();
      right = item[1].get_ref<const std::string&>();
    } else {
      fail(concat("found ", describe(item), ", expected two pieces"));
    }
    const Token first = id_of(left);
    const Token second = id_of(right);
    if (right.size() < prefix.size())
      fail(concat("found ", quote(right), ", shorter than the prefix ", quote(prefix)));
    (joined = left) += right.substr(prefix.size());
    result.set(first, second, {rank++, id_of(joined)});
    ++index;
  }
  return result;
}

/// A token of a word that is not yet merged, and its length in bytes of the word.
struct Symbol {
  Token id = 0;
  std::uint32_t length = 0;
};

/// Merges neighbours, the lowest rank first and of equal ones the leftmost, until nothing merges. Few symbols
/// are searched again after each merge; many are kept in a heap, so that n of them take n log n steps.
inline void merge_symbols(const MergeTable& merges, std::vector<Symbol>& symbols) {
  const Index size = symbols.size();
  if (size < 2) return;
  constexpr Index few = 40;
  if (size <= few) {
    std::array<Merge, few> next{};  // the merge of each symbol with the one behind it
    for (Index i = 0; i + 1 < size; ++i) next[i] = merges.find(symbols[i].id, symbols[i + 1].id);
    Index count = size;
    while (count > 1) {
      Index best = 0;
      for (Index i = 1; i + 1 < count; ++i) {
        if (next[i].rank < next[best].rank) best = i;
      }
      if (next[best].rank == Merge::never) break;
      symbols[best] = {next[best].id, symbols[best].length + symbols[best + 1].length};
      --count;
      for (Index i = best + 1; i < count; ++i) {
        symbols[i] = symbols[i + 1];
        next[i] = next[i + 1];
      }
      next[count - 1].rank = Merge::never;
      if (best + 1 < count) next[best] = merges.find(symbols[best].id, symbols[best + 1].id);
      if (best > 0) next[best - 1] = merges.find(symbols[best - 1].id, symbols[best].id);
    }
    symbols.resize(count);
    return;
  }

  struct Candidate {
    std::uint32_t rank;
    std::uint32_t at;
    Token id;
    bool operator<(const Candidate& other) const {  // the greatest is on top of a heap
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  constexpr std::uint32_t end = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> before(size);
  std::vector<std::uint32_t> behind(size);
  std::vector<Candidate> heap;
  heap.reserve(size);
  for (Index i = 0; i < size; ++i) {
    before[i] = i == 0 ? end : static_cast<std::uint32_t>(i - 1);
    behind[i] = i + 1 == size ? end : static_cast<std::uint32_t>(i + 1);
    if (i + 1 == size) break;
    const Merge merge = merges.find(symbols[i].id, symbols[i + 1].id);
    if (merge.rank != Merge::never) heap.push_back({merge.rank, static_cast<std::uint32_t>(i), merge.id});
  }
  std::make_heap(heap.begin(), heap.end());
  const auto consider = [&](std::uint32_t at) {
    if (at == end || behind[at] == end) return;
    const Merge merge = merges.find(symbols[at].id, symbols[behind[at]].id);
    if (merge.rank == Merge::never) return;
    heap.push_back({merge.rank, at, merge.id});
    std::push_heap(heap.begin(), heap.end());
  };
  std::vector<bool> gone(size, false);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    if (gone[top.at] || behind[top.at] == end) continue;
    const std::uint32_t right = behind[top.at];
    const Merge now = merges.find(symbols[top.at].id, symbols[right].id);
    if (now.rank == Merge::never || now.id != top.id) continue;  // one of the two has changed meanwhile
    symbols[top.at] = {top.id, symbols[top.at].length + symbols[right].length};
    gone[right] = true;
    behind[top.at] = behind[right];
    if (behind[right] != end) before[behind[right]] = top.at;
    consider(before[top.at]);
    consider(top.at);
  }
  Index kept = 0;
  for (Index i = 0; i < size; ++i) {
    if (!gone[i]) symbols[kept++] = symbols[i];
  }
  symbols.resize(kept);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
