// What a session keeps of texts that go on: sequences of tokens with their nodes, of which the longest that a text begins with
// is found again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "merit/infer/session_types.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Sequences of tokens that a session has computed, each with the node that it ends in. Those that stand behind another begin
/// with its tokens. `S` is a Session or an AnySession, which outlives it; its nodes are released with it.
template <class S>
class SessionPaths {
 public:
  struct Path {
    std::vector<Token> tokens;
    SessionNode first,
        last;  // of what it adds to the path before it: nodes of which the later stand behind the first
    std::optional<double> score;  // whatever its user knows of it
  };

  explicit SessionPaths(S& session) : session_(&session) {}
  SessionPaths(const SessionPaths&) = delete;
  SessionPaths& operator=(const SessionPaths&) = delete;
  ~SessionPaths() { keep({}); }

  static constexpr Index none = std::numeric_limits<Index>::max();

  /// The longest path that is a beginning of these tokens, or `none`.
  Index longest(std::span<const Token> tokens) const {
    Index best = none;
    for (Index i = 0; i < paths_.size(); ++i) {
      if ((best == none || paths_[i].tokens.size() > paths_[best].tokens.size()) && begins(tokens, paths_[i]))
        best = i;
    }
    return best;
  }
  Path& operator[](Index i) { return paths_[i]; }
  SessionNode node(Index i) const { return i == none ? SessionNode{} : paths_[i].last; }
  Index length(Index i) const { return i == none ? 0 : paths_[i].tokens.size(); }

  void add(Path path) { paths_.push_back(std::move(path)); }

  /// Computes sequences as one forest, each from the longest path on that it begins with, and gives the paths that they are;
  /// equal ones are one. `on_node(i, k)` is called for each new path i with its number k in session.scores().
  template <class OnNode>
  std::vector<Index> extend(std::span<const std::vector<Token>> sequences, const OnNode& on_node) {
    std::vector<Index> result;
    std::vector<SessionBranch> branches;
    std::vector<Index> from;  // the sequence of each branch
    for (Index i = 0; i < sequences.size(); ++i) {
      const std::vector<Token>& tokens = sequences[i];
      const Index before = longest(tokens);
      if (before != none && length(before) == tokens.size()) {
        result.push_back(before);
        continue;
      }
      const auto same =
          std::find_if(from.begin(), from.end(), [&](Index j) { return sequences[j] == tokens; });
      result.push_back(paths_.size() + static_cast<Index>(same - from.begin()));
      if (same != from.end()) continue;
      from.push_back(i);
      branches.push_back({node(before), std::span(tokens).subspan(length(before))});
    }
    const std::vector<SessionNode> nodes = session_->extend(std::span<const SessionBranch>(branches));
    for (Index k = 0; k < nodes.size(); ++k) {
      paths_.push_back({sequences[from[k]], nodes[k], nodes[k], {}});
      on_node(paths_.size() - 1, k);
    }
    return result;
  }

  /// Releases every path with which none of these sequences begins.
  void keep(std::span<const std::vector<Token>> sequences) {
    std::erase_if(paths_, [&](const Path& path) {
      const auto needs = [&](const std::vector<Token>& tokens) { return begins(tokens, path); };
      if (std::any_of(sequences.begin(), sequences.end(), needs)) return false;
      if (session_->holds(path.first)) session_->release(path.first);
      return true;
    });
  }

  S& session() const { return *session_; }

 private:
  static bool begins(std::span<const Token> tokens, const Path& path) {
    return path.tokens.size() <= tokens.size() &&
           std::equal(path.tokens.begin(), path.tokens.end(), tokens.begin());
  }

  S* session_;
  std::vector<Path> paths_;
};

}  // namespace MERIT_ABI
}  // namespace merit
