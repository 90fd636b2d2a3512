// What a layer of experts does to one row, the same in a loop on a host and in one on a device: a functor is an
// operation's work on the row of a number.
#pragma once

#include <cmath>
#include <type_traits>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// place = value, or place += value, as its type holds it.
template <class T, class Wide>
MERIT_CALLABLE void put_number(T& place, Wide value, Write write) {
  if (write == Write::add) value += number<Wide>(place);
  if constexpr (std::is_same_v<T, Bf16>) {
    place = Bf16{to_bf16(value)};
  } else {
    place = value;
  }
}

/// See RouteArguments.
template <class B>
struct RouteRow {
  using T = typename B::Stat;
  RouteArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const auto* const logits = a.logits.row(i);
    const Index count = a.logits.cols, k = a.weights.cols;
    std::uint32_t* const experts = a.experts.data + i * k;
    for (Index chosen = 0; chosen < k; ++chosen) {
      Index best = count;
      for (Index e = 0; e < count; ++e) {
        bool taken = false;
        for (Index c = 0; c < chosen; ++c) taken = taken || Index{experts[c]} == e;
        if (!taken && (best == count || number<T>(logits[best]) < number<T>(logits[e]))) best = e;
      }
      experts[chosen] = static_cast<std::uint32_t>(best);
    }
    const T largest = number<T>(logits[experts[0]]);
    T sum = 0;
    if (a.normalised) {
      for (Index c = 0; c < k; ++c) sum += std::exp(number<T>(logits[experts[c]]) - largest);
    } else {
      for (Index e = 0; e < count; ++e) sum += std::exp(number<T>(logits[e]) - largest);
    }
    for (Index c = 0; c < k; ++c)
      put_number(a.weights.row(i)[c], std::exp(number<T>(logits[experts[c]]) - largest) / sum, Write::assign);
  }
};

/// With p the softmax that the weights w are of (over the chosen logits where they are normalised, else over all):
/// dlogits = p ∘ (dw − Σ w · dw), dw being 0 for what is not chosen.
template <class B>
struct RouteBackwardRow {
  using T = typename B::Stat;
  RouteBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const auto* const logits = a.logits.row(i);
    const auto *const w = a.weights.row(i), *const dw = a.dweights.row(i);
    auto* const dlogits = a.dlogits.row(i);
    const Index count = a.logits.cols, k = a.weights.cols;
    const std::uint32_t* const experts = a.experts.data + i * k;
    T mean = 0;
    for (Index c = 0; c < k; ++c) mean += number<T>(w[c]) * number<T>(dw[c]);
    const T largest = number<T>(logits[experts[0]]);
    T sum = 0;
    if (!a.normalised)
      for (Index e = 0; e < count; ++e) sum += std::exp(number<T>(logits[e]) - largest);
    for (Index e = 0; e < count; ++e) {
      Index place = k;  // among the chosen
      for (Index c = 0; c < k; ++c) place = Index{experts[c]} == e ? c : place;
      const T slope = (place < k ? number<T>(dw[place]) : T{0}) - mean;
      T probability = place < k ? number<T>(w[place]) : T{0};
      if (!a.normalised) probability = std::exp(number<T>(logits[e]) - largest) / sum;
      put_number(dlogits[e], probability * slope, a.write);
    }
  }
};

/// out[i] = weights[places[i]] · x[i].
template <class B>
struct ScaleRow {
  using T = typename B::Stat;
  typename BackendTypes<B>::ConstMatrix x;
  typename BackendTypes<B>::Indices places;
  VectorView<const typename B::Activation, typename B::Space> weights;
  typename BackendTypes<B>::Matrix out;

  MERIT_CALLABLE void operator()(Index i) const {
    const T weight = number<T>(weights.data[places.data[i]]);
    for (Index j = 0; j < x.cols; ++j)
      put_number(out.row(i)[j], weight * number<T>(x.row(i)[j]), Write::assign);
  }
};

/// See ScaleRowsBackwardArguments.
template <class B>
struct ScaleRowBackward {
  using T = typename B::Stat;
  ScaleRowsBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const std::uint32_t place = a.places.data[i];
    const T weight = number<T>(a.weights.data[place]);
    const auto *const x = a.x.row(i), *const dout = a.dout.row(i);
    T sum = 0;
    for (Index j = 0; j < a.x.cols; ++j) {
      sum += number<T>(x[j]) * number<T>(dout[j]);
      if (!a.dx.empty()) put_number(a.dx.row(i)[j], weight * number<T>(dout[j]), a.write);
    }
    if (!a.dweights.empty()) put_number(a.dweights.data[place], sum, Write::add);
  }
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
