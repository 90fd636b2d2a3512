// Every operation of the waist and a whole training step on each backend that the program was built with, beside what the
// machine can do: the bytes of a copy and the arithmetic of a product a second, on the same backend in the same run.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "../support/alternate.hpp"
#include "../support/pairs.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/merit.hpp"

namespace {

using namespace bench;

/// A matrix in a backend's memory.
template <class B, class T>
class Block {
 public:
  Block(typename B::Handle& handle, Index rows, Index cols, double deviation = 1)
      : handle_(&handle), rows_(rows), cols_(cols), data_(B::template allocate<T>(handle, rows * cols)) {
    Rng rng(rows * 31 + cols);
    std::vector<T> host(rows * cols);
    for (T& x : host) {
      const auto value = static_cast<float>(deviation * rng.normal());
      if constexpr (std::is_same_v<T, Bf16>) {
        x = Bf16{to_bf16(value)};
      } else {
        x = static_cast<T>(value);
      }
    }
    B::from_host(handle, std::as_const(host).data(), data_, host.size());
    B::wait(handle);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { B::release(*handle_, data_, rows_ * cols_); }

  using Space = typename B::Space;
  MatrixView<T, Space> matrix() { return {data_, rows_, cols_}; }
  MatrixView<const T, Space> constant() const { return {data_, rows_, cols_}; }
  VectorView<T, Space> vector() { return {data_, rows_ * cols_}; }
  VectorView<const T, Space> constant_vector() const { return {data_, rows_ * cols_}; }

 private:
  typename B::Handle* handle_;
  Index rows_, cols_;
  T* data_;
};

/// What an operation moves and computes, at least.
struct Cost {
  double bytes = 0;
  double flops = 0;
};

/// The median time of a few runs, each until its end, after one that is not counted.
template <class B>
double median_seconds(typename B::Handle& handle, const std::function<void()>& run) {
  run();
  B::wait(handle);
  std::vector<double> seconds;
  for (int i = 0; i < 7; ++i) {
    seconds.push_back(seconds_of([&] {
      run();
      B::wait(handle);
    }));
  }
  return median(seconds);
}

/// The operations on data of the sizes of GPT-2: about 2,048 tokens of pairs that share their prompts.
template <class B>
class Operations {
 public:
  using A = typename B::Activation;
  using Stat = typename B::Stat;
  using Handle = typename B::Handle;

  static constexpr Index width = 768, inner = 2048, heads = 12, vocabulary = 8192;

  void add_all(const std::string& name) {
    name_ = name;
    const double a = sizeof(A), s = sizeof(Stat);
    const auto t = static_cast<double>(tokens()), d = static_cast<double>(width),
               f = static_cast<double>(inner);
    add("copy", copy_cost, copy);
    add("product", product_cost, [] { return product(2048, 2048, 2048); });
    add("linear", {a * (t * d + d * 3 * d + t * 3 * d), 2 * t * d * 3 * d},
        [] { return product(tokens(), 3 * width, width); });
    add("linear_backward", {a * (t * d + d * 3 * d + t * 3 * d), 2 * t * d * 3 * d},
        [] { return product(tokens(), width, 3 * width); });
    add("weight_gradient", {a * (t * d + t * f) + s * d * f, 2 * t * d * f}, [] {
      auto x = kept<A>(tokens(), width), y = kept<A>(tokens(), inner);
      auto out = kept<Stat>(width, inner);
      return
          [=] { B::weight_gradient(handle(), x->constant(), y->constant(), Write::assign, out->matrix()); };
    });
    add("column_sum", {a * t * d, t * d}, [] {
      auto x = kept<A>(tokens(), width);
      auto out = kept<Stat>(1, width);
      return [=] { B::column_sum(handle(), x->constant(), Write::assign, out->vector()); };
    });
    add_norms(t, d, a, s);
    add_rows(t, d, a, s);
    add_attention(t, a);
    add_elementwise(t, f, a);
    add_weights(s);
  }

