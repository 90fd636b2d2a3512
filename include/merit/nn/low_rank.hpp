// The second path of a linear map (LoRA, Hu et al. 2021; DoRA, Liu et al. 2024): what linear() adds to x · Wᵀ where the
// map has an adapter, and its gradients. W is read by products alone, so it may be held in any type.
//
// Dropout is on the second path alone. Whether element j of a row of x is kept is a function of the run's seed, the step,
// the tokens from the root of the row's tree to the row, the map's name and j, and of nothing else: a token that
// completions share, or that another micro-batch computes again, drops the same elements. Rows that stand for no token have
// their own number in place of the tokens.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/nn/dropout_keys.hpp"
#include "merit/nn/layout.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The map of one tensor of a slice, with its columns of the output.
struct MapColumns {
  std::uint32_t weight;
  const LowRankPath* path;  // null: it has none
  Index begin, width;       // columns of the slice's output
  Index row;                // which row of B, of all outputs of the tensor, is the first of them
};

/// Calls f(MapColumns) for each tensor of a slice.
template <class B, class F>
void for_each_map(const Parameters<B>& parameters, const ParameterSlice& slice, Layout layout, F f) {
  Index begin = 0;
  for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) {
    const LowRankPath* path = parameters.path_of(i);
    if (layout == Layout::in_out) {
      f(MapColumns{i, path, 0, slice.cols, slice.begin});
    } else {
      const Index width = parameters.element_count(i) / slice.cols;
      f(MapColumns{i, path, begin, width, 0});
      begin += width;
    }
  }
}

/// Whether a map of a slice has a path, and whether one has a path with a magnitude.
template <class B>
bool has_paths(const Parameters<B>& parameters, const ParameterSlice& slice) {
  for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) {
    if (parameters.path_of(i) != nullptr) return true;
  }
  return false;
}
template <class B>
bool has_magnitudes(const Parameters<B>& parameters, const ParameterSlice& slice) {
  for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) {
    const LowRankPath* path = parameters.path_of(i);
    if (path != nullptr && path->has_magnitude()) return true;
  }
  return false;
}
/// Whether a gradient goes to the paths themselves.
template <class B>
bool trains_paths(const Parameters<B>& parameters, const ParameterSlice& slice) {
  for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) {
    const LowRankPath* path = parameters.path_of(i);
    if (path != nullptr && parameters.trainable(parameters.slice(path->a))) return true;
  }
  return false;
}
/// The elements of all tensors of a slice.
template <class B>
Index size_of_all(const Parameters<B>& parameters, const ParameterSlice& slice) {
  Index size = 0;
  for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) size += parameters.element_count(i);
  return size;
}

/// The rows of B that belong to some outputs of a map.
template <class B>
ParameterSlice rows_of_b(const Parameters<B>& parameters, const MapColumns& map) {
  ParameterSlice slice = parameters.slice(map.path->b);
  slice.begin = map.row * slice.cols;
  slice.rows = map.width;
  return slice;
}

/// The lengths of the rows of W + scale · B·A, computed when one of the three has changed: of |w|², 2 · scale · b·(A·w) and
/// scale² · bᵀ·(A·Aᵀ)·b, so that W is read by one product of r rows.
template <class B>
const std::vector<double>& row_norms(Tape<B>& tape, const MapColumns& map, Layout layout) {
  using S = ScoreBackendOf<B>;
  using T = typename S::Stat;
  const Parameters<S>& parameters = tape.parameters();
  RowNorms& norms = map.path->norms;
  if (!norms.norms.empty() && norms.sets == parameters.sets() && norms.updates == parameters.updates())
    return norms.norms;
  const LowRankPath& path = *map.path;
  auto& h = tape.handle();
  const ParameterSlice w = parameters.slice(map.weight), a = parameters.slice(path.a),
                       b = parameters.slice(path.b);
  const Index in = a.cols, out = b.rows, rank = a.rows;
  if (norms.weight_squares.empty() || norms.weight_sets != parameters.sets()) {
    std::vector<T> values(w.size());
    parameters.get(map.weight, values.data());
    norms.weight_squares.assign(out, 0);
    for (Index e = 0; e < values.size(); ++e) {
      const double value = number<double>(values[e]);
      norms.weight_squares[layout == Layout::out_in ? e / in : e % out] += value * value;
    }
    norms.weight_sets = parameters.sets();
  }
  std::vector<T> aw(rank * out), a_values(a.size()), b_values(b.size());
  tape.working([&] {
    const typename BackendTypes<S>::Matrix rows{tape.template room<T>(a.size()).data, rank, in};
    const typename BackendTypes<S>::Matrix product{tape.template room<T>(rank * out).data, rank, out};
    S::gather_rows(h, parameters.value(a), {}, Write::assign, rows);
    S::linear(h, {.x = rows,
                  .weight = parameters.value(w),
                  .transpose = layout == Layout::out_in ? Transpose::yes : Transpose::no,
                  .out = product});
    S::to_host(h, static_cast<const T*>(product.data), aw.data(), aw.size());
    S::wait(h);
  });
  parameters.get(path.a, a_values.data());
  parameters.get(path.b, b_values.data());
  std::vector<double> gram(rank * rank);  // A·Aᵀ
  for (Index i = 0; i < rank; ++i)
    for (Index j = 0; j < rank; ++j)
      for (Index k = 0; k < in; ++k)
        gram[i * rank + j] +=
            static_cast<double>(a_values[i * in + k]) * static_cast<double>(a_values[j * in + k]);
  norms.norms.resize(out);
  for (Index o = 0; o < out; ++o) {
    double crossed = 0, squared = 0;
    for (Index i = 0; i < rank; ++i) {
      const double bi = static_cast<double>(b_values[o * rank + i]);
      crossed += bi * static_cast<double>(aw[i * out + o]);
      for (Index j = 0; j < rank; ++j)
        squared += bi * gram[i * rank + j] * static_cast<double>(b_values[o * rank + j]);
    }
    norms.norms[o] =
        std::sqrt(norms.weight_squares[o] + 2 * path.scale * crossed + path.scale * path.scale * squared);
  }
  norms.sets = parameters.sets();
  norms.updates = parameters.updates();
  return norms.norms;
}

