// The bodies of kept_prompts.hpp.
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/run/kept_prompts.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::kept_prompts {

/// What is kept of a family.
inline std::span<const Token> prompt_of(const Family& family) {
  const std::span<const Token> first = family.members[0]->tokens;
  Index length = first.size();
  for (const Sequence* member : family.members) {
    length = std::min(
        {length, common_length(first, member->tokens), std::max<Index>(member->tokens.size(), 1) - 1});
    if (member->completion_begin != 0) length = std::min(length, member->completion_begin);
  }
  return first.first(length);
}

}  // namespace detail::kept_prompts

MERIT_INLINE std::vector<RowScores> KeptPrompts::score_families(std::span<const Family> families,
                                                                Index token_budget) {
  const Index most = session_->counts().most;
  std::vector<RowScores> all;
  std::vector<SessionFamily> step;
  Index computed = 0, held = 0;  // tokens of the step, at most
  const auto score_step = [&] {
    if (!step.empty()) score(step, all);
    step.clear();
    computed = held = 0;
  };
  for (const Family& family : families) {
    if (family.members.empty()) continue;
    const std::span<const Token> prompt = detail::kept_prompts::prompt_of(family);
    if (prompt.size() > most) {
      score_step();
      for (RowScores& rows : model_->score_families({&family, 1}, token_budget))
        all.push_back(std::move(rows));
      continue;
    }
    const Index whole = shared_tokens(family);
    auto known = prompts_.longest(prompt);
    if (computed + whole - known.length > token_budget || held + prompt.size() > most) {
      score_step();
      known = prompts_.longest(prompt);  // of the step's prompts too
    }
    computed += whole - known.length;
    held += prompt.size();
    step.push_back({known.node, prompt, family.members});
  }
  score_step();
  return all;
}

MERIT_INLINE void KeptPrompts::score(std::span<const SessionFamily> families, std::vector<RowScores>& all) {
  std::vector<SessionNode> nodes;
  for (RowScores& rows : session_->score_families(families, nodes)) all.push_back(std::move(rows));
  for (Index i = 0; i < families.size(); ++i) {
    const std::span<const Token> prompt = families[i].beginning;
    if (nodes[i] != SessionNode{}) prompts_.add({{prompt.begin(), prompt.end()}, nodes[i]});
  }
  prompts_.forget_lost();
}

}  // namespace MERIT_ABI
}  // namespace merit
