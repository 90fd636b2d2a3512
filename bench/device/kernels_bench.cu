// Every kernel of ours at the sizes of a training step, in bytes and FLOPs a second beside what a copy and a large product
// reach on the same GPU. Prints a table in Markdown. Usage: kernels_bench [tokens of a step, 8192]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "measure.cuh"
#include "merit/backend/operations.hpp"
#include "merit/backend/thrust/kernels/attention_backward_kernels.hpp"
#include "merit/backend/thrust/kernels/attention_kernel.hpp"
#include "merit/backend/thrust/kernels/attention_tiles.hpp"
#include "merit/backend/thrust/kernels/column_sum_kernels.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"
#include "merit/backend/thrust/kernels/launch.cuh"
#include "merit/backend/thrust/kernels/next_token_loss_kernel.hpp"
#include "merit/backend/thrust/kernels/norm_kernels.hpp"
#include "merit/backend/thrust/kernels/optimizer_kernels.hpp"
#include "merit/backend/thrust/kernels/row_kernels.hpp"
#include "merit/core/rng.hpp"
#include "merit/forest/forest.hpp"

namespace {

using namespace merit;
using namespace merit::kernels;
using namespace merit_bench;

struct Ceilings {
  double bytes, flops;  // a second
};

/// One line of the table: what f(stream) does at least, against the ceilings.
template <class F>
void line(const Ceilings& ceilings, const std::string& name, double bytes, double flops, F&& f) {
  const double seconds = seconds_of(f);
  const double floor = std::max(bytes / ceilings.bytes, flops / ceilings.flops);
  std::printf("| %s | %.1f | %.0f | %.1f | %.0f%% |\n", name.c_str(), 1e6 * seconds, bytes / seconds / 1e9,
              flops / seconds / 1e12, 100 * floor / seconds);
  std::fflush(stdout);
}

template <class Kernel>
auto issue(const Kernel& kernel) {
  return [kernel](cudaStream_t stream) { check(launch(kernel, stream), "a launch"); };
}

double of(Index count) {
  return static_cast<double>(count);
}

void rows(const Ceilings& c, Index m, Index d, Index f) {
  const std::string at = " " + std::to_string(m) + " × " + std::to_string(d);
  const DeviceArray<Bf16> x(m * d), y(m * d), dx(m * d);
  const DeviceArray<float> weight(d), bias(d), mean(m), rstd(m);
  const auto rows_of = [](const DeviceArray<Bf16>& array, Index width) {
    return Rows<Bf16>{array.data(), width};
  };
  const auto constant = [](const DeviceArray<Bf16>& array, Index width) {
    return Rows<const Bf16>{array.data(), width};
  };
  const double one = of(2 * m * d);  // bytes of a matrix
  const RmsNormKernel<Bf16> rms{.rows = m,
                                .cols = d,
                                .x = constant(x, d),
                                .weight = weight.data(),
                                .epsilon = 1e-6f,
                                .y = rows_of(y, d),
                                .rstd = rstd.data()};
  line(c, "RMS norm" + at, 2 * one, 0, issue(rms));
  line(c, "layer norm" + at, 2 * one, 0,
       issue(LayerNormKernel<Bf16>{.rows = m,
                                   .cols = d,
                                   .x = constant(x, d),
                                   .weight = weight.data(),
                                   .bias = bias.data(),
                                   .epsilon = 1e-6f,
                                   .y = rows_of(y, d),
                                   .mean = mean.data(),
                                   .rstd = rstd.data()}));
  const Index parts = RmsNormBackwardKernel<Bf16>::parts(m);
  const DeviceArray<float> sums(parts * d), bias_sums(parts * d), dweight(d);
  const RmsNormBackwardKernel<Bf16> back{.rows = m,
                                         .cols = d,
                                         .dy = constant(y, d),
                                         .x = constant(x, d),
                                         .weight = weight.data(),
                                         .rstd = rstd.data(),
                                         .dx = rows_of(dx, d),
                                         .dweight = sums.data()};
  const ColumnTotalsKernel totals{parts, d, sums.data(), false, dweight.data()};
  line(c, "RMS norm, backward" + at, 3 * one, 0, [=](cudaStream_t stream) {
    check(launch(back, stream), "a launch");
    check(launch(totals, stream), "a launch");
  });
  line(c, "layer norm, backward" + at, 3 * one, 0,
       issue(LayerNormBackwardKernel<Bf16>{.rows = m,
                                           .cols = d,
                                           .dy = constant(y, d),
                                           .x = constant(x, d),
                                           .weight = weight.data(),
                                           .mean = mean.data(),
                                           .rstd = rstd.data(),
                                           .dx = rows_of(dx, d),
                                           .dweight = sums.data(),
                                           .dbias = bias_sums.data()}));
  const DeviceArray<float> column_sums(ColumnSumKernel<Bf16>::parts(m) * d);
  line(c, "sums over rows" + at, one, 0,
       issue(ColumnSumKernel<Bf16>{m, d, constant(x, d), column_sums.data()}));

  const DeviceArray<Bf16> gate_up(m * 2 * f), inner(m * f), dgate_up(m * 2 * f);
  const std::string wide = " " + std::to_string(m) + " × " + std::to_string(f);
  line(c, "SwiGLU" + wide, of(6 * m * f), 0,
       issue(GluKernel<Bf16>{m, f, ActivationFunction::silu, constant(gate_up, 2 * f), rows_of(inner, f)}));
  line(c, "SwiGLU, backward" + wide, of(10 * m * f), 0,
       issue(GluBackwardKernel<Bf16>{m, f, ActivationFunction::silu, constant(inner, f),
                                     constant(gate_up, 2 * f), false, rows_of(dgate_up, 2 * f)}));
  line(c, "GELU" + wide, of(4 * m * f), 0,
       issue(ActivateKernel<Bf16>{m, f, ActivationFunction::gelu_tanh, constant(gate_up, f),
                                  rows_of(inner, f)}));
  line(c, "GELU, backward" + wide, of(6 * m * f), 0,
       issue(ActivateBackwardKernel<Bf16>{m, f, ActivationFunction::gelu_tanh, constant(inner, f),
                                          constant(gate_up, f), false, rows_of(dgate_up, f)}));
  std::vector<std::uint32_t> at_positions(m);
  for (Index i = 0; i < m; ++i) at_positions[i] = static_cast<std::uint32_t>(i % 1024);
  const DeviceArray<std::uint32_t> positions(at_positions);
  const DeviceArray<float> table(1024 * 64);
  line(c, "rotary positions" + at, 2 * one, 0,
       issue(RotaryKernel<Bf16>{
           m, d / 64, 64, 32, rows_of(x, d), positions.data(), {table.data(), 64}, false}));
}

void vocabulary(const Ceilings& c, Index m, Index d, Index v) {
  Rng rng(1);
  std::vector<std::uint32_t> ids(m), begin(1025), targets(1024);
  // Some ids are much more frequent than others, as in text.
  for (std::uint32_t& id : ids)
    id = static_cast<std::uint32_t>(of(v) * rng.uniform() * rng.uniform() * rng.uniform() * rng.uniform());
  for (Index i = 0; i < 1024; ++i) begin[i + 1] = static_cast<std::uint32_t>(i + 1), targets[i] = ids[i % m];
  std::vector<std::uint64_t> sorted(m);
  for (Index i = 0; i < m; ++i) detail::device::PlaceOfId{ids.data(), sorted.data()}(i);
  std::sort(sorted.begin(), sorted.end());
  Index different = 1;
  for (Index i = 1; i < m; ++i)
    different += detail::device::id_of(sorted[i]) != detail::device::id_of(sorted[i - 1]) ? 1 : 0;
  const std::string at = " " + std::to_string(m) + " × " + std::to_string(d);
  const DeviceArray<float> table(v * d), gradient(v * d);
  const DeviceArray<Bf16> x(m * d);
  const DeviceArray<std::uint32_t> list(ids);
  const DeviceArray<std::uint64_t> places(sorted);
  line(c, "embedding" + at, of(6 * m * d), 0,
       issue(GatherRowsKernel<float, Bf16>{m, d, {table.data(), d}, list.data(), false, {x.data(), d}}));
  line(c, "embedding, backward" + at, of(2 * m * d + 8 * different * d), 0,
       issue(ScatterAddRowsKernel<Bf16, float>{m, d, places.data(), {x.data(), d}, {gradient.data(), d}}));
  const DeviceArray<Bf16> logits(1024 * v);
  const DeviceArray<std::uint32_t> loss_begin(begin), tokens(targets);
  const DeviceArray<float> weights(1024), losses(1024);
  line(c, "loss of next tokens 1024 × " + std::to_string(v), of(4 * 1024 * v), 0,
       issue(NextTokenLossKernel<Bf16>{
           1024, v, {logits.data(), v}, loss_begin.data(), tokens.data(), weights.data(), losses.data()}));
}

void optimizers(const Ceilings& c, Index count) {
  const std::string at = " of " + std::to_string(count / 1000000) + "M";
  const DeviceArray<float> w(count), g(count), m(count), v(count);
  const DeviceArray<Bf16> halves(count);
  const DeviceArray<AdamWStep> adamw(
      std::vector<AdamWStep>{{.learning_rate = 1e-5, .bias_correction1 = 0.1, .bias_correction2 = 0.1}});
  const DeviceArray<MomentumStep> momentum(
      std::vector<MomentumStep>{{.momentum_weight = 0.9, .keep = 0.9, .rate = 1e-5}});
  line(c, "AdamW" + at, of(28 * count), 0,
       issue(AdamWKernel{count, w.data(), g.data(), m.data(), v.data(), adamw.data()}));
  line(c, "weights rounded to bf16" + at, of(6 * count), 0,
       issue(RoundWeightsKernel{count, w.data(), {}, halves.data()}));
  line(c, "weights rounded to bf16 by chance" + at, of(6 * count), 0,
       issue(RoundWeightsKernel{count, w.data(), {.by_chance = true, .seed = 1, .step = 2}, halves.data()}));
  line(c, "momentum" + at, of(20 * count), 0,
       issue(MomentumKernel{count, g.data(), m.data(), w.data(), momentum.data()}));
  const Index parts = SumOfSquaresKernel::parts(count);
  const DeviceArray<double> sums(parts), sum(1);
  line(c, "sum of squares" + at, of(4 * count), 0, [&](cudaStream_t stream) {
    check(launch(SumOfSquaresKernel{count, g.data(), sums.data()}, stream), "a launch");
    check(launch(TotalKernel<double>{parts, sums.data(), 1, sum.data()}, stream), "a launch");
  });
}

/// Trees of a prompt with two answers, up to about `tokens` tokens; without a prompt, chains of two answers' length. Plain,
/// or with a window.
template <int width, bool plain = true>
void attention(const Ceilings& c, const std::string& name, Index tokens, Index prompt, Index answer,
               int heads, int kv_heads, std::uint32_t window = no_limit) {
  ForestBuilder builder;
  Index total = 0;
  std::vector<Token> first(prompt + answer), second(prompt + answer);
  while (total + prompt + 2 * answer <= tokens) {
    for (Index i = 0; i < prompt + answer; ++i) first[i] = second[i] = static_cast<Token>(i);
    for (Index i = prompt; i < prompt + answer; ++i) second[i] += 7;
    const std::span<const Token> both[] = {first, second};
    builder.add_tree(both);
    total += prompt + 2 * answer;
  }
  const ForestView<HostSpace> forest = builder.finish().view();
  const Index t = forest.token_count();
  AttentionTiles tiles;
  tiles.build(forest, {});
  double pairs = 0;
  for (Index i = 0; i < t; ++i) pairs += of(std::min(forest.positions[i] + 1, window));

  const auto d = static_cast<Index>(width), q_width = static_cast<Index>(heads) * d,
             kv_width = static_cast<Index>(kv_heads) * d;
  const DeviceArray<Bf16> q(t * q_width), k(t * kv_width), v(t * kv_width), out(t * q_width),
      dout(t * q_width), dq(t * q_width), dk(t * kv_width), dv(t * kv_width);
  const DeviceArray<float> lse(t * static_cast<Index>(heads)), delta(t * static_cast<Index>(heads));
  const DeviceArray<std::uint32_t> ends(
      std::vector<std::uint32_t>(forest.subtree_end.begin(), forest.subtree_end.end())),
      positions(std::vector<std::uint32_t>(forest.positions.begin(), forest.positions.end()));
  const HostTileLists &hq = tiles.of_queries(), &hk = tiles.of_keys();
  const DeviceArray<std::uint32_t> q_begin(hq.begin), q_entries(hq.entries), q_order(hq.order),
      q_bounds(hq.bounds), k_begin(hk.begin), k_entries(hk.entries), k_order(hk.order), k_bounds(hk.bounds);
  const TileLists of_queries{hq.order.size(), q_begin.data(),  q_entries.data(),
                             q_order.data(),  q_bounds.data(), k_bounds.data()};
  const TileLists of_keys{hk.order.size(), k_begin.data(),  k_entries.data(),
                          k_order.data(),  k_bounds.data(), q_bounds.data()};
  const AttentionProblem<Bf16> problem{t,
                                       t,
                                       heads,
                                       kv_heads,
                                       width,
                                       0.1f,
                                       nullptr,
                                       ends.data(),
                                       {q.data(), q_width},
                                       {k.data(), kv_width},
                                       {v.data(), kv_width},
                                       positions.data(),
                                       window};
  const double product = 2 * pairs * of(q_width);
  const double bytes = of(2 * t * (2 * q_width + 2 * kv_width));
  const std::string at = ", " + name + ", " + std::to_string(t) + " tokens, " + std::to_string(heads) + "/" +
                         std::to_string(kv_heads) + " heads of " + std::to_string(width);
  const AttentionKernel<Bf16, width, plain> forward{
      problem, of_queries, {out.data(), q_width}, {lse.data(), static_cast<Index>(heads)}};
  line(c, "attention" + at, bytes, 2 * product, issue(forward));
  const AttentionGradients<Bf16> given{
      {dout.data(), q_width}, {lse.data(), static_cast<Index>(heads)}, delta.data(), false};
  const AttentionDeltaKernel<Bf16> delta_kernel{
      t, heads, width, {out.data(), q_width}, {dout.data(), q_width}, delta.data()};
  const AttentionQueryPass<Bf16, width, plain> query_pass{problem, given, of_queries, {dq.data(), q_width}};
  const AttentionKeyPass<Bf16, width, plain> key_pass{
      problem, given, of_keys, {dk.data(), kv_width}, {dv.data(), kv_width}};
  line(c, "attention, delta" + at, of(4 * t * q_width), 0, issue(delta_kernel));
  line(c, "attention, dQ" + at, 2 * bytes, 3 * product, issue(query_pass));
  line(c, "attention, dK and dV" + at, 2 * bytes, 4 * product, issue(key_pass));
  line(c, "attention, backward, of the 5 products it needs" + at, 2 * bytes, 5 * product,
       [&](cudaStream_t stream) {
         check(launch(delta_kernel, stream), "a launch");
         check(launch(query_pass, stream), "a launch");
         check(launch(key_pass, stream), "a launch");
       });
}

}  // namespace

