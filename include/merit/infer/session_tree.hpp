// The tokens of a session as a tree of nodes, and which of them have keys and values: in which rows of the memory, and
// which lose them first. Knows no model.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/session_types.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

class SessionTree {
 public:
  static constexpr std::uint32_t root = ~std::uint32_t{0};

  SessionTree() : id_(next_id()) {}

  /// Throws UsageError for a node of another session, and for one that was released.
  std::uint32_t number_of(const SessionNode& node) const {
    if (node.session == 0) return root;
    if (node.session != id_) throw UsageError("session: the node is another session's");
    if (!holds(node)) {
      throw UsageError("session: the node was released, or one that stands before it");
    }
    return node.number;
  }
  bool holds(const SessionNode& node) const {
    return node.session == 0 || (node.session == id_ && nodes_[node.number].generation == node.generation);
  }
  SessionNode node(std::uint32_t number) const { return {id_, number, nodes_[number].generation}; }
  /// Nobody asks for a node any more: it goes when nothing stands behind it.
  void disown(std::uint32_t number) {
    node_count_ -= nodes_[number].is_owned;
    nodes_[number].is_owned = false;
    remove_if_unused(number);
  }

  /// Tokens of a path, from its first to the node's last.
  Index length(std::uint32_t number) const {
    return number == root ? 0 : nodes_[number].begin + nodes_[number].tokens.size();
  }
  void append_tokens(std::uint32_t number, std::vector<Token>& out) const {
    append_path(number, out, &Node::tokens);
  }
  /// The rows of a path. Requires that all of it has some.
  void append_rows(std::uint32_t number, std::vector<std::uint32_t>& out) const {
    append_path(number, out, &Node::rows);
  }

  // --- one call: what it uses, what it adds, and the rows for both

  void begin_call() {
    ++now_;
    missing_.clear();
    added_.clear();
    missing_tokens_ = 0;
  }
  /// The path to a node is used now.
  void use(std::uint32_t number) {
    for (; number != root && nodes_[number].used != now_; number = nodes_[number].parent) {
      nodes_[number].used = now_;
      if (!nodes_[number].kept()) note_missing(number);
    }
  }
  /// A new node, without rows so far, behind another.
  std::uint32_t add(std::uint32_t parent, std::span<const Token> tokens) {
    use(parent);
    const std::uint32_t number = new_node(parent, tokens);
    nodes_[number].used = now_;
    nodes_[number].is_owned = true;
    ++node_count_;
    added_.push_back(number);
    note_missing(number);
    return number;
  }
  /// The node that ends behind the first `count` tokens of a node's path: one of the path, or one that is made of the
  /// beginning of such a node and is nobody's.
  std::uint32_t at(std::uint32_t number, Index count) {
    while (number != root && count <= nodes_[number].begin) number = nodes_[number].parent;
    if (count == length(number)) return number;
    const Index own = count - nodes_[number].begin;
    const std::uint32_t parent = nodes_[number].parent;
    const std::uint32_t first = new_node(parent, std::span(nodes_[number].tokens).first(own));
    Node &from = nodes_[number], &to = nodes_[first];
    if (parent != root) std::erase(nodes_[parent].children, number);
    to.children.push_back(number);
    to.used = from.used;
    if (from.kept()) {
      to.rows.assign(from.rows.begin(), from.rows.begin() + static_cast<std::ptrdiff_t>(own));
      from.rows.erase(from.rows.begin(), from.rows.begin() + static_cast<std::ptrdiff_t>(own));
    } else if (from.used == now_) {
      missing_.insert(std::find(missing_.begin(), missing_.end(), number), first);  // its tokens are counted
    }
    from.tokens.erase(from.tokens.begin(), from.tokens.begin() + static_cast<std::ptrdiff_t>(own));
    from.parent = first;
    from.begin = count;
    return first;
  }
  /// What is used or added without rows.
  std::span<const std::uint32_t> missing() const { return missing_; }
  std::span<const std::uint32_t> added() const { return added_; }

  /// Takes rows from what was not used for longest until there are `most` with those of the missing tokens; gives the
  /// number of rows that are then needed in all. Throws DataError where what this call uses is more.
  Index make_room(Index most) {
    Index needed = missing_tokens_;
    for (const Node& node : nodes_) needed += node.used == now_ ? node.rows.size() : 0;
    if (needed > most) {
      throw DataError(concat("session: one call needs the keys and values of ", needed,
                             " tokens at once, expected at most ", most, ", its limit of memory"));
    }
    while (held_ + missing_tokens_ > most) evict_oldest();
    return held_ + missing_tokens_;
  }
  /// From now on there are so many rows.
  void set_capacity(Index rows) {
    for (Index row = row_tokens_.size(); row < rows; ++row) free_row(static_cast<std::uint32_t>(row));
    row_tokens_.resize(rows);
    row_given_.resize(rows);
  }
  /// Gives rows to the missing nodes, of those that set_capacity() made.
  void give_rows() {
    for (const std::uint32_t number : missing_) {
      Node& node = nodes_[number];
      for (const Token token : node.tokens) {
        std::pop_heap(free_rows_.begin(), free_rows_.end(), std::greater<>());
        const std::uint32_t row = free_rows_.back();
        free_rows_.pop_back();
        node.rows.push_back(row);
        row_tokens_[row] = token;
        row_given_[row] = now_;
        ++held_;
      }
    }
  }
  Token token_in(std::uint32_t row) const { return row_tokens_[row]; }
  /// Whether a row was given in this call, so that its keys and values are still to be computed.
  bool is_new(std::uint32_t row) const { return row_given_[row] == now_; }

