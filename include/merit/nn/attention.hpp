// Attention over a token forest, rotary positions, and the path mean: the operations that know the tree.
// The forest view must outlive the step.
#pragma once

#include <initializer_list>

#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Columns [begin, begin + width) of a variable: the queries inside a joint query-key-value product.
struct Columns {
  Var var;
  Index begin = 0;
  Index width = 0;
};

namespace detail {

template <class Matrix>
Matrix block(const Matrix& matrix, const Columns& columns) {
  return matrix.col_block(columns.begin, columns.width);
}

/// How much of a variable the given columns cover, if they do not overlap.
inline Index covered_width(Var var, std::initializer_list<Columns> all) {
  Index width = 0;
  for (const Columns& columns : all) width += columns.var.id == var.id ? columns.width : 0;
  return width;
}

template <class B>
struct RotaryNode {
  Columns x;
  Index head_dim;
  typename Tape<B>::Types::Indices positions;
  typename Tape<B>::Types::ConstStatMatrix table;

  void backward(Tape<B>& tape) const {
    B::rotary(tape.handle(), {.x = block(tape.gradient(x.var), x),
                              .heads = x.width / head_dim,
                              .positions = positions,
                              .table = table,
                              .inverse = true});
  }
};

template <class B>
struct AttentionNode {
  const typename Tape<B>::Types::Forest* forest;
  AttentionShape shape;
  typename Tape<B>::Types::Indices query_tokens;
  Columns q, k, v;
  Var out;
  typename Tape<B>::Types::StatMatrix lse;

  void backward(Tape<B>& tape) const {
    // The usual case: nobody else reads q, k and v, so their gradients are assigned. Otherwise all are added
    // to.
    const bool shared = tape.has_gradient(q.var) || tape.has_gradient(k.var) || tape.has_gradient(v.var);
    const Write write = shared ? Write::add : Write::assign;
    for (const Var var : {q.var, k.var, v.var}) {
      if (tape.has_gradient(var)) continue;
      if (shared) {
        tape.gradient_to_add(var);
      } else {
        tape.gradient_target(var);
      }
    }
    B::attention_backward(
        tape.handle(),
        {.forest = *forest,
         .shape = shape,
         .query_tokens = query_tokens,
         .q = block(tape.value(q.var), q),
         .k = block(tape.value(k.var), k),
         .v = block(tape.value(v.var), v),
         .out = tape.value(out),
         .lse = lse,
         .dout = tape.gradient(out),
         .write_dq = write,
         .dq = block(tape.gradient(q.var), q),
         .write_dkv = write,
         .dk = block(tape.gradient(k.var), k),
         .dv = block(tape.gradient(v.var), v),
         .scratch = tape.scratch(B::attention_backward_scratch(tape.handle(), *forest, shape))});
  }
};

template <class B>
struct PathMeanNode {
  const typename Tape<B>::Types::Forest* forest;
  Var x;
  Var out;

  void backward(Tape<B>& tape) const {
    const auto target = tape.gradient_target(x);
    B::path_mean_backward(
        tape.handle(), {.forest = *forest,
                        .dout = tape.gradient(out),
                        .write = target.write,
                        .dx = target.view,
                        .scratch = tape.scratch(B::path_mean_scratch(tape.handle(), *forest, tape.cols(x)))});
  }
};

}  // namespace detail

/// Rotary positions (Su et al. 2021), in place on columns of a variable: the first r columns of each head of
/// `head_dim` are rotated by positions[i] with `table` (P, r): cosines, then sines. What made the variable must
/// not need its old value.
template <class B>
void rotary(Tape<B>& tape, const Columns& x, Index head_dim, typename Tape<B>::Types::Indices positions,
            typename Tape<B>::Types::ConstStatMatrix table) {
  detail::check_extent("rotary", "the remainder of the width by the head size", x.width % head_dim, 0);
  detail::check_extent("rotary", "the number of positions", positions.size, tape.rows(x.var));
  if (table.cols > head_dim || table.cols % 2 != 0) {
    throw UsageError(concat("rotary: the table's width is ", table.cols,
                            ", expected an even number of at most ", head_dim, ", the head size"));
  }
  B::rotary(tape.handle(), {.x = detail::block(tape.value(x.var), x),
                            .heads = x.width / head_dim,
                            .positions = positions,
                            .table = table});
  tape.record(x.var, detail::RotaryNode<B>{x, head_dim, positions, table});
}

