// The contract of a head: hidden rows to scores.
//
// As a backbone, a head is two structs: an aggregate of settings, and `Bound<B>` that declares parameters and
// computes.
//
// rows(sequence, out) appends the positions the head reads in a sequence, ascending. It knows lengths, not
// tokens. forward(tape, hidden) takes (R, d) and gives (R, outputs()), each row from its own hidden row
// alone. `meaning` says what one score is about; the model refuses a loss that reads another meaning.
#pragma once

#include <concepts>
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

template <class Head, class B>
concept head = std::copyable<Head> &&
    requires(const Head& settings, SequenceShape sequence, std::vector<Index>& out) {
  { Head::meaning } -> std::convertible_to<ScoreMeaning>;
  { Head::name() } -> std::convertible_to<std::string_view>;
  settings.validate();
  settings.rows(sequence, out);
  requires requires(typename Head::template Bound<B> bound, const typename Head::template Bound<B> constant,
                    Parameters<B>& parameters, Tape<B>& tape, Var hidden, Index width) {
    requires std::constructible_from < typename Head::template Bound<B>,
    const Head&, Index, Parameters<B>& > ;
    { constant.outputs() } -> std::convertible_to<Index>;
    { bound.forward(tape, hidden) } -> std::same_as<Var>;
  };
};

}  // namespace merit::inline MERIT_ABI
