// A layer of experts (Shazeer et al. 2017): each row is led through some of many MLPs and takes a weighted sum of what
// they give. Every MLP sees the rows that chose it, in one product, and no other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "merit/nn/activation.hpp"
#include "merit/nn/check.hpp"
#include "merit/nn/dropout_keys.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/select_rows.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The parameters of a layer of experts.
struct ExpertSlices {
  ParameterSlice router;                     // (E, d)
  std::vector<ParameterSlice> gate_up = {};  // of each expert (2f, d): gates, then ups
  std::vector<ParameterSlice> down = {};     // (d, f)
  Index per_token = 1;
  bool normalised = false;  // the weights of the chosen ones add up to 1
  ActivationFunction activation = ActivationFunction::silu;
};

namespace detail {

template <class B>
struct RouteNode {
  Var logits;
  bool normalised;
  typename Tape<B>::Types::Indices experts;
  Var weights;

  void backward(Tape<B>& tape) const {
    const auto target = tape.gradient_target(logits);
    B::route_backward(tape.handle(), {.logits = tape.value(logits),
                                      .normalised = normalised,
                                      .experts = experts,
                                      .weights = tape.value(weights),
                                      .dweights = tape.gradient(weights),
                                      .write = target.write,
                                      .dlogits = target.view});
  }
};

template <class B>
struct ScaleRowsNode {
  Var x;
  typename Tape<B>::Types::Indices places;
  Var weights;
  Var out;

  void backward(Tape<B>& tape) const {
    const typename Tape<B>::Types::ConstMatrix values = tape.value(weights);
    ScaleRowsBackwardArguments<B> arguments{
        .x = tape.value(x), .places = places, .weights = values.flat(), .dout = tape.gradient(out)};
    if (tape.needs_gradient(x)) {
      const auto target = tape.gradient_target(x);
      arguments.write = target.write;
      arguments.dx = target.view;
    }
    if (tape.needs_gradient(weights)) arguments.dweights = tape.gradient_to_add(weights).flat();
    B::scale_rows_backward(tape.handle(), arguments);
  }
};

template <class B>
struct ScatterNode {
  Var rows;
  typename Tape<B>::Types::Indices ids;
  Var out;

  void backward(Tape<B>& tape) const {
    const auto target = tape.gradient_target(rows);
    const typename Tape<B>::Types::ConstMatrix gradient = tape.gradient(out);
    B::gather_rows(tape.handle(), gradient, ids, target.write, target.view);
  }
};

/// Numbers of the host where the backend reads them, as long as the tape's values live.
template <class B, class Element>
VectorView<const Element, typename B::Space> on_tape(Tape<B>& tape, const std::vector<Element>& numbers,
                                                     Index begin, Index end) {
  const auto room = tape.template room<Element>(end - begin);
  B::from_host(tape.handle(), numbers.data() + begin, room.data, end - begin);
  return {room.data, room.size};
}

}  // namespace detail

/// x (M, d) → (M, d): of each row the sum over its experts of weight · down · (function(gate · x) ∘ up · x). The choice
/// is read by the host, once a layer.
template <class B>
Var experts(Tape<B>& tape, Var x, const ExpertSlices& of) {
  const Index count = of.router.rows, k = of.per_token, rows = tape.rows(x);
  detail::check_extent("experts", "the number of gates", of.gate_up.size(), count);
  detail::check_extent("experts", "the number of outputs", of.down.size(), count);
  if (k == 0 || k > count) throw UsageError(concat("experts: a row takes ", k, " of ", count, " experts"));
  const Var logits = linear(tape, x, of.router);  // (M, E)
  const Var weights = tape.make(rows, k, tape.needs_gradient(logits));
  const auto chosen = tape.template room<std::uint32_t>(rows * k);
  B::route(tape.handle(), {.logits = tape.value(logits),
                           .normalised = of.normalised,
                           .experts = chosen,
                           .weights = tape.value(weights)});
  tape.record(weights, detail::RouteNode<B>{logits, of.normalised, {chosen.data, chosen.size}, weights});

  // Places in `weights` by expert, each expert's in the order of its rows.
  std::vector<std::uint32_t> choice(rows * k), places(rows * k), row_of(rows * k), begin(count + 1);
  B::to_host(tape.handle(), static_cast<const std::uint32_t*>(chosen.data), choice.data(), choice.size());
  B::wait(tape.handle());
  for (const std::uint32_t expert : choice) ++begin[expert + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<std::uint32_t> next(begin.begin(), begin.end() - 1);
  for (std::uint32_t place = 0; place < choice.size(); ++place) {
    const std::uint32_t at = next[choice[place]]++;
    places[at] = place;
    row_of[at] = static_cast<std::uint32_t>(place / k);
  }

  // What dropout knows each expert's rows by, in the same order; empty where it is off.
  std::vector<std::uint64_t> keys;
  if (const auto known = detail::keys_of_rows(tape, x); !known.empty()) {
    std::vector<std::uint64_t> of_rows(rows);
    B::to_host(tape.handle(), known.data, of_rows.data(), rows);
    B::wait(tape.handle());
    for (const std::uint32_t row : row_of) keys.push_back(of_rows[row]);
  }

  const Var out = tape.make(rows, tape.cols(x), true);
  B::fill(tape.handle(), tape.value(out).flat(), typename B::Activation{});
  for (Index e = 0; e < count; ++e) {
    if (begin[e] == begin[e + 1]) continue;
    const auto ids = detail::on_tape(tape, row_of, begin[e], begin[e + 1]);
    const auto at = detail::on_tape(tape, places, begin[e], begin[e + 1]);
    const typename Tape<B>::Keys own =
        keys.empty() ? typename Tape<B>::Keys{} : detail::on_tape(tape, keys, begin[e], begin[e + 1]);
    const Var in = gather(tape, x, ids);  // (m, d)
    tape.set_keys_of_rows(in, own);
    const Var inner = glu(tape, linear(tape, in, of.gate_up[e]), of.activation);  // (m, f)
    tape.set_keys_of_rows(inner, own);
    const Var down = linear(tape, inner, of.down[e]);  // (m, d)
    const bool needs = tape.needs_gradient(down) || tape.needs_gradient(weights);
    const Var scaled = tape.make(ids.size, tape.cols(x), needs);
    const typename Tape<B>::Types::ConstMatrix values = tape.value(weights);
    B::scale_rows(tape.handle(), tape.value(down), at, values.flat(), tape.value(scaled));
    tape.record(scaled, detail::ScaleRowsNode<B>{down, at, weights, scaled});
    B::scatter_add_rows(tape.handle(), tape.value(scaled), ids, tape.value(out));
    tape.record(out, detail::ScatterNode<B>{scaled, ids, out});
  }
  B::wait(tape.handle());  // the lists of this function are read until here
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
