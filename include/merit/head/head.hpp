// The contract of a head: hidden rows to scores.
//
// As a backbone, a head is two structs: an aggregate of settings, and `Bound<B>` that declares parameters and
// computes.
//
// forward(tape, hidden) takes (R, d) and gives (R, k), each row from its own hidden row alone, in Score whatever
// the backbone's precision: B is the backend on which heads compute (ScoreBackendOf). `meaning` says
// what one score is about: it decides which rows are read (append_rows), and the model refuses a loss that
// reads another meaning. `width` is k where that is always the same number, 0 where Bound has an outputs()
// that says it; a head without it has one output. A head that reads other rows has a rows(sequence, out),
// which appends their positions, ascending; it knows lengths, not tokens.
//
// Its settings are listed once, by fields() (core/field.hpp); a head without any needs none.
//
// A head that says `reads_unembedding = true` is constructed with one argument more, an Unembedding: where the
// backbone's unembedding is, once the parameters are allocated.
#pragma once

#include <concepts>
#include <functional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A tokenised prompt and completion as a head sees it.
struct SequenceShape {
  Index length = 0;                       // tokens of prompt and completion
  Index completion_begin = 0;             // the first token of the completion
  std::span<const Index> step_ends = {};  // the last token of each reasoning step
};

/// Appends the rows of a sequence for scores of this meaning, ascending:
///
/// - per_completion: the last token;
/// - per_token: every token of the completion, its end of sequence included, and no token of the prompt;
/// - per_step: the last token of each step;
/// - per_state and next_token: the token before each token of the completion. Without a prompt the first
///   token of the completion has none, and gets none.
///
/// Throws DataError where a sequence has no steps and a step is read.
template <ScoreMeaning Meaning>
void append_rows(const SequenceShape& sequence, std::vector<Index>& out) {
  if constexpr (Meaning == ScoreMeaning::per_completion) {
    out.push_back(sequence.length - 1);
  } else if constexpr (Meaning == ScoreMeaning::per_step) {
    if (sequence.step_ends.empty()) {
      throw DataError(
          "a sequence has no step ends, expected a completion in steps for a head that scores them");
    }
    out.insert(out.end(), sequence.step_ends.begin(), sequence.step_ends.end());
  } else {
    const Index back = Meaning == ScoreMeaning::per_token ? 0 : 1;
    const Index begin = sequence.completion_begin > back ? sequence.completion_begin : back;
    for (Index token = begin; token < sequence.length; ++token) out.push_back(token - back);
  }
}

/// The positions that a head reads in a sequence: its own rows(), or those of its meaning.
template <class Head>
void append_rows_of(const Head& head, const SequenceShape& sequence, std::vector<Index>& out) {
  if constexpr (requires { head.rows(sequence, out); }) {
    head.rows(sequence, out);
  } else {
    append_rows<Head::meaning>(sequence, out);
  }
}

/// Where a model's backbone has its unembedding, and what becomes of a logit (head/token_logits.hpp).
class Unembedding {
 public:
  Unembedding() = default;
  template <class Find>
  requires std::is_invocable_r_v<ParameterSlice, Find> Unembedding(Find find, double soft_cap = 0)
      : find_(std::move(find)), soft_cap_(soft_cap) {}

  /// (V, d). Not to be called before the parameters are allocated. Throws ConfigError where the backbone caps
  /// its logits, which are not the products alone then.
  ParameterSlice operator()() const {
    if (soft_cap_ != 0) {
      throw ConfigError(concat("the backbone caps its logits at ", soft_cap_,
                               ", expected no cap: this head reads the unembedding as if there were none"));
    }
    return table();
  }
  /// The same for whoever applies the cap.
  ParameterSlice table() const { return find_(); }
  double soft_cap() const { return soft_cap_; }

 private:
  std::function<ParameterSlice()> find_;
  double soft_cap_ = 0;
};

template <class Head>
inline constexpr bool reads_unembedding = requires {
  requires Head::reads_unembedding;
};

/// Scores of a row where that is known at compile time, or 0.
template <class Head>
inline constexpr Index head_width = [] {
  if constexpr (requires { Head::width; }) {
    return Index{Head::width};
  } else {
    return Index{1};
  }
}();

namespace detail {

template <class Head, class B>
concept constructible_head =
    (reads_unembedding<Head> && std::constructible_from<typename Head::template Bound<B>, const Head&, Index,
                                                        Parameters<B>&, Unembedding>) ||
    (!reads_unembedding<Head> &&
     std::constructible_from<typename Head::template Bound<B>, const Head&, Index, Parameters<B>&>);

/// Scores of a row by a bound head.
template <class Head, class Bound>
Index outputs_of(const Bound& bound) {
  if constexpr (requires { bound.outputs(); }) {
    return bound.outputs();
  } else {
    return head_width<Head>;
  }
}

/// The head on a backend, with its parameters declared.
template <class Head, class B>
typename Head::template Bound<B> bind_head(const Head& settings, Index hidden_width,
                                           Parameters<B>& parameters, const Unembedding& unembedding) {
  using Bound = typename Head::template Bound<B>;
  if constexpr (reads_unembedding<Head>) {
    return Bound(settings, hidden_width, parameters, unembedding);
  } else {
    return Bound(settings, hidden_width, parameters);
  }
}

}  // namespace detail

template <class Head, class B>
concept head = std::copyable<Head> && requires {
  { Head::meaning } -> std::convertible_to<ScoreMeaning>;
  { Head::name() } -> std::convertible_to<std::string_view>;
  requires detail::constructible_head<Head, B>;
  requires requires(typename Head::template Bound<B> bound, const typename Head::template Bound<B> constant,
                    Tape<B>& tape, Var hidden) {
    { bound.forward(tape, hidden) } -> std::same_as<Var>;
    requires head_width<Head>
    != 0 || requires {
      { constant.outputs() } -> std::convertible_to<Index>;
    };
  };
};

}  // namespace MERIT_ABI
}  // namespace merit
