// The cross-entropy of the next token, value and gradient at once, a block for each row of logits.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// The largest of some logits, the first place that has it, and Σ exp(x − largest) over all others: of a token that is
/// nearly sure, 1 − p is known by that sum and not by a difference.
struct TopLogit {
  static constexpr float nothing = -std::numeric_limits<float>::infinity();

  float largest = nothing;
  std::uint32_t place = 0xFFFFFFFFu;
  float rest = 0;

  MERIT_KERNEL void add(float x, std::uint32_t at) {
    if (x > largest) {
      rest = largest == nothing ? 0.0f : (rest + 1.0f) * std::exp(largest - x);
      largest = x;
      place = at;
    } else if (largest != nothing) {
      rest += std::exp(x - largest);
    }
  }

  /// Of both; the same whichever is asked.
  MERIT_KERNEL static TopLogit of(const TopLogit& a, const TopLogit& b) {
    const bool first = a.largest > b.largest || (a.largest == b.largest && a.place < b.place);
    TopLogit top = first ? a : b;
    const TopLogit& other = first ? b : a;
    if (other.largest != nothing) top.rest += (other.rest + 1.0f) * std::exp(other.largest - top.largest);
    return top;
  }
};

/// As NextTokenLossArguments of merit/backend/operations.hpp: losses[r] = Σ weight · −log softmax(row)[token] over the
/// row's targets, and the row becomes Σ weight · (softmax(row) − [token]).
template <class T>
struct NextTokenLossKernel {
  Index rows = 0, cols = 0;
  Rows<T> logits;                         // (M, V)
  const std::uint32_t* begin = nullptr;   // (M + 1), into the two below
  const std::uint32_t* tokens = nullptr;  // below V
  const float* weights = nullptr;
  float* losses = nullptr;  // (M)

  static constexpr int most_threads = 256;
  static constexpr int least_blocks = 4;
  static constexpr int warps = most_threads / warp_size;
  static constexpr int n = numbers_at_once<T>;

  Grid grid() const { return {.columns = rows, .threads = most_threads, .shared_bytes = warps * 12}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index i = block.column();
    T* const row = logits.row(i);
    const TopLogit top = top_of_row(block, row);

    // What the targets say together, before their logits are overwritten; each thread for itself, they are few.
    const std::uint32_t first = block.load(begin + i), end = block.load(begin + i + 1);
    float weight = 0, below = 0;
    for (std::uint32_t t = first; t < end; ++t) {
      const float w = block.load(weights + t);
      weight += w;
      below += w * (top.largest - to_float(block.load(static_cast<const T*>(row) + block.load(tokens + t))));
    }
    block.sync();
    const float sum = 1.0f + top.rest, scale = weight / sum;
    for_each_own_run(block, [&](Index j, int count) {
      Numbers<n> x = load_numbers<n>(block, static_cast<const T*>(row) + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) x.value[k] = std::exp(x.value[k] - top.largest) * scale;
      store_numbers(block, row + j, count, x);
    });
    if (block.thread() == 0) block.store(losses + i, below + weight * std::log1p(top.rest));
    if (weight == 0) return;

    block.sync();
    for (std::uint32_t t = first + static_cast<std::uint32_t>(block.thread()); t < end;
         t += static_cast<std::uint32_t>(block.threads())) {
      const std::uint32_t token = block.load(tokens + t);
      float own = 0;  // of this token, which may be several targets: the first of them is asked
      bool asked = true;
      for (std::uint32_t other = first; other < end; ++other) {
        if (block.load(tokens + other) != token) continue;
        asked = asked && other >= t;
        own += block.load(weights + other);
      }
      if (!asked) continue;
      const float p =
          token == top.place ? 1.0f / sum : to_float(block.load(static_cast<const T*>(row) + token)) / weight;
      const float others = token == top.place ? top.rest / sum : 1.0f - p;
      block.store(row + token, rounded<T>(block, (weight - own) * p - own * others));
    }
  }

 private:
  /// Calls f(column, count) for each run of columns of this thread.
  template <class Block, class F>
  MERIT_KERNEL void for_each_own_run(Block& block, F&& f) const {
    for (Index j = static_cast<Index>(block.thread()) * n; j < cols; j += Index{most_threads} * n)
      f(j, static_cast<int>(smaller(cols - j, Index{n})));
  }

  template <class Block>
  MERIT_KERNEL TopLogit top_of_row(Block& block, const T* row) const {
    TopLogit top;
    for_each_own_run(block, [&](Index j, int count) {
      const Numbers<n> x = load_numbers<n>(block, row + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k)
        if (k < count) top.add(x.value[k], static_cast<std::uint32_t>(j) + static_cast<std::uint32_t>(k));
    });
    for (int mask = warp_size / 2; mask > 0; mask /= 2)
      top = TopLogit::of(top, {block.exchange(top.largest, mask), block.exchange(top.place, mask),
                               block.exchange(top.rest, mask)});
    const auto largest = block.template shared<float>(0, warps);
    const auto place = block.template shared<std::uint32_t>(4 * warps, warps);
    const auto rest = block.template shared<float>(8 * warps, warps);
    const int warp = block.thread() / warp_size;
    if (block.thread() % warp_size == 0) {
      largest.set(warp, top.largest);
      place.set(warp, top.place);
      rest.set(warp, top.rest);
    }
    block.sync();
    TopLogit all;
    for (int w = 0; w < warps; ++w) all = TopLogit::of(all, {largest.get(w), place.get(w), rest.get(w)});
    return all;
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