 private:
  template <class T>
  using Shared = std::shared_ptr<Block<B, T>>;

  static Handle& handle() {
    static Handle handle{B{}};
    return handle;
  }
  static const Forest& forest() {
    static const Forest forest = [] {
      ForestBuilder builder;
      Rng rng(1);
      for (int i = 0; i < 8; ++i) {
        const PreferenceExample pair = make_pair(rng, 96, 80, 80, vocabulary);
        const std::span<const Token> sides[] = {pair.chosen.tokens, pair.rejected.tokens};
        const Index group = builder.add_tree(sides);
        for (Index side = 0; side < 2; ++side)
          builder.want_row(builder.index(group, side, sides[side].size() - 1));
      }
      return builder.finish();
    }();
    return forest;
  }
  static Index tokens() { return forest().token_count(); }
  static const ForestView<typename B::Space>& view() {
    static const typename B::Batch batch = B::prepare(handle(), forest().view());
    return batch;
  }
  template <class T>
  static Shared<T> kept(Index rows, Index cols, double deviation = 1) {
    return std::make_shared<Block<B, T>>(handle(), rows, cols, deviation);
  }

  static constexpr Cost copy_cost{2.0 * sizeof(A) * 4096 * 4096, 0};
  static constexpr Cost product_cost{3.0 * sizeof(A) * 2048 * 2048, 2.0 * 2048 * 2048 * 2048};
  static std::function<void()> copy() {
    auto from = kept<A>(4096, 4096), to = kept<A>(4096, 4096);
    return [=] { B::copy(handle(), from->constant(), Write::assign, to->matrix()); };
  }

  /// Bytes and arithmetic a second that this backend reaches in this run.
  static const Cost& ceiling() {
    static const Cost ceiling = [] {
      const double copying = median_seconds<B>(handle(), copy());
      return Cost{copy_cost.bytes / copying,
                  product_cost.flops / median_seconds<B>(handle(), product(2048, 2048, 2048))};
    }();
    return ceiling;
  }

  /// `make` makes the data when the bench runs, and gives what is timed. Counters: GB/s and GFLOP/s of the cost, and its share of
  /// the ceiling in %: the time that the slower of bytes and arithmetic needs there, over the operation's.
  template <class Make>
  void add(const std::string& operation, const Cost& cost, Make make) {
    const auto run = [=](benchmark::State& state) {
      const std::function<void()> function = make();
      function();
      B::wait(handle());
      std::vector<double> seconds;
      for ([[maybe_unused]] auto _ : state) {
        seconds.push_back(seconds_of([&] {
          function();
          B::wait(handle());
        }));
        state.SetIterationTime(seconds.back());
      }
      const double taken = median(seconds);
      const double least = std::max(cost.bytes / ceiling().bytes, cost.flops / ceiling().flops);
      state.counters["GB/s"] = cost.bytes / taken * 1e-9;
      state.counters["GFLOP/s"] = cost.flops / taken * 1e-9;
      state.counters["of_ceiling_%"] = 100 * least / taken;
    };
    benchmark::RegisterBenchmark((name_ + "/" + operation).c_str(), run)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }

  /// out (m, n) = x (m, k) · weightᵀ, the weight (n, k) as activations are held.
  static std::function<void()> product(Index m, Index n, Index k) {
    auto x = kept<A>(m, k), weight = kept<A>(n, k), out = kept<A>(m, n);
    return [=] {
      B::linear(handle(), {.x = x->constant(),
                           .weight = weight->constant(),
                           .transpose = Transpose::yes,
                           .out = out->matrix()});
    };
  }

