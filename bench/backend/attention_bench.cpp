// Attention over a forest that shares prefixes, beside the same sequences one after another.
#include <benchmark/benchmark.h>

#include <cmath>
#include <span>
#include <vector>

#include "../support/alternate.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/rng.hpp"
#include "merit/forest/forest.hpp"

namespace {

using namespace merit;
using B = EigenBackend<float>;
using Sequences = std::vector<std::vector<Token>>;

/// `count` sequences of `length` tokens with the first `shared` in common.
Sequences branches(Index count, Index length, Index shared) {
  Sequences sequences(count);
  for (Index s = 0; s < count; ++s) {
    for (Index i = 0; i < length; ++i) sequences[s].push_back(static_cast<Token>(i < shared ? 0 : s));
  }
  return sequences;
}

/// `groups` times the same sequences, in one forest.
Forest forest_of(const Sequences& sequences, Index groups, Sharing sharing) {
  const std::vector<std::span<const Token>> spans(sequences.begin(), sequences.end());
  ForestBuilder builder(sharing);
  for (Index g = 0; g < groups; ++g) builder.add_tree(spans);
  return builder.finish();
}

/// Attention over one forest, forward or also backward, on data of its own.
class Attention {
 public:
  Attention(B::Handle& handle, Forest forest, AttentionShape shape, bool backward)
      : handle_(&handle), forest_(std::move(forest)), shape_(shape), backward_(backward) {
    const Index tokens = forest_.token_count();
    const Index wide = shape.heads * shape.head_dim;
    const Index narrow = shape.kv_heads * shape.head_dim;
    // The same numbers for the same token of the same sequence, so that both ways have the same result.
    width_ = wide + 2 * narrow;
    std::vector<float> row(width_);
    qkv_.resize(tokens * width_);
    for (Index t = 0; t < tokens; ++t) {
      Rng rng(forest_.tokens[t] * Index{100000} + forest_.positions[t]);
      for (Index j = 0; j < width_; ++j) qkv_[t * width_ + j] = static_cast<float>(rng.normal());
    }
    out_.resize(tokens * wide);
    lse_.resize(tokens * shape.heads);
    dqkv_.resize(tokens * width_);
    const auto view = forest_.view();
    scratch_.resize(std::max<Index>(B::attention_scratch(handle, view, shape),
                                    B::attention_backward_scratch(handle, view, shape)));
  }

  /// Returns the sum of squares of the last output of the first sequence's path: it ends where the first leaf
  /// does.
  double run() {
    const auto view = forest_.view();
    const Index tokens = forest_.token_count();
    const Index wide = shape_.heads * shape_.head_dim;
    const Index narrow = shape_.kv_heads * shape_.head_dim;
    const auto columns = [&](std::vector<float>& data, Index begin, Index count) {
      return MatrixView<float>{data.data() + begin, tokens, count, width_};
    };
    const MatrixView<float> out{out_.data(), tokens, wide};
    const MatrixView<float> lse{lse_.data(), tokens, shape_.heads};
    const MatrixView<float> q = columns(qkv_, 0, wide), k = columns(qkv_, wide, narrow),
                            v = columns(qkv_, wide + narrow, narrow);
    B::attention(*handle_, {.forest = view,
                            .shape = shape_,
                            .query_tokens = {},
                            .q = q,
                            .k = k,
                            .v = v,
                            .out = out,
                            .lse = lse,
                            .scratch = scratch_});
    if (backward_) {
      B::attention_backward(*handle_, {.forest = view,
                                       .shape = shape_,
                                       .query_tokens = {},
                                       .q = q,
                                       .k = k,
                                       .v = v,
                                       .out = out,
                                       .lse = lse,
                                       .dout = out,
                                       .dq = columns(dqkv_, 0, wide),
                                       .dk = columns(dqkv_, wide, narrow),
                                       .dv = columns(dqkv_, wide + narrow, narrow),
                                       .scratch = scratch_});
    }
    Index last = 0;
    while (last + 1 < tokens && forest_.positions[last + 1] > forest_.positions[last]) ++last;
    double squares = 0;
    for (Index j = 0; j < wide; ++j)
      squares += static_cast<double>(out(last, j)) * static_cast<double>(out(last, j));
    return squares;
  }

  Index tokens() const { return forest_.token_count(); }

  /// Two products forward and five more backward (the scores are computed again), over the pairs that are
  /// seen.
  double operations() const {
    double pairs = 0;
    for (const std::uint32_t position : forest_.positions) pairs += position + 1;
    return 2 * pairs * static_cast<double>(shape_.heads * shape_.head_dim) * (backward_ ? 7 : 2);
  }

 private:
  B::Handle* handle_;
  Forest forest_;
  AttentionShape shape_;
  bool backward_;
  Index width_ = 0;
  std::vector<float> qkv_, out_, lse_, dqkv_, scratch_;
};

/// Arguments: sequences in a tree, trees, tokens of a sequence, percent shared, head_dim, query heads a
/// key/value head, backward, threads. 8 query heads.
void forest(benchmark::State& state) {
  const auto argument = [&](Index i) { return static_cast<Index>(state.range(i)); };
  const Index count = argument(0), groups = argument(1), length = argument(2);
  const Sequences sequences = branches(count, length, length * argument(3) / 100);
  const AttentionShape shape{8, 8 / argument(5), argument(4),
                             1 / std::sqrt(static_cast<double>(argument(4)))};
  B backend{.threads = static_cast<int>(argument(7))};
  B::Handle handle(backend);
  const bool backward = argument(6) != 0;
  Attention apart(handle, forest_of(sequences, groups, Sharing::no), shape, backward);
  Attention shared(handle, forest_of(sequences, groups, Sharing::yes), shape, backward);
  bench::alternate(state, {[&] { return apart.run(); }, apart.tokens(), apart.operations()},
                   {[&] { return shared.run(); }, shared.tokens(), shared.operations()}, count * groups);
}

}  // namespace

BENCHMARK(forest)
    ->ArgNames({"K", "trees", "length", "shared_%", "dim", "group", "backward", "threads"})
    ->Args({2, 8, 256, 60, 64, 1, 0, 1})
    ->Args({2, 8, 256, 60, 64, 1, 1, 1})
    ->Args({2, 8, 256, 60, 64, 1, 1, 2})
    ->Args({2, 8, 256, 60, 16, 1, 1, 1})
    ->Args({2, 8, 256, 60, 64, 4, 1, 1})
    ->Args({8, 1, 600, 66, 64, 1, 0, 1})
    ->Args({8, 1, 600, 66, 64, 1, 1, 1})
    ->Args({8, 1, 600, 66, 64, 1, 1, 2})
    ->Args({1, 1, 2048, 0, 64, 1, 0, 1})
    ->Args({1, 1, 2048, 0, 64, 1, 1, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

BENCHMARK_MAIN();
