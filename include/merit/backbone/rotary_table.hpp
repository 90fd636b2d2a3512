// The angles of rotary positions, with the scalings of published checkpoints.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <vector>

#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// `rope_scaling` of a Hugging Face configuration. Fields that a kind does not use stay as by default: a
/// checkpoint does not hold them.
struct RotaryScaling {
  enum class Kind : std::uint8_t {
    none,
    linear,   // positions divided by factor (Chen et al. 2023)
    dynamic,  // as none up to the trained length; beyond it the angles depend on the sequence's length:
              // refused
    yarn,     // by frequency, with a temperature (Peng et al. 2023)
    llama3,   // by wavelength (Llama 3.1)
    longrope  // one factor a frequency (Ding et al. 2024); up to the trained length, the short ones
  };
  Kind kind = Kind::none;
  double factor = 1;
  double low_frequency_factor = 1;         // llama3
  double high_frequency_factor = 4;        // llama3
  double original_positions = 8192;        // llama3, yarn, longrope: the trained length
  double beta_fast = 32;                   // yarn
  double beta_slow = 1;                    // yarn
  double attention_factor = 0;             // yarn, longrope; 0: from factor as published
  double mscale = 0;                       // yarn (DeepSeek)
  double mscale_all_dim = 0;               // yarn (DeepSeek)
  bool truncate = true;                    // yarn: whole dimensions as bounds
  std::vector<double> short_factors = {};  // longrope, head_dim / 2 of them

  friend bool operator==(const RotaryScaling&, const RotaryScaling&) = default;
};

constexpr std::string_view name_of(RotaryScaling::Kind kind) {
  switch (kind) {
    case RotaryScaling::Kind::none: return "default";
    case RotaryScaling::Kind::linear: return "linear";
    case RotaryScaling::Kind::dynamic: return "dynamic";
    case RotaryScaling::Kind::yarn: return "yarn";
    case RotaryScaling::Kind::llama3: return "llama3";
    case RotaryScaling::Kind::longrope: return "longrope";
  }
  return "?";
}

/// The first field that is not as by default although the kind does not use it; empty: there is none.
inline std::string_view unused_field(const RotaryScaling& scaling) {
  using Kind = RotaryScaling::Kind;
  const RotaryScaling plain;
  const Kind kind = scaling.kind;
  const bool yarn = kind == Kind::yarn, longrope = kind == Kind::longrope, llama3 = kind == Kind::llama3;
  const auto set = [&](auto member) { return scaling.*member != plain.*member; };
  if ((kind == Kind::none || longrope) && set(&RotaryScaling::factor)) return "factor";
  if (!llama3 && set(&RotaryScaling::low_frequency_factor)) return "low_frequency_factor";
  if (!llama3 && set(&RotaryScaling::high_frequency_factor)) return "high_frequency_factor";
  if (!llama3 && !yarn && !longrope && set(&RotaryScaling::original_positions)) return "original_positions";
  if (!yarn && set(&RotaryScaling::beta_fast)) return "beta_fast";
  if (!yarn && set(&RotaryScaling::beta_slow)) return "beta_slow";
  if (!yarn && !longrope && set(&RotaryScaling::attention_factor)) return "attention_factor";
  if (!yarn && set(&RotaryScaling::mscale)) return "mscale";
  if (!yarn && set(&RotaryScaling::mscale_all_dim)) return "mscale_all_dim";
  if (!yarn && set(&RotaryScaling::truncate)) return "truncate";
  if (!longrope && set(&RotaryScaling::short_factors)) return "short_factors";
  return "";
}

/// The head_dim/2 angular frequencies and the factor on cosines and sines.
struct RotaryFrequencies {
  std::vector<double> angular;
  double magnitude = 1;
};

