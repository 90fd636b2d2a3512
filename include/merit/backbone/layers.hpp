// What the backbones of equal layers have in common: checks of their settings, and how layers follow one another.
#pragma once

#include <cstdint>
#include <string>

#include "merit/backbone/backbone.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Throws ConfigError where heads do not divide the width of a hidden row.
template <class Settings>
void check_heads(const Settings& settings) {
  if (settings.hidden_size % settings.heads == 0) return;
  throw ConfigError(concat(settings.name(), ": hidden_size is ", settings.hidden_size,
                           ", expected a multiple of heads, ", settings.heads));
}

/// Throws ConfigError where a token that parts segments is none of the vocabulary's.
template <class Settings>
void check_separator(const Settings& settings) {
  if (settings.separator < settings.vocabulary_size) return;
  throw ConfigError(concat(settings.name(), ": separator is ", settings.separator,
                           ", expected below vocabulary_size, ", settings.vocabulary_size));
}

/// Throws ConfigError where more layers are frozen than there are.
template <class Settings>
void check_frozen_layers(const Settings& settings) {
  if (settings.frozen_layers <= settings.layers) return;
  throw ConfigError(concat(settings.name(), ": frozen_layers is ", settings.frozen_layers,
                           ", expected at most layers, ", settings.layers));
}

/// Declares a matrix (rows, cols) inside a layer, and its bias (rows) behind it. Gives the matrix's number.
template <class B>
std::uint32_t declare_dense(Parameters<B>& parameters, const std::string& name, Index rows, Index cols,
                            double deviation, bool train) {
  const std::uint32_t number = parameters.declare(
      {name + ".weight", {rows, cols}, initial_weight(deviation, cols), true, false, train, true});
  parameters.declare({name + ".bias", {rows}, Init::zeros(), false, false, train});
  return number;
}

/// Declares the weight and the bias (size) of a layer norm, the bias behind the weight. Gives the weight's number.
template <class B>
std::uint32_t declare_layer_norm(Parameters<B>& parameters, const std::string& name, Index size, bool train) {
  const std::uint32_t number =
      parameters.declare({name + ".weight", {size}, Init::ones(), false, false, train});
  parameters.declare({name + ".bias", {size}, Init::zeros(), false, false, train});
  return number;
}

/// The hidden rows (T, d) behind all layers but the last, which alone leaves rows out. `layer(tape, x, i)` is what
/// layer i makes of them; it is copied, and may be called until the step ends.
template <class B, class Settings, class Layer>
Var inner_layers(Tape<B>& tape, Var x, const Settings& settings, const Layer& layer) {
  for (Index i = 0; i + 1 < settings.layers; ++i) {
    // While scoring, and of what is frozen, the checkpoint returns a layer's memory as soon as its result is there.
    if (settings.recompute || !tape.recording() || i < settings.frozen_layers) {
      const auto again = [layer, i](Tape<B>& t, Var in) { return layer(t, in, i); };
      x = tape.checkpoint(again, x, tape.rows(x), tape.cols(x));
    } else {
      x = layer(tape, x, i);
    }
  }
  return x;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
