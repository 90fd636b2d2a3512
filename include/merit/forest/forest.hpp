// The owner of a batch: token trees in depth-first preorder, what they share stored once.
// forest/forest_view.hpp says what the arrays mean and how attention uses them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/forest/forest_view.hpp"
#include "merit/forest/token_trie.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The arrays of one forest. Made by ForestBuilder; copy it to keep it.
struct Forest {
  using Indices = std::vector<std::uint32_t>;

  Indices tokens, positions, subtree_end;  // (T)
  Indices rows;                            // (R)
  Indices row_positions, row_roots;        // (R)
  Indices types;                           // (T)
  Indices tree_begin, tree_segment_begin;  // (N+1)
  Indices segment_begin;                   // (S+1)
  Indices segment_span_begin;              // (S+1)
  Indices span_begin, span_end;            // (A)
  std::vector<float> features;             // (R, feature_width)
  Index feature_width = 0;
  Index depth = 0;  // tokens of the longest path

  Index token_count() const { return tokens.size(); }
  Index row_count() const { return rows.size(); }

  /// Valid while this forest lives and is not changed.
  ForestView<HostSpace> view() const {
    ForestView<HostSpace> v;
    v.tokens = tokens;
    v.positions = positions;
    v.subtree_end = subtree_end;
    v.rows = rows;
    v.row_positions = row_positions;
    v.row_roots = row_roots;
    v.types = types;
    v.depth = depth;
    v.tree_begin = tree_begin;
    v.tree_segment_begin = tree_segment_begin;
    v.segment_begin = segment_begin;
    v.segment_span_begin = segment_span_begin;
    v.span_begin = span_begin;
    v.span_end = span_end;
    if (feature_width != 0) v.features = {features.data(), features.size() / feature_width, feature_width};
    return v;
  }
};

namespace detail {

inline void check_token_count(Index count) {
  if (count >= std::numeric_limits<std::uint32_t>::max())
    throw UsageError(concat("forest: ", count, " tokens in one forest, expected fewer than 2^32 - 1."));
}

}  // namespace detail

/// Whether sequences added together share their common prefixes. `no`: every sequence is a tree of its own,
/// for backbones that are not causal and to measure what sharing saves.
enum class Sharing : std::uint8_t { no, yes };

/// Builds one forest after another in the same storage: once it has seen the largest, nothing is allocated.
///
///     builder.clear();
///     const Index group = builder.add_tree(sequences);
///     builder.want_row(builder.index(group, 0, sequences[0].size() - 1));
///     const Forest& forest = builder.finish();
///     const std::uint32_t row = builder.row_of(builder.index(group, 0, sequences[0].size() - 1));
class ForestBuilder {
 public:
  /// `pair_separator`: the token behind whose first occurrence the second segment of a sequence begins, for encoders
  /// that tell segments apart; sequences then must not share. Nothing: all tokens are of the first.
  explicit ForestBuilder(Sharing sharing = Sharing::yes, std::optional<Token> pair_separator = {})
      : sharing_(sharing), pair_separator_(pair_separator) {
    if (pair_separator && sharing == Sharing::yes)
      throw UsageError("forest: sequences that share tokens have no segments, expected Sharing::no.");
    clear();
  }

  /// Forgets the forest, keeps the storage.
  void clear() {
    for (Forest::Indices* indices :
         {&forest_.tokens, &forest_.positions, &forest_.subtree_end, &forest_.rows, &forest_.row_positions,
          &forest_.row_roots, &forest_.types, &forest_.tree_begin, &forest_.tree_segment_begin,
          &forest_.segment_begin, &forest_.segment_span_begin, &forest_.span_begin, &forest_.span_end,
          &group_begin_, &sequence_run_begin_})
      indices->clear();
    forest_.features.clear();
    forest_.feature_width = 0;
    forest_.depth = 0;
    runs_.clear();
    forest_.tree_begin.push_back(0);
    forest_.tree_segment_begin.push_back(0);
    forest_.segment_begin.push_back(0);
    forest_.segment_span_begin.push_back(0);
    group_begin_.push_back(0);
    sequence_run_begin_.push_back(0);
    tokens_before_sharing_ = 0;
    finished_ = false;
  }

  /// Adds sequences that share their tokens as far as they agree from the first token on. Sequences whose
  /// first tokens differ become trees of their own. Returns the number of this call, the `group` of index().
  /// Throws UsageError for an empty sequence or one token too many for 32-bit indices.
  Index add_tree(std::span<const std::span<const Token>> sequences) {
    check_open("add_tree");
    if (forest_.feature_width != 0) throw UsageError(mixed);
    return add_group(sequences);
  }

