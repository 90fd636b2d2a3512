// Where activations are narrow: the trained weights once more, as products read them. They are rounded once after each
// change, from those that the optimizer moves, in place of once in each product.
#pragma once

#include <cstdint>
#include <utility>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/tape/parameter_spec.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The rounded copy of a block of trained weights, made when it is first read.
template <class B>
class RoundedWeights {
 public:
  using Types = BackendTypes<B>;
  using Element = typename B::Activation;

  explicit RoundedWeights(typename B::Handle& handle) : handle_(&handle) {}
  RoundedWeights(const RoundedWeights&) = delete;
  RoundedWeights& operator=(const RoundedWeights&) = delete;
  ~RoundedWeights() {
    if (rounded_ != nullptr) B::release(*handle_, rounded_, size_);
  }

  /// How the next copy is rounded.
  void set(const WeightRounding& rounding) {
    stale_ = stale_ || !(rounding == rounding_);
    rounding_ = rounding;
  }

  /// `weight` in this copy if it lies in `block`, which has been written to `updates` times so far; else itself.
  typename Types::Weight of(const typename Types::Weight& weight, typename Types::ConstStatVector block,
                            Index updates) {
    const auto* const data = static_cast<const typename B::Stat*>(weight.data);
    if (weight.dtype != dtype_of<typename B::Stat>() || block.empty() || data < block.data ||
        data >= block.data + block.size)
      return weight;
    if (rounded_ == nullptr) {
      size_ = block.size;
      rounded_ = B::template allocate<Element>(*handle_, size_);
      stale_ = true;
    }
    if (stale_ || updates != updates_) {
      B::round_weights(*handle_, block, rounding_, {rounded_, size_});
      stale_ = false;
      updates_ = updates;
    }
    typename Types::Weight rounded = weight;
    rounded.data = rounded_ + (data - block.data);
    rounded.dtype = dtype_of<Element>();
    return rounded;
  }

 private:
  typename B::Handle* handle_;
  WeightRounding rounding_;
  Element* rounded_ = nullptr;  // (size)
  Index size_ = 0;
  Index updates_ = 0;  // of the block, when it was rounded
  bool stale_ = false;
};

}  // namespace detail

template <class B>
class Parameters;  // tape/parameters.hpp

/// Parameters are numbers of type Stat whatever the activations are: those of the backend on which the heads
/// of B compute, so that both may be given them. B reads the matrices among the trained ones rounded.
template <class B>
requires narrow_activations<B>
class Parameters<B> : public Parameters<ScoreBackendOf<B>> {
 public:
  using Exact = Parameters<ScoreBackendOf<B>>;
  using Types = BackendTypes<B>;

  explicit Parameters(typename B::Handle& handle) : Exact(handle), rounded_(handle) {}

  typename Types::Weight value(const ParameterSlice& slice) const { return rounded(Exact::value(slice)); }
  template <class F>
  void for_each_part(const ParameterSlice& slice, F f) const {
    Exact::for_each_part(slice,
                         [&](const typename Types::Weight& part, Index row) { f(rounded(part), row); });
  }
  /// How they are rounded from here on.
  void set_rounding(const WeightRounding& rounding) { rounded_.set(rounding); }

 private:
  typename Types::Weight rounded(const typename Types::Weight& weight) const {
    return rounded_.of(weight, this->values(), this->updates());
  }

  mutable detail::RoundedWeights<B> rounded_;
};

}  // namespace MERIT_ABI
}  // namespace merit