  void add_norms(double t, double d, double a, double s) {
    const auto with = [](bool layer, bool backward) -> std::function<void()> {
      auto x = kept<A>(tokens(), width), dy = kept<A>(tokens(), width), y = kept<A>(tokens(), width);
      auto weight = kept<Stat>(1, width), gradient = kept<Stat>(1, width), bias = kept<Stat>(1, width);
      auto stats = kept<Stat>(2, tokens(), 0.1);
      const auto rstd = stats->vector().subview(0, tokens());
      if (layer && !backward)
        return [=] {
          B::layer_norm(handle(), {.x = x->constant(),
                                   .weight = weight->constant_vector(),
                                   .bias = bias->constant_vector(),
                                   .epsilon = 1e-5,
                                   .y = y->matrix(),
                                   .stats = stats->vector()});
        };
      if (layer)
        return [=] {
          B::layer_norm_backward(handle(), {.dy = dy->constant(),
                                            .x = x->constant(),
                                            .weight = weight->constant_vector(),
                                            .stats = stats->constant_vector(),
                                            .dx = y->matrix(),
                                            .dweight = gradient->vector(),
                                            .dbias = bias->vector()});
        };
      if (!backward)
        return [=] {
          B::rms_norm(handle(), {.x = x->constant(),
                                 .weight = weight->constant_vector(),
                                 .epsilon = 1e-6,
                                 .y = y->matrix(),
                                 .rstd = rstd});
        };
      return [=] {
        B::rms_norm_backward(handle(), {.dy = dy->constant(),
                                        .x = x->constant(),
                                        .weight = weight->constant_vector(),
                                        .rstd = stats->constant_vector().subview(0, tokens()),
                                        .dx = y->matrix(),
                                        .dweight = gradient->vector()});
      };
    };
    add("rms_norm", {2 * a * t * d + s * t, 4 * t * d}, [=] { return with(false, false); });
    add("rms_norm_backward", {3 * a * t * d, 9 * t * d}, [=] { return with(false, true); });
    add("layer_norm", {2 * a * t * d + 2 * s * t, 7 * t * d}, [=] { return with(true, false); });
    add("layer_norm_backward", {3 * a * t * d, 11 * t * d}, [=] { return with(true, true); });
  }

  void add_rows(double t, double d, double a, double s) {
    add("gather_rows", {2 * a * t * d, 0}, [] {
      auto table = kept<A>(vocabulary, width), out = kept<A>(tokens(), width);
      return
          [=] { B::gather_rows(handle(), table->constant(), view().tokens, Write::assign, out->matrix()); };
    });
    add("scatter_add_rows", {(a + 2 * s) * t * d, t * d}, [] {
      auto rows = kept<A>(tokens(), width);
      auto out = kept<Stat>(vocabulary, width);
      return [=] { B::scatter_add_rows(handle(), rows->constant(), view().tokens, out->matrix()); };
    });
    add("rotary", {2 * a * t * d, 3 * t * d}, [] {
      auto x = kept<A>(tokens(), width);
      auto table = kept<Stat>(512, width / heads);
      return [=] {
        B::rotary(
            handle(),
            {.x = x->matrix(), .heads = heads, .positions = view().positions, .table = table->constant()});
      };
    });
    add("path_mean", {a * t * d, t * d}, [] {
      const Index rows = forest().row_count();
      auto x = kept<A>(tokens(), width), out = kept<A>(rows, width);
      auto scratch = kept<Stat>(1, std::max<Index>(B::path_mean_scratch(handle(), view(), width), 1));
      return [=] { B::path_mean(handle(), view(), x->constant(), out->matrix(), scratch->vector()); };
    });
    const auto v = static_cast<double>(vocabulary);
    add("next_token_loss", {2 * a * 256 * v, 6 * 256 * v}, [] {
      auto logits = kept<A>(256, vocabulary);
      auto losses = kept<Stat>(1, 256), weights = kept<Stat>(1, 256);
      auto lists = std::make_shared<Block<B, std::uint32_t>>(handle(), 1, 1024, 0);
      std::vector<std::uint32_t> host(1024, 7);
      for (std::uint32_t i = 0; i <= 256; ++i) host[i] = i;
      B::from_host(handle(), std::as_const(host).data(), lists->vector().data, host.size());
      B::wait(handle());
      return [=] {
        B::next_token_loss(handle(), {.logits = logits->matrix(),
                                      .begin = lists->constant_vector().subview(0, 257),
                                      .tokens = lists->constant_vector().subview(512, 256),
                                      .weights = weights->constant_vector(),
                                      .losses = losses->vector()});
      };
    });
  }

