// Attention whose scores depend on how far apart tokens are, by tables of positions.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"
#include "merit/backbone/relative_buckets.hpp"
#include "merit/forest/forest.hpp"
#include "merit/testing/random_forest.hpp"

namespace relative_attention_test {

using namespace merit_test;

/// Differentiated by q (Q, H·dh), k and v (T, H·dh), then the tables (P, H·dh) that there are.
struct Relative {
  const Forest* forest;
  AttentionShape shape;
  Ids query_tokens;  // empty: all
  Index buckets, most;
  bool keys, queries;

  Index tokens() const { return forest->token_count(); }
  Index rows() const { return query_tokens.empty() ? tokens() : query_tokens.size(); }
  Index width() const { return shape.heads * shape.head_dim; }
  Index table_rows() const { return 2 * (buckets != 0 ? buckets : most); }
  Index table_size() const { return table_rows() * width(); }
  Index inputs() const {
    return (rows() + 2 * tokens()) * width() + (keys ? table_size() : 0) + (queries ? table_size() : 0);
  }
  Ids bucket_list() const {
    Ids list;
    const auto last = static_cast<std::int64_t>(forest->depth) - 1;
    for (std::int64_t d = -last; d <= last; ++d)
      list.push_back(static_cast<std::uint32_t>(relative_bucket(d, buckets, most)));
    return list;
  }

  template <class B>
  struct Held {
    Held(const Relative& op, const Numbers& x)
        : shape(op.shape),
          batch(B::prepare(m.handle, op.forest->view())),
          q(m, op.rows(), op.width(), part(x, 0, op.rows() * op.width())),
          k(m, op.tokens(), op.width(), part(x, op.rows() * op.width(), op.tokens() * op.width())),
          v(m, op.tokens(), op.width(),
            part(x, (op.rows() + op.tokens()) * op.width(), op.tokens() * op.width())),
          keys(m, op.keys ? op.table_rows() : 0, op.width(),
               part(x, (op.rows() + 2 * op.tokens()) * op.width(), op.keys ? op.table_size() : 0)),
          queries(
              m, op.queries ? op.table_rows() : 0, op.width(),
              part(x, op.inputs() - (op.queries ? op.table_size() : 0), op.queries ? op.table_size() : 0)),
          which(m, op.query_tokens),
          buckets(m, op.bucket_list()),
          out(m, op.rows(), op.width(), 9.0),
          lse(m, op.rows(), op.shape.heads, 9.0),
          scratch(working_space<B>(m, B::relative_attention_scratch(m.handle, view(), op.table_rows()))) {}

    const ForestView<typename B::Space>& view() const { return batch; }
    /// Of B, or of the backend that B is with so many threads.
    template <class Any>
    operator RelativeAttentionArguments<Any>() {  // NOLINT: implicit on purpose
      return {.forest = view(),
              .shape = shape,
              .query_tokens = which.view(),
              .q = q.constant(),
              .k = k.constant(),
              .v = v.constant(),
              .position_keys = keys.constant(),
              .position_queries = queries.constant(),
              .buckets = buckets.view(),
              .out = out.matrix(),
              .lse = lse.matrix(),
              .scratch = scratch.vector()};
    }

    AttentionShape shape;
    Machine<B> m;
    typename B::Batch batch;
    Array<B> q, k, v, keys, queries;
    Copied<B, std::uint32_t> which, buckets;
    Array<B> out;
    StatArray<B> lse, scratch;
  };

