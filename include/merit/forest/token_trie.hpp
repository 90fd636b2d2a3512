// A trie of token sequences: what they share from the first token on is stored once. Its nodes are runs of
// tokens, not single tokens, so a node is exactly a segment of the forest that it becomes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The nodes under a node, or the roots, in the order of insertion.
struct TrieChildren {
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  std::uint32_t first = none;
  std::uint32_t last = none;
  std::uint32_t count = 0;
  std::uint32_t family = 0;  // under which they are indexed by their first tokens; 0: not, as they are few
};

/// A run of tokens without a branch. A node has no child or at least two, which differ in their first token.
struct TrieNode {
  static constexpr std::uint32_t none = TrieChildren::none;

  const Token* tokens = nullptr;  // in one of the inserted sequences
  Index count = 0;
  std::uint32_t parent = none;
  std::uint32_t next_sibling = none;
  TrieChildren children = {};
  std::uint32_t segment = 0;  // for the owner of the trie: the segment that the run became
};

/// Numbers by keys of 64 bits, in one block that is kept over clear().
class NumberTable {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  void clear() {
    used_ = 0;
    ++generation_;
  }
  std::uint32_t find(std::uint64_t key) const {
    return used_ == 0 ? none : entries_[place_of(key)].value_in(generation_);
  }
  /// Of a key that is not there.
  void insert(std::uint64_t key, std::uint32_t value) {
    if (2 * (used_ + 1) > entries_.size()) grow();
    entries_[place_of(key)] = {key, value, generation_};
    ++used_;
  }

 private:
  struct Entry {
    std::uint64_t key = 0;
    std::uint32_t value = none;
    std::uint64_t generation = 0;  // in which it was put in: an older one is no longer there
    std::uint32_t value_in(std::uint64_t now) const { return generation == now ? value : none; }
  };

  /// Where a key is, or the free place where it belongs. There is always one.
  std::size_t place_of(std::uint64_t key) const {
    const std::size_t mask = entries_.size() - 1;  // of a power of two
    std::size_t at = static_cast<std::size_t>(key * 0x9E3779B97F4A7C15u >> 32) & mask;
    while (entries_[at].generation == generation_ && entries_[at].key != key) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    std::vector<Entry> before(std::max<std::size_t>(64, 2 * entries_.size()));
    before.swap(entries_);
    for (const Entry& entry : before) {
      if (entry.generation == generation_) entries_[place_of(entry.key)] = entry;
    }
  }

  std::vector<Entry> entries_;
  std::size_t used_ = 0;
  std::uint64_t generation_ = 1;
};

/// Points into the inserted sequences, which must outlive it or the next clear(). Storage is kept over
/// clear().
class TokenTrie {
 public:
  void clear() {
    nodes_.clear();
    roots_ = {};
    index_.clear();
    families_ = 0;
  }

  /// Adds a sequence of at least one token, sharing the longest prefix that the trie already holds.
  void insert(std::span<const Token> sequence) {
    std::uint32_t parent = TrieNode::none;
    std::size_t depth = 0;
    while (depth < sequence.size()) {
      const std::uint32_t child = find_child(parent, sequence[depth]);
      if (child == TrieNode::none) {
        append_child(parent, sequence.subspan(depth));
        return;
      }
      const std::size_t agreed = agreement(nodes_[child], sequence.subspan(depth));
      if (depth + agreed == sequence.size()) return;
      if (agreed == nodes_[child].count && is_leaf(child)) {
        // The sequence goes on where another ended. It holds all of that run, so the run is read from it.
        nodes_[child].tokens = sequence.data() + depth;
        nodes_[child].count = sequence.size() - depth;
        return;
      }
      if (agreed < nodes_[child].count) split(child, agreed);
      depth += agreed;
      parent = child;
    }
  }

  /// Adds a sequence as a root of its own, sharing nothing. Not to be mixed with insert().
  void insert_apart(std::span<const Token> sequence) { link_child(TrieNode::none, sequence); }

