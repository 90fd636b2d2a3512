// A machine whose memory nobody above the waist can read, and whose work is done late. Its operations are
// those of the reference backend, but every pointer it gives out is disguised, so that to follow one is a
// fault, and everything it is asked for waits in a queue until somebody waits for it. What passes with it
// touches memory through operations alone, waits before it reads, and keeps what it lends until then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/opaque_memory.hpp"
#include "merit/backend/reference/reference_backend.hpp"

namespace merit_test {

using namespace merit;

template <class T>
struct OpaqueBackend {
  using Inner = ReferenceBackend<T>;
  using Activation = T;
  using Stat = T;
  using Score = T;
  using Space = OpaqueSpace;

  /// The queue.
  class Handle {
   public:
    explicit Handle(const OpaqueBackend&) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    template <class F>
    void issue(F work) {
      queue_.emplace_back(std::move(work));
    }
    void wait() {
      for (const auto& work : queue_) work();
      queue_.clear();
    }
    typename Inner::Handle& inner() { return inner_; }

   private:
    typename Inner::Handle inner_{Inner{}};
    std::vector<std::function<void()>> queue_;
  };

  using Matrix = MatrixView<T, Space>;
  using ConstMatrix = MatrixView<const T, Space>;
  using Vector = VectorView<T, Space>;
  using ConstVector = VectorView<const T, Space>;
  using Indices = VectorView<const std::uint32_t, Space>;
  using Forest = ForestView<Space>;

  static std::string_view name() { return "opaque"; }

  // --- memory
  template <class Element>
  static Element* allocate(Handle& h, Index n) {
    return opaque::disguised(Inner::template allocate<Element>(h.inner(), n));
  }
  template <class Element>
  static void release(Handle& h, Element* block, Index n) {
    h.wait();
    Inner::release(h.inner(), opaque::disguised(block), n);
  }
  template <class Element>
  static void to_host(Handle& h, const Element* from, Element* to, Index n) {
    h.issue([=] { std::copy_n(opaque::disguised(from), n, to); });
  }
  template <class Element>
  static void from_host(Handle& h, const Element* from, Element* to, Index n) {
    h.issue([=] { std::copy_n(from, n, opaque::disguised(to)); });
  }
  static void wait(Handle& h) { h.wait(); }
  static void fill(Handle& h, Vector v, T value) {
    issue(h, [=](auto& inner) { Inner::fill(inner, opaque::revealed(v), value); });
  }
  static void copy(Handle& h, ConstMatrix from, Write write, Matrix to) {
    issue(h, [=](auto& inner) { Inner::copy(inner, opaque::revealed(from), write, opaque::revealed(to)); });
  }

  /// A copy of a forest in this memory.
  class Batch {
   public:
    Batch() = default;
    Batch(Batch&& other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)),
          blocks_(std::move(other.blocks_)),
          view_(other.view_) {}
    Batch& operator=(Batch&& other) noexcept {
      std::swap(handle_, other.handle_);
      std::swap(blocks_, other.blocks_);
      std::swap(view_, other.view_);
      return *this;
    }
    ~Batch() {
      for (const auto& [data, size] : blocks_) release(*handle_, data, size);
    }
    operator const Forest&() const { return view_; }  // NOLINT: what a batch is

   private:
    friend OpaqueBackend;
    template <class Element>
    const Element* copied(const Element* from, Index count) {
      auto* const to = allocate<Element>(*handle_, count);
      blocks_.push_back({reinterpret_cast<std::byte*>(to), count * sizeof(Element)});
      from_host(*handle_, from, to, count);
      return to;
    }

    Handle* handle_ = nullptr;
    std::vector<std::pair<std::byte*, Index>> blocks_;
    Forest view_;
  };
  static Batch prepare(Handle& h, const ForestView<HostSpace>& f) {
    Batch batch;
    batch.handle_ = &h;
    const auto copied = [&](VectorView<const std::uint32_t> v) -> Indices {
      return {batch.copied(v.data, v.size), v.size};
    };
    Buffer<float> features(f.features.rows * f.features.cols);
    for (Index i = 0; i < f.features.rows; ++i)
      std::copy_n(f.features.row(i), f.features.cols, features.data() + i * f.features.cols);
    batch.view_ = {.tokens = copied(f.tokens),
                   .positions = copied(f.positions),
                   .subtree_end = copied(f.subtree_end),
                   .rows = copied(f.rows),
                   .row_positions = copied(f.row_positions),
                   .row_roots = copied(f.row_roots),
                   .places = copied(f.places),
                   .types = copied(f.types),
                   .tree_begin = copied(f.tree_begin),
                   .tree_segment_begin = copied(f.tree_segment_begin),
                   .segment_begin = copied(f.segment_begin),
                   .segment_span_begin = copied(f.segment_span_begin),
                   .span_begin = copied(f.span_begin),
                   .span_end = copied(f.span_end),
                   .features = {batch.copied(std::as_const(features).data(), features.size()),
                                f.features.rows, f.features.cols},
                   .depth = f.depth};
    if (features.size() != 0) h.wait();  // the copy above ends here
    return batch;
  }

