// Prompts that are computed once, however often they come again.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "merit/infer/session_paths.hpp"
#include "merit/infer/session_types.hpp"
#include "merit/run/any_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Scores families as AnyModel::score_families() does, and keeps of each what its sequences begin with: of several, or of an
/// answer to a prompt, the prompt; of a single text all but its last token, as it may go on. What comes next computes what
/// none of those begins with, of many families as one forest. What the limit of memory takes is forgotten; what it cannot
/// hold at once is scored and not kept.
class KeptPrompts {
 public:
  /// The model outlives it and stays as it is. Throws as AnyModel::session().
  KeptPrompts(AnyModel& model, const SessionOptions& options)
      : model_(&model), session_(model.session(options)), prompts_(*session_) {}

  std::vector<RowScores> score_families(std::span<const Family> families, Index token_budget);
  SessionCounts counts() const { return session_->counts(); }

 private:
  void score(std::span<const SessionFamily> families, std::vector<RowScores>& all);

  AnyModel* model_;
  std::unique_ptr<AnySession> session_;
  SessionPaths<AnySession> prompts_;
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/kept_prompts_body.hpp"
#endif