  /// Adds a tree of one token (number 0) that carries a vector computed elsewhere and is wanted as a row.
  /// Returns its group; the token is index(group, 0, 0). Throws DataError for a width unlike the first one's.
  Index add_features(std::span<const float> vector) {
    check_open("add_features");
    if (forest_.feature_width == 0 && !forest_.tokens.empty()) throw UsageError(mixed);
    if (vector.empty()) throw DataError("forest: a feature vector has no numbers, expected at least one.");
    if (forest_.feature_width != 0 && vector.size() != forest_.feature_width)
      throw DataError(concat("forest: feature vector ", forest_.rows.size(), " has ", vector.size(),
                             " numbers, expected ", forest_.feature_width, " like the first."));
    const Token zero = 0;
    const std::span<const Token> sequence(&zero, 1);
    const Index group = add_group({&sequence, 1});
    forest_.feature_width = vector.size();
    forest_.features.insert(forest_.features.end(), vector.begin(), vector.end());
    forest_.rows.push_back(index(group, 0, 0));
    return group;
  }

  /// Where a token of an added sequence lies in the forest. Shared tokens have one place.
  std::uint32_t index(Index group, Index sequence, Index position) const {
    if (group >= group_count() || sequence >= group_begin_[group + 1] - group_begin_[group])
      throw UsageError(concat("forest: there is no sequence ", sequence, " in group ", group, "."));
    const Index path = group_begin_[group] + sequence;
    Index rest = position;
    for (Index r = sequence_run_begin_[path]; r < sequence_run_begin_[path + 1]; ++r) {
      if (rest < runs_[r].count) return runs_[r].begin + static_cast<std::uint32_t>(rest);
      rest -= runs_[r].count;
    }
    throw UsageError(concat("forest: sequence ", sequence, " of group ", group, " has ", position - rest,
                            " tokens, there is no position ", position, "."));
  }

  /// Asks for the hidden row of a token. Asking twice is the same as once.
  void want_row(std::uint32_t token_index) {
    check_open("want_row");
    if (token_index >= forest_.tokens.size())
      throw UsageError(
          concat("forest: a row is wanted for token ", token_index, " of ", forest_.tokens.size(), "."));
    forest_.rows.push_back(token_index);
  }

  /// Puts the rows in order. The forest is valid until the next clear().
  const Forest& finish() {
    std::sort(forest_.rows.begin(), forest_.rows.end());
    forest_.rows.erase(std::unique(forest_.rows.begin(), forest_.rows.end()), forest_.rows.end());
    Index tree = 0;
    for (const std::uint32_t token : forest_.rows) {
      forest_.row_positions.push_back(forest_.positions[token]);
      while (forest_.tree_begin[tree + 1] <= token) ++tree;
      forest_.row_roots.push_back(forest_.tree_begin[tree]);
    }
    set_types();
    for (const std::uint32_t position : forest_.positions)
      forest_.depth = std::max<Index>(forest_.depth, position + 1);
    finished_ = true;
    return forest_;
  }

  /// The row of a token that was wanted. Call after finish().
  std::uint32_t row_of(std::uint32_t token_index) const {
    if (!finished_) throw UsageError("forest: row_of() was called before finish().");
    const auto place = std::lower_bound(forest_.rows.begin(), forest_.rows.end(), token_index);
    if (place == forest_.rows.end() || *place != token_index)
      throw UsageError(concat("forest: no row was wanted for token ", token_index, "."));
    return static_cast<std::uint32_t>(place - forest_.rows.begin());
  }

  const Forest& forest() const { return forest_; }
  ForestView<HostSpace> view() const {
    if (!finished_) throw UsageError("forest: view() was called before finish().");
    return forest_.view();
  }

  Index token_count() const { return forest_.tokens.size(); }
  /// The sum of the lengths of all added sequences: what the batch would cost without sharing.
  Index tokens_before_sharing() const { return tokens_before_sharing_; }
  Index group_count() const { return group_begin_.size() - 1; }
  Sharing sharing() const { return sharing_; }

 private:
  /// A run of a sequence's tokens in the forest.
  struct Run {
    std::uint32_t begin;
    std::uint32_t count;
  };

  static constexpr const char* mixed = "forest: token sequences and feature vectors cannot be in one forest.";

  void check_open(const char* call) const {
    if (finished_) throw UsageError(concat("forest: ", call, "() was called after finish()."));
  }

  Index add_group(std::span<const std::span<const Token>> sequences) {
    trie_.clear();
    for (Index s = 0; s < sequences.size(); ++s) {
      if (sequences[s].empty())
        throw UsageError(concat("forest: sequence ", s, " of group ", group_count(), " has no tokens."));
      if (sharing_ == Sharing::yes) {
        trie_.insert(sequences[s]);
      } else {
        trie_.insert_apart(sequences[s]);
      }
    }
    detail::check_token_count(forest_.tokens.size() + trie_.token_count());
    lay_out();
    for (Index s = 0; s < sequences.size(); ++s) {
      add_runs(sequences[s], s);
      tokens_before_sharing_ += sequences[s].size();
    }
    group_begin_.push_back(to_u32(sequence_run_begin_.size() - 1));
    return group_count() - 1;
  }

  void set_types() {
    forest_.types.assign(forest_.tokens.size(), 0);
    if (!pair_separator_) return;
    for (Index tree = 0; tree + 1 < forest_.tree_begin.size(); ++tree) {
      std::uint32_t type = 0;
      for (Index t = forest_.tree_begin[tree]; t < forest_.tree_begin[tree + 1]; ++t) {
        forest_.types[t] = type;
        if (forest_.tokens[t] == *pair_separator_) type = 1;
      }
    }
  }

