// What the backbones of equal layers have in common: checks of their settings, and how layers follow one another.
#pragma once

#include <algorithm>
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

/// Throws ConfigError where more layers are frozen than there are, or more recomputed than are trained.
template <class Settings>
void check_layer_counts(const Settings& settings) {
  if (settings.frozen_layers > settings.layers) {
    throw ConfigError(concat(settings.name(), ": frozen_layers is ", settings.frozen_layers,
                             ", expected at most layers, ", settings.layers));
  }
  const Index trained = settings.layers - settings.frozen_layers;
  if (settings.recompute <= trained || settings.recompute == all_layers) return;
  throw ConfigError(concat(settings.name(), ": recompute is ", settings.recompute, ", expected at most ",
                           trained, ", the layers that are trained, or all of them"));
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

/// The layers that may be recomputed: those that are trained but the last, with which the way back begins.
template <class Settings>
Index recomputable_layers(const Settings& settings) {
  const Index inner = settings.layers - 1;
  return inner - std::min(inner, settings.frozen_layers);
}

/// The hidden rows (T, d) behind all layers but the last, which alone leaves rows out. `layer(tape, x, i)` is what
/// layer i makes of them; it is copied, and may be called until the step ends. Of the layers that are trained the first
/// `settings.recompute` keep their result alone, and are computed again on the way back (Chen et al. 2016): which of
/// them does not matter for memory, as all that is kept lies there until the way back ends.
template <class B, class Settings, class Layer>
Var inner_layers(Tape<B>& tape, Var x, const Settings& settings, const Layer& layer) {
  for (Index i = 0; i + 1 < settings.layers; ++i) {
    const auto one = [layer, i](Tape<B>& t, Var in) {
      const Index before = t.value_bytes();
      const Var out = layer(t, in, i);
      t.note_layer(out, t.value_bytes() - before);
      return out;
    };
    // While scoring, and of what is frozen, the checkpoint returns a layer's memory as soon as its result is there.
    const bool frozen = i < settings.frozen_layers;
    if (frozen || !tape.recording() || i - settings.frozen_layers < settings.recompute) {
      x = tape.checkpoint(one, x, tape.rows(x), tape.cols(x));
    } else {
      x = one(tape, x);
    }
  }
  return x;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
