// The contract of a head: hidden rows to scores.
//
// As a backbone, a head is two structs: an aggregate of settings, and `Bound<B>` that declares parameters and
// computes.
//
// rows(sequence, out) appends the positions the head reads in a sequence, ascending. It knows lengths, not
// tokens. forward(tape, hidden) takes (R, d) and gives (R, outputs()), each row from its own hidden row
// alone. `meaning` says what one score is about; the model refuses a loss that reads another meaning. `width`
// is outputs() where that is always the same number, 0 where it is not; a head without it has one output.
//
// Its settings are listed once, by fields() (core/field.hpp); a head without any needs none.
//
// A head that says `reads_unembedding = true` is constructed with one argument more: where the backbone's
// unembedding is, once the parameters are allocated.
#pragma once

#include <concepts>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/score_meaning.hpp"
#include "merit/tape/tape.hpp"

namespace merit::inline MERIT_ABI {

/// A tokenised prompt and completion as a head sees it.
struct SequenceShape {
  Index length = 0;                       // tokens of prompt and completion
  Index completion_begin = 0;             // the first token of the completion
  std::span<const Index> step_ends = {};  // the last token of each reasoning step
};

/// Gives the unembedding (V, d) of a model's backbone. Not to be called before the parameters are allocated.
using Unembedding = std::function<ParameterSlice()>;

template <class Head>
inline constexpr bool reads_unembedding = requires {
  requires Head::reads_unembedding;
};

/// outputs() where it is known at compile time, or 0.
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
concept head = std::copyable<Head> &&
    requires(const Head& settings, SequenceShape sequence, std::vector<Index>& out) {
  { Head::meaning } -> std::convertible_to<ScoreMeaning>;
  { Head::name() } -> std::convertible_to<std::string_view>;
  settings.rows(sequence, out);
  requires detail::constructible_head<Head, B>;
  requires requires(typename Head::template Bound<B> bound, const typename Head::template Bound<B> constant,
                    Tape<B>& tape, Var hidden) {
    { constant.outputs() } -> std::convertible_to<Index>;
    { bound.forward(tape, hidden) } -> std::same_as<Var>;
  };
};

}  // namespace merit::inline MERIT_ABI
