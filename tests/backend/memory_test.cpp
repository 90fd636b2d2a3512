// Memory, copies, rows moved by index, and sums over rows.
#include <cmath>
#include <cstdint>
#include <limits>

#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"
#include "merit/core/buffer.hpp"

namespace memory_test {

using namespace merit_test;

TEST_CASE_TEMPLATE("allocated blocks are zeroed and aligned", B, MERIT_TEST_BACKENDS) {
  Machine<B> m;
  for (const Index n : {Index{1}, Index{7}, Index{1000}}) {
    typename B::Stat* block = B::template allocate<typename B::Stat>(m.handle, n);
    if constexpr (std::is_same_v<typename B::Space, HostSpace>)
      CHECK(reinterpret_cast<std::uintptr_t>(block) % alignment == 0);
    std::vector<typename B::Stat> host(n, 5);
    B::to_host(m.handle, static_cast<const typename B::Stat*>(block), host.data(), n);
    B::wait(m.handle);
    CHECK(host == std::vector<typename B::Stat>(n, 0));
    B::release(m.handle, block, n);
  }
  B::release(m.handle, B::template allocate<std::byte>(m.handle, 0), 0);
  CHECK(!std::string_view(B::name()).empty());
}

TEST_CASE_TEMPLATE("fill sets every element and no other", B, MERIT_TEST_BACKENDS) {
  Machine<B> m;
  for (const Index n : {Index{0}, Index{1}, Index{33}}) {
    StatArray<B> v(m, 1, n, 1.0);
    B::fill(m.handle, v.vector(), typename B::Stat(2.5));
    CHECK(v.values() == Numbers(n, 2.5));
    Array<B> of_activations(m, 1, n, 1.0);
    B::fill(m.handle, of_activations.vector(), element<typename B::Activation>(2.5));
    CHECK(of_activations.values() == Numbers(n, 2.5));
  }
}

TEST_CASE_TEMPLATE("copy assigns or adds a strided matrix", B, MERIT_TEST_BACKENDS) {
  Rng rng(1);
  Machine<B> m;
  for (const Index rows : {Index{0}, Index{1}, Index{5}}) {
    for (const Index cols : {Index{1}, Index{17}}) {
      const Numbers values = held<B>(random_numbers(rng, rows * cols));
      const Array<B> from(m, rows, cols, values);
      Array<B> to(m, rows, cols, std::numeric_limits<double>::quiet_NaN(), 1);
      B::copy(m.handle, from.constant(), Write::assign, to.matrix());
      CHECK(to.values() == values);
      B::copy(m.handle, from.constant(), Write::add, to.matrix());
      Numbers twice = values;
      for (double& x : twice) x *= 2;
      CHECK(to.values() == twice);
    }
  }
}

TEST_CASE_TEMPLATE("gather reads rows by number, and scatter adds them back", B, MERIT_TEST_BACKENDS) {
  Rng rng(2);
  Machine<B> m;
  for (const Index count : {Index{0}, Index{1}, Index{40}}) {
    const Index rows = 7, cols = 5;
    const Numbers table_values = held<B>(random_numbers(rng, rows * cols));
    const Numbers row_values = held<B>(random_numbers(rng, count * cols));
    const Ids ids = random_ids(rng, count, rows);
    const Array<B> table(m, rows, cols, table_values);

    Array<B> out(m, count, cols, std::numeric_limits<double>::quiet_NaN());
    B::gather_rows(m.handle, table.constant(), Copied<B, std::uint32_t>(m, ids).view(), Write::assign,
                   out.matrix());
    Numbers expected;
    for (const std::uint32_t id : ids)
      for (Index j = 0; j < cols; ++j) expected.push_back(table_values[id * cols + j]);
    CHECK(out.values() == expected);

    Array<B> sum(m, count, cols, row_values);
    B::gather_rows(m.handle, table.constant(), Copied<B, std::uint32_t>(m, ids).view(), Write::add,
                   sum.matrix());
    for (Index i = 0; i < expected.size(); ++i) expected[i] += row_values[i];
    CHECK(relative_error(sum.values(), expected) <= Tolerance<typename B::Activation>::value);

    Array<B> target(m, rows, cols, table_values);
    StatArray<B> trained(m, rows, cols, table_values);
    const Array<B> added(m, count, cols, row_values);
    const Copied<B, std::uint32_t> where(m, ids);
    B::scatter_add_rows(m.handle, added.constant(), where.view(), target.matrix());
    B::scatter_add_rows(m.handle, added.constant(), where.view(), trained.matrix());
    Numbers scattered = table_values;
    for (Index i = 0; i < count; ++i)
      for (Index j = 0; j < cols; ++j) scattered[ids[i] * cols + j] += row_values[i * cols + j];
    CHECK(relative_error(target.values(), scattered) <= Tolerance<typename B::Activation>::value);
    CHECK(relative_error(trained.values(), scattered) <= Tolerance<typename B::Stat>::value);
  }
}

TEST_CASE_TEMPLATE("scatter adds rows of equal number in their order", B, MERIT_TEST_BACKENDS) {
  // In another order the small number would be lost or kept differently.
  using T = typename B::Stat;
  Machine<B> m;
  const double big = 2 / static_cast<double>(std::numeric_limits<T>::epsilon());
  const Array<B> rows(m, 4, 1, Numbers{big, 1, -big, 1});
  const Ids ids = {2, 2, 2, 2};
  StatArray<B> target(m, 3, 1, 0.0);
  B::scatter_add_rows(m.handle, rows.constant(), Copied<B, std::uint32_t>(m, ids).view(), target.matrix());
  CHECK(target.values() == Numbers{0, 0, 1});
}

TEST_CASE_TEMPLATE("column sums assign or add", B, MERIT_TEST_BACKENDS) {
  Rng rng(3);
  Machine<B> m;
  for (const Index rows : {Index{0}, Index{1}, Index{67}}) {
    for (const Index cols : {Index{1}, Index{37}}) {
      const Numbers values = held<B>(random_numbers(rng, rows * cols));
      const Array<B> x(m, rows, cols, values);
      for (const Write write : {Write::assign, Write::add}) {
        Numbers expected(cols, write == Write::add ? 3.0 : 0.0);
        for (Index i = 0; i < rows; ++i)
          for (Index j = 0; j < cols; ++j) expected[j] += values[i * cols + j];
        StatArray<B> out(m, 1, cols, 3.0);
        B::column_sum(m.handle, x.constant(), write, out.vector());
        CHECK(relative_error(out.values(), expected) <= Tolerance<typename B::Stat>::value);
      }
    }
  }
}

TEST_CASE_TEMPLATE("sums of squares are taken in double", B, MERIT_TEST_BACKENDS) {
  Machine<B> m;
  CHECK(B::sum_of_squares(m.handle, StatArray<B>(m, 1, 0, 0.0).constant_vector()) == 0);
  // In float, 1e30² overflows and the ones would be lost beside 2^13.
  const StatArray<B> large(m, 1, 2, Numbers{0x1p100, 0x1p100});
  CHECK(B::sum_of_squares(m.handle, large.constant_vector()) == 0x1p201);
  Numbers values(1001, 1.0);
  values[0] = 0x1p13;
  const StatArray<B> mixed(m, 1, values.size(), values);
  CHECK(B::sum_of_squares(m.handle, mixed.constant_vector()) == 0x1p26 + 1000);
}

TEST_CASE_TEMPLATE("memory, rows and sums have the same bits with any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(4);
  const Index rows = divided_rows, cols = divided_cols;
  const Numbers values = random_numbers(rng, rows * cols);
  const Ids ids = random_ids(rng, rows, 90);
  check_threads<Base>([&]<class B>() {
    Machine<B> m;
    StatArray<B> v(m, 1, rows * cols, 1.0);
    B::fill(m.handle, v.vector(), typename B::Stat(2.5));
    return v.values();
  });
  for (const Write write : {Write::assign, Write::add}) {
    check_threads<Base>([&]<class B>() {
      Machine<B> m;
      const Array<B> from(m, rows, cols, values);
      Array<B> to(m, rows, cols, 0.1);
      B::copy(m.handle, from.constant(), write, to.matrix());
      return to.values();
    });
    check_threads<Base>([&]<class B>() {
      Machine<B> m;
      const Array<B> table(m, rows, cols, values);
      Array<B> out(m, rows, cols, 0.1);
      B::gather_rows(m.handle, table.constant(), Copied<B, std::uint32_t>(m, ids).view(), write,
                     out.matrix());
      return out.values();
    });
    check_threads<Base>([&]<class B>() {
      Machine<B> m;
      const Array<B> x(m, rows, cols, values);
      StatArray<B> out(m, 1, cols, 0.1);
      B::column_sum(m.handle, x.constant(), write, out.vector());
      return out.values();
    });
  }
  check_threads<Base>([&]<class B>() {
    Machine<B> m;
    const Array<B> added(m, rows, cols, values);
    StatArray<B> out(m, 90, cols, 0.1);
    B::scatter_add_rows(m.handle, added.constant(), Copied<B, std::uint32_t>(m, ids).view(), out.matrix());
    return out.values();
  });
  check_threads<Base>([&]<class B>() {
    Machine<B> m;
    const StatArray<B> x(m, 1, rows * cols, values);
    return Numbers{B::sum_of_squares(m.handle, x.constant_vector())};
  });
}

}  // namespace memory_test