/// numerators[j] / norms[j] of a map's columns in the backend's memory, while the tape keeps it; empty numerators: ones.
template <class B>
typename BackendTypes<B>::ConstStatVector over_norms(Tape<B>& tape, const MapColumns& map, Layout layout,
                                                     const std::vector<typename B::Stat>& numerators) {
  using T = typename B::Stat;
  const std::vector<double>& norms = row_norms(tape, map, layout);
  std::vector<T> host(map.width);
  for (Index j = 0; j < map.width; ++j) {
    const double numerator = numerators.empty() ? 1.0 : static_cast<double>(numerators[map.row + j]);
    host[j] = static_cast<T>(numerator / norms[map.row + j]);
  }
  const auto place = tape.template room<T>(map.width);
  B::from_host(tape.handle(), static_cast<const T*>(host.data()), place.data, map.width);
  B::wait(tape.handle());
  return {place.data, map.width};
}

/// The keys of x's rows; empty where this path drops nothing.
template <class B>
typename Tape<B>::Keys row_keys(const Tape<B>& tape, const LowRankPath& path, Var x) {
  if (path.dropout == 0) return {};
  return keys_of_rows(tape, x);
}

/// x as A reads it: some of it dropped, in memory that the tape keeps; x itself where nothing is.
template <class B>
typename BackendTypes<B>::ConstMatrix seen_by_a(Tape<B>& tape, const LowRankPath& path, Var from) {
  const typename BackendTypes<B>::ConstMatrix x = tape.value(from);
  const auto keys = row_keys(tape, path, from);
  if (keys.empty()) return x;
  const typename BackendTypes<B>::Matrix kept{
      tape.template room<typename B::Activation>(x.rows * x.cols).data, x.rows, x.cols};
  B::scale(tape.handle(), {.x = x,
                           .factor = 1 / (1 - path.dropout),
                           .row_keys = keys,
                           .stream = path.stream,
                           .dropout = path.dropout,
                           .out = kept});
  return kept;
}

/// The A of all maps of a slice as one matrix (R, in), where they are declared adjacent and nothing is dropped, so that one
/// product serves all; not present otherwise.
template <class B>
ParameterSlice joined_a(Tape<B>& tape, const ParameterSlice& slice, Var x) {
  const Parameters<B>& parameters = tape.parameters();
  std::uint32_t first = LowRankPath::none, count = 0;
  for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) {
    const LowRankPath* path = parameters.path_of(i);
    if (path == nullptr) continue;
    if (!row_keys(tape, *path, x).empty()) return {};
    if (count != 0 && path->a == first + count - 1) continue;  // the same as the map before
    if (count != 0 && (path->a != first + count || !parameters.spec(path->a).adjacent)) return {};
    if (count == 0) first = path->a;
    ++count;
  }
  return parameters.slice(first, count);
}

