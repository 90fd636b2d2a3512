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

/// Throws ConfigError where a backend knows that its memory has less free than what is declared will hold: an estimate from
/// below, without activations and what an optimizer keeps. Before the parameters are allocated.
template <class B>
void require_memory(const Parameters<B>& parameters, Initial initial) {
  if constexpr (requires { B::memory(parameters.handle()); }) {
    const Index trained = parameters.trainable_elements(), frozen = parameters.elements() - trained;
    constexpr Index full = sizeof(typename B::Stat), half = sizeof(Bf16);  // which a file may store them in
    const Index weights = trained * full + frozen * (initial == Initial::drawn ? full : half);
    const Index gradients = trained * full;
    const Index rounded = narrow_activations<B> ? trained * sizeof(typename B::Activation) : 0;
    const auto memory = B::memory(parameters.handle());
    if (memory.total == 0 || weights + gradients + rounded <= memory.free) return;
    const auto mib = [](Index bytes) { return concat((bytes + (Index{1} << 20) - 1) >> 20, " MiB"); };
    const auto part = [&](Index bytes, const char* what) {
      return bytes == 0 ? std::string() : concat(", ", mib(bytes), " for ", what);
    };
    throw ConfigError(concat("a model of ", parameters.elements(), " parameters needs ", mib(weights),
                             " for weights", part(gradients, "gradients"), part(rounded, "rounded weights"),
                             ", before activations and an optimizer: the device has ", mib(memory.free),
                             " of ", mib(memory.total),
                             " free, expected a smaller model, or an adapter in place of all "
                             "weights"));
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
