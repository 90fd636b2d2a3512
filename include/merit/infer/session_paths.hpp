// What a session keeps of texts that come again or go on: sequences of tokens with their nodes, of which the one that another
// agrees with longest is found again.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "merit/infer/session_types.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Sequences of tokens that a session has computed, each with the node that it ends in. `S` is a Session or an AnySession,
/// which outlives it; its nodes are released with it.
template <class S>
class SessionPaths {
 public:
  struct Path {
    std::vector<Token> tokens;
    SessionNode node;
    std::optional<double> score = {};  // whatever its user knows of it
  };
  /// A node, and how many tokens of its path another sequence begins with.
  struct Agreement {
    SessionNode node;
    Index length = 0;
  };

  explicit SessionPaths(S& session) : session_(&session) {}
  SessionPaths(const SessionPaths&) = delete;
  SessionPaths& operator=(const SessionPaths&) = delete;
  ~SessionPaths() { keep({}); }

  /// What these tokens agree with longest; the root for nothing.
  Agreement longest(std::span<const Token> tokens) const {
    Agreement best;
    for (const Path& path : paths_) {
      const Index agreed = common_length(path.tokens, tokens);
      if (agreed > best.length) best = {path.node, agreed};
    }
    return best;
  }
  Path& operator[](Index i) { return paths_[i]; }

  void add(Path path) { paths_.push_back(std::move(path)); }

  /// Computes sequences as one forest, each from where it ceases to agree with others, and gives the paths that they are;
  /// equal ones are one. `on_node(i, k)` is called for each new path i with its number k in session.scores().
  template <class OnNode>
  std::vector<Index> extend(std::span<const std::vector<Token>> sequences, const OnNode& on_node) {
    std::vector<Index> result;
    std::vector<SessionBranch> branches;
    for (const std::vector<Token>& tokens : sequences) {
      const auto is_known =
          std::find_if(paths_.begin(), paths_.end(), [&](const Path& path) { return path.tokens == tokens; });
      const auto is_new = std::find_if(branches.begin(), branches.end(), [&](const SessionBranch& branch) {
        return std::equal(branch.tokens.begin(), branch.tokens.end(), tokens.begin(), tokens.end());
      });
      const Index place = static_cast<Index>(is_known - paths_.begin());
      result.push_back(place +
                       (is_known == paths_.end() ? static_cast<Index>(is_new - branches.begin()) : 0));
      if (is_known == paths_.end() && is_new == branches.end())
        branches.push_back({longest(tokens).node, tokens});
    }
    const std::vector<SessionNode> nodes = session_->extend_whole(std::span<const SessionBranch>(branches));
    for (Index k = 0; k < nodes.size(); ++k) {
      paths_.push_back({{branches[k].tokens.begin(), branches[k].tokens.end()}, nodes[k]});
      on_node(paths_.size() - 1, k);
    }
    return result;
  }

  /// Releases every path with which none of these sequences begins.
  void keep(std::span<const std::vector<Token>> sequences) {
    release_if([&](const Path& path) {
      return std::none_of(sequences.begin(), sequences.end(), [&](const std::vector<Token>& tokens) {
        return common_length(path.tokens, tokens) == path.tokens.size();
      });
    });
  }
  /// Releases every path whose memory went to others.
  void forget_lost() {
    release_if([&](const Path& path) { return !session_->is_kept(path.node); });
  }

  S& session() const { return *session_; }

 private:
  template <class Goes>
  void release_if(const Goes& goes) {
    std::erase_if(paths_, [&](const Path& path) {
      const bool is_held = session_->holds(path.node);  // it went with one before it
      if (is_held && !goes(path)) return false;
      if (is_held) session_->release(path.node);
      return true;
    });
  }

  S* session_;
  std::vector<Path> paths_;
};

}  // namespace MERIT_ABI
}  // namespace merit
