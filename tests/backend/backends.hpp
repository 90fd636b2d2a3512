// The backends under test, and host data in the shape that operations take it.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "backend/opaque_backend.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/core/rng.hpp"
#include "merit/testing/tolerance.hpp"

// Linked with merit::device, merit::thrust_host or merit::compiled, the tests are of what is in it.
#if defined(MERIT_TEST_DEVICE)
#define MERIT_TEST_BACKENDS                               \
  merit::ThrustBackend<merit::Single, merit::CudaSystem>, \
      merit::ThrustBackend<merit::BFloat16, merit::CudaSystem>
#elif defined(MERIT_TEST_THRUST)
// Each system once: the code is one, and each of these takes as long to compile as the other. The last runs kernels.
#include "backend/emulation/emulated_system.hpp"
#define MERIT_TEST_BACKENDS                                    \
  merit::ThrustBackend<merit::Single, merit::OmpSystem>,       \
      merit::ThrustBackend<merit::BFloat16, merit::CppSystem>, \
      merit::ThrustBackend<merit::BFloat16, merit_test::EmulatedSystem>
#elif defined(MERIT_TEST_COMPILED)
#define MERIT_TEST_BACKENDS merit::EigenBackend<float>, merit::EigenBackend<double>
#else
#define MERIT_TEST_BACKENDS                                                                    \
  merit::ReferenceBackend<float>, merit::ReferenceBackend<double>, merit::EigenBackend<float>, \
      merit::EigenBackend<double>, merit_test::OpaqueBackend<double>
#endif

// Those that may use several threads.
#if defined(MERIT_TEST_DEVICE)
#define MERIT_TEST_THREADED_BACKENDS MERIT_TEST_BACKENDS
#elif defined(MERIT_TEST_THRUST)  // in bfloat16 whole steps are compared, in tests/thrust
#define MERIT_TEST_THREADED_BACKENDS merit::ThrustBackend<merit::Single, merit::OmpSystem>
#else
#define MERIT_TEST_THREADED_BACKENDS merit::EigenBackend<float>, merit::EigenBackend<double>
#endif

namespace merit_test {

using namespace merit;

using Numbers = std::vector<double>;
using Ids = std::vector<std::uint32_t>;
using Arbiter = ReferenceBackend<double>;

/// A backend with its handle, which is made once: its packed blocks are megabytes.
template <class B>
struct Machine {
  B settings{};
  typename B::Handle& handle = shared_handle();

 private:
  static typename B::Handle& shared_handle() {
    static typename B::Handle handle{B{}};
    return handle;
  }
};

/// A number as an element of type T, and the number that it then is.
template <class T>
T element(double value) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return {to_bf16(static_cast<float>(value))};
  } else {
    return static_cast<T>(value);
  }
}

/// The numbers as a backend's activations hold them, so that every backend starts from the same.
template <class B>
Numbers held(Numbers numbers) {
  using Activation = typename B::Activation;
  for (double& x : numbers) x = number<double>(element<Activation>(x));
  return numbers;
}

/// A matrix in a backend's own memory. Its rows lie further apart than they are wide and it starts off
/// alignment, as a column block does; the memory around it must stay as it is.
template <class B, class T = typename B::Activation>
class Array {
 public:
  static constexpr double around = 12352;  // which every type holds

