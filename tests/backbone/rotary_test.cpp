// The frequencies of rotary positions against numbers worked out by hand, and the tables made of them.
#include "merit/backbone/rotary_table.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <new>

#include "merit/backend/reference/reference_backend.hpp"

namespace rotary_test {

using namespace merit;
using Kind = RotaryScaling::Kind;

/// Heads of 8 columns, base 10000: 1, 0.1, 0.01, 0.001 without scaling.
std::vector<double> frequencies(const RotaryScaling& scaling, double max_positions = 64) {
  return rotary_frequencies(8, 10000, scaling, max_positions).angular;
}
/// Frequencies are floats, as in transformers.
void check_near(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (Index i = 0; i < found.size(); ++i) CHECK(found[i] == doctest::Approx(expected[i]).epsilon(2e-7));
}

TEST_CASE("frequencies have the bits of torch's 1 / (10000 ** (torch.arange(0, 12, 2).float() / 12))") {
  const std::vector<double> torch = {1.0,
                                     0.2154434472322464,
                                     0.04641588404774666,
                                     0.009999999776482582,
                                     0.002154434332624078,
                                     0.00046415894757956266};
  CHECK(rotary_frequencies(12, 10000, {}, 64).angular == torch);
}

TEST_CASE("frequencies fall from 1 by powers of the base; linear scaling divides them all") {
  check_near(frequencies({}), {1, 0.1, 0.01, 0.001});
  check_near(frequencies({.kind = Kind::linear, .factor = 4}), {0.25, 0.025, 0.0025, 0.00025});
  check_near(frequencies({.kind = Kind::dynamic, .factor = 4}), {1, 0.1, 0.01, 0.001});
}

TEST_CASE("llama3 scaling keeps short wavelengths, divides long ones, and mixes between") {
  // In 128 positions the four frequencies make 20.4, 2.04, 0.204 and 0.0204 turns; bounds are 1 and 4.
  const double turns = 12.8 / (2 * std::numbers::pi);
  const double mixed = (turns - 1) / 3;
  check_near(frequencies({.kind = Kind::llama3,
                          .factor = 8,
                          .low_frequency_factor = 1,
                          .high_frequency_factor = 4,
                          .original_positions = 128}),
             {1, (1 - mixed) * 0.1 / 8 + mixed * 0.1, 0.01 / 8, 0.001 / 8});
}

TEST_CASE("yarn scaling ramps over whole dimensions and grows the magnitude") {
  // Dimensions 8·ln(64 / (turns·2π)) / (2 ln 10000): below 0 for 32 turns, 1.008 for one, so the ramp goes
  // from 0 to 2 and its middle frequency is (0.1 + 0.1 / 4) / 2.
  const RotaryScaling yarn{.kind = Kind::yarn, .factor = 4, .original_positions = 64};
  check_near(frequencies(yarn), {1, 0.0625, 0.0025, 0.00025});
  CHECK(rotary_frequencies(8, 10000, yarn, 256).magnitude == doctest::Approx(0.1 * std::log(4.0) + 1));
  // With 2048: 1.008 and 2.51 become 1 and 3.
  check_near(frequencies({.kind = Kind::yarn, .factor = 4, .original_positions = 2048}),
             {1, 0.1, 0.00625, 0.00025});
  // Without rounding the ramp goes from 1.008 to 2.51.
  const double low = 4 * std::log(2048 / (32 * 2 * std::numbers::pi)) / std::log(10000.0);
  const double high = 4 * std::log(2048 / (2 * std::numbers::pi)) / std::log(10000.0);
  const double ramp = (2 - low) / (high - low);
  check_near(frequencies({.kind = Kind::yarn, .factor = 4, .original_positions = 2048, .truncate = false}),
             {1, 0.1, 0.01 / 4 * ramp + 0.01 * (1 - ramp), 0.00025});
  CHECK(rotary_frequencies(8, 10000, {.kind = Kind::yarn, .factor = 4, .attention_factor = 1.5}, 64)
            .magnitude == 1.5);
  CHECK(rotary_frequencies(8, 10000, {.kind = Kind::yarn, .factor = 4, .mscale = 2, .mscale_all_dim = 1}, 64)
            .magnitude == doctest::Approx((0.2 * std::log(4.0) + 1) / (0.1 * std::log(4.0) + 1)));
}

TEST_CASE("longrope divides each frequency by its own short factor") {
  const RotaryScaling longrope{
      .kind = Kind::longrope, .original_positions = 64, .short_factors = {1, 2, 4, 5}};
  check_near(frequencies(longrope, 64), {1, 0.05, 0.0025, 0.0002});
  CHECK(rotary_frequencies(8, 10000, longrope, 64).magnitude == 1);
  CHECK(rotary_frequencies(8, 10000, longrope, 256).magnitude ==
        doctest::Approx(std::sqrt(1 + std::log(4.0) / std::log(64.0))));
}

/// Refuses to give memory when told to.
struct Stingy : ReferenceBackend<double> {
  struct Handle : ReferenceBackend<double>::Handle {
    explicit Handle(const Stingy&) : ReferenceBackend<double>::Handle(ReferenceBackend<double>{}) {}
    bool empty = false;
  };
  template <class Element>
  static Element* allocate(Handle& handle, Index n) {
    if (handle.empty) throw std::bad_alloc();
    return ReferenceBackend<double>::allocate<Element>(handle, n);
  }
};

TEST_CASE("a rotary table holds cosines and sines, grows, and survives a failure to grow") {
  Stingy::Handle handle{Stingy{}};
  RotaryTable<Stingy> table(handle, {{1, 0.1}, 2});
  const auto small = table.view(3);
  CHECK(small.cols == 4);
  CHECK(small(2, 0) == doctest::Approx(2 * std::cos(2.0)));
  CHECK(small(2, 3) == doctest::Approx(2 * std::sin(0.2)));
  CHECK(table.view(2).data == small.data);
  const Index capacity = small.rows;
  handle.empty = true;
  CHECK_THROWS_AS(table.view(capacity + 1), std::bad_alloc);
  CHECK(table.view(3)(2, 0) == doctest::Approx(2 * std::cos(2.0)));
  handle.empty = false;
  const auto large = table.view(capacity + 1);
  CHECK(large.rows > capacity);
  CHECK(large(capacity, 1) == doctest::Approx(2 * std::cos(0.1 * static_cast<double>(capacity))));
}

}  // namespace rotary_test