  /// A call has failed: what it was to compute is not there.
  void undo_call() {
    for (const std::uint32_t number : missing_) drop_rows(nodes_[number]);
    for (Index i = added_.size(); i-- > 0;) remove(added_[i]);
  }

  // --- forgetting

  /// A node and all behind it, and what stands before it for nothing else.
  void remove(std::uint32_t number) {
    std::vector<std::uint32_t> gone{number};
    const std::uint32_t parent = nodes_[number].parent;
    if (parent != root) std::erase(nodes_[parent].children, number);
    for (Index i = 0; i < gone.size(); ++i) {
      Node& node = nodes_[gone[i]];
      gone.insert(gone.end(), node.children.begin(), node.children.end());
      drop_rows(node);
      node.tokens.clear();
      node.children.clear();
      node.used = 0;
      ++node.generation;
      free_numbers_.push_back(gone[i]);
      node_count_ -= node.is_owned;
    }
    if (parent != root) remove_if_unused(parent);
  }

  Index node_count() const { return node_count_; }
  /// Tokens that have rows, and how many have lost theirs for others.
  Index held() const { return held_; }
  Index evicted() const { return evicted_; }
  bool is_kept(std::uint32_t number) const { return nodes_[number].kept(); }

 private:
  struct Node {
    std::uint32_t parent = root;
    std::uint32_t generation = 0;
    Index begin = 0;  // tokens before its own, which are its parent's path
    std::vector<Token> tokens;
    std::vector<std::uint32_t> rows;  // of each token, or none
    std::vector<std::uint32_t> children;
    std::uint64_t used = 0;  // the last call that did; none is younger than its parent
    bool is_owned = false;   // somebody may ask for it

    bool kept() const { return !rows.empty(); }
  };

  static std::uint64_t next_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
  }

  void append_path(std::uint32_t number, std::vector<std::uint32_t>& out,
                   std::vector<std::uint32_t> Node::*list) const {
    const Index first = out.size();
    out.resize(first + length(number));
    for (; number != root; number = nodes_[number].parent) {
      const Node& node = nodes_[number];
      std::copy((node.*list).begin(), (node.*list).end(),
                out.begin() + static_cast<std::ptrdiff_t>(first + node.begin));
    }
  }
  std::uint32_t new_node(std::uint32_t parent, std::span<const Token> tokens) {
    if (free_numbers_.empty()) {
      free_numbers_.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.emplace_back();
    }
    const std::uint32_t number = free_numbers_.back();
    Node& node = nodes_[number];
    node.tokens.assign(tokens.begin(), tokens.end());
    node.parent = parent;
    node.begin = length(parent);
    node.is_owned = false;
    if (parent != root) nodes_[parent].children.push_back(number);
    free_numbers_.pop_back();
    return number;
  }
  void remove_if_unused(std::uint32_t number) {
    if (!nodes_[number].is_owned && nodes_[number].children.empty()) remove(number);
  }
  void note_missing(std::uint32_t number) {
    missing_.push_back(number);
    missing_tokens_ += nodes_[number].tokens.size();
  }
  void free_row(std::uint32_t row) {
    free_rows_.push_back(row);
    std::push_heap(free_rows_.begin(), free_rows_.end(), std::greater<>());
  }
  void drop_rows(Node& node) {
    for (const std::uint32_t row : node.rows) free_row(row);
    held_ -= node.rows.size();
    node.rows.clear();
  }

  /// The tree of nodes that was not used for longest, whole: a branch goes with all that is behind it.
  void evict_oldest() {
    std::uint32_t oldest = root;
    for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (!node.kept() || node.used == now_) continue;
      if (oldest == root || node.used < nodes_[oldest].used ||
          (node.used == nodes_[oldest].used && node.begin < nodes_[oldest].begin)) {
        oldest = i;
      }
    }
    std::vector<std::uint32_t> gone{oldest};
    for (Index i = 0; i < gone.size(); ++i) {
      Node& node = nodes_[gone[i]];
      gone.insert(gone.end(), node.children.begin(), node.children.end());
      evicted_ += node.rows.size();
      drop_rows(node);
    }
  }

  std::uint64_t id_;
  std::uint64_t now_ = 0;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_numbers_;
  std::vector<std::uint32_t> free_rows_;  // a heap, the smallest first: what is made together lies together
  std::vector<Token> row_tokens_;         // of each row
  std::vector<std::uint64_t> row_given_;  // in which call
  std::vector<std::uint32_t> missing_, added_;
  Index missing_tokens_ = 0, node_count_ = 0, held_ = 0, evicted_ = 0;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