/// Softmax attention of the queries of `query_tokens` (Q; empty: every token) over all they see in the
/// forest. q (Q, heads·head_dim), k and v (T, kv_heads·head_dim) → (Q, heads·head_dim).
template <class B>
Var attention(Tape<B>& tape, const typename Tape<B>::Types::Forest& forest, const AttentionShape& shape,
              typename Tape<B>::Types::Indices query_tokens, const Columns& q, const Columns& k,
              const Columns& v) {
  const Index queries = query_tokens.empty() ? forest.token_count() : query_tokens.size;
  detail::check_extent("attention", "the number of query rows", tape.rows(q.var), queries);
  detail::check_extent("attention", "the number of key rows", tape.rows(k.var), forest.token_count());
  detail::check_extent("attention", "the number of value rows", tape.rows(v.var), forest.token_count());
  detail::check_extent("attention", "the queries' width", q.width, shape.heads * shape.head_dim);
  detail::check_extent("attention", "the keys' width", k.width, shape.kv_heads * shape.head_dim);
  detail::check_extent("attention", "the values' width", v.width, shape.kv_heads * shape.head_dim);
  for (const Var var : {q.var, k.var, v.var}) {  // the backward assigns whole variables
    detail::check_extent("attention", "the width that q, k and v cover of their variable",
                         detail::covered_width(var, {q, k, v}), tape.cols(var));
  }
  const bool needs = tape.needs_gradient(q.var) || tape.needs_gradient(k.var) || tape.needs_gradient(v.var);
  const Var out = tape.make(queries, q.width, needs);
  if (EarlierTokens<B>* const earlier = tape.earlier_tokens()) {
    tape.working([&] {
      earlier->attend(tape, {.forest = forest,
                             .shape = shape,
                             .query_tokens = query_tokens,
                             .q = detail::block(tape.value(q.var), q),
                             .k = detail::block(tape.value(k.var), k),
                             .v = detail::block(tape.value(v.var), v),
                             .out = tape.value(out)});
    });
    return out;
  }
  const auto kept = tape.keep(queries * shape.heads);
  const typename Tape<B>::Types::StatMatrix lse{kept.data, queries, shape.heads};
  tape.working([&] {
    B::attention(tape.handle(),
                 {.forest = forest,
                  .shape = shape,
                  .query_tokens = query_tokens,
                  .q = detail::block(tape.value(q.var), q),
                  .k = detail::block(tape.value(k.var), k),
                  .v = detail::block(tape.value(v.var), v),
                  .out = tape.value(out),
                  .lse = lse,
                  .scratch = tape.scratch(B::attention_scratch(tape.handle(), forest, shape))});
  });
  tape.record(out, detail::AttentionNode<B>{&forest, shape, query_tokens, q, k, v, out, lse});
  return out;
}

/// The mean of x (T, d) over the path from the root to each of the forest's rows → (R, d).
template <class B>
Var path_mean(Tape<B>& tape, const typename Tape<B>::Types::Forest& forest, Var x) {
  detail::check_whole("path_mean", tape.earlier_tokens() == nullptr);
  detail::check_extent("path_mean", "the number of rows", tape.rows(x), forest.token_count());
  const Var out = tape.make(forest.row_count(), tape.cols(x), tape.needs_gradient(x));
  tape.working([&] {
    B::path_mean(tape.handle(), forest, tape.value(x), tape.value(out),
                 tape.scratch(B::path_mean_scratch(tape.handle(), forest, tape.cols(x))));
  });
  tape.record(out, detail::PathMeanNode<B>{&forest, x, out});
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
