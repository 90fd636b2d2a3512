// Which operations run kernels, where a machine has them. What they compute is tested with the other backends' operations.
#if !defined(MERIT_TEST_DEVICE)
#include <doctest/doctest.h>

#include <array>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "backend/backends.hpp"
#include "merit/forest/forest.hpp"
#include "merit/tape/memory_estimate.hpp"

namespace kernel_operations_test {

using namespace merit_test;
using B = ThrustBackend<BFloat16, EmulatedSystem>;

Index kernels_of(Machine<B>& m, const auto& operation) {
  const Index before = m.handle.machine().kernels_run();
  operation();
  return m.handle.machine().kernels_run() - before;
}

/// Two sequences that share their first tokens, of which the last are wanted.
Forest small_forest() {
  ForestBuilder builder;
  const std::vector<Token> chosen{1, 2, 3, 4}, rejected{1, 2, 5};
  const Index group = builder.add_tree(std::array<std::span<const Token>, 2>{chosen, rejected});
  builder.want_row(builder.index(group, 0, 3));
  builder.want_row(builder.index(group, 1, 2));
  return builder.finish();
}

TEST_CASE("a machine that runs kernels does by them what they are written for") {
  Machine<B> m;
  auto& h = m.handle;
  const Forest forest = small_forest();
  const B::Batch batch = B::prepare(h, forest.view());
  const ForestView<DeviceSpace>& view = batch;
  const Index tokens = view.token_count();

  Array<B> x(m, tokens, 8, 1.0), dx(m, tokens, 8, 0.0), wide(m, tokens, 16, 1.0), dwide(m, tokens, 16, 0.0);
  StatArray<B> weight(m, 1, 8, 1.0), dweight(m, 1, 8, 0.0), bias(m, 1, 8, 0.0), dbias(m, 1, 8, 0.0);
  StatArray<B> stats(m, 1, 2 * tokens, 0.0), table(m, 8, 4, 0.5), numbers(m, 1, 64, 1.0, 0),
      more(m, 1, 64, 1.0, 0), moments(m, 1, 64, 1.0, 0), others(m, 1, 64, 1.0, 0);
  const auto whole = [](StatArray<B>& array) { return array.vector(); };

  CHECK(kernels_of(m, [&] {
          B::rms_norm(h, {.x = x.constant(),
                          .weight = weight.constant_vector(),
                          .epsilon = 1e-6,
                          .y = dx.matrix(),
                          .rstd = whole(stats).subview(0, tokens)});
        }) == 1);
  CHECK(kernels_of(m, [&] {
          B::rms_norm_backward(h, {.dy = x.constant(),
                                   .x = x.constant(),
                                   .weight = weight.constant_vector(),
                                   .rstd = stats.constant_vector().subview(0, tokens),
                                   .dx = dx.matrix(),
                                   .dweight = whole(dweight)});
        }) == 2);
  CHECK(kernels_of(m, [&] {
          B::layer_norm(h, {.x = x.constant(),
                            .weight = weight.constant_vector(),
                            .bias = bias.constant_vector(),
                            .epsilon = 1e-5,
                            .y = dx.matrix(),
                            .stats = whole(stats)});
        }) == 1);
  CHECK(kernels_of(m, [&] {
          B::layer_norm_backward(h, {.dy = x.constant(),
                                     .x = x.constant(),
                                     .weight = weight.constant_vector(),
                                     .stats = stats.constant_vector(),
                                     .dx = dx.matrix(),
                                     .dweight = whole(dweight),
                                     .dbias = whole(dbias)});
        }) == 3);
  CHECK(kernels_of(m, [&] { B::column_sum(h, x.constant(), Write::assign, whole(dweight)); }) == 2);
  CHECK(kernels_of(m, [&] {
          B::rotary(h,
                    {.x = dx.matrix(), .heads = 2, .positions = view.positions, .table = table.constant()});
        }) == 1);

  // Rows of tables of each type, and back into a table.
  const Copied<B, float> floats(m, std::vector<float>(64, 1.0f));
  const Copied<B, F16> halves(m, std::vector<F16>(64, F16{0x3C00}));
  const Copied<B, double> doubles(m, std::vector<double>(64, 1.0));
  for (const auto& [data, dtype, kernels] :
       {std::tuple<const void*, Dtype, Index>{floats.data(), Dtype::f32, 1},
        {halves.data(), Dtype::f16, 1},
        {doubles.data(), Dtype::f64, 0}}) {
    CHECK(kernels_of(m, [&, data = data, dtype = dtype] {
            B::gather_rows(h, {data, dtype, 8, 8, 8}, view.tokens, Write::assign, dx.matrix());
          }) == kernels);
  }
  StatArray<B> gradient(m, 8, 8, 0.0);
  CHECK(kernels_of(m, [&] { B::scatter_add_rows(h, x.constant(), view.tokens, gradient.matrix()); }) == 1);

  CHECK(kernels_of(m, [&] { B::glu(h, ActivationFunction::silu, wide.constant(), dx.matrix()); }) == 1);
  CHECK(kernels_of(m, [&] {
          B::glu_backward(h, {.function = ActivationFunction::silu,
                              .dout = x.constant(),
                              .gate_up = wide.constant(),
                              .dgate_up = dwide.matrix()});
        }) == 1);
  CHECK(kernels_of(m, [&] { B::activate(h, ActivationFunction::gelu, x.constant(), dx.matrix()); }) == 1);
  CHECK(kernels_of(m, [&] {
          B::activate_backward(
              h,
              {.kind = ActivationFunction::gelu, .dy = x.constant(), .x = x.constant(), .dx = dx.matrix()});
        }) == 1);

  const Index rows = view.rows.size;
  Array<B> of_rows(m, rows, 8, 1.0);
  CHECK(kernels_of(m, [&] { B::path_mean(h, view, x.constant(), of_rows.matrix(), {}); }) == 1);
  CHECK(kernels_of(m, [&] {
          B::path_mean_backward(
              h, {.forest = view, .dout = of_rows.constant(), .dx = dx.matrix(), .scratch = {}});
        }) == 1);

  Array<B> logits(m, 2, 8, 1.0);
  const Copied<B, std::uint32_t> begin(m, {0, 1, 2}), next(m, {3, 4});
  CHECK(kernels_of(m, [&] {
          B::next_token_loss(h, {.logits = logits.matrix(),
                                 .begin = begin.view(),
                                 .tokens = next.view(),
                                 .weights = numbers.constant_vector().subview(0, 2),
                                 .losses = whole(more).subview(0, 2)});
        }) == 1);

  double total = 0;
  CHECK(kernels_of(m, [&] { total = B::sum_of_squares(h, numbers.constant_vector()); }) == 2);
  CHECK(total == 64);
  CHECK(kernels_of(m, [&] {
          B::adamw(h, {.parameters = whole(numbers),
                       .gradients = more.constant_vector(),
                       .first = whole(moments),
                       .second = whole(others),
                       .step = {.learning_rate = 0.1}});
        }) == 1);
  CHECK(kernels_of(m, [&] {
          B::momentum(h, {.gradients = more.constant_vector(),
                          .momentum = whole(moments),
                          .out = whole(numbers),
                          .step = {.rate = 0.1}});
        }) == 1);
  StatArray<B> matrix(m, 4, 4, 1.0), row_moments(m, 1, 4, 1.0), column_moments(m, 1, 4, 1.0);
  CHECK(kernels_of(m, [&] {
          B::adafactor(h, {.gradients = matrix.matrix(),
                           .rows = whole(row_moments),
                           .columns = whole(column_moments),
                           .step = {.epsilon = 1e-3}});
        }) == 5);
  Array<B> rounded(m, 1, 64, 0.0, 0);
  CHECK(kernels_of(m, [&] { B::round_weights(h, numbers.constant_vector(), {}, rounded.vector()); }) == 1);
}

TEST_CASE("attention runs kernels over a batch and its rows, for heads that they are compiled for") {
  Machine<B> m;
  auto& h = m.handle;
  const Forest forest = small_forest();
  const B::Batch batch = B::prepare(h, forest.view());
  const ForestView<DeviceSpace>& view = batch;
  const Index tokens = view.token_count();
  for (const Index width : {Index{8}, Index{64}, Index{128}, Index{256}, Index{264}}) {
    for (const bool of_rows : {false, true}) {
      const Index queries = of_rows ? view.rows.size : tokens;
      const AttentionShape shape{2, 1, width, 0.1};
      const auto which = of_rows ? view.rows : decltype(view.rows){};
      const Array<B> q(m, queries, 2 * width, 0.5), k(m, tokens, width, 0.5), v(m, tokens, width, 0.5);
      Array<B> out(m, queries, 2 * width, 0.0), dq(m, queries, 2 * width, 0.0), dk(m, tokens, width, 0.0),
          dv(m, tokens, width, 0.0);
      StatArray<B> lse(m, queries, 2, 0.0), scratch(m, 1, B::attention_backward_scratch(h, view, shape), 0.0);
      const Index kernels = width <= 256;
      CHECK(kernels_of(m, [&] {
              B::attention(h, {.forest = view,
                               .shape = shape,
                               .query_tokens = which,
                               .q = q.constant(),
                               .k = k.constant(),
                               .v = v.constant(),
                               .out = out.matrix(),
                               .lse = lse.matrix()});
            }) == kernels);
      CHECK(kernels_of(m, [&] {
              B::attention_backward(h, {.forest = view,
                                        .shape = shape,
                                        .query_tokens = which,
                                        .q = q.constant(),
                                        .k = k.constant(),
                                        .v = v.constant(),
                                        .out = out.constant(),
                                        .lse = lse.constant(),
                                        .dout = out.constant(),
                                        .dq = dq.matrix(),
                                        .dk = dk.matrix(),
                                        .dv = dv.matrix(),
                                        .scratch = scratch.vector()});
            }) == 3 * kernels);
    }
  }
}

TEST_CASE("a model that a device has no memory for is refused with what it needs, before any is asked for") {
  Machine<B> m;
  Parameters<B> parameters(m.handle);
  parameters.declare({.name = "trained", .shape = {1024, 1024}});
  parameters.declare({.name = "frozen", .shape = {512, 1024}, .trainable = false});
  constexpr Index mib = Index{1} << 20;
  auto& machine = m.handle.machine();
  const auto refusal = [](const auto& require) {
    try {
      require();
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto drawn = [&] { detail::require_memory_for_weights(parameters, Initial::drawn); };
  const auto to_train = [&] { detail::require_memory_to_train(parameters); };
  CHECK(refusal(drawn).empty());  // nobody knows
  machine.set_memory({6 * mib, 16 * mib});
  CHECK(refusal(drawn).empty());  // 4 and 2
  machine.set_memory({5 * mib, 16 * mib});
  CHECK_NOTHROW(detail::require_memory_for_weights(parameters, Initial::from_file));  // 4 and 1
  CHECK(
      refusal(drawn) ==
      "a model of 1572864 parameters needs 6 MiB for weights: the device has 5 MiB of 16 MiB free, expected a "
      "smaller model, or an adapter in place of all weights");
  machine.set_memory({6 * mib, 16 * mib});
  parameters.allocate(Rng(1));
  CHECK(refusal(to_train).empty());  // 4 and 2
  machine.set_memory({6 * mib - 1, 16 * mib});
  CHECK(
      refusal(to_train) ==
      "a model of 1572864 parameters needs 4 MiB for gradients and 2 MiB for rounded weights: the device has 6 MiB "
      "of 16 MiB free, expected a smaller model, or an adapter in place of all weights");
  machine.set_memory({});
}

}  // namespace kernel_operations_test
#endif
