// Attention over forests, forward and backward, beside the reference backend in double; and the lists of tiles beside a
// count of every pair.
#include <doctest/doctest.h>

#include <algorithm>
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
  Array<std::uint32_t> begin, entries, order;

  explicit DeviceLists(const HostTileLists& host)
      : begin(row_of<std::uint32_t>(host.begin)),
        entries(row_of<std::uint32_t>(host.entries)),
        order(row_of<std::uint32_t>(host.order)) {}
  TileLists view(const HostTileLists& host) const {
    return {host.order.size(), begin.data(), entries.data(), order.data()};
  }
};

struct Shape {
  Index heads, kv_heads, head_dim, padding;
};

/// Runs all of it once and compares. `pruned`: of the forest's rows alone.
template <class T, int width>
void check(const RandomForest& random, const Shape& shape, bool pruned, bool add, Rng& rng) {
  ForestBuilder builder;
  const Forest& forest = random.build(builder);
  const ForestView<HostSpace> view = forest.view();
  const Index tokens = forest.token_count();
  const Ids query_tokens = pruned ? Ids(view.rows.begin(), view.rows.end()) : Ids{};
  const Index queries = pruned ? query_tokens.size() : tokens;
  const Index q_width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  CAPTURE(tokens);
  CAPTURE(queries);
  CAPTURE(shape.head_dim);
  const double scale = 0.3;
  const List q = random_list<T>(rng, queries * q_width), k = random_list<T>(rng, tokens * kv_width),
             v = random_list<T>(rng, tokens * kv_width), dout = random_list<T>(rng, queries * q_width);

  // The reference.
  Arbiter::Handle handle{Arbiter{}};
  const AttentionShape heads{shape.heads, shape.kv_heads, shape.head_dim, scale};
  List out(queries * q_width), lse(queries * shape.heads), scratch(tokens);
  const MatrixView<const double> qm{q.data(), queries, q_width}, km{k.data(), tokens, kv_width},
      vm{v.data(), tokens, kv_width};
  const MatrixView<double> om{out.data(), queries, q_width}, lm{lse.data(), queries, shape.heads};
  Arbiter::attention(handle, {view, heads, query_tokens, qm, km, vm, om, lm, scratch});
  const double before = add ? 2.0 : 0.0;
  List dq(queries * q_width, before), dk(tokens * kv_width, before), dv(tokens * kv_width, before);
  const Write write = add ? Write::add : Write::assign;
  Arbiter::attention_backward(handle, {view,
                                       heads,
                                       query_tokens,
                                       qm,
                                       km,
                                       vm,
                                       om,
                                       lm,
                                       {dout.data(), queries, q_width},
                                       write,
                                       {dq.data(), queries, q_width},
                                       write,
                                       {dk.data(), tokens, kv_width},
                                       {dv.data(), tokens, kv_width},
                                       {}});

  // The kernels.
  AttentionTiles tiles;
  tiles.build(view, query_tokens);
  const DeviceLists of_queries(tiles.of_queries()), of_keys(tiles.of_keys());
  const Array<std::uint32_t> ends =
      row_of<std::uint32_t>(Ids(view.subtree_end.begin(), view.subtree_end.end()));
  const Array<std::uint32_t> which = row_of<std::uint32_t>(query_tokens);
  const Array<T> qa(queries, q_width, q, shape.padding), ka(tokens, kv_width, k, shape.padding),
      va(tokens, kv_width, v, shape.padding), da(queries, q_width, dout, shape.padding);
  const AttentionProblem<T> problem{queries,
                                    tokens,
                                    static_cast<int>(shape.heads),
                                    static_cast<int>(shape.kv_heads),
                                    static_cast<int>(shape.head_dim),
                                    static_cast<float>(scale),
                                    pruned ? which.data() : nullptr,
                                    ends.data(),
                                    qa.constant(),
                                    ka.constant(),
                                    va.constant()};
  Array<T> result(queries, q_width, shape.padding);
  Array<float> sums(queries, shape.heads, 1);
  run(AttentionKernel<T, width>{problem, of_queries.view(tiles.of_queries()), result.rows(), sums.rows()});
  // Rounded are the probabilities and what comes out.
  CHECK(relative_error(result.values(), out) <= Kept<T>::after(2));
  CHECK(relative_error(sums.values(), lse) <= Tolerance<float>::value);

  const Array<T> kept_out(queries, q_width, out, shape.padding);
  const Array<float> kept_lse(queries, shape.heads, lse);
  Array<float> delta(queries, shape.heads);
  run(AttentionDeltaKernel<T>{queries, problem.heads, problem.head_dim, kept_out.constant(), da.constant(),
                              delta.data()});
  const AttentionGradients<T> given{da.constant(), kept_lse.constant(), delta.data(), add};
  Array<T> dqa(queries, q_width, shape.padding), dka(tokens, kv_width, shape.padding),
      dva(tokens, kv_width, shape.padding);
  if (add) {
    dqa.set(List(queries * q_width, before));
    dka.set(List(tokens * kv_width, before));
    dva.set(List(tokens * kv_width, before));
  }
  run(AttentionQueryPass<T, width>{problem, given, of_queries.view(tiles.of_queries()), dqa.rows()});
  run(AttentionKeyPass<T, width>{problem, given, of_keys.view(tiles.of_keys()), dka.rows(), dva.rows()});
  // Rounded are out, the probabilities or what follows from them, and the result.
  CHECK(relative_error(dqa.values(), dq) <= Kept<T>::gradient_after(3));
  CHECK(relative_error(dka.values(), dk) <= Kept<T>::gradient_after(3));
  CHECK(relative_error(dva.values(), dv) <= Kept<T>::gradient_after(2));
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

/// Whether as many blocks as a kernel counts on fit the shared memory of a multiprocessor, and one what a block may have.
template <class Kernel>
void check_shared_memory() {
  constexpr int of_multiprocessor = 228 * 1024, reserved = 1024, of_block = 227 * 1024;  // of Hopper
  const int bytes = Kernel{}.grid().shared_bytes;
  CHECK(bytes <= of_block);
  CHECK(Kernel::least_blocks * (bytes + reserved) <= of_multiprocessor);
}

TEST_CASE_TEMPLATE("attention fits the shared memory of a Hopper", T, float, Bf16) {
  check_shared_memory<AttentionKernel<T, 64>>();
  check_shared_memory<AttentionKernel<T, 128>>();
  check_shared_memory<AttentionKernel<T, 256>>();
  check_shared_memory<AttentionQueryPass<T, 64>>();
  check_shared_memory<AttentionQueryPass<T, 128>>();
  check_shared_memory<AttentionQueryPass<T, 256>>();
  check_shared_memory<AttentionKeyPass<T, 64>>();
  check_shared_memory<AttentionKeyPass<T, 128>>();
  check_shared_memory<AttentionKeyPass<T, 256>>();
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
  }
  CHECK(partly > 100);
  CHECK(fully > 20);
  CHECK(without > 100);
}

}  // namespace attention_kernels_test