  void add_attention(double t, double a) {
    double seen = 0;
    for (const std::uint32_t position : forest().positions) seen += position + 1.0;
    const auto d = static_cast<double>(width);
    const auto with = [](bool backward) -> std::function<void()> {
      const AttentionShape shape{heads, heads, width / heads, 0.125};
      auto q = kept<A>(tokens(), width), k = kept<A>(tokens(), width), v = kept<A>(tokens(), width),
           out = kept<A>(tokens(), width), dout = kept<A>(tokens(), width), dq = kept<A>(tokens(), width),
           dk = kept<A>(tokens(), width), dv = kept<A>(tokens(), width);
      auto lse = kept<Stat>(tokens(), heads);
      auto scratch =
          kept<Stat>(1, std::max({B::attention_scratch(handle(), view(), shape),
                                  B::attention_backward_scratch(handle(), view(), shape), Index{1}}));
      const auto forward = [=] {
        B::attention(handle(), {.forest = view(),
                                .shape = shape,
                                .query_tokens = {},
                                .q = q->constant(),
                                .k = k->constant(),
                                .v = v->constant(),
                                .out = out->matrix(),
                                .lse = lse->matrix(),
                                .scratch = scratch->vector()});
      };
      if (!backward) return forward;
      forward();
      return [=] {
        B::attention_backward(handle(), {.forest = view(),
                                         .shape = shape,
                                         .query_tokens = {},
                                         .q = q->constant(),
                                         .k = k->constant(),
                                         .v = v->constant(),
                                         .out = out->constant(),
                                         .lse = lse->constant(),
                                         .dout = dout->constant(),
                                         .dq = dq->matrix(),
                                         .dk = dk->matrix(),
                                         .dv = dv->matrix(),
                                         .scratch = scratch->vector()});
      };
    };
    add("attention", {4 * a * t * d, 4 * seen * d}, [=] { return with(false); });
    add("attention_backward", {8 * a * t * d, 10 * seen * d}, [=] { return with(true); });
  }

  void add_elementwise(double t, double f, double a) {
    add("glu", {3 * a * t * f, 6 * t * f}, [] {
      auto x = kept<A>(tokens(), 2 * inner), out = kept<A>(tokens(), inner);
      return [=] { B::glu(handle(), ActivationFunction::silu, x->constant(), out->matrix()); };
    });
    add("glu_backward", {5 * a * t * f, 12 * t * f}, [] {
      auto x = kept<A>(tokens(), 2 * inner), dout = kept<A>(tokens(), inner),
           dx = kept<A>(tokens(), 2 * inner);
      return [=] {
        B::glu_backward(handle(), {.function = ActivationFunction::silu,
                                   .dout = dout->constant(),
                                   .gate_up = x->constant(),
                                   .dgate_up = dx->matrix()});
      };
    });
    add("gelu", {2 * a * t * f, 9 * t * f}, [] {
      auto x = kept<A>(tokens(), inner), out = kept<A>(tokens(), inner);
      return [=] { B::activate(handle(), ActivationFunction::gelu_tanh, x->constant(), out->matrix()); };
    });
    add("gelu_backward", {3 * a * t * f, 14 * t * f}, [] {
      auto x = kept<A>(tokens(), inner), dy = kept<A>(tokens(), inner), dx = kept<A>(tokens(), inner);
      return [=] {
        B::activate_backward(handle(), {.kind = ActivationFunction::gelu_tanh,
                                        .dy = dy->constant(),
                                        .x = x->constant(),
                                        .dx = dx->matrix()});
      };
    });
  }