/// Calls f(map, its first column of inner, whether its A is another than that of the map before) for each map with a
/// path. Maps that are one matrix in files have one A.
template <class B, class F>
void for_each_path(const Parameters<B>& parameters, const ParameterSlice& slice, Layout layout, F f) {
  Index column = 0, next = 0;
  std::uint32_t before = LowRankPath::none;
  for_each_map(parameters, slice, layout, [&](const MapColumns& map) {
    if (map.path == nullptr) return;
    const bool other = map.path->a != before;
    if (other) {
      column = next;
      next += parameters.slice(map.path->a).rows;
      before = map.path->a;
    }
    f(map, column, other);
  });
}

/// Adds the second paths of x (M, in) to out (M, out) and gives scale · (x·Aᵀ), (M, R), the paths side by side.
template <class B>
Var add_second_paths(Tape<B>& tape, Var x, const ParameterSlice& slice, Layout layout, Var out) {
  auto& h = tape.handle();
  const Parameters<B>& parameters = tape.parameters();
  const Index rows = tape.rows(x);
  Index ranks = 0;
  for_each_path(parameters, slice, layout, [&](const MapColumns& map, Index, bool other) {
    ranks += other ? parameters.slice(map.path->a).rows : 0;
  });
  const Var inner = tape.make(rows, ranks, false);
  const auto u = tape.value(inner);
  const auto through_a = [&](typename BackendTypes<B>::ConstMatrix seen, const ParameterSlice& a,
                             Index column) {
    parameters.for_each_part(a, [&](const typename BackendTypes<B>::Weight& part, Index begin) {
      B::linear(h, {.x = seen,
                    .weight = part,
                    .transpose = Transpose::yes,
                    .out = u.col_block(column + begin, part.rows)});
    });
  };
  const ParameterSlice all = joined_a(tape, slice, x);
  if (all.present()) through_a(tape.value(x), all, 0);
  for_each_path(parameters, slice, layout, [&](const MapColumns& map, Index column, bool other) {
    const ParameterSlice a = parameters.slice(map.path->a), b = rows_of_b(parameters, map);
    if (!all.present() && other) tape.working([&] { through_a(seen_by_a(tape, *map.path, x), a, column); });
    const auto own = u.col_block(column, a.rows);
    if (other) B::scale(h, {.x = own, .factor = map.path->scale, .out = own});
    B::linear(h, {.x = own,
                  .weight = parameters.value(b),
                  .transpose = Transpose::yes,
                  .write = Write::add,
                  .out = tape.value(out).col_block(map.begin, map.width)});
  });
  return inner;
}

/// Turns out, the sum of both paths without bias, into what the maps give; the sums over their norms, (M, out), are kept.
template <class B>
Var apply_magnitudes(Tape<B>& tape, const ParameterSlice& slice, Layout layout, Var out,
                     typename BackendTypes<B>::ConstStatVector bias,
                     typename BackendTypes<B>::ConstMatrix residual) {
  auto& h = tape.handle();
  const Parameters<B>& parameters = tape.parameters();
  const Var normed = tape.make(tape.rows(out), tape.cols(out), false);
  for_each_map(parameters, slice, layout, [&](const MapColumns& map) {
    const auto own = tape.value(out).col_block(map.begin, map.width);
    const auto over_norm = tape.value(normed).col_block(map.begin, map.width);
    const auto own_bias = bias.empty() ? bias : bias.subview(map.begin, map.width);
    if (map.path == nullptr || !map.path->has_magnitude()) {
      if (!bias.empty()) B::scale(h, {.x = own, .bias = own_bias, .out = own});
      return;
    }
    tape.working(
        [&] { B::scale(h, {.x = own, .columns = over_norms<B>(tape, map, layout, {}), .out = over_norm}); });
    const auto magnitude = parameters.value_vector(parameters.slice(map.path->magnitude));
    B::scale(
        h, {.x = over_norm, .columns = magnitude.subview(map.row, map.width), .bias = own_bias, .out = own});
  });
  if (!residual.empty()) B::copy(h, residual, Write::add, tape.value(out));
  return normed;
}