  Array(Machine<B>& machine, Index rows, Index cols, const Numbers& values, Index padding = 3)
      : machine_(&machine),
        rows_(rows),
        cols_(cols),
        padding_(padding),
        stride_(cols + 2 * padding),
        size_(rows * stride_ + padding),
        data_(B::template allocate<T>(machine.handle, size_)) {
    REQUIRE(values.size() == rows * cols);
    std::vector<T> host(size_, element<T>(around));
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j) host[place(i, j)] = element<T>(values[i * cols + j]);
    B::from_host(machine.handle, std::as_const(host).data(), data_, size_);
    B::wait(machine.handle);
  }
  Array(Machine<B>& machine, Index rows, Index cols, double value, Index padding = 3)
      : Array(machine, rows, cols, Numbers(rows * cols, value), padding) {}
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { B::release(machine_->handle, data_, size_); }

  using Space = typename B::Space;
  MatrixView<T, Space> matrix() { return {data_ + padding_, rows_, cols_, stride_}; }
  MatrixView<const T, Space> constant() const { return {data_ + padding_, rows_, cols_, stride_}; }
  /// The only row as a vector.
  VectorView<T, Space> vector() {
    REQUIRE(rows_ == 1);
    return {data_ + padding_, cols_};
  }
  VectorView<const T, Space> constant_vector() const {
    REQUIRE(rows_ == 1);
    return {data_ + padding_, cols_};
  }

  Numbers values() const {
    std::vector<T> host(size_);
    B::to_host(machine_->handle, static_cast<const T*>(data_), host.data(), size_);
    B::wait(machine_->handle);
    Numbers result(rows_ * cols_);
    for (Index i = 0; i < rows_; ++i) {
      for (Index j = 0; j < cols_; ++j) {
        result[i * cols_ + j] = number<double>(host[place(i, j)]);
        host[place(i, j)] = element<T>(around);
      }
    }
    // Nothing was written around the matrix.
    REQUIRE(std::all_of(host.begin(), host.end(), [](T x) { return number<double>(x) == around; }));
    return result;
  }

 private:
  Index place(Index i, Index j) const { return padding_ + i * stride_ + j; }

  Machine<B>* machine_;
  Index rows_, cols_, padding_, stride_, size_;
  T* data_;
};

/// The same of statistics, and of what is trained.
template <class B>
using StatArray = Array<B, typename B::Stat>;

/// Elements of any kind in a backend's own memory: numbers of rows, stored weights.
template <class B, class Element>
class Copied {
 public:
  using Space = typename B::Space;

  Copied(Machine<B>& machine, const std::vector<Element>& host)
      : machine_(&machine), size_(host.size()), data_(B::template allocate<Element>(machine.handle, size_)) {
    B::from_host(machine.handle, host.data(), data_, size_);
    B::wait(machine.handle);
  }
  Copied(const Copied&) = delete;
  Copied& operator=(const Copied&) = delete;
  ~Copied() { B::release(machine_->handle, data_, size_); }

  const Element* data() const { return data_; }
  VectorView<const Element, Space> view() const { return {data_, size_}; }
  VectorView<Element, Space> mutable_view() { return {data_, size_}; }
  std::vector<Element> values() const {
    std::vector<Element> host(size_);
    B::to_host(machine_->handle, static_cast<const Element*>(data_), host.data(), size_);
    B::wait(machine_->handle);
    return host;
  }

 private:
  Machine<B>* machine_;
  Index size_;
  Element* data_;
};

/// Working space that an operation must not read before it writes.
template <class B>
StatArray<B> working_space(Machine<B>& machine, Index size) {
  return StatArray<B>(machine, 1, size, std::numeric_limits<double>::quiet_NaN());
}

/// `count` normal numbers that float holds exactly, so that every backend starts from the same.
inline Numbers random_numbers(Rng& rng, Index count, double deviation = 1) {
  Numbers numbers(count);
  for (double& x : numbers) x = static_cast<double>(static_cast<float>(deviation * rng.normal()));
  return numbers;
}

inline Ids random_ids(Rng& rng, Index count, Index below) {
  Ids ids(count);
  for (std::uint32_t& id : ids) id = static_cast<std::uint32_t>(rng.below(below));
  return ids;
}

/// A part of a list, for inputs that are passed as one.
inline Numbers part(const Numbers& all, Index begin, Index count) {
  REQUIRE(begin + count <= all.size());
  const auto first = all.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

inline Numbers join(std::initializer_list<Numbers> parts) {
  Numbers all;
  for (const Numbers& p : parts) all.insert(all.end(), p.begin(), p.end());
  return all;
}

}  // namespace merit_test
