// Disentangled attention: scores that also depend on how far apart two tokens are, by tables of positions.
#pragma once

#include "merit/nn/attention.hpp"
#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class B>
struct RelativeAttentionNode {
  const typename Tape<B>::Types::Forest* forest;
  AttentionShape shape;
  typename Tape<B>::Types::Indices query_tokens;
  Columns q, k, v;
  Var position_keys, position_queries;
  typename Tape<B>::Types::Indices buckets;
  Var out;
  typename Tape<B>::Types::StatMatrix lse;

  RelativeAttentionArguments<B> arguments(Tape<B>& tape) const {
    RelativeAttentionArguments<B> a{.forest = *forest,
                                    .shape = shape,
                                    .query_tokens = query_tokens,
                                    .q = block(tape.value(q.var), q),
                                    .k = block(tape.value(k.var), k),
                                    .v = block(tape.value(v.var), v),
                                    .position_keys = {},
                                    .position_queries = {},
                                    .buckets = buckets,
                                    .out = tape.value(out),
                                    .lse = lse,
                                    .scratch = {}};
    if (position_keys.present()) a.position_keys = tape.value(position_keys);
    if (position_queries.present()) a.position_queries = tape.value(position_queries);
    const Var table = position_keys.present() ? position_keys : position_queries;
    a.scratch = tape.scratch(B::relative_attention_scratch(tape.handle(), *forest, tape.rows(table)));
    return a;
  }

  void backward(Tape<B>& tape) const {
    RelativeAttentionBackwardArguments<B> b{.forward = arguments(tape),
                                            .dout = tape.gradient(out),
                                            .dq = block(tape.gradient_to_add(q.var), q),
                                            .dk = block(tape.gradient_to_add(k.var), k),
                                            .dv = block(tape.gradient_to_add(v.var), v),
                                            .dposition_keys = {},
                                            .dposition_queries = {}};
    if (position_keys.present()) b.dposition_keys = tape.gradient_to_add(position_keys);
    if (position_queries.present()) b.dposition_queries = tape.gradient_to_add(position_queries);
    B::relative_attention_backward(tape.handle(), b);
  }
};

}  // namespace detail

/// Attention in which every token sees its whole tree and the score of query i and key j is
/// scale · (q_i · k_j + q_i · position_keys[b] + k_j · position_queries[b]) with b the bucket of i − j (He et al. 2021).
/// q (Q, H·dh), k and v (T, H·dh), the tables (P, H·dh), one of which may be left out; buckets (2D − 1) of the
/// distances 1 − D to D − 1, D being the forest's depth → (Q, H·dh).
template <class B>
Var relative_attention(Tape<B>& tape, const typename Tape<B>::Types::Forest& forest,
                       const AttentionShape& shape, typename Tape<B>::Types::Indices query_tokens,
                       const Columns& q, const Columns& k, const Columns& v, Var position_keys,
                       Var position_queries, typename Tape<B>::Types::Indices buckets) {
  const Index queries = query_tokens.empty() ? forest.token_count() : query_tokens.size;
  detail::check_whole("relative_attention", tape.earlier_tokens() == nullptr);
  detail::check_extent("relative_attention", "the number of query rows", tape.rows(q.var), queries);
  detail::check_extent("relative_attention", "the number of key rows", tape.rows(k.var),
                       forest.token_count());
  detail::check_extent("relative_attention", "the number of value rows", tape.rows(v.var),
                       forest.token_count());
  detail::check_extent("relative_attention", "the number of buckets", buckets.size, 2 * forest.depth - 1);
  detail::check_extent("relative_attention", "the number of key/value heads", shape.kv_heads, shape.heads);
  if (!position_keys.present() && !position_queries.present()) {
    throw UsageError("relative_attention: there is no table of positions, expected one or two");
  }
  const Index width = shape.heads * shape.head_dim;
  bool needs = false;
  for (const Var table : {position_keys, position_queries}) {
    if (table.present())
      detail::check_extent("relative_attention", "a table's width", tape.cols(table), width);
    needs = needs || tape.needs_gradient(table);
  }
  for (const Columns& columns : {q, k, v}) {
    detail::check_extent("relative_attention", "the width of queries, keys or values", columns.width, width);
    needs = needs || tape.needs_gradient(columns.var);
  }
  const Var out = tape.make(queries, width, needs);
  const auto kept = tape.keep(queries * shape.heads);
  const detail::RelativeAttentionNode<B> node{&forest,
                                              shape,
                                              query_tokens,
                                              q,
                                              k,
                                              v,
                                              position_keys,
                                              position_queries,
                                              buckets,
                                              out,
                                              {kept.data, queries, shape.heads}};
  tape.working([&] { B::relative_attention(tape.handle(), node.arguments(tape)); });
  tape.record(out, node);
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