  /// Of 8 million weights.
  void add_weights(double s) {
    constexpr Index rows = 4096, cols = 2048;
    const double n = rows * cols;
    add("sum_of_squares", {s * n, 2 * n}, [] {
      auto x = kept<Stat>(rows, cols);
      return [=] { benchmark::DoNotOptimize(B::sum_of_squares(handle(), x->constant_vector())); };
    });
    add("adamw", {7 * s * n, 14 * n}, [] {
      auto w = kept<Stat>(rows, cols), g = kept<Stat>(rows, cols), m = kept<Stat>(rows, cols, 0),
           v = kept<Stat>(rows, cols, 0);
      return [=] {
        B::adamw(handle(), {.parameters = w->vector(),
                            .gradients = g->constant_vector(),
                            .first = m->vector(),
                            .second = v->vector(),
                            .step = {.learning_rate = 1e-4}});
      };
    });
    add("momentum", {5 * s * n, 4 * n}, [] {
      auto w = kept<Stat>(rows, cols), g = kept<Stat>(rows, cols), m = kept<Stat>(rows, cols, 0);
      return [=] {
        B::momentum(handle(),
                    {.gradients = g->constant_vector(),
                     .momentum = m->vector(),
                     .out = w->vector(),
                     .step = {.momentum_weight = 1, .gradient_weight = 0, .keep = 0.9, .rate = 1e-4}});
      };
    });
    add("adafactor", {4 * s * n, 6 * n}, [] {
      auto g = kept<Stat>(rows, cols), of_rows = kept<Stat>(1, rows, 0), of_columns = kept<Stat>(1, cols, 0);
      return [=] {
        B::adafactor(handle(), {.gradients = g->matrix(),
                                .rows = of_rows->vector(),
                                .columns = of_columns->vector(),
                                .step = {.share = 0.1, .epsilon = 1e-3}});
      };
    });
    if constexpr (narrow_activations<B>) {
      add("round_weights", {(s + sizeof(A)) * n, 0}, [] {
        auto from = kept<Stat>(rows, cols);
        auto to = kept<A>(rows, cols);
        return [=] { B::round_weights(handle(), from->constant_vector(), {}, to->vector()); };
      });
    }
  }

  std::string name_;
};

/// A step of the optimizer on pairs that share 60% of 400 tokens, of a Llama of width 256: tokens a second before sharing.
template <class B>
void training_step(benchmark::State& state) {
  using Model = BradleyTerryModel<Llama, B>;
  Model model({.backbone = {.vocabulary_size = 1024,
                            .hidden_size = 256,
                            .intermediate_size = 688,
                            .layers = 4,
                            .heads = 4,
                            .kv_heads = 4}});
  std::vector<PreferenceExample> pairs;
  Rng rng(1);
  for (int i = 0; i < 8; ++i) pairs.push_back(make_pair(rng, 240, 160, 160, 1024));
  TrainOptions options;
  options.epochs = 1000000;
  options.batch_size = pairs.size();
  Trainer trainer(model, pairs, options);
  trainer.step();
  Index tokens = 0;
  for ([[maybe_unused]] auto _ : state) tokens += trainer.step().tokens_before_sharing;
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsRate);
}

template <class B>
void add_backend(const std::string& name) {
  Operations<B>().add_all(name);
  benchmark::RegisterBenchmark((name + "/training_step").c_str(), training_step<B>)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  add_backend<EigenBackend<float>>("eigen");
#if defined(MERIT_BENCH_THRUST_HOST)
  add_backend<ThrustBackend<Single, OmpSystem>>("thrust_omp");
  add_backend<ThrustBackend<Single, CppSystem>>("thrust_cpp");
#endif
#if defined(MERIT_BENCH_DEVICE)
  if (gpu_count() != 0) {
    add_backend<ThrustBackend<Single, CudaSystem>>("thrust");
    add_backend<ThrustBackend<BFloat16, CudaSystem>>("thrust_bf16");
  }
#endif
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
