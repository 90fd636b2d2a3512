// That the number of threads changes no bit of a result, for any operation of a backend that has threads.
#pragma once

#include <cstring>

#include "backend/backends.hpp"
#include "merit/backend/eigen/parallel.hpp"

namespace merit_test {

/// A backend with its number of threads in its type, for what is a template over backends.
template <class B, int count>
struct WithThreads : B {
  WithThreads() : B{.threads = count} {}
};

/// Rows and columns of a matrix that is large enough to be divided among threads, with a rest left in every
/// block, packet and thread's part. Every operation counts at least one elementary operation for each
/// element, so that its work is at least this.
constexpr Index divided_rows = 701, divided_cols = 751;
static_assert(detail::eigen::useful_threads(5, divided_rows* divided_cols) == 5);

inline bool same_bits(const Numbers& a, const Numbers& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

/// run.operator()<B>() gives all that an operation writes.
template <class Base, class Run>
void check_threads(const Run& run) {
  const Numbers alone = run.template operator()<WithThreads<Base, 1>>();
  REQUIRE(!alone.empty());
  CHECK(same_bits(run.template operator()<WithThreads<Base, 2>>(), alone));
  CHECK(same_bits(run.template operator()<WithThreads<Base, 3>>(), alone));
  CHECK(same_bits(run.template operator()<WithThreads<Base, 5>>(), alone));
}

/// The same of an operation as witness.hpp has them: its forward, and its backward assigned and added.
template <class Base, class Operation>
void check_threads_of(const Operation& operation, const Numbers& x, Rng& rng) {
  REQUIRE(x.size() == operation.inputs());
  check_threads<Base>([&]<class B>() { return operation.template forward<B>(x); });
  const Numbers dy = random_numbers(rng, operation.template forward<Base>(x).size());
  for (const Write write : {Write::assign, Write::add})
    check_threads<Base>([&]<class B>() { return operation.template backward<B>(x, dy, write, 1.0); });
}

}  // namespace merit_test