  /// The child of `parent` (none: the root) that begins with `token`, or none.
  std::uint32_t find_child(std::uint32_t parent, Token token) const {
    const TrieChildren& children = children_of(parent);
    if (children.family != 0) return index_.find(key(children.family, token));
    std::uint32_t child = children.first;
    while (child != TrieNode::none && nodes_[child].tokens[0] != token) child = nodes_[child].next_sibling;
    return child;
  }

  std::uint32_t first_root() const { return roots_.first; }
  std::uint32_t node_count() const { return static_cast<std::uint32_t>(nodes_.size()); }
  bool is_leaf(std::uint32_t node) const { return nodes_[node].children.count == 0; }
  TrieNode& operator[](std::uint32_t node) { return nodes_[node]; }
  const TrieNode& operator[](std::uint32_t node) const { return nodes_[node]; }

  /// Tokens in the trie: what is left after sharing.
  Index token_count() const {
    Index total = 0;
    for (const TrieNode& node : nodes_) total += node.count;
    return total;
  }

 private:
  // More children than this are found through the index, as the answers to one prompt may be thousands.
  static constexpr std::uint32_t few = 16;

  TrieChildren& children_of(std::uint32_t parent) {
    return parent == TrieNode::none ? roots_ : nodes_[parent].children;
  }
  const TrieChildren& children_of(std::uint32_t parent) const {
    return parent == TrieNode::none ? roots_ : nodes_[parent].children;
  }

  static std::uint64_t key(std::uint32_t family, Token token) {
    return std::uint64_t{family} << 32 | std::uint64_t{token};
  }

  static std::size_t agreement(const TrieNode& node, std::span<const Token> sequence) {
    const std::size_t longest = std::min(node.count, sequence.size());
    std::size_t agreed = 0;
    while (agreed < longest && node.tokens[agreed] == sequence[agreed]) ++agreed;
    return agreed;
  }

  /// Adds a child at the end.
  std::uint32_t link_child(std::uint32_t parent, std::span<const Token> tokens) {
    const std::uint32_t added = node_count();
    TrieNode node;
    node.tokens = tokens.data();
    node.count = tokens.size();
    node.parent = parent;
    nodes_.push_back(node);
    TrieChildren& children = children_of(parent);
    (children.count == 0 ? children.first : nodes_[children.last].next_sibling) = added;
    children.last = added;
    ++children.count;
    return added;
  }

  /// The same, to be found by its first token.
  void append_child(std::uint32_t parent, std::span<const Token> tokens) {
    const std::uint32_t added = link_child(parent, tokens);
    TrieChildren& children = children_of(parent);
    if (children.family != 0) {
      index_.insert(key(children.family, tokens[0]), added);
    } else if (children.count > few) {
      children.family = ++families_;
      for (std::uint32_t child = children.first; child != TrieNode::none; child = nodes_[child].next_sibling)
        index_.insert(key(children.family, nodes_[child].tokens[0]), child);
    }
  }

  /// Cuts a node after `count` tokens: it keeps the head, a new only child takes the tail and the children.
  /// The caller then appends the second child.
  void split(std::uint32_t node, Index count) {
    TrieNode tail = nodes_[node];
    tail.tokens += count;
    tail.count -= count;
    tail.parent = node;
    tail.next_sibling = TrieNode::none;
    const std::uint32_t tail_id = node_count();
    for (std::uint32_t child = tail.children.first; child != TrieNode::none;
         child = nodes_[child].next_sibling)
      nodes_[child].parent = tail_id;
    nodes_[node].count = count;
    nodes_[node].children = {.first = tail_id, .last = tail_id, .count = 1};
    nodes_.push_back(tail);
  }

  std::vector<TrieNode> nodes_;
  TrieChildren roots_;
  NumberTable index_;  // the child of (family, token)
  std::uint32_t families_ = 0;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
