// The operations that know the tree, through the tape: rotary positions, attention, path mean.
#include <cmath>

#include "merit/nn/attention.hpp"
#include "merit/nn/linear.hpp"
#include "operations.hpp"

namespace forest_test {

using namespace merit;
using namespace merit_test;

/// cos and sin of p · 0.3 and p · 0.1: a table for heads of 4 columns.
std::vector<double> small_table(Index positions) {
  std::vector<double> table;
  for (Index p = 0; p < positions; ++p) {
    const auto x = static_cast<double>(p);
    table.insert(table.end(), {std::cos(0.3 * x), std::cos(0.1 * x), std::sin(0.3 * x), std::sin(0.1 * x)});
  }
  return table;
}

constexpr AttentionShape grouped{.heads = 4, .kv_heads = 2, .head_dim = 2, .scale = 0.6};

TEST_CASE("rotary turns the pairs of each head, in the columns it is given") {
  Workbench bench;
  const auto x = bench.declare("x", {3, 9});
  bench.allocate();
  const std::vector<double> table = small_table(4);
  const std::vector<std::uint32_t> positions{0, 3, 1};
  const auto build = [&](TestTape& t) {
    const Var v = bench.input(t, x);
    rotary(t, {v, 1, 8}, 4, positions, {table.data(), 4, 4});
    return v;
  };
  const auto before = bench.get(bench.input(x));
  const auto after = bench.get(build(bench.tape));
  const double c = std::cos(0.9), s = std::sin(0.9);
  CHECK(after[9] == before[9]);  // outside
  CHECK(after[9 + 5] == near(before[9 + 5] * c - before[9 + 7] * s));
  CHECK(after[9 + 7] == near(before[9 + 7] * c + before[9 + 5] * s));
  CHECK(after[1] == before[1]);  // position 0
  check_gradient(bench, build);
}

TEST_CASE("attention's gradients agree with central differences") {
  const SmallForest forest;
  SUBCASE("queries, keys and values in one variable") {
    Workbench bench;
    const auto x = bench.declare("x", {8, 16});
    bench.allocate();
    check_gradient(bench, [&](TestTape& t) {
      const Var qkv = bench.input(t, x);
      return attention(t, forest.view, grouped, {}, {qkv, 0, 8}, {qkv, 8, 4}, {qkv, 12, 4});
    });
  }
  SUBCASE("each in its own") {
    Workbench bench;
    const auto q = bench.declare("q", {8, 8});
    const auto k = bench.declare("k", {8, 4});
    const auto v = bench.declare("v", {8, 4});
    bench.allocate();
    check_gradient(bench, [&](TestTape& t) {
      return attention(t, forest.view, grouped, {}, {bench.input(t, q), 0, 8}, {bench.input(t, k), 0, 4},
                       {bench.input(t, v), 0, 4});
    });
  }
  SUBCASE("queries of the wanted rows alone, keys and values in one variable") {
    Workbench bench;
    const auto q = bench.declare("q", {4, 8});
    const auto kv = bench.declare("kv", {8, 8});
    bench.allocate();
    check_gradient(bench, [&](TestTape& t) {
      const Var both = bench.input(t, kv);
      return attention(t, forest.view, grouped, forest.view.rows, {bench.input(t, q), 0, 8}, {both, 4, 4},
                       {both, 0, 4});
    });
  }
  SUBCASE("rotated first") {
    Workbench bench;
    const auto x = bench.declare("x", {8, 16});
    bench.allocate();
    const std::vector<double> table{1, 0, 0.8, 0.6, 0.28, 0.96, -0.352, 0.936};  // (4, 2)
    check_gradient(bench, [&](TestTape& t) {
      const Var qkv = bench.input(t, x);
      rotary(t, {qkv, 0, 12}, 2, forest.view.positions, {table.data(), 4, 2});
      return attention(t, forest.view, grouped, {}, {qkv, 0, 8}, {qkv, 8, 4}, {qkv, 12, 4});
    });
  }
  SUBCASE("keys and values that another operation reads too: gradients are added") {
    Workbench bench;
    const auto q = bench.declare("q", {8, 8});
    const auto k = bench.declare("k", {8, 4});
    const auto v = bench.declare("v", {8, 4});
    const auto w = bench.declare("w", {8, 4});
    bench.allocate();
    check_gradient(bench, [&](TestTape& t) {
      const Var keys = bench.input(t, k);
      const Var out = attention(t, forest.view, grouped, {}, {bench.input(t, q), 0, 8}, {keys, 0, 4},
                                {bench.input(t, v), 0, 4});
      return linear(t, keys, bench.slice(w), {}, out);
    });
  }
  SUBCASE("keys alone are trained") {
    Workbench bench;
    const auto q = bench.declare("q", {8, 8}, false);
    const auto k = bench.declare("k", {8, 4});
    const auto v = bench.declare("v", {8, 4}, false);
    bench.allocate();
    check_gradient(bench, [&](TestTape& t) {
      return attention(t, forest.view, grouped, {}, {bench.input(t, q), 0, 8}, {bench.input(t, k), 0, 4},
                       {bench.input(t, v), 0, 4});
    });
  }
}

TEST_CASE("attention sees a token's own path and weighs it by softmax") {
  const SmallForest forest;
  Workbench bench;
  const auto x = bench.declare("x", {8, 3});
  bench.allocate();
  std::vector<double> values;
  for (Index i = 0; i < 8; ++i) values.insert(values.end(), {1, static_cast<double>(i), std::pow(2.0, i)});
  bench.set(x, values);
  const Var qkv = bench.input(x);
  const AttentionShape one{.heads = 1, .kv_heads = 1, .head_dim = 1, .scale = std::log(2.0)};
  const auto out =
      bench.get(attention(bench.tape, forest.view, one, {}, {qkv, 0, 1}, {qkv, 1, 1}, {qkv, 2, 1}));
  // Token i's weight is 2^i and so is its value.
  CHECK(out[0] == near(1));
  CHECK(out[3] == near((1 + 4 + 16 + 64) / 15.0));
  CHECK(out[4] == near((1 + 4 + 256) / 19.0));
  CHECK(out[5] == near((1 + 4 + 1024) / 35.0));
  CHECK(out[7] == near((64.0 * 64 + 128 * 128) / 192));
}

TEST_CASE("path_mean averages a token's own path, and its gradient agrees with central differences") {
  const SmallForest forest;
  Workbench bench;
  const auto x = bench.declare("x", {8, 2});
  bench.allocate();
  check_gradient(bench, [&](TestTape& t) { return path_mean(t, forest.view, bench.input(t, x)); });
  bench.set(x, {1, 0, 3, 0, 5, 0, 7, 0, 8, 0, 100, 0, 20, 1, 40, 2});
  CHECK(bench.get(path_mean(bench.tape, forest.view, bench.input(x))) ==
        std::vector<double>{2, 0, 4, 0, 4, 0, 30, 1.5});
}

TEST_CASE("each operation on the tree names the shapes that do not fit") {
  const SmallForest forest;
  Workbench bench;
  const auto q8 = bench.declare("q", {8, 8});
  const auto k4 = bench.declare("k", {8, 4});
  const auto wide = bench.declare("wide", {8, 10});
  const auto few = bench.declare("few", {7, 4});
  bench.allocate();
  TestTape& t = bench.tape;
  const Var q = bench.input(q8), k = bench.input(k4), w = bench.input(wide), f = bench.input(few);
  const auto run = [&](const Columns& a, const Columns& b, const Columns& c,
                       VectorView<const std::uint32_t> rows = {}) {
    attention(t, forest.view, grouped, rows, a, b, c);
  };
  CHECK_THROWS_WITH_AS(run({q, 0, 8}, {k, 0, 4}, {k, 0, 4}, forest.view.rows),
                       "attention: the number of query rows is 8, expected 4", UsageError);
  CHECK_THROWS_WITH_AS(run({q, 0, 8}, {f, 0, 4}, {k, 0, 4}),
                       "attention: the number of key rows is 7, expected 8", UsageError);
  CHECK_THROWS_WITH_AS(run({q, 0, 8}, {k, 0, 4}, {f, 0, 4}),
                       "attention: the number of value rows is 7, expected 8", UsageError);
  CHECK_THROWS_WITH_AS(run({q, 0, 4}, {k, 0, 4}, {k, 0, 4}), "attention: the queries' width is 4, expected 8",
                       UsageError);
  CHECK_THROWS_WITH_AS(run({q, 0, 8}, {q, 0, 8}, {k, 0, 4}), "attention: the keys' width is 8, expected 4",
                       UsageError);
  CHECK_THROWS_WITH_AS(run({q, 0, 8}, {k, 0, 4}, {k, 0, 2}), "attention: the values' width is 2, expected 4",
                       UsageError);
  CHECK_THROWS_WITH_AS(run({q, 0, 8}, {w, 0, 4}, {w, 4, 4}),
                       "attention: the width that q, k and v cover of their variable is 8, expected 10",
                       UsageError);
  const std::vector<double> table = small_table(4);
  CHECK_THROWS_WITH_AS(rotary(t, {q, 0, 6}, 4, forest.view.positions, {table.data(), 4, 4}),
                       "rotary: the remainder of the width by the head size is 2, expected 0", UsageError);
  CHECK_THROWS_WITH_AS(rotary(t, {q, 0, 8}, 4, forest.view.rows, {table.data(), 4, 4}),
                       "rotary: the number of positions is 4, expected 8", UsageError);
  CHECK_THROWS_WITH_AS(rotary(t, {q, 0, 8}, 2, forest.view.positions, {table.data(), 4, 4}),
                       "rotary: the table's width is 4, expected an even number of at most 2, the head size",
                       UsageError);
  CHECK_THROWS_WITH_AS(path_mean(t, forest.view, f), "path_mean: the number of rows is 7, expected 8",
                       UsageError);
}

}  // namespace forest_test
