// The backward of attention over a forest. With P = softmax(S), S = scale · q · kᵀ:
//   dV = Pᵀ dO,   dS = P ∘ (dO Vᵀ − delta),   dQ = scale · dS K,   dK = scale · dSᵀ Q,   delta = rowsum(dO ∘ O)
// where P is made again from lse; under a soft cap S = cap · tanh(scale · q · kᵀ / cap), and dS is 1 − (S / cap)² times that.
// One kernel gives delta, one dQ by tiles of queries, one dK and dV by tiles of keys: each block owns what it writes, so
// nothing is added by two of them, and the bits are the same each run. That costs S and dO Vᵀ a second time.
#pragma once

#include <cmath>
#include <cstdint>

#include "merit/backend/thrust/kernels/attention_problem.hpp"
#include "merit/backend/thrust/kernels/attention_tiles.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/tile_product.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// delta (Q, H) = Σ dO · O of each query and head; a warp for each.
template <class T>
struct AttentionDeltaKernel {
  Index queries = 0;
  int heads = 1, head_dim = 1;
  Rows<const T> out;       // (Q, H·dh)
  Rows<const T> dout;      // (Q, H·dh)
  float* delta = nullptr;  // (Q, H)

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 8;
  static constexpr int n = numbers_at_once<T>;

  Grid grid() const {
    return {.columns = divide_up(queries * static_cast<Index>(heads), most_threads / warp_size)};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const auto i = static_cast<std::uint32_t>(block.column()) * (most_threads / warp_size) +
                   static_cast<std::uint32_t>(block.thread() / warp_size);
    const std::uint32_t query = i / static_cast<std::uint32_t>(heads);
    if (query >= queries) return;
    const auto head = static_cast<Index>(i % static_cast<std::uint32_t>(heads));
    const T* const o = out.row(query) + head * static_cast<Index>(head_dim);
    const T* const d = dout.row(query) + head * static_cast<Index>(head_dim);
    float sum = 0;
    for_each_run_of_lane<n>(block, static_cast<Index>(head_dim), [&](Index j, int count) {
      const Numbers<n> a = load_numbers<n>(block, o + j, count), b = load_numbers<n>(block, d + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) sum += a.value[k] * b.value[k];
    });
    sum = sum_over_warp(block, sum);
    if (block.thread() % warp_size == 0) block.store(delta + i, sum);
  }
};

/// What both passes are given beside the problem.
template <class T>
struct AttentionGradients {
  Rows<const T> dout;            // (Q, H·dh)
  Rows<const float> lse;         // (Q, H)
  const float* delta = nullptr;  // (Q, H)
  bool add = false;
};

/// The other side's tiles in shared memory, 32 rows at a time: two matrices, and the next rows of them on their way where
/// there is room.
template <class T, int width>
struct PassLayout {
  static constexpr bool halves = sizeof(T) == 2;
  static constexpr int own = static_cast<int>(attention_tile);
  static constexpr int others = 32;
  static constexpr int stages = halves ? 2 : 1;
  static constexpr int steps = own / others;
  using Layout = Tile<T, width>;
  static constexpr int bytes = Layout::bytes(2 * own + 2 * stages * others);

  static_assert(steps % stages == 0);  // which tiles are left out makes no difference to a step's stage

  /// The tile of a step on the other side, of the first matrix or the second.
  template <class Block>
  MERIT_KERNEL static auto other(Block& block, int step, int which) {
    const int at = 2 * own + (2 * (step % stages) + which) * others;
    return block.template shared<T>(Layout::bytes(at), others * Layout::stride);
  }
};

/// dQ.
template <class T, int width, bool plain>
struct AttentionQueryPass {
  AttentionProblem<T> problem;
  AttentionGradients<T> given;
  TileLists lists;  // of the tiles of queries
  Rows<T> dq;       // (Q, H·dh)

  using Pass = PassLayout<T, width>;
  using Layout = Tile<T, width>;
  static constexpr int rows = Pass::halves && width <= 128 ? 2 : 1;
  static constexpr int most_threads = Pass::own / (16 * rows) * warp_size;
  static constexpr int least_blocks = !Pass::halves || width > 128 ? 1 : width > 64 ? 3 : plain ? 5 : 4;

