// Attention over a forest: for each query the softmax of scale · q · k over the keys that its token sees, times their
// values. A block takes a tile of queries of one head and passes over the tiles of keys of its list with a running
// softmax (Dao et al. 2022, 2023), so that nothing of queries x keys is ever in memory.
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

/// `width` is head_dim rounded up to a size the kernel is compiled for: 64, 128 or 256. plain: attention_problem.hpp.
template <class T, int width, bool plain>
struct AttentionKernel {
  AttentionProblem<T> problem;
  TileLists lists;       // of the tiles of queries
  Rows<T> out;           // (Q, H·dh)
  Rows<float> lse = {};  // (Q, H): log Σ exp of each row; optional

  static constexpr bool halves = sizeof(T) == 2;
  // 16-row fragments of a warp: two share what is read of the keys, where the registers suffice.
  static constexpr int rows = halves && width <= 128 ? 2 : 1;
  static constexpr int most_threads = static_cast<int>(attention_tile) / (16 * rows) * warp_size;
  static constexpr int least_blocks = halves && width <= 128 ? 4 : 1;
  static constexpr int keys = halves && width <= 64 ? 64 : 32;  // in shared memory at a time
  static constexpr int steps = static_cast<int>(attention_tile) / keys;
  using Layout = Tile<T, width>;

  Grid grid() const {
    return {.columns = lists.tiles * static_cast<Index>(problem.heads),
            .threads = most_threads,
            .shared_bytes = Layout::bytes(static_cast<int>(attention_tile) + 2 * keys)};
  }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const AttentionProblem<T>& p = problem;
    const auto tile = BlockTile<T, steps, plain>::of_queries(block, lists, p);
    const int head = tile.head, count = tile.count();

    const auto q_tile = block.template shared<T>(0, static_cast<int>(attention_tile) * Layout::stride);
    const auto k_tile =
        block.template shared<T>(Layout::bytes(static_cast<int>(attention_tile)), keys * Layout::stride);
    const auto v_tile = block.template shared<T>(Layout::bytes(static_cast<int>(attention_tile) + keys),
                                                 keys * Layout::stride);

    const int lane = block.thread() % warp_size;
    const int own_row = block.thread() / warp_size * 16 * rows;  // of the tile, the warp's first
    std::uint32_t token[rows][2];
    Fragment<rows, width / 8> sum{};  // of exp · v
    const float factor = p.template factor<plain>();
    float largest[rows][2];  // of the scores, in units of ln 2
    float total[rows][2];    // of their powers, this thread's part
    MERIT_UNROLL
    for (int r = 0; r < rows; ++r) {
      MERIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        token[r][half] =
            p.token(block, tile.first + static_cast<Index>(own_row + 16 * r + lane / 4 + 8 * half));
        largest[r][half] = -infinity;
        total[r][half] = 0;
      }
    }

    const auto load_keys = [&](int step) {
      load_tile<T, width>(block, k_tile, keys, p.k_of(head), Index{tile.other(block, step)}, p.tokens,
                          p.head_dim);
      block.commit_async();
    };
    load_tile<T, width>(block, q_tile, static_cast<int>(attention_tile), p.q_of(head), tile.first, p.queries,
                        p.head_dim);
    int step = tile.next(block, 0);
    load_keys(step);
    while (step < count) {
      const int following = tile.next(block, step + 1);
      block.template wait_async<0>();
      block.sync();  // the keys are there, and the values before them are done with
      load_tile<T, width>(block, v_tile, keys, p.v_of(head), Index{tile.other(block, step)}, p.tokens,
                          p.head_dim);
      block.commit_async();

      Fragment<rows, keys / 8> scores{};
      add_product_transposed<width>(block, scores, q_tile, own_row, k_tile, 0, T{});

      block.template wait_async<0>();
      block.sync();  // the values are there, and the keys are done with
      if (following < count) load_keys(following);

      if (!plain && p.soft_cap != 0) p.cap(scores);
      if (!tile.is_full(block, step)) mask(block, scores, token, tile.other(block, step));
      MERIT_UNROLL
      for (int r = 0; r < rows; ++r) {
        MERIT_UNROLL
        for (int half = 0; half < 2; ++half) {
          float most = -infinity;
          MERIT_UNROLL
          for (int n = 0; n < keys / 8; ++n)
            most = larger(most, larger(scores.value[r][n][2 * half], scores.value[r][n][2 * half + 1]));
          most = larger(most, block.exchange(most, 1));
          most = larger(most, block.exchange(most, 2));
          most = larger(largest[r][half], most * factor);
          const float base =
              most == -infinity ? 0.0f : most;  // nothing seen so far: powers of −∞, not of a NaN
          const float shrink = std::exp2(largest[r][half] - base);
          largest[r][half] = most;
          float part = 0;
          MERIT_UNROLL
          for (int n = 0; n < keys / 8; ++n) {
            MERIT_UNROLL
            for (int j = 0; j < 2; ++j) {
              float& x = scores.value[r][n][2 * half + j];
              x = std::exp2(std::fma(x, factor, -base));
              part += x;
            }
          }
          total[r][half] = total[r][half] * shrink + part;
          MERIT_UNROLL
          for (int n = 0; n < width / 8; ++n) {
            sum.value[r][n][2 * half] *= shrink;
            sum.value[r][n][2 * half + 1] *= shrink;
          }
        }
      }
      add_product<width>(block, sum, scores, v_tile, 0, 0, T{});
      step = following;
    }

    MERIT_UNROLL
    for (int r = 0; r < rows; ++r) {
      MERIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        float& all = total[r][half];
        all += block.exchange(all, 1);
        all += block.exchange(all, 2);
        const Index query = tile.first + static_cast<Index>(own_row + 16 * r + lane / 4 + 8 * half);
        if (lse.data != nullptr && lane % 4 == 0 && query < p.queries)
          block.store(lse.row(query) + head, largest[r][half] * ln_of_2 + std::log(all));
      }
    }
    store_fragment(block, sum, Rows<T>{out.data + head * p.head_dim, out.stride},
                   tile.first + static_cast<Index>(own_row), p.queries, p.head_dim, false,
                   [&](int r, int half) { return 1.0f / total[r][half]; });
  }

 private:
  /// What does not see each other scores −∞, of the tokens of a thread's queries and the keys from `first_key` on.
  template <class Block>
  MERIT_KERNEL void mask(Block& block, Fragment<rows, keys / 8>& scores,
                         const std::uint32_t (&token)[rows][2], std::uint32_t first_key) const {
    const int pair = 2 * (block.thread() % 4);
    std::uint32_t position[rows][2];
    MERIT_UNROLL
    for (int r = 0; r < rows; ++r) {
      MERIT_UNROLL
      for (int half = 0; half < 2; ++half)
        position[r][half] = problem.template position<plain>(block, token[r][half]);
    }
    MERIT_UNROLL
    for (int n = 0; n < keys / 8; ++n) {
      MERIT_UNROLL
      for (int j = 0; j < 2; ++j) {
        const std::uint32_t key = first_key + static_cast<std::uint32_t>(8 * n + pair + j);
        const Seers seers = problem.template seers<plain>(block, key);
        MERIT_UNROLL
        for (int r = 0; r < rows; ++r) {
          MERIT_UNROLL
          for (int half = 0; half < 2; ++half)
            if (!seers.template hold<plain>(token[r][half], position[r][half]))
              scores.value[r][n][2 * half + j] = -infinity;
        }
      }
    }
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
