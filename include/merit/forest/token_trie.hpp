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

/// A run of tokens without a branch. A node has no child or at least two, which differ in their first token.
struct TrieNode {
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  const Token* tokens = nullptr;  // in one of the inserted sequences
  Index count = 0;
  std::uint32_t parent = none;
  std::uint32_t first_child = none;
  std::uint32_t next_sibling = none;  // in the order of insertion
  std::uint32_t segment = 0;          // for the owner of the trie: the segment that the run became
};

/// Points into the inserted sequences, which must outlive it or the next clear(). Storage is kept over
/// clear().
class TokenTrie {
 public:
  void clear() {
    nodes_.clear();
    first_root_ = TrieNode::none;
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
  void insert_apart(std::span<const Token> sequence) { append_child(TrieNode::none, sequence); }

  /// The child of `parent` (none: the root) that begins with `token`, or none.
  std::uint32_t find_child(std::uint32_t parent, Token token) const {
    std::uint32_t child = first_child(parent);
    while (child != TrieNode::none && nodes_[child].tokens[0] != token) child = nodes_[child].next_sibling;
    return child;
  }

  std::uint32_t first_root() const { return first_root_; }
  std::uint32_t node_count() const { return static_cast<std::uint32_t>(nodes_.size()); }
  bool is_leaf(std::uint32_t node) const { return nodes_[node].first_child == TrieNode::none; }
  TrieNode& operator[](std::uint32_t node) { return nodes_[node]; }
  const TrieNode& operator[](std::uint32_t node) const { return nodes_[node]; }

  /// Tokens in the trie: what is left after sharing.
  Index token_count() const {
    Index total = 0;
    for (const TrieNode& node : nodes_) total += node.count;
    return total;
  }

 private:
  std::uint32_t first_child(std::uint32_t parent) const {
    return parent == TrieNode::none ? first_root_ : nodes_[parent].first_child;
  }

  static std::size_t agreement(const TrieNode& node, std::span<const Token> sequence) {
    const std::size_t longest = std::min(node.count, sequence.size());
    std::size_t agreed = 0;
    while (agreed < longest && node.tokens[agreed] == sequence[agreed]) ++agreed;
    return agreed;
  }

  void append_child(std::uint32_t parent, std::span<const Token> tokens) {
    const std::uint32_t added = node_count();
    std::uint32_t last = first_child(parent);
    if (last == TrieNode::none) {
      (parent == TrieNode::none ? first_root_ : nodes_[parent].first_child) = added;
    } else {
      while (nodes_[last].next_sibling != TrieNode::none) last = nodes_[last].next_sibling;
      nodes_[last].next_sibling = added;
    }
    TrieNode node;
    node.tokens = tokens.data();
    node.count = tokens.size();
    node.parent = parent;
    nodes_.push_back(node);
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
    for (std::uint32_t child = tail.first_child; child != TrieNode::none; child = nodes_[child].next_sibling)
      nodes_[child].parent = tail_id;
    nodes_[node].count = count;
    nodes_[node].first_child = tail_id;
    nodes_.push_back(tail);
  }

  std::vector<TrieNode> nodes_;
  std::uint32_t first_root_ = TrieNode::none;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
