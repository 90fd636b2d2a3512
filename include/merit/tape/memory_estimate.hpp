// What a model needs of a device's memory, said before the first of it is asked for.
#pragma once

#include <string>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Throws ConfigError where a backend knows that its memory has less free than what a model needs; `also` is what it needs
/// beside `bytes` for `what`.
template <class B>
void require_memory(const Parameters<B>& parameters, Index bytes, const char* what, Index also = 0,
                    const char* also_what = "") {
  if constexpr (requires { B::memory(parameters.handle()); }) {
    const auto memory = B::memory(parameters.handle());
    if (memory.total == 0 || bytes + also <= memory.free) return;
    const auto mib = [](Index n) { return concat((n + (Index{1} << 20) - 1) >> 20, " MiB"); };
    throw ConfigError(concat("a model of ", parameters.elements(), " parameters needs ", mib(bytes), " for ",
                             what, also == 0 ? "" : concat(" and ", mib(also), " for ", also_what),
                             ": the device has ", mib(memory.free), " of ", mib(memory.total),
                             " free, expected a smaller model, or an adapter in place of all weights"));
  }
}

/// For the weights, before they are allocated: an estimate from below, as a file may store frozen ones in half the bytes.
template <class B>
void require_memory_for_weights(const Parameters<B>& parameters, Initial initial) {
  const Index trained = parameters.trainable_elements(), frozen = parameters.elements() - trained;
  constexpr Index full = sizeof(typename B::Stat);
  require_memory(parameters, trained * full + frozen * (initial == Initial::drawn ? full : sizeof(Bf16)),
                 "weights");
}

/// For gradients and rounded weights, before the first step: without activations and what an optimizer keeps.
template <class B>
void require_memory_to_train(const Parameters<B>& parameters) {
  const Index rounded = narrow_activations<B> ? parameters.size() * sizeof(typename B::Activation) : 0;
  require_memory(parameters, parameters.size() * sizeof(typename B::Stat), "gradients", rounded,
                 "rounded weights");
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
