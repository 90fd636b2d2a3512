// Attention over forests, forward and backward, beside the reference backend in double; and the lists of tiles beside a
// count of every pair.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "backend/emulation/machine.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/backend/thrust/kernels/attention_backward_kernels.hpp"
#include "merit/backend/thrust/kernels/attention_kernel.hpp"
#include "merit/backend/thrust/kernels/attention_tiles.hpp"
#include "merit/forest/forest.hpp"
#include "merit/testing/random_forest.hpp"

namespace attention_kernels_test {

using namespace merit_test;

using Arbiter = ReferenceBackend<double>;

/// One sequence of `length` tokens, of which one is a row.
RandomForest chain(Index length, Index row) {
  RandomForest forest;
  forest.groups.push_back({std::vector<Token>(length, 1)});
  forest.rows.push_back({0, 0, row});
  return forest;
}

RandomForest grown(Rng& rng, Index groups, Index branching, Index depth, Index run) {
  for (;;) {
    const RandomForest forest =
        random_forest(rng, {.groups = groups, .branching = branching, .depth = depth, .run = run});
    Index tokens = 0;
    for (const auto& group : forest.groups)
      for (const auto& sequence : group) tokens += sequence.size();
    if (tokens > 150) return forest;  // more than two tiles, before sharing
  }
}

/// The lists in the machine's memory.
struct DeviceLists {
  Array<std::uint32_t> begin, entries, order, bounds;

