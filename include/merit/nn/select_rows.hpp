// Choosing rows: embeddings by token, and the rows a head reads. The index views must outlive the step.
#pragma once

#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class B>
struct EmbeddingNode {
  typename Tape<B>::Types::Indices ids;
  ParameterSlice table;
  typename Tape<B>::Types::Indices more_ids;
  ParameterSlice more;
  Var out;

  void backward(Tape<B>& tape) const {
    Parameters<B>& parameters = tape.parameters();
    const typename Tape<B>::Types::ConstMatrix g = tape.gradient(out);
    if (parameters.trainable(table)) {
      B::scatter_add_rows(tape.handle(), g, ids, parameters.gradient_to_add(table));
    }
    if (parameters.trainable(more)) {
      B::scatter_add_rows(tape.handle(), g, more_ids, parameters.gradient_to_add(more));
    }
  }
};

template <class B>
struct GatherNode {
  Var x;
  typename Tape<B>::Types::Indices ids;
  Var out;

  void backward(Tape<B>& tape) const {
    B::scatter_add_rows(tape.handle(), tape.gradient(out), ids, tape.gradient_to_add(x));
  }
};

}  // namespace detail

/// Rows of a table (V, d) by ids (M) → (M, d); with a second table (GPT-2's positions) the sum of both.
template <class B>
Var embedding(Tape<B>& tape, typename Tape<B>::Types::Indices ids, const ParameterSlice& table,
              typename Tape<B>::Types::Indices more_ids = {}, const ParameterSlice& more = {}) {
  // As they are trained, also where products read them rounded: the sum of two rows is rounded once.
  const Parameters<ScoreBackendOf<B>>& parameters = tape.parameters();
  const Var out = tape.make(ids.size, table.cols, parameters.trainable(table) || parameters.trainable(more));
  B::gather_rows(tape.handle(), parameters.value(table), ids, Write::assign, tape.value(out));
  if (more.present()) {
    detail::check_extent("embedding", "the second table's width", more.cols, table.cols);
    detail::check_extent("embedding", "the number of second ids", more_ids.size, ids.size);
    B::gather_rows(tape.handle(), parameters.value(more), more_ids, Write::add, tape.value(out));
  }
  tape.record(out, detail::EmbeddingNode<B>{ids, table, more_ids, more, out});
  return out;
}

/// The rows `ids` (R) of x (M, d) → (R, d).
template <class B>
Var gather(Tape<B>& tape, Var x, typename Tape<B>::Types::Indices ids) {
  const Var out = tape.make(ids.size, tape.cols(x), tape.needs_gradient(x));
  B::gather_rows(tape.handle(), typename Tape<B>::Types::ConstMatrix(tape.value(x)), ids, Write::assign,
                 tape.value(out));
  tape.record(out, detail::GatherNode<B>{x, ids, out});
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