  Grid grid() const {
    return {.columns = lists.tiles * static_cast<Index>(problem.heads),
            .threads = most_threads,
            .shared_bytes = Pass::bytes};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const AttentionProblem<T>& p = problem;
    const auto tile = BlockTile<T, Pass::steps, plain>::of_queries(block, lists, p);
    const int head = tile.head, count = tile.count();

    const auto q_tile = block.template shared<T>(0, Pass::own * Layout::stride);
    const auto d_tile = block.template shared<T>(Layout::bytes(Pass::own), Pass::own * Layout::stride);
    const auto load_keys = [&](int step) {
      const Index key = tile.other(block, step);
      load_tile<T, width>(block, Pass::other(block, step, 0), Pass::others, p.k_of(head), key, p.tokens,
                          p.head_dim);
      load_tile<T, width>(block, Pass::other(block, step, 1), Pass::others, p.v_of(head), key, p.tokens,
                          p.head_dim);
      block.commit_async();
    };

    const int lane = block.thread() % warp_size, pair = 2 * (lane % 4);
    const int own_row = block.thread() / warp_size * 16 * rows;
    std::uint32_t token[rows][2], position[rows][2];
    float lse[rows][2], delta[rows][2];  // lse in units of ln 2
    MERIT_UNROLL
    for (int r = 0; r < rows; ++r) {
      MERIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Index query = tile.first + static_cast<Index>(own_row + 16 * r + lane / 4 + 8 * half);
        const bool there = query < p.queries;
        token[r][half] = p.token(block, query);
        position[r][half] = p.template position<plain>(block, token[r][half]);
        lse[r][half] = there ? block.load(given.lse.row(query) + head) * log2_of_e : infinity;
        delta[r][half] = there ? block.load(given.delta + query * static_cast<Index>(p.heads) + head) : 0.0f;
      }
    }

    const Rows<const T> dout{given.dout.data + head * p.head_dim, given.dout.stride};
    load_tile<T, width>(block, q_tile, Pass::own, p.q_of(head), tile.first, p.queries, p.head_dim);
    load_tile<T, width>(block, d_tile, Pass::own, dout, tile.first, p.queries, p.head_dim);
    int step = tile.next(block, 0);
    load_keys(step);
    Fragment<rows, width / 8> sum{};
    const float factor = p.template factor<plain>();
    while (step < count) {
      const int following = tile.next(block, step + 1);
      const bool full = tile.is_full(block, step);
      block.template wait_async<0>();
      block.sync();  // the keys are there; the other stage's are done with
      if (Pass::stages == 2 && following < count) load_keys(following);
      const auto k_tile = Pass::other(block, step, 0), v_tile = Pass::other(block, step, 1);
      Fragment<rows, Pass::others / 8> scores{}, slopes{};
      add_product_transposed<width>(block, scores, q_tile, own_row, k_tile, 0, T{});
      add_product_transposed<width>(block, slopes, d_tile, own_row, v_tile, 0, T{});
      const bool capped = !plain && p.soft_cap != 0;
      if (capped) p.cap(scores);
      const std::uint32_t key = tile.other(block, step);
      MERIT_UNROLL
      for (int n = 0; n < Pass::others / 8; ++n) {
        MERIT_UNROLL
        for (int j = 0; j < 2; ++j) {
          const std::uint32_t at = key + static_cast<std::uint32_t>(8 * n + pair + j);
          const Seers seers = p.template seers<plain>(block, at, !full);
          MERIT_UNROLL
          for (int r = 0; r < rows; ++r) {
            MERIT_UNROLL
            for (int half = 0; half < 2; ++half) {
              const int i = 2 * half + j;
              const float score = scores.value[r][n][i];
              const bool seen = full || seers.template hold<plain>(token[r][half], position[r][half]);
              const float probability = seen ? std::exp2(std::fma(score, factor, -lse[r][half])) : 0.0f;
              slopes.value[r][n][i] = probability * (slopes.value[r][n][i] - delta[r][half]);
              if (capped) slopes.value[r][n][i] *= 1.0f - score * score;
            }
          }
        }
      }
      add_product<width>(block, sum, slopes, k_tile, 0, 0, T{});
      if (Pass::stages == 1) {
        block.sync();  // the keys are done with
        if (following < count) load_keys(following);
      }
      step = following;
    }
    store_fragment(block, sum, Rows<T>{dq.data + head * p.head_dim, dq.stride},
                   tile.first + static_cast<Index>(own_row), p.queries, p.head_dim, given.add,
                   [&](int, int) { return p.scale; });
  }
};

