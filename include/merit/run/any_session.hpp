// A session of a model that is chosen at run time.
#pragma once

#include <span>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/infer/score.hpp"
#include "merit/infer/session_types.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a Session of infer/session.hpp does, whatever its model. Made by AnyModel::session().
class AnySession {
 public:
  virtual ~AnySession() = default;

  virtual std::vector<SessionNode> extend(std::span<const SessionBranch> branches) = 0;
  SessionNode extend(const SessionNode& node, std::span<const Token> tokens) {
    const SessionBranch branch{node, tokens};
    return extend(std::span(&branch, 1))[0];
  }
  virtual std::vector<SessionNode> extend_whole(std::span<const SessionBranch> paths) = 0;
  virtual std::span<const float> scores() const = 0;
  virtual std::span<const float> scores_at(std::span<const SessionNode> nodes) = 0;
  virtual std::vector<RowScores> score_rows(const SessionNode& node, std::span<const Sequence> sequences) = 0;
  virtual std::vector<RowScores> score_whole_rows(const SessionNode& node,
                                                  std::span<const Sequence> sequences) = 0;
  virtual std::vector<RowScores> score_families(std::span<const SessionFamily> families,
                                                std::vector<SessionNode>& nodes) = 0;
  virtual void release(const SessionNode& node) = 0;
  virtual void disown(const SessionNode& node) = 0;
  virtual bool holds(const SessionNode& node) const = 0;
  virtual bool is_kept(const SessionNode& node) const = 0;
  virtual Index length(const SessionNode& node) const = 0;
  virtual std::vector<Token> tokens(const SessionNode& node) const = 0;
  virtual SessionCounts counts() const = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
