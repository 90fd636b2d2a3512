// What training reads: token sequences with their targets.
#pragma once

#include <optional>
#include <vector>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A prompt and one completion of it.
struct Sequence {
  std::vector<Token> tokens = {};     // the prompt's, then the completion's
  Index completion_begin = 0;         // the first completion token
  std::vector<float> features = {};   // the completion's vector, for the Features backbone, without tokens
  std::vector<Index> step_ends = {};  // the last token of each reasoning step, ascending; empty: no steps
  bool cut = false;                   // a limit on length took tokens of it
};

/// Two completions of one prompt, the first of them preferred.
struct PreferenceExample {
  Sequence chosen = {};
  Sequence rejected = {};
  double margin = 0;      // subtracted from the difference of scores inside the logistic function
  double weight = 1;      // how much the pair counts, 0 or more
  double soft_label = 1;  // the probability that `chosen` is the better one
};

/// Completions of one prompt, ordered by somebody, rated, or both.
struct RankedGroup {
  std::vector<Sequence> completions = {};  // K of them
  std::vector<Index> ranks = {};           // (K), 0 is best, equal ranks are a tie
  std::vector<double> ratings = {};        // (K, attributes), completion by completion; empty: not rated
  Index attributes = 1;
  // Of the pairs (0,1), (0,2), … (1,2), …, whichever is better; empty: all 0.
  std::vector<double> margins = {};
  double weight = 1;  // of the prompt among all
};

/// The most completions of a group of which every pair is looked at, as by a loss over pairs: time and memory
/// go with the square of their number, and that is 8.4 million pairs. What ranks as a whole takes more.
inline constexpr Index most_completions_in_pairs = 4096;

/// One group, or the turns of one conversation with a group each: all of it is one tree.
struct RankingExample {
  std::vector<RankedGroup> groups = {};
};

/// A completion that is right, or not, or with a probability.
struct OutcomeExample {
  Sequence sequence = {};
  double label = 1;  // 0 to 1: the probability of being right
  double weight = 1;
};

/// What is known of a step: probabilities of its three classes, which sum to 1.
struct StepLabel {
  double bad = 0;
  double neutral = 0;
  double good = 0;

  friend bool operator==(const StepLabel&, const StepLabel&) = default;
};

/// A completion in reasoning steps, some of them labelled.
struct StepsExample {
  Sequence sequence = {};
  std::vector<std::optional<StepLabel>> labels = {};  // one for each of step_ends; nothing: not labelled
  double weight = 1;

  // Of the steps that a cut took from the sequence, which have no rows and teach nothing: the labels of those
  // before the first of `labels` and of those behind the last. A figure counts them.
  std::vector<std::optional<StepLabel>> labels_before = {};
  std::vector<std::optional<StepLabel>> labels_behind = {};
};

/// A completion that a policy wrote, with what followed each of its tokens.
struct RolloutExample {
  Sequence sequence = {};
  std::vector<double> returns = {};     // one a completion token: of the state before that token
  std::vector<double> old_values = {};  // what the value function said then; empty: not known
  double weight = 1;

  std::vector<double> returns_unseen =
      {};  // of states that a cut took, which teach nothing. A figure counts them.
};

// The sequences of an example, in the order in which everything else counts them.

template <class F>
void for_each_sequence(const Sequence& sequence, const F& f) {
  f(sequence);
}
template <class F>
void for_each_sequence(const PreferenceExample& example, const F& f) {
  f(example.chosen);
  f(example.rejected);
}
template <class F>
void for_each_sequence(const RankingExample& example, const F& f) {
  for (const RankedGroup& group : example.groups) {
    for (const Sequence& sequence : group.completions) f(sequence);
  }
}
template <class F>
void for_each_sequence(const OutcomeExample& example, const F& f) {
  f(example.sequence);
}
template <class F>
void for_each_sequence(const StepsExample& example, const F& f) {
  f(example.sequence);
}
template <class F>
void for_each_sequence(const RolloutExample& example, const F& f) {
  f(example.sequence);
}

// The numbers of an example beside its sequences, for what tells two sets of examples apart.

template <class F>
void for_each_number(const Sequence&, const F&) {}
template <class F>
void for_each_number(const PreferenceExample& example, const F& f) {
  for (const double value : {example.margin, example.weight, example.soft_label}) f(value);
}
template <class F>
void for_each_number(const RankingExample& example, const F& f) {
  for (const RankedGroup& group : example.groups) {
    f(static_cast<double>(group.completions.size()));
    f(static_cast<double>(group.attributes));
    for (const Index rank : group.ranks) f(static_cast<double>(rank));
    for (const double rating : group.ratings) f(rating);
    for (const double margin : group.margins) f(margin);
    f(group.weight);
  }
}
template <class F>
void for_each_number(const OutcomeExample& example, const F& f) {
  f(example.label);
  f(example.weight);
}
template <class F>
void for_each_number(const StepsExample& example, const F& f) {
  for (const auto& label : example.labels) {
    for (const double p :
         {label ? label->bad : -1.0, label ? label->neutral : -1.0, label ? label->good : -1.0}) {
      f(p);
    }
  }
  f(example.weight);
}
template <class F>
void for_each_number(const RolloutExample& example, const F& f) {
  for (const double value : example.returns) f(value);
  for (const double value : example.old_values) f(value);
  f(example.weight);
}

}  // namespace MERIT_ABI
}  // namespace merit