int main(int argc, char** argv) {
  const Index tokens = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 8192;
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "looking for a device");
  const Ceilings ceilings{copy_ceiling(), product_ceiling(8192)};
  std::printf(
      "%s, %d multiprocessors. A copy of 1 GiB: %.0f GB/s. A bf16 product of 8192³: %.0f TFLOP/s.\n\n",
      device.name, device.multiProcessorCount, ceilings.bytes / 1e9, ceilings.flops / 1e12);
  std::printf("| kernel (bf16) | µs | GB/s | TFLOP/s | of the ceiling |\n|---|---:|---:|---:|---:|\n");
  rows(ceilings, tokens, 768, 3072);
  rows(ceilings, tokens, 896, 4864);
  vocabulary(ceilings, tokens, 896, 151936);
  optimizers(ceilings, 124000000);
  attention<64>(ceilings, "sequences of 1024", tokens, 0, 1024, 12, 12);
  attention<64>(ceilings, "sequences of 1024", tokens, 0, 1024, 14, 2);
  attention<64>(ceilings, "pairs of 150 + 2 × 60", tokens, 150, 60, 14, 2);
  attention<64>(ceilings, "two sequences", tokens, 0, tokens / 2, 14, 2);
  attention<128>(ceilings, "sequences of 1024", tokens, 0, 1024, 12, 2);
  attention<128>(ceilings, "pairs of 150 + 2 × 60", tokens, 150, 60, 12, 2);
  attention<64, false>(ceilings, "sequences of 1024, no window", tokens, 0, 1024, 14, 2);
  attention<64, false>(ceilings, "sequences of 1024, windows of 128", tokens, 0, 1024, 14, 2, 128);
  attention<128, false>(ceilings, "two sequences, windows of 1024", tokens, 0, tokens / 2, 12, 2, 1024);
  return 0;
}
