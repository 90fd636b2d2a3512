// The bodies of kept_prompts.hpp.
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "merit/run/kept_prompts.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::kept_prompts {

inline Index common_length(std::span<const Token> a, std::span<const Token> b) {
  return static_cast<Index>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

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
  std::vector<RowScores> all;
  for (const Family& family : families) {
    if (family.members.empty()) continue;
    const bool fits = detail::kept_prompts::prompt_of(family).size() <= session_->counts().most;
    for (RowScores& rows : fits ? score(family) : model_->score_families({&family, 1}, token_budget)) {
      all.push_back(std::move(rows));
    }
  }
  return all;
}

MERIT_INLINE std::vector<RowScores> KeptPrompts::score(const Family& family) {
  const SessionNode node = keep(detail::kept_prompts::prompt_of(family));
  std::vector<Sequence> sequences;
  for (const Sequence* member : family.members) sequences.push_back(*member);
  return session_->score_whole_rows(node, sequences);
}

MERIT_INLINE SessionNode KeptPrompts::keep(std::span<const Token> prompt) {
  std::erase_if(prompts_, [&](const Prompt& one) {
    const bool gone = !session_->holds(one.node) || !session_->is_kept(one.node);
    if (gone && session_->holds(one.node)) session_->release(one.node);
    return gone;
  });
  SessionNode best;
  Index agreed = 0;
  for (const Prompt& one : prompts_) {
    const Index common = detail::kept_prompts::common_length(one.tokens, prompt);
    if (common > agreed) {
      best = one.node;
      agreed = common;
    }
  }
  if (agreed == prompt.size()) return best;
  if (session_->length(best) + prompt.size() - agreed > session_->counts().most) best = {};
  const SessionNode node = session_->extend_whole(best, prompt);
  prompts_.push_back({node, {prompt.begin(), prompt.end()}});
  return node;
}

}  // namespace MERIT_ABI
}  // namespace merit
