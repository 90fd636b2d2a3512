// The 16-bit types: every pattern, and rounding beside every midpoint.
#include "merit/core/dtype.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace dtype_test {

using namespace merit;

/// The value of a 16-bit pattern with `exponent_bits` bits of exponent, by the definition of IEEE 754.
double value_of(unsigned bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>((bits & 0x7FFFu) >> mantissa_bits);
  const double mantissa = bits & ((1u << mantissa_bits) - 1);
  const double sign = (bits & 0x8000u) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(1 + std::ldexp(mantissa, -mantissa_bits), exponent - bias);
}

/// Checks every pattern of one type, and the floats at and beside every midpoint of two neighbours. Counts
/// errors and does not assert each, because there are several hundred thousand.
struct Exhaustive {
  int wrong_value = 0;       // pattern to float is not the value of the definition
  int wrong_round_trip = 0;  // pattern to float to pattern is another one
  int wrong_rounding = 0;    // a float near a midpoint does not become its nearest
};

template <class From, class To>
Exhaustive check_all(From from, To to, int exponent_bits) {
  Exhaustive result;
  const unsigned infinity = ((1u << exponent_bits) - 1) << (15 - exponent_bits);
  const unsigned quiet = 1u << (14 - exponent_bits);
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    const float value = from(pattern);
    const double expected = value_of(bits, exponent_bits);
    if ((bits & 0x7FFFu) > infinity) {  // a NaN stays a NaN and keeps its sign
      result.wrong_value += !std::isnan(value);
      const unsigned back = to(value);
      result.wrong_round_trip += (back & 0x7FFFu) <= infinity || (back & quiet) == 0;
      result.wrong_round_trip += (back & 0x8000u) != (bits & 0x8000u);
      continue;
    }
    result.wrong_value += value != static_cast<float>(expected) || std::signbit(value) != (bits >= 0x8000u);
    result.wrong_round_trip += to(value) != pattern;
    if ((bits & 0x7FFFu) == infinity) continue;

    // The midpoint to the neighbour away from zero; beyond the largest finite number, what the neighbour
    // would be if the exponent went on.
    const bool last = (bits & 0x7FFFu) + 1 == infinity;
    const double next =
        last ? 2 * expected - value_of(bits - 1, exponent_bits) : value_of(bits + 1, exponent_bits);
    const auto midpoint = static_cast<float>((expected + next) / 2);
    const float beyond = std::copysign(std::numeric_limits<float>::infinity(), value);
    const auto neighbour = static_cast<std::uint16_t>(bits + 1);  // infinity after the last
    const std::uint16_t even = bits % 2 == 0 ? pattern : neighbour;
    result.wrong_rounding += to(midpoint) != even;
    result.wrong_rounding += to(std::nextafter(midpoint, 0.0f)) != pattern;
    result.wrong_rounding += to(std::nextafter(midpoint, beyond)) != neighbour;
  }
  return result;
}

TEST_CASE("every binary16 pattern is read exactly, comes back, and has its neighbours rounded to even") {
  const Exhaustive result = check_all(from_f16, to_f16, 5);
  CHECK(result.wrong_value == 0);
  CHECK(result.wrong_round_trip == 0);
  CHECK(result.wrong_rounding == 0);
}

TEST_CASE("every bfloat16 pattern is read exactly, comes back, and has its neighbours rounded to even") {
  const Exhaustive result = check_all(from_bf16, to_bf16, 8);
  CHECK(result.wrong_value == 0);
  CHECK(result.wrong_round_trip == 0);
  CHECK(result.wrong_rounding == 0);
}

TEST_CASE("numbers outside a 16-bit type's range") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(from_f16(to_f16(65504.0f)) == 65504.0f);
  CHECK(from_f16(to_f16(65519.99f)) == 65504.0f);
  CHECK(from_f16(to_f16(65520.0f)) == infinity);
  CHECK(from_f16(to_f16(-1e30f)) == -infinity);
  CHECK(from_bf16(to_bf16(std::numeric_limits<float>::max())) == infinity);
  CHECK(to_f16(0x1p-25f) == 0);         // half the smallest, a tie to even
  CHECK(to_f16(0x1.000002p-25f) == 1);  // just above
  CHECK(to_f16(-1e-30f) == 0x8000);     // zero keeps its sign
  CHECK(to_f16(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(to_bf16(std::bit_cast<float>(0x7F800001u)) == 0x7FC0);  // a NaN whose upper half alone is an infinity
}

TEST_CASE("dtypes have the sizes and names of the safetensors format") {
  CHECK(size_of(Dtype::f64) == 8);
  CHECK(size_of(Dtype::f32) == 4);
  CHECK(size_of(Dtype::f16) == 2);
  CHECK(size_of(Dtype::bf16) == 2);
  CHECK(name_of(Dtype::f64) == "F64");
  CHECK(name_of(Dtype::f32) == "F32");
  CHECK(name_of(Dtype::f16) == "F16");
  CHECK(name_of(Dtype::bf16) == "BF16");
  CHECK(dtype_of<float>() == Dtype::f32);
  CHECK(dtype_of<double>() == Dtype::f64);
}

}  // namespace dtype_test
