// The learning rate over a run: linear warm-up, then a decay. A pure function of the step.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// rate(step) rises linearly to `peak` over the warm-up steps, then falls towards `floor` · peak, which it
/// would reach at the step after the last.
struct Schedule {
  enum class Decay : std::uint8_t { constant, linear, cosine };

  double peak = 1e-3;
  double warmup = 0.05;  // of all steps
  Decay decay = Decay::cosine;
  double floor = 0;  // of the peak

  void validate() const {
    if (!(peak > 0 && std::isfinite(peak))) {
      throw ConfigError(concat("schedule: the learning rate is ", peak, ", expected a number above 0"));
    }
    if (!(warmup >= 0 && warmup <= 1)) {
      throw ConfigError(concat("schedule: warmup is ", warmup, ", expected a share of the steps, 0 to 1"));
    }
    if (!(floor >= 0 && floor <= 1)) {
      throw ConfigError(concat("schedule: floor is ", floor, ", expected a share of the peak, 0 to 1"));
    }
  }

  /// The rate of update number `step` (from 0) of `total`.
  double rate(Index step, Index total) const {
    const double warm = std::floor(warmup * static_cast<double>(total));
    const auto at = static_cast<double>(step);
    if (at < warm) return peak * (at + 1) / warm;
    const double rest = static_cast<double>(total) - warm;
    const double progress = rest > 0 ? (at - warm) / rest : 1;  // in [0, 1)
    switch (decay) {
      case Decay::constant: return peak;
      case Decay::linear: return peak * (floor + (1 - floor) * (1 - progress));
      case Decay::cosine:
        return peak * (floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
    }
    return peak;
  }
  friend bool operator==(const Schedule&, const Schedule&) = default;
};

template <>
inline constexpr std::array<std::string_view, 3> enum_names<Schedule::Decay>{"constant", "linear", "cosine"};

}  // namespace MERIT_ABI
}  // namespace merit