  // --- products
  static void linear(Handle& h, const LinearArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::linear(inner, {.x = opaque::revealed(a.x),
                            .weight = opaque::revealed(a.weight),
                            .transpose = a.transpose,
                            .write = a.write,
                            .out = opaque::revealed(a.out),
                            .bias = opaque::revealed(a.bias),
                            .residual = opaque::revealed(a.residual)});
    });
  }
  static void weight_gradient(Handle& h, ConstMatrix a, ConstMatrix b, Write write, Matrix out) {
    issue(h, [=](auto& inner) {
      Inner::weight_gradient(inner, opaque::revealed(a), opaque::revealed(b), write, opaque::revealed(out));
    });
  }
  static void column_sum(Handle& h, ConstMatrix x, Write write, Vector out) {
    issue(h,
          [=](auto& inner) { Inner::column_sum(inner, opaque::revealed(x), write, opaque::revealed(out)); });
  }

  // --- norms
  static void rms_norm(Handle& h, const RmsNormArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::rms_norm(inner, {.x = opaque::revealed(a.x),
                              .weight = opaque::revealed(a.weight),
                              .epsilon = a.epsilon,
                              .y = opaque::revealed(a.y),
                              .rstd = opaque::revealed(a.rstd),
                              .weight_offset = a.weight_offset});
    });
  }
  static void rms_norm_backward(Handle& h, const RmsNormBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::rms_norm_backward(inner, {.dy = opaque::revealed(a.dy),
                                       .x = opaque::revealed(a.x),
                                       .weight = opaque::revealed(a.weight),
                                       .rstd = opaque::revealed(a.rstd),
                                       .write = a.write,
                                       .dx = opaque::revealed(a.dx),
                                       .dweight = opaque::revealed(a.dweight),
                                       .weight_offset = a.weight_offset});
    });
  }
  static void layer_norm(Handle& h, const LayerNormArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::layer_norm(inner, {.x = opaque::revealed(a.x),
                                .weight = opaque::revealed(a.weight),
                                .bias = opaque::revealed(a.bias),
                                .epsilon = a.epsilon,
                                .y = opaque::revealed(a.y),
                                .stats = opaque::revealed(a.stats)});
    });
  }
  static void layer_norm_backward(Handle& h, const LayerNormBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::layer_norm_backward(inner, {.dy = opaque::revealed(a.dy),
                                         .x = opaque::revealed(a.x),
                                         .weight = opaque::revealed(a.weight),
                                         .stats = opaque::revealed(a.stats),
                                         .write = a.write,
                                         .dx = opaque::revealed(a.dx),
                                         .dweight = opaque::revealed(a.dweight),
                                         .dbias = opaque::revealed(a.dbias)});
    });
  }

  // --- positions and rows
  static void rotary(Handle& h, const RotaryArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::rotary(inner, {.x = opaque::revealed(a.x),
                            .heads = a.heads,
                            .positions = opaque::revealed(a.positions),
                            .table = opaque::revealed(a.table),
                            .inverse = a.inverse});
    });
  }
  static void gather_rows(Handle& h, const WeightView<Space>& table, Indices ids, Write write, Matrix out) {
    issue(h, [=](auto& inner) {
      Inner::gather_rows(inner, opaque::revealed(table), opaque::revealed(ids), write, opaque::revealed(out));
    });
  }
  static void scatter_add_rows(Handle& h, ConstMatrix rows, Indices ids, Matrix out) {
    issue(h, [=](auto& inner) {
      Inner::scatter_add_rows(inner, opaque::revealed(rows), opaque::revealed(ids), opaque::revealed(out));
    });
  }

  // --- attention over a forest. Sizes are known without looking into memory.
  static Index attention_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return Inner::attention_scratch(h.inner(), opaque::revealed(forest), shape);
  }
  static void attention(Handle& h, const AttentionArguments<OpaqueBackend>& a) {
    issue(h, [=, forest = opaque::revealed(a.forest)](auto& inner) {
      Inner::attention(inner, {.forest = forest,
                               .shape = a.shape,
                               .query_tokens = opaque::revealed(a.query_tokens),
                               .q = opaque::revealed(a.q),
                               .k = opaque::revealed(a.k),
                               .v = opaque::revealed(a.v),
                               .out = opaque::revealed(a.out),
                               .lse = opaque::revealed(a.lse),
                               .scratch = opaque::revealed(a.scratch)});
    });
  }
  static Index attention_backward_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return Inner::attention_backward_scratch(h.inner(), opaque::revealed(forest), shape);
  }
  static void attention_backward(Handle& h, const AttentionBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=, forest = opaque::revealed(a.forest)](auto& inner) {
      Inner::attention_backward(inner, {.forest = forest,
                                        .shape = a.shape,
                                        .query_tokens = opaque::revealed(a.query_tokens),
                                        .q = opaque::revealed(a.q),
                                        .k = opaque::revealed(a.k),
                                        .v = opaque::revealed(a.v),
                                        .out = opaque::revealed(a.out),
                                        .lse = opaque::revealed(a.lse),
                                        .dout = opaque::revealed(a.dout),
                                        .write_dq = a.write_dq,
                                        .dq = opaque::revealed(a.dq),
                                        .write_dkv = a.write_dkv,
                                        .dk = opaque::revealed(a.dk),
                                        .dv = opaque::revealed(a.dv),
                                        .scratch = opaque::revealed(a.scratch)});
    });
  }

  static Index relative_attention_scratch(Handle& h, const Forest& forest, Index buckets) {
    return Inner::relative_attention_scratch(h.inner(), opaque::revealed(forest), buckets);
  }
  static void relative_attention(Handle& h, const RelativeAttentionArguments<OpaqueBackend>& a) {
    issue(h, [=, forest = opaque::revealed(a.forest)](auto& inner) {
      Inner::relative_attention(inner, revealed_relative(a, forest));
    });
  }
  static void relative_attention_backward(Handle& h,
                                          const RelativeAttentionBackwardArguments<OpaqueBackend>& b) {
    issue(h, [=, forest = opaque::revealed(b.forward.forest)](auto& inner) {
      Inner::relative_attention_backward(inner, {.forward = revealed_relative(b.forward, forest),
                                                 .dout = opaque::revealed(b.dout),
                                                 .dq = opaque::revealed(b.dq),
                                                 .dk = opaque::revealed(b.dk),
                                                 .dv = opaque::revealed(b.dv),
                                                 .dposition_keys = opaque::revealed(b.dposition_keys),
                                                 .dposition_queries = opaque::revealed(b.dposition_queries)});
    });
  }
  static RelativeAttentionArguments<Inner> revealed_relative(
      const RelativeAttentionArguments<OpaqueBackend>& a, const ForestView<HostSpace>& forest) {
    return {.forest = forest,
            .shape = a.shape,
            .query_tokens = opaque::revealed(a.query_tokens),
            .q = opaque::revealed(a.q),
            .k = opaque::revealed(a.k),
            .v = opaque::revealed(a.v),
            .position_keys = opaque::revealed(a.position_keys),
            .position_queries = opaque::revealed(a.position_queries),
            .buckets = opaque::revealed(a.buckets),
            .out = opaque::revealed(a.out),
            .lse = opaque::revealed(a.lse),
            .scratch = opaque::revealed(a.scratch)};
  }

  // --- experts
  static void route(Handle& h, const RouteArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::route(inner, {.logits = opaque::revealed(a.logits),
                           .normalised = a.normalised,
                           .experts = opaque::revealed(a.experts),
                           .weights = opaque::revealed(a.weights)});
    });
  }
  static void route_backward(Handle& h, const RouteBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::route_backward(inner, {.logits = opaque::revealed(a.logits),
                                    .normalised = a.normalised,
                                    .experts = opaque::revealed(a.experts),
                                    .weights = opaque::revealed(a.weights),
                                    .dweights = opaque::revealed(a.dweights),
                                    .write = a.write,
                                    .dlogits = opaque::revealed(a.dlogits)});
    });
  }
  static void scale_rows(Handle& h, ConstMatrix x, Indices places, ConstVector weights, Matrix out) {
    issue(h, [=](auto& inner) {
      Inner::scale_rows(inner, opaque::revealed(x), opaque::revealed(places), opaque::revealed(weights),
                        opaque::revealed(out));
    });
  }
  static void scale_rows_backward(Handle& h, const ScaleRowsBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::scale_rows_backward(inner, {.x = opaque::revealed(a.x),
                                         .places = opaque::revealed(a.places),
                                         .weights = opaque::revealed(a.weights),
                                         .dout = opaque::revealed(a.dout),
                                         .write = a.write,
                                         .dx = opaque::revealed(a.dx),
                                         .dweights = opaque::revealed(a.dweights)});
    });
  }

  // --- elementwise
  static void glu(Handle& h, ActivationFunction function, ConstMatrix gate_up, Matrix out) {
    issue(h, [=](auto& inner) {
      Inner::glu(inner, function, opaque::revealed(gate_up), opaque::revealed(out));
    });
  }
  static void glu_backward(Handle& h, const GluBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::glu_backward(inner, {.function = a.function,
                                  .dout = opaque::revealed(a.dout),
                                  .gate_up = opaque::revealed(a.gate_up),
                                  .write = a.write,
                                  .dgate_up = opaque::revealed(a.dgate_up)});
    });
  }
  static void activate(Handle& h, ActivationFunction kind, ConstMatrix x, Matrix y) {
    issue(h, [=](auto& inner) { Inner::activate(inner, kind, opaque::revealed(x), opaque::revealed(y)); });
  }
  static void activate_backward(Handle& h, const ActivateBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::activate_backward(inner, {.kind = a.kind,
                                       .dy = opaque::revealed(a.dy),
                                       .x = opaque::revealed(a.x),
                                       .write = a.write,
                                       .dx = opaque::revealed(a.dx)});
    });
  }
  static void scale(Handle& h, const ScaleArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::scale(inner, {.x = opaque::revealed(a.x),
                           .factor = a.factor,
                           .columns = opaque::revealed(a.columns),
                           .bias = opaque::revealed(a.bias),
                           .row_keys = opaque::revealed(a.row_keys),
                           .stream = a.stream,
                           .dropout = a.dropout,
                           .write = a.write,
                           .out = opaque::revealed(a.out)});
    });
  }
  static Index path_mean_scratch(Handle& h, const Forest& forest, Index width) {
    return Inner::path_mean_scratch(h.inner(), opaque::revealed(forest), width);
  }
  static void path_mean(Handle& h, const Forest& forest, ConstMatrix x, Matrix out, Vector scratch) {
    issue(h, [=, forest = opaque::revealed(forest)](auto& inner) {
      Inner::path_mean(inner, forest, opaque::revealed(x), opaque::revealed(out), opaque::revealed(scratch));
    });
  }
  static void path_mean_backward(Handle& h, const PathMeanBackwardArguments<OpaqueBackend>& a) {
    issue(h, [=, forest = opaque::revealed(a.forest)](auto& inner) {
      Inner::path_mean_backward(inner, {.forest = forest,
                                        .dout = opaque::revealed(a.dout),
                                        .write = a.write,
                                        .dx = opaque::revealed(a.dx),
                                        .scratch = opaque::revealed(a.scratch)});
    });
  }

  // --- losses
  static void next_token_loss(Handle& h, const NextTokenLossArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::next_token_loss(inner, {.logits = opaque::revealed(a.logits),
                                     .begin = opaque::revealed(a.begin),
                                     .tokens = opaque::revealed(a.tokens),
                                     .weights = opaque::revealed(a.weights),
                                     .losses = opaque::revealed(a.losses)});
    });
  }

  // --- the trained weights
  static double sum_of_squares(Handle& h, ConstVector v) {
    h.wait();
    return Inner::sum_of_squares(h.inner(), opaque::revealed(v));
  }
  static void adamw(Handle& h, const AdamWArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::adamw(inner, {.parameters = opaque::revealed(a.parameters),
                           .gradients = opaque::revealed(a.gradients),
                           .first = opaque::revealed(a.first),
                           .second = opaque::revealed(a.second),
                           .step = a.step});
    });
  }
  static void momentum(Handle& h, const MomentumArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::momentum(inner, {.gradients = opaque::revealed(a.gradients),
                              .momentum = opaque::revealed(a.momentum),
                              .out = opaque::revealed(a.out),
                              .step = a.step});
    });
  }
  static void adafactor(Handle& h, const AdafactorArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::adafactor(inner, {.gradients = opaque::revealed(a.gradients),
                               .rows = opaque::revealed(a.rows),
                               .columns = opaque::revealed(a.columns),
                               .step = a.step});
    });
  }
  static void product(Handle& h, const ProductArguments<OpaqueBackend>& a) {
    issue(h, [=](auto& inner) {
      Inner::product(inner, {.a = opaque::revealed(a.a),
                             .transpose_a = a.transpose_a,
                             .b = opaque::revealed(a.b),
                             .transpose_b = a.transpose_b,
                             .scale = a.scale,
                             .c = opaque::revealed(a.c),
                             .c_scale = a.c_scale,
                             .out = opaque::revealed(a.out)});
    });
  }

 private:
  template <class F>
  static void issue(Handle& h, F work) {
    h.issue([work = std::move(work), &h] { work(h.inner()); });
  }
};

static_assert(backend<OpaqueBackend<float>> && backend<OpaqueBackend<double>>);

}  // namespace merit_test
