// How much arithmetic a Llama does over a forest: what a measured time is divided by, and what predicts the
// ratio of two times.
#pragma once

#include "merit/merit.hpp"

namespace bench {

using namespace merit;

/// Work in floating-point operations (a multiplication and an addition are two), products and attention only.
struct Work {
  Index tokens = 0;    // computed
  double forward = 0;  // scores
  double step = 0;     // scores and gradients
};

/// A product costs as much again for each of its two gradients. Attention is two products forward and five
/// back: the scores once more, then the gradients of values, probabilities, queries and keys. Only what a
/// query sees is counted; what a tile computes beside it is not.
inline Work count_work(const Llama& llama, const ForestView<HostSpace>& forest) {
  const auto d = static_cast<double>(llama.hidden_size);
  const auto f = static_cast<double>(llama.intermediate_size);
  const auto q = static_cast<double>(llama.heads * llama.head_width());
  const auto kv = static_cast<double>(llama.kv_heads * llama.head_width());
  const auto tokens = static_cast<double>(forest.token_count());
  const auto rows = static_cast<double>(forest.row_count());
  const auto layers = static_cast<double>(llama.layers - 1);  // whole ones; the last is for the rows alone
  double seen = 0;                                            // keys, by all tokens
  double row_seen = 0;                                        // by the rows
  for (const std::uint32_t position : forest.positions) seen += position + 1.0;
  for (const std::uint32_t position : forest.row_positions) row_seen += position + 1.0;

  const double row_cost = 2 * (2 * d * q + 3 * d * f);  // queries, output and the feed-forward block
  const double token_cost = 2 * (2 * d * kv);           // keys and values
  const double products =
      layers * tokens * (row_cost + token_cost) + tokens * token_cost + rows * (row_cost + 2 * d);
  const double attention = 4 * q * (layers * seen + row_seen);
  return {forest.token_count(), products + attention, 3 * products + 3.5 * attention};
}

}  // namespace bench
