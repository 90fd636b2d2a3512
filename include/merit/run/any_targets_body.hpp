// The bodies of any_targets.hpp.
#pragma once

#include <span>
#include <variant>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/batch/targets.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/run/any_targets.hpp"
#include "merit/train/step_accuracy.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE void AnyTargets::clear() {
  std::visit([](auto& targets) { targets.clear(); }, held);
}

MERIT_INLINE AnyNormaliser& AnyNormaliser::operator+=(const AnyNormaliser& other) {
  first += other.first;
  second += other.second;
  return *this;
}

MERIT_INLINE void prepare_targets(AnyTargets& any, Index outputs, Index second) {
  std::visit([&](auto& targets) { prepare_targets(targets, outputs, second); }, any.held);
}

MERIT_INLINE RightCount count_right(const AnyTargets& any, std::span<const float> scores, Index width) {
  return std::visit([&](const auto& targets) { return count_right(targets, scores, width); }, any.held);
}

MERIT_INLINE void read_rows(const AnyHead& any, const SequenceShape& sequence, std::vector<Index>& first,
                            std::vector<Index>& second) {
  std::visit([&](const auto& head) { read_rows(head, sequence, first, second); }, any);
}

MERIT_INLINE bool reads_second_rows(const AnyHead& any) {
  return std::visit([](const auto& head) { return reads_second_rows(head); }, any);
}

}  // namespace MERIT_ABI
}  // namespace merit