/// Angular frequencies base^(−2i/head_dim), scaled. Source: the papers above, as transformers computes them:
/// in float, whose rounding a model is trained with and read by, since it moves an angle at position 2,000 by
/// up to 1e-4.
inline RotaryFrequencies rotary_frequencies(Index head_dim, double base, const RotaryScaling& scaling,
                                            double max_positions) {
  const Index half = head_dim / 2;
  const auto dim = static_cast<double>(head_dim);
  RotaryFrequencies result;
  for (Index i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    result.angular.push_back(static_cast<double>(1 / std::pow(static_cast<float>(base), exponent)));
  }
  constexpr double two_pi = 2.0 * std::numbers::pi;
  switch (scaling.kind) {
    case RotaryScaling::Kind::none:
    case RotaryScaling::Kind::dynamic: break;
    case RotaryScaling::Kind::linear:
      for (double& f : result.angular) f /= scaling.factor;
      break;
    case RotaryScaling::Kind::llama3:
      // Long wavelengths are divided by the factor, short ones kept, and those between are mixed.
      for (double& f : result.angular) {
        const double wavelength = two_pi / f;
        const double turns = scaling.original_positions / wavelength;
        if (turns < scaling.low_frequency_factor) {
          f /= scaling.factor;
        } else if (turns <= scaling.high_frequency_factor) {
          const double smooth = (turns - scaling.low_frequency_factor) /
                                (scaling.high_frequency_factor - scaling.low_frequency_factor);
          f = (1 - smooth) * f / scaling.factor + smooth * f;
        }
      }
      break;
    case RotaryScaling::Kind::yarn: {
      const auto dimension_of =
          [&](double turns) {  // the dimension that makes this many turns in the trained length
            return dim * std::log(scaling.original_positions / (turns * two_pi)) / (2 * std::log(base));
          };
      double low = dimension_of(scaling.beta_fast);
      double high = dimension_of(scaling.beta_slow);
      if (scaling.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
      }
      low = std::max(low, 0.0);
      high = std::min(high, dim - 1);
      if (low == high) high += 0.001;
      for (Index i = 0; i < half; ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
        double& f = result.angular[i];
        f = f / scaling.factor * ramp + f * (1 - ramp);
      }
      const auto temperature = [&](double m) {
        return scaling.factor <= 1 ? 1.0 : 0.1 * m * std::log(scaling.factor) + 1.0;
      };
      if (scaling.attention_factor > 0) {
        result.magnitude = scaling.attention_factor;
      } else if (scaling.mscale > 0 && scaling.mscale_all_dim > 0) {
        result.magnitude = temperature(scaling.mscale) / temperature(scaling.mscale_all_dim);
      } else {
        result.magnitude = temperature(1);
      }
      break;
    }
    case RotaryScaling::Kind::longrope: {
      for (Index i = 0; i < half; ++i) result.angular[i] /= scaling.short_factors[i];
      const double stretch = max_positions / scaling.original_positions;
      if (scaling.attention_factor > 0) {
        result.magnitude = scaling.attention_factor;
      } else if (stretch > 1) {
        result.magnitude = std::sqrt(1 + std::log(stretch) / std::log(scaling.original_positions));
      }
      break;
    }
  }
  return result;
}

/// Cosines and sines (P, head_dim) in the backend's memory, grown by doubling when longer sequences come.
template <class B>
class RotaryTable {
 public:
  using T = typename B::Stat;

  RotaryTable(typename B::Handle& handle, RotaryFrequencies frequencies)
      : handle_(&handle), frequencies_(std::move(frequencies)) {}
  RotaryTable(const RotaryTable&) = delete;
  RotaryTable& operator=(const RotaryTable&) = delete;
  ~RotaryTable() { release(); }

  /// The table for at least `positions` positions. Valid until a call that asks for more.
  typename BackendTypes<B>::ConstStatMatrix view(Index positions) {
    if (positions > capacity_) grow(std::max(positions, std::max<Index>(2 * capacity_, 256)));
    return {table_, capacity_, head_dim()};
  }

 private:
  Index head_dim() const { return 2 * frequencies_.angular.size(); }

  void grow(Index positions) {
    const Index half = frequencies_.angular.size();
    Buffer<T> host(positions * 2 * half);
    for (Index p = 0; p < positions; ++p) {
      for (Index i = 0; i < half; ++i) {
        // A product of floats, as transformers has it.
        const double angle = static_cast<float>(p) * static_cast<float>(frequencies_.angular[i]);
        host.data()[p * 2 * half + i] = static_cast<T>(frequencies_.magnitude * std::cos(angle));
        host.data()[p * 2 * half + half + i] = static_cast<T>(frequencies_.magnitude * std::sin(angle));
      }
    }
    T* const table = B::template allocate<T>(*handle_, host.size());  // first: it may throw
    release();
    table_ = table;
    capacity_ = positions;
    B::from_host(*handle_, std::as_const(host).data(), table_, host.size());
    B::wait(*handle_);
  }
  void release() {
    if (table_ != nullptr) B::release(*handle_, table_, capacity_ * head_dim());
    table_ = nullptr;
  }

  typename B::Handle* handle_;
  RotaryFrequencies frequencies_;
  T* table_ = nullptr;
  Index capacity_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