  /// Appends the trie in depth-first preorder.
  void lay_out() {
    std::uint32_t node = trie_.first_root();
    while (node != none) {
      append_segment(trie_[node]);
      if (!trie_.is_leaf(node)) {
        node = trie_[node].children.first;
        continue;
      }
      // Close every node whose last descendant has just been laid out, then go to the next branch.
      while (node != none && trie_[node].next_sibling == none) {
        close_segment(trie_[node]);
        node = trie_[node].parent;
      }
      if (node != none) {
        close_segment(trie_[node]);
        node = trie_[node].next_sibling;
      }
    }
  }

  /// All descendants of a node have been laid out: the end of its subtree is known.
  void close_segment(const detail::TrieNode& node) {
    const std::uint32_t end = to_u32(forest_.tokens.size());
    std::fill_n(forest_.subtree_end.data() + forest_.segment_begin[node.segment], node.count, end);
    if (node.parent == none) {
      forest_.tree_begin.push_back(end);
      forest_.tree_segment_begin.push_back(to_u32(forest_.segment_begin.size() - 1));
    }
  }

  /// Appends a node's tokens as the next segment, with the spans of its ancestors.
  void append_segment(detail::TrieNode& node) {
    node.segment = to_u32(forest_.segment_begin.size() - 1);
    std::uint32_t position = 0;
    if (node.parent != none) {
      const std::uint32_t parent = trie_[node.parent].segment;
      const std::uint32_t parent_begin = forest_.segment_begin[parent];
      const std::uint32_t parent_end = forest_.segment_begin[parent + 1];
      position = forest_.positions[parent_end - 1] + 1;
      // The parent's spans, then the parent itself.
      for (std::uint32_t a = forest_.segment_span_begin[parent]; a < forest_.segment_span_begin[parent + 1];
           ++a)
        append_span(node.segment, forest_.span_begin[a], forest_.span_end[a]);
      append_span(node.segment, parent_begin, parent_end);
    }
    forest_.tokens.insert(forest_.tokens.end(), node.tokens, node.tokens + node.count);
    for (Index i = 0; i < node.count; ++i) forest_.positions.push_back(position++);
    forest_.subtree_end.resize(forest_.tokens.size());
    forest_.segment_begin.push_back(to_u32(forest_.tokens.size()));
    forest_.segment_span_begin.push_back(to_u32(forest_.span_begin.size()));
  }

  /// Adds an ancestor span to the segment being appended, merged with the one before where they touch.
  void append_span(std::uint32_t segment, std::uint32_t begin, std::uint32_t end) {
    const bool first = forest_.span_begin.size() == forest_.segment_span_begin[segment];
    if (!first && forest_.span_end.back() == begin) {
      forest_.span_end.back() = end;
      return;
    }
    forest_.span_begin.push_back(begin);
    forest_.span_end.push_back(end);
  }

  /// Notes where the tokens of a sequence lie, by walking down the trie that has just been laid out.
  void add_runs(std::span<const Token> sequence, Index number) {
    std::uint32_t node = none;
    Index depth = 0;
    while (depth < sequence.size()) {
      node = sharing_ == Sharing::yes ? trie_.find_child(node, sequence[depth]) : to_u32(number);
      const std::uint32_t begin = forest_.segment_begin[trie_[node].segment];
      const std::uint32_t count = to_u32(std::min(trie_[node].count, sequence.size() - depth));
      const bool first = runs_.size() == sequence_run_begin_.back();
      if (!first && runs_.back().begin + runs_.back().count == begin) {
        runs_.back().count += count;
      } else {
        runs_.push_back({begin, count});
      }
      depth += count;
    }
    sequence_run_begin_.push_back(to_u32(runs_.size()));
  }

  static std::uint32_t to_u32(Index i) { return static_cast<std::uint32_t>(i); }
  static constexpr std::uint32_t none = detail::TrieNode::none;

  Sharing sharing_;
  std::optional<Token> pair_separator_;
  Forest forest_;
  detail::TokenTrie trie_;
  std::vector<Run> runs_;
  Forest::Indices sequence_run_begin_;  // one entry per added sequence, and the end
  Forest::Indices group_begin_;         // one entry per group: its first sequence, and the end
  Index tokens_before_sharing_ = 0;
  bool finished_ = false;
};

/// How many tokens these sequences take in one forest group, counted without building its trie: in order,
/// what a sequence shares with any before it it shares with the one just before it.
inline Index shared_token_count(std::vector<std::span<const Token>> sequences) {
  std::sort(sequences.begin(), sequences.end(), [](std::span<const Token> a, std::span<const Token> b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  });
  Index count = 0;
  std::span<const Token> before;
  for (const std::span<const Token> tokens : sequences) {
    const auto [end, ignored] = std::mismatch(tokens.begin(), tokens.end(), before.begin(), before.end());
    count += static_cast<Index>(tokens.end() - end);
    before = tokens;
  }
  return count;
}

}  // namespace MERIT_ABI
}  // namespace merit