  explicit DeviceLists(const HostTileLists& host)
      : begin(row_of<std::uint32_t>(host.begin)),
        entries(row_of<std::uint32_t>(host.entries)),
        order(row_of<std::uint32_t>(host.order)),
        bounds(row_of<std::uint32_t>(host.bounds)) {}
  TileLists view(const HostTileLists& host, const DeviceLists& other) const {
    return {host.order.size(), begin.data(),  entries.data(),
            order.data(),      bounds.data(), other.bounds.data()};
  }
};

struct Shape {
  Index heads, kv_heads, head_dim, padding;
  Index window = 0;
  double soft_cap = 0;
  Sight sight = Sight::path;
};

/// The inputs and results of attention and its backward, row after row.
struct Operands {
  List q, k, v, dout, out, lse, dq, dk, dv;
};

constexpr double scale = 0.3;

/// What the kernels make of the inputs; the backward is given these out and lse, and what it writes is added to `before`
/// unless that is 0.
template <class T, int width, bool plain>
Operands run_kernels(const ForestView<HostSpace>& forest, const Shape& shape, const Ids& query_tokens,
                     const Operands& given, double before) {
  const Index tokens = forest.token_count();
  const Index queries = query_tokens.empty() ? tokens : query_tokens.size();
  const Index q_width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  AttentionTiles tiles;
  tiles.build(forest, query_tokens);
  const DeviceLists device_queries(tiles.of_queries()), device_keys(tiles.of_keys());
  const TileLists of_queries = device_queries.view(tiles.of_queries(), device_keys),
                  of_keys = device_keys.view(tiles.of_keys(), device_queries);
  const auto ids = [](const auto& list) { return row_of<std::uint32_t>(Ids(list.begin(), list.end())); };
  const Array<std::uint32_t> ends = ids(forest.subtree_end), positions = ids(forest.positions),
                             which = ids(query_tokens);
  const Array<T> q(queries, q_width, given.q, shape.padding), k(tokens, kv_width, given.k, shape.padding),
      v(tokens, kv_width, given.v, shape.padding), dout(queries, q_width, given.dout, shape.padding);
  const AttentionProblem<T> problem{
      .queries = queries,
      .tokens = tokens,
      .heads = static_cast<int>(shape.heads),
      .kv_heads = static_cast<int>(shape.kv_heads),
      .head_dim = static_cast<int>(shape.head_dim),
      .scale = static_cast<float>(scale),
      .query_tokens = query_tokens.empty() ? nullptr : which.data(),
      .subtree_end = ends.data(),
      .q = q.constant(),
      .k = k.constant(),
      .v = v.constant(),
      .positions = plain ? nullptr : positions.data(),
      .window = shape.window == 0 ? no_limit : static_cast<std::uint32_t>(shape.window),
      .soft_cap = static_cast<float>(shape.soft_cap),
      .whole_trees = shape.sight == Sight::tree};
  Array<T> out(queries, q_width, shape.padding);
  Array<float> lse(queries, shape.heads, 1);
  run(AttentionKernel<T, width, plain>{problem, of_queries, out.rows(), lse.rows()});

  const Array<T> kept_out(queries, q_width, given.out, shape.padding);
  const Array<float> kept_lse(queries, shape.heads, given.lse);
  Array<float> delta(queries, shape.heads);
  run(AttentionDeltaKernel<T>{queries, problem.heads, problem.head_dim, kept_out.constant(), dout.constant(),
                              delta.data()});
  const AttentionGradients<T> gradients{dout.constant(), kept_lse.constant(), delta.data(), before != 0};
  Array<T> dq(queries, q_width, shape.padding), dk(tokens, kv_width, shape.padding),
      dv(tokens, kv_width, shape.padding);
  if (before != 0) {
    dq.set(List(queries * q_width, before));
    dk.set(List(tokens * kv_width, before));
    dv.set(List(tokens * kv_width, before));
  }
  run(AttentionQueryPass<T, width, plain>{problem, gradients, of_queries, dq.rows()});
  run(AttentionKeyPass<T, width, plain>{problem, gradients, of_keys, dk.rows(), dv.rows()});
  return {{}, {}, {}, {}, out.values(), lse.values(), dq.values(), dk.values(), dv.values()};
}

/// Random inputs, and what the reference makes of them.
template <class T>
Operands run_reference(const ForestView<HostSpace>& forest, const Shape& shape, const Ids& query_tokens,
                       double before, Rng& rng) {
  const Index tokens = forest.token_count();
  const Index queries = query_tokens.empty() ? tokens : query_tokens.size();
  const Index q_width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  Operands x{random_list<T>(rng, queries * q_width),
             random_list<T>(rng, tokens * kv_width),
             random_list<T>(rng, tokens * kv_width),
             random_list<T>(rng, queries * q_width),
             List(queries * q_width),
             List(queries * shape.heads),
             List(queries * q_width, before),
             List(tokens * kv_width, before),
             List(tokens * kv_width, before)};
  Arbiter::Handle handle{Arbiter{}};
  const AttentionShape heads{shape.heads, shape.kv_heads, shape.head_dim, scale,
                             shape.sight, shape.window,   shape.soft_cap};
  const MatrixView<const double> q{x.q.data(), queries, q_width}, k{x.k.data(), tokens, kv_width},
      v{x.v.data(), tokens, kv_width}, dout{x.dout.data(), queries, q_width};
  const MatrixView<double> out{x.out.data(), queries, q_width}, lse{x.lse.data(), queries, shape.heads},
      dq{x.dq.data(), queries, q_width}, dk{x.dk.data(), tokens, kv_width}, dv{x.dv.data(), tokens, kv_width};
  List scratch(tokens);
  Arbiter::attention(handle, {forest, heads, query_tokens, q, k, v, out, lse, scratch});
  const Write write = before != 0 ? Write::add : Write::assign;
  Arbiter::attention_backward(
      handle, {forest, heads, query_tokens, q, k, v, out, lse, dout, write, dq, write, dk, dv, {}});
  return x;
}

/// Runs all of it once and compares. `pruned`: of the forest's rows alone.
template <class T, int width>
void check(const RandomForest& random, const Shape& shape, bool pruned, bool add, Rng& rng) {
  ForestBuilder builder(shape.sight == Sight::tree ? Sharing::no : Sharing::yes);
  const ForestView<HostSpace> forest = random.build(builder).view();
  const Ids query_tokens = pruned ? Ids(forest.rows.begin(), forest.rows.end()) : Ids{};
  CAPTURE(forest.token_count());
  CAPTURE(query_tokens.size());
  CAPTURE(shape.head_dim);
  CAPTURE(shape.window);
  const double before = add ? 2.0 : 0.0;
  const Operands expected = run_reference<T>(forest, shape, query_tokens, before, rng);
  const bool plain = shape.window == 0 && shape.soft_cap == 0 && shape.sight == Sight::path;
  const Operands found = plain ? run_kernels<T, width, has_plain_kernels<T, width>>(
                                     forest, shape, query_tokens, expected, before)
                               : run_kernels<T, width, false>(forest, shape, query_tokens, expected, before);
  // Rounded are the probabilities and what comes out.
  CHECK(relative_error(found.out, expected.out) <= Kept<T>::after(2));
  CHECK(relative_error(found.lse, expected.lse) <= Tolerance<float>::value);
  // Rounded are out, the probabilities or what follows from them, and the result.
  CHECK(relative_error(found.dq, expected.dq) <= Kept<T>::gradient_after(3));
  CHECK(relative_error(found.dk, expected.dk) <= Kept<T>::gradient_after(3));
  CHECK(relative_error(found.dv, expected.dv) <= Kept<T>::gradient_after(2));
}

TEST_CASE_TEMPLATE("attention along chains is the reference's", T, float, Bf16) {
  Rng rng(1);
  check<T, 64>(chain(1, 0), {2, 1, 32, 0}, false, true, rng);  // dq is 0: seen beside what it is added to
  for (const Index length : std::initializer_list<Index>{3, 17, 64, 130})
    check<T, 64>(chain(length, 0), {2, 1, 32, 0}, false, length == 17, rng);
  check<T, 64>(chain(200, 0), {1, 1, 64, 8}, false, false, rng);
}

TEST_CASE_TEMPLATE("attention over forests is the reference's", T, float, Bf16) {
  Rng rng(2);
  // Many trees; deep ones; long runs, with heads that are not aligned.
  check<T, 64>(grown(rng, 40, 2, 2, 6), {2, 2, 16, 0}, false, false, rng);
  check<T, 64>(grown(rng, 2, 3, 6, 6), {4, 2, 64, 0}, false, true, rng);
  check<T, 64>(grown(rng, 3, 4, 3, 30), {4, 1, 19, 3}, false, false, rng);
}

TEST_CASE_TEMPLATE("attention of some queries is the reference's", T, float, Bf16) {
  Rng rng(3);
  for (int i = 0; i < 3; ++i) check<T, 64>(grown(rng, 3, 3, 4, 12), {4, 2, 24, 0}, true, i == 1, rng);
  // A single query, which sees all keys, or leaves a tile of them that nobody sees.
  check<T, 64>(chain(150, 149), {2, 2, 8, 0}, true, false, rng);
  check<T, 64>(chain(150, 60), {2, 2, 8, 0}, true, false, rng);
  check<T, 64>(chain(150, 60), {2, 2, 8, 0}, true, true, rng);
}

TEST_CASE_TEMPLATE("attention of wide heads is the reference's", T, float, Bf16) {
  Rng rng(4);
  check<T, 128>(grown(rng, 2, 2, 4, 12), {2, 1, 128, 0}, false, false, rng);
  check<T, 128>(grown(rng, 2, 2, 4, 12), {2, 2, 80, 0}, false, true, rng);
  check<T, 256>(grown(rng, 2, 2, 4, 12), {2, 1, 256, 0}, false, false, rng);
  check<T, 256>(chain(70, 69), {1, 1, 136, 3}, true, false, rng);
}

TEST_CASE_TEMPLATE("attention within windows is the reference's", T, float, Bf16) {
  Rng rng(6);
  // Windows of one key, that end inside a tile and with one, and that are wider than the sequence.
  for (const Index window : std::initializer_list<Index>{1, 40, 64, 127, 1000})
    check<T, 64>(chain(200, 0), {2, 1, 32, 0, window}, false, window == 1, rng);  // then dq is 0
  // Branches, whose tiles are near and far at once; several heads to a key.
  check<T, 64>(grown(rng, 40, 2, 2, 6), {2, 2, 16, 0, 4}, false, false, rng);
  if (std::is_same_v<T, float>) return;  // who sees whom is one code
  check<T, 64>(grown(rng, 2, 3, 3, 90), {4, 1, 19, 3, 30}, false, false, rng);
  for (int i = 0; i < 3; ++i) check<T, 64>(grown(rng, 3, 3, 4, 40), {4, 2, 24, 0, 20}, true, i == 1, rng);
  // Few queries, which leave tiles of keys that nobody sees; one that reaches the last of more than a warp's tiles.
  check<T, 64>(chain(300, 299), {2, 2, 8, 0, 70}, true, true, rng);
  check<T, 64>(chain(64 * 36, 64 * 36 - 1), {1, 1, 8, 0, 10}, true, false, rng);
  check<T, 128>(chain(200, 0), {2, 1, 80, 0, 70}, false, false, rng);
  check<T, 256>(chain(140, 0), {1, 1, 136, 3, 50}, false, false, rng);
}

TEST_CASE_TEMPLATE("attention under a soft cap is the reference's", T, float, Bf16) {
  Rng rng(7);
  check<T, 64>(chain(130, 0), {2, 1, 32, 0, 0, 1.5}, false, false, rng);
  check<T, 64>(grown(rng, 3, 3, 4, 12), {4, 2, 24, 0, 20, 0.7}, true, true, rng);
  check<T, 128>(grown(rng, 2, 2, 4, 12), {2, 2, 80, 0, 0, 3.0}, false, false, rng);
  check<T, 256>(grown(rng, 2, 2, 4, 12), {2, 1, 256, 0, 30, 3.0}, false, false, rng);
}

TEST_CASE_TEMPLATE("attention over whole trees is the reference's", T, float, Bf16) {
  Rng rng(8);
  check<T, 64>(chain(150, 60), {2, 1, 32, 0, 0, 0, Sight::tree}, false, false, rng);
  check<T, 64>(chain(150, 60), {2, 1, 32, 0, 0, 0, Sight::tree}, true, true, rng);
  // Many sequences in a tile; some longer than one.
  check<T, 64>(grown(rng, 20, 2, 2, 6), {2, 2, 16, 0, 0, 0, Sight::tree}, false, false, rng);
  if (std::is_same_v<T, float>) return;  // who sees whom is one code
  check<T, 64>(grown(rng, 2, 2, 2, 150), {4, 2, 24, 0, 0, 0, Sight::tree}, false, true, rng);
  check<T, 64>(grown(rng, 3, 2, 3, 60), {2, 1, 24, 0, 0, 0, Sight::tree}, true, false, rng);
  // Windows on both sides, and a soft cap.
  for (const Index window : std::initializer_list<Index>{1, 63, 64, 100, 1000})
    check<T, 64>(chain(200, 0), {2, 1, 32, 0, window, 0, Sight::tree}, false, window == 1, rng);
  check<T, 64>(grown(rng, 2, 2, 2, 150), {4, 2, 24, 0, 33, 2.0, Sight::tree}, false, false, rng);
  check<T, 64>(grown(rng, 3, 2, 3, 60), {2, 1, 24, 0, 20, 0, Sight::tree}, true, false, rng);
  check<T, 128>(chain(140, 0), {2, 1, 80, 0, 0, 0, Sight::tree}, false, false, rng);
}

TEST_CASE_TEMPLATE("tiles that a window does not reach are not looked at", T, float, Bf16) {
  Rng rng(9);
  constexpr Index tile = 64, tiles = 5, tokens = tile * tiles, width = 8;
  ForestBuilder builder;
  const ForestView<HostSpace> forest = chain(tokens, 0).build(builder).view();
  for (const Sight sight : {Sight::path, Sight::tree}) {
    const Shape shape{1, 1, width, 0, 40, 0, sight};
    const Operands given = run_reference<T>(forest, shape, {}, 0, rng);
    const Operands clean = run_kernels<T, 64, false>(forest, shape, {}, given, 0);
    for (const Index spoiled : {Index{0}, tiles - 1}) {
      Operands with_nan = given;
      for (List* list : {&with_nan.q, &with_nan.k, &with_nan.v, &with_nan.dout})
        for (Index i = 0; i < tile * width; ++i) (*list)[spoiled * tile * width + i] = std::nan("");
      const Operands found = run_kernels<T, 64, false>(forest, shape, {}, with_nan, 0);
      // The tile itself and its neighbour see it.
      const Index begin = spoiled == 0 ? 2 * tile * width : 0, size = (tiles - 2) * tile * width;
      for (List Operands::*result : {&Operands::out, &Operands::dq, &Operands::dk, &Operands::dv}) {
        const auto part = [&](const Operands& all) {
          return List((all.*result).data() + begin, (all.*result).data() + begin + size);
        };
        CHECK(part(found) == part(clean));
      }
    }
  }
}

/// Whether as many blocks as a kernel counts on fit the shared memory of a multiprocessor, and one what a block may have.
template <class Kernel>
void check_shared_memory() {
  constexpr int of_multiprocessor = 228 * 1024, reserved = 1024, of_block = 227 * 1024;  // of Hopper
  const int bytes = Kernel{}.grid().shared_bytes;
  CHECK(bytes <= of_block);
  CHECK(Kernel::least_blocks * (bytes + reserved) <= of_multiprocessor);
}

template <class T, int width, bool plain>
void check_shared_memory_of_all() {
  check_shared_memory<AttentionKernel<T, width, plain>>();
  check_shared_memory<AttentionQueryPass<T, width, plain>>();
  check_shared_memory<AttentionKeyPass<T, width, plain>>();
}

TEST_CASE_TEMPLATE("attention fits the shared memory of a Hopper", T, float, Bf16) {
  check_shared_memory_of_all<T, 64, false>();
  check_shared_memory_of_all<T, 128, false>();
  check_shared_memory_of_all<T, 256, false>();
  if constexpr (has_plain_kernels<T, 64>) check_shared_memory_of_all<T, 64, true>();
  if constexpr (has_plain_kernels<T, 128>) check_shared_memory_of_all<T, 128, true>();
}

TEST_CASE("the lists hold each pair of tiles that has something to see, and say where it is all") {
  Rng rng(5);
  Index partly = 0, fully = 0, without = 0;
  AttentionTiles tiles;
  for (int round = 0; round < 40; ++round) {
    ForestBuilder builder;
    const RandomForest random = round == 0 ? chain(1 + 64 * 5, 0) : grown(rng, 1 + rng.below(20), 3, 5, 40);
    const Forest& forest = random.build(builder);
    const bool pruned = round % 3 == 2;
    const ForestView<HostSpace> view = forest.view();
    const Index tokens = forest.token_count(), queries = pruned ? view.rows.size : tokens;
    tiles.build(view, pruned ? view.rows : VectorView<const std::uint32_t>{});
    const HostTileLists &of_queries = tiles.of_queries(), &of_keys = tiles.of_keys();
    const Index rows = (queries + 63) / 64, cols = (tokens + 63) / 64;
    REQUIRE(of_queries.begin.size() == rows + 1);
    REQUIRE(of_keys.begin.size() == cols + 1);

    std::vector<std::vector<std::uint32_t>> expected(rows), transposed(cols);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        Index pairs = 0, all = 0;
        for (Index a = 64 * i; a < std::min(queries, 64 * i + 64); ++a) {
          const Index token = pruned ? view.rows[a] : a;
          all += 64;
          for (Index key = 64 * j; key < std::min(tokens, 64 * j + 64); ++key)
            pairs += key <= token && token < view.subtree_end[key];
        }
        (pairs == 0 ? without : pairs == all ? fully : partly) += 1;
        if (pairs == 0) continue;
        expected[i].push_back(static_cast<std::uint32_t>(2 * j + (pairs == all)));
        transposed[j].push_back(static_cast<std::uint32_t>(2 * i + (pairs == all)));
      }
    }
    const auto check_lists = [](const HostTileLists& lists,
                                const std::vector<std::vector<std::uint32_t>>& right) {
      std::vector<bool> met(right.size());
      Index longest = lists.entries.size();
      for (const std::uint32_t tile : lists.order) {
        CHECK(!met.at(tile));
        met[tile] = true;
        const std::vector<std::uint32_t> list(lists.entries.begin() + lists.begin[tile],
                                              lists.entries.begin() + lists.begin[tile + 1]);
        CHECK(list == right[tile]);
        CHECK(list.size() <= longest);
        longest = list.size();
      }
      CHECK(lists.order.size() == right.size());
    };
    check_lists(of_queries, expected);
    check_lists(of_keys, transposed);
    const auto check_bounds = [&](const Ids& bounds, Index count, auto token) {
      REQUIRE(bounds.size() == 2 * ((count + 63) / 64));
      for (Index first = 0; first < count; first += 64) {
        Ids of_tile;
        for (Index i = first; i < std::min(first + 64, count); ++i)
          of_tile.push_back(view.positions[token(i)]);
        CHECK(bounds[first / 32] == *std::min_element(of_tile.begin(), of_tile.end()));
        CHECK(bounds[first / 32 + 1] == *std::max_element(of_tile.begin(), of_tile.end()));
      }
    };
    check_bounds(of_queries.bounds, queries, [&](Index i) { return pruned ? Index{view.rows[i]} : i; });
    check_bounds(of_keys.bounds, tokens, [](Index i) { return i; });
  }
  CHECK(partly > 100);
  CHECK(fully > 20);
  CHECK(without > 100);
}

}  // namespace attention_kernels_test
