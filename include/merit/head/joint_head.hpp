// Two heads on one backbone.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/head/head.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Whether a head is a JointHead.
template <class Head>
inline constexpr bool is_joint_head = false;
template <class First, class Second>
struct JointHead;
template <class First, class Second>
inline constexpr bool is_joint_head<JointHead<First, Second>> = true;

/// Two heads, each with the rows it reads and, by JointLoss, a loss of its own. What a model with it scores,
/// ranks and reports is the first.
template <class First, class Second>
struct JointHead {
  static_assert(
      !is_joint_head<First> && !is_joint_head<Second>,
      "merit: a part of a JointHead is a JointHead, expected a head of its own: two heads are joined, not "
      "three.");

  First first = {};
  Second second = {};

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = First::meaning;
  static constexpr Index width = head_width<First>;
  static constexpr bool reads_unembedding =
      merit::reads_unembedding<First> || merit::reads_unembedding<Second>;
  static constexpr std::string_view name() { return "joint"; }
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    const auto begin = static_cast<std::ptrdiff_t>(out.size());
    append_rows_of(first, sequence, out);
    append_rows_of(second, sequence, out);
    std::sort(out.begin() + begin, out.end());
    out.erase(std::unique(out.begin() + begin, out.end()), out.end());
  }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"first", &JointHead::first, {}, "the head whose scores are the reward"});
    visit(Field{"second", &JointHead::second, {}, "the head beside it"});
  }

  friend bool operator==(const JointHead&, const JointHead&) = default;
};

template <class First, class Second>
template <class B>
class JointHead<First, Second>::Bound {
 public:
  /// Throws UsageError when the two heads name a parameter alike.
  Bound(const JointHead& head, Index hidden_width, Parameters<B>& parameters,
        const Unembedding& unembedding = {})
      : first_(detail::bind_head<First, B>(head.first, hidden_width, parameters, unembedding)),
        second_(detail::bind_head<Second, B>(head.second, hidden_width, parameters, unembedding)) {}
  Index outputs() const { return detail::outputs_of<First>(first_); }
  /// (R, d) → (R, a), the first head's scores.
  Var forward(Tape<B>& tape, Var hidden) { return first_.forward(tape, hidden); }

 private:
  typename First::template Bound<B> first_;
  typename Second::template Bound<B> second_;
};

/// Whether all scores of a head are of whole completions.
template <class Head>
inline constexpr bool scores_completions = Head::meaning == ScoreMeaning::per_completion;
template <class First, class Second>
inline constexpr bool scores_completions<JointHead<First, Second>> =
    scores_completions<First> ? scores_completions<Second> : false;

}  // namespace MERIT_ABI
}  // namespace merit