  template <class B>
  Numbers forward(const Numbers& x) const {
    Held<B> held(*this, x);
    B::relative_attention(held.m.handle, held);
    return held.out.values();
  }
  /// Everything is added to.
  template <class B>
  Numbers backward(const Numbers& x, const Numbers& dy, Write write, double before) const {
    Held<B> held(*this, x);
    B::relative_attention(held.m.handle, held);
    const double start = write == Write::add ? before : 0.0;
    const Array<B> dout(held.m, rows(), width(), dy);
    Array<B> dq(held.m, rows(), width(), start), dk(held.m, tokens(), width(), start);
    Array<B> dv(held.m, tokens(), width(), start), dkeys(held.m, keys ? table_rows() : 0, width(), start);
    Array<B> dqueries(held.m, queries ? table_rows() : 0, width(), start);
    B::relative_attention_backward(held.m.handle, {.forward = held,
                                                   .dout = dout.constant(),
                                                   .dq = dq.matrix(),
                                                   .dk = dk.matrix(),
                                                   .dv = dv.matrix(),
                                                   .dposition_keys = dkeys.matrix(),
                                                   .dposition_queries = dqueries.matrix()});
    return join({dq.values(), dk.values(), dv.values(), dkeys.values(), dqueries.values()});
  }
};

TEST_CASE_TEMPLATE("attention by distance is the softmax of its three kinds of scores", B,
                   MERIT_TEST_BACKENDS) {
  // One head of one column, two tokens: what each score is can be written down.
  const std::vector<Token> tokens = {1, 2};
  const std::span<const Token> sequence(tokens);
  ForestBuilder builder(Sharing::no);
  builder.add_tree({&sequence, 1});
  const Relative op{&builder.finish(), {1, 1, 1, 0.5, Sight::tree}, {}, 0, 2, true, true};
  const Numbers q = {1, 2}, k = {3, -1}, v = {10, 20}, places = {0.5, -1, 2, 0.25},
                of_queries = {1, 0.5, -0.5, 2};
  Numbers expected;
  for (int i = 0; i < 2; ++i) {
    double weights[2];
    for (int j = 0; j < 2; ++j) {
      const auto b = static_cast<Index>(i - j + 2);  // a distance of −1, 0 or 1 is row 1, 2 or 3
      weights[j] =
          std::exp(0.5 * (q[static_cast<Index>(i)] * k[static_cast<Index>(j)] +
                          q[static_cast<Index>(i)] * places[b] + k[static_cast<Index>(j)] * of_queries[b]));
    }
    expected.push_back((weights[0] * 10 + weights[1] * 20) / (weights[0] + weights[1]));
  }
  CHECK(relative_error(op.forward<B>(join({q, k, v, places, of_queries})), expected) <=
        Tolerance<typename B::Activation>::value);
}

TEST_CASE_TEMPLATE("attention by distance agrees with its witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(71);
  ForestBuilder builder(Sharing::no);
  RandomForestShape size;
  size.groups = 2;
  size.branching = 1;
  size.run = 5;
  for (const auto& [keys, queries, buckets] :
       {std::tuple{true, true, Index{4}}, {true, false, Index{0}}, {false, true, Index{4}}}) {
    const Forest& forest = random_forest(rng, size).build(builder);
    for (const Ids& some : {Ids{}, forest.rows}) {
      const Relative op{&forest, {2, 2, 3, 0.4, Sight::tree}, some, buckets, 12, keys, queries};
      check_witnesses<B>(op, random_numbers(rng, op.inputs()), rng);
    }
  }
}

TEST_CASE_TEMPLATE("attention by distance over long sequences, on any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(72);
  ForestBuilder builder(Sharing::no);
  RandomForestShape size;
  size.groups = 2;
  size.branching = 1;
  size.run = 60;
  const Forest& forest = random_forest(rng, size).build(builder);
  const Relative op{&forest, {3, 3, 70, 0.1, Sight::tree}, {}, 16, 80, true, true};
  const Numbers x = held<Base>(random_numbers(rng, op.inputs()));
  CHECK(relative_error(op.forward<Base>(x), op.forward<Arbiter>(x)) <=
        Tolerance<typename Base::Activation>::value);
  const Numbers dy = held<Base>(random_numbers(rng, op.rows() * op.width()));
  check_threads<Base>([&]<class B>() { return op.template backward<B>(x, dy, Write::assign, 0.0); });
}

TEST_CASE("buckets of distances are one each near zero, and wider further out") {
  CHECK(relative_bucket(0, 8, 20) == 8);
  CHECK(relative_bucket(4, 8, 20) == 12);
  CHECK(relative_bucket(-4, 8, 20) == 4);
  // ceil(ln(19 / 4) / ln(19 / 4) · 3) + 4, and what is further away is clamped to the last.
  CHECK(relative_bucket(19, 8, 20) == 15);
  CHECK(relative_bucket(-19, 8, 20) == 1);
  CHECK(relative_bucket(400, 8, 20) == 15);
  CHECK(relative_bucket(-400, 8, 20) == 0);
  CHECK(relative_bucket(7, 8, 20) == 8 + 6);  // ceil(ln(7 / 4) / ln(19 / 4) · 3) = 2
  CHECK(relative_bucket(3, 0, 5) == 8);
  CHECK(relative_bucket(-9, 0, 5) == 0);
  CHECK(relative_bucket(9, 0, 5) == 9);
}

}  // namespace relative_attention_test
