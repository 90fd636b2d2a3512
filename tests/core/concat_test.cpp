// Joined parts are what a stream would write.
#include "merit/core/concat.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

#include "merit/core/rng.hpp"

namespace concat_test {

template <class T>
void as_a_stream(const T& value) {
  std::ostringstream out;
  out << "of " << value << ';';
  CHECK(merit::concat("of ", value, ';') == out.str());
}

TEST_CASE("text and numbers are joined as a stream writes them") {
  CHECK(merit::concat() == "");
  CHECK(merit::concat(std::string("a"), std::string_view("b\0c", 3), "d", 'e') == std::string("ab\0cde", 6));
  for (const double value :
       {0.0, -0.0, 1.0, -1.5, 1e5, 123456.0, 1234567.0, 1e6, 1e-5, 1e-4, 0.1 + 0.2, 1e300, 5e-324,
        std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    as_a_stream(value);
    as_a_stream(static_cast<float>(value));
  }
  merit::Rng rng(3);
  for (int i = 0; i < 1000; ++i) {
    as_a_stream(rng.normal() * std::pow(10.0, static_cast<double>(rng.below(40)) - 20));
    as_a_stream(static_cast<std::int64_t>(rng.below(std::numeric_limits<std::uint64_t>::max())));
  }
  as_a_stream(true);
  as_a_stream('x');
  as_a_stream(std::numeric_limits<int>::min());
  as_a_stream(std::numeric_limits<long long>::min());
  as_a_stream(std::numeric_limits<unsigned long long>::max());
}

}  // namespace concat_test