/// The gradient (M, out) by the sums of both paths from g, that by the maps' output; adds that by the magnitudes. Norms are
/// constants in it, as in the paper (§4.3).
template <class B>
typename BackendTypes<B>::ConstMatrix before_magnitudes(Tape<B>& tape, const ParameterSlice& slice,
                                                        Layout layout, Var normed,
                                                        typename BackendTypes<B>::ConstMatrix g) {
  using T = typename B::Stat;
  auto& h = tape.handle();
  Parameters<B>& parameters = tape.parameters();
  const typename BackendTypes<B>::Matrix dz{tape.template room<typename B::Activation>(g.rows * g.cols).data,
                                            g.rows, g.cols};
  const auto ones = tape.scratch(g.rows);
  B::fill(h, ones, T{1});
  for_each_map(parameters, slice, layout, [&](const MapColumns& map) {
    const auto own = g.col_block(map.begin, map.width);
    const auto target = dz.col_block(map.begin, map.width);
    if (map.path == nullptr || !map.path->has_magnitude()) return B::copy(h, own, Write::assign, target);
    const ParameterSlice magnitude = parameters.slice(map.path->magnitude);
    const auto value = parameters.value_vector(magnitude).subview(map.row, map.width);
    if (parameters.trainable(magnitude)) {
      // The sum over rows of dy · x is what the weight of an RMSNorm gets where every row's factor is 1.
      B::rms_norm_backward(
          h, {.dy = own,
              .x = tape.value(normed).col_block(map.begin, map.width),
              .weight = value,
              .rstd = ones,
              .dweight = parameters.gradient_to_add(magnitude).flat().subview(map.row, map.width)});
    }
    std::vector<T> host(magnitude.size());
    parameters.get(map.path->magnitude, host.data());
    B::scale(h, {.x = own, .columns = over_norms<B>(tape, map, layout, host), .out = target});
  });
  return dz;
}

/// The gradients of the second paths from g (M, out), that by the sum of both: by A, by B and, where it is wanted, by x.
template <class B>
void second_paths_backward(Tape<B>& tape, Var x, const ParameterSlice& slice, Layout layout, Var inner,
                           typename BackendTypes<B>::ConstMatrix g) {
  auto& h = tape.handle();
  Parameters<B>& parameters = tape.parameters();
  const typename BackendTypes<B>::ConstMatrix u = tape.value(inner);
  const typename BackendTypes<B>::Matrix du{tape.template room<typename B::Activation>(u.rows * u.cols).data,
                                            u.rows, u.cols};
  const bool wants_x = tape.needs_gradient(x);
  /// Of one A, or of several as one matrix.
  const auto through_a = [&](const ParameterSlice& a, Index column,
                             typename BackendTypes<B>::ConstMatrix seen) {
    if (!parameters.trainable(a)) return;
    const auto target = parameters.gradient_target(a);
    B::weight_gradient(h, du.col_block(column, a.rows), seen, target.write, target.view);
  };
  const auto to_x = [&](const ParameterSlice& a, Index column,
                        GradientTarget<typename BackendTypes<B>::Matrix> target) {
    parameters.for_each_part(a, [&](const typename BackendTypes<B>::Weight& part, Index begin) {
      B::linear(h, {.x = du.col_block(column + begin, part.rows),
                    .weight = part,
                    .write = begin == 0 ? target.write : Write::add,
                    .out = target.view});
    });
  };
  for_each_path(parameters, slice, layout, [&](const MapColumns& map, Index column, bool other) {
    const ParameterSlice b = rows_of_b(parameters, map);
    const auto own = g.col_block(map.begin, map.width);
    B::linear(h, {.x = own,
                  .weight = parameters.value(b),
                  .write = other ? Write::assign : Write::add,
                  .out = du.col_block(column, b.cols)});
    if (!parameters.trainable(b)) return;
    const auto target = parameters.gradient_target(b);
    B::weight_gradient(h, own, u.col_block(column, b.cols), target.write, target.view);
  });
  for_each_path(parameters, slice, layout, [&](const MapColumns& map, Index column, bool other) {
    const auto own = du.col_block(column, parameters.slice(map.path->a).rows);
    if (other) B::scale(h, {.x = own, .factor = map.path->scale, .out = own});
  });
  const ParameterSlice all = joined_a(tape, slice, x);
  if (all.present()) {
    through_a(all, 0, tape.value(x));
    if (wants_x) to_x(all, 0, tape.gradient_target(x));
    return;
  }
  for_each_path(parameters, slice, layout, [&](const MapColumns& map, Index column, bool other) {
    if (!other) return;
    const ParameterSlice a = parameters.slice(map.path->a);
    tape.working([&] { through_a(a, column, seen_by_a(tape, *map.path, x)); });
    if (!wants_x) return;
    const auto target = tape.gradient_target(x);
    const auto keys = row_keys(tape, *map.path, x);
    if (keys.empty()) return to_x(a, column, target);
    tape.working([&] {
      const typename BackendTypes<B>::Matrix dropped{
          tape.template room<typename B::Activation>(u.rows * a.cols).data, u.rows, a.cols};
      to_x(a, column, {dropped, Write::assign});
      B::scale(h, {.x = dropped,
                   .factor = 1 / (1 - map.path->dropout),
                   .row_keys = keys,
                   .stream = map.path->stream,
                   .dropout = map.path->dropout,
                   .write = target.write,
                   .out = target.view});
    });
  });
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