/// dK and dV. A warp's rows are keys, so the products are those of the transposed matrices. The query heads of a group are
/// taken one after the other. Of heads wider than 128, a block gives 128 columns, for want of registers.
template <class T, int width, bool plain>
struct AttentionKeyPass {
  AttentionProblem<T> problem;
  AttentionGradients<T> given;
  TileLists lists;  // of the tiles of keys
  Rows<T> dk;       // (T, Hkv·dh)
  Rows<T> dv;       // (T, Hkv·dh)

  using Pass = PassLayout<T, width>;
  using Layout = Tile<T, width>;
  static constexpr int rows = Pass::halves && width == 64 ? 2 : 1;
  static constexpr int most_threads = Pass::own / (16 * rows) * warp_size;
  static constexpr int least_blocks = width == 64 && Pass::halves ? 4 : width == 128 && Pass::halves ? 2 : 1;
  static constexpr int columns = width < 128 ? width : 128;  // that a block gives
  static constexpr int parts = width / columns;
  static constexpr int numbers_bytes =  // of a step's queries
      (plain ? 3 : 4) * Pass::others * static_cast<int>(sizeof(float));

  Grid grid() const {
    return {.columns = lists.tiles * static_cast<Index>(problem.kv_heads),
            .rows = parts,
            .threads = most_threads,
            .shared_bytes = Pass::bytes + Pass::stages * numbers_bytes};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const AttentionProblem<T>& p = problem;
    const int first_column = static_cast<int>(block.row()) * columns;
    if (first_column >= p.head_dim) return;
    const auto tile = BlockTile<T, Pass::steps, plain>::of_keys(block, lists, p);
    const int group = p.heads / p.kv_heads, first_head = tile.head * group, count = tile.count();

    const auto k_tile = block.template shared<T>(0, Pass::own * Layout::stride);
    const auto v_tile = block.template shared<T>(Layout::bytes(Pass::own), Pass::own * Layout::stride);
    // lse in units of ln 2, and delta, of a step's queries; of those that are not there, so that P is 0. And their tokens,
    // and the positions of those.
    const auto numbers = [&](int step) {
      return block.template shared<float>(Pass::bytes + step % Pass::stages * numbers_bytes,
                                          2 * Pass::others);
    };
    const auto tokens = [&](int step) {
      return block.template shared<std::uint32_t>(
          Pass::bytes + step % Pass::stages * numbers_bytes + 2 * Pass::others * 4,
          (plain ? 1 : 2) * Pass::others);
    };
    const auto load_queries = [&](int head, int step) {
      const Index query = tile.other(block, step);
      const Rows<const T> dout{given.dout.data + head * p.head_dim, given.dout.stride};
      load_tile<T, width>(block, Pass::other(block, step, 0), Pass::others, p.q_of(head), query, p.queries,
                          p.head_dim);
      load_tile<T, width>(block, Pass::other(block, step, 1), Pass::others, dout, query, p.queries,
                          p.head_dim);
      block.commit_async();
      if (block.thread() < Pass::others) {
        const Index at = query + static_cast<Index>(block.thread());
        const bool there = at < p.queries;
        numbers(step).set(block.thread(),
                          there ? block.load(given.lse.row(at) + head) * log2_of_e : infinity);
        numbers(step).set(Pass::others + block.thread(),
                          there ? block.load(given.delta + at * static_cast<Index>(p.heads) + head) : 0.0f);
        const std::uint32_t token = p.token(block, at);
        tokens(step).set(block.thread(), token);
        if (!plain) tokens(step).set(Pass::others + block.thread(), p.template position<plain>(block, token));
      }
    };

    const int lane = block.thread() % warp_size, pair = 2 * (lane % 4);
    const int own_row = block.thread() / warp_size * 16 * rows;
    // A thread's keys are this one, 8, 16, 24 further.
    const std::uint32_t key =
        static_cast<std::uint32_t>(tile.first) + static_cast<std::uint32_t>(own_row + lane / 4);

    Fragment<rows, columns / 8> k_sum{}, v_sum{};
    const float factor = p.template factor<plain>();
    int head = first_head, step = tile.next(block, 0);
    if (step < count) {
      load_tile<T, width>(block, k_tile, Pass::own, p.k_of(first_head), tile.first, p.tokens, p.head_dim);
      load_tile<T, width>(block, v_tile, Pass::own, p.v_of(first_head), tile.first, p.tokens, p.head_dim);
      load_queries(head, step);
    }
    while (step < count) {
      const bool full = tile.is_full(block, step);
      int following = tile.next(block, step + 1);
      if (following == count && ++head < first_head + group) following = tile.next(block, 0);
      block.template wait_async<0>();
      block.sync();  // the queries are there; the other stage's are done with
      if (Pass::stages == 2 && following < count) load_queries(head, following);
      const auto q_tile = Pass::other(block, step, 0), d_tile = Pass::other(block, step, 1);
      Fragment<rows, Pass::others / 8> scores{}, slopes{};  // (keys, queries)
      add_product_transposed<width>(block, scores, k_tile, own_row, q_tile, 0, T{});
      add_product_transposed<width>(block, slopes, v_tile, own_row, d_tile, 0, T{});
      Seers seers[rows][2];
      MERIT_UNROLL
      for (int r = 0; r < rows; ++r) {
        MERIT_UNROLL
        for (int half = 0; half < 2; ++half)
          seers[r][half] =
              p.template seers<plain>(block, key + static_cast<std::uint32_t>(16 * r + 8 * half), !full);
      }
      const bool capped = !plain && p.soft_cap != 0;
      if (capped) p.cap(scores);
      MERIT_UNROLL
      for (int n = 0; n < Pass::others / 8; ++n) {
        MERIT_UNROLL
        for (int j = 0; j < 2; ++j) {
          const int column = 8 * n + pair + j;
          const float lse = numbers(step).get(column), delta = numbers(step).get(Pass::others + column);
          const std::uint32_t token = tokens(step).get(column),
                              position = plain ? 0 : tokens(step).get(Pass::others + column);
          MERIT_UNROLL
          for (int r = 0; r < rows; ++r) {
            MERIT_UNROLL
            for (int half = 0; half < 2; ++half) {
              const int i = 2 * half + j;
              const float score = scores.value[r][n][i];
              const bool seen = full || seers[r][half].template hold<plain>(token, position);
              const float probability = seen ? std::exp2(std::fma(score, factor, -lse)) : 0.0f;
              scores.value[r][n][i] = probability;
              slopes.value[r][n][i] = probability * (slopes.value[r][n][i] - delta);
              if (capped) slopes.value[r][n][i] *= 1.0f - score * score;
            }
          }
        }
      }
      add_product<width>(block, v_sum, scores, d_tile, 0, first_column, T{});
      add_product<width>(block, k_sum, slopes, q_tile, 0, first_column, T{});
      if (Pass::stages == 1) {
        block.sync();  // the queries are done with
        if (following < count) load_queries(head, following);
      }
      step = following;
    }
    const int to = p.kv_head(first_head) * p.head_dim + first_column;
    store_fragment(block, k_sum, Rows<T>{dk.data + to, dk.stride}, tile.first + static_cast<Index>(own_row),
                   p.tokens, p.head_dim - first_column, given.add, [&](int, int) { return p.scale; });
    store_fragment(block, v_sum, Rows<T>{dv.data + to, dv.stride}, tile.first + static_cast<Index>(own_row),
                   p.tokens, p.head_dim - first_column, given.add, [](int, int) { return 1.0f; });
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
