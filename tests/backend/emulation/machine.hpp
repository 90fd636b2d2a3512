// What the kernels' tests run on: the emulator, or a GPU where nvcc compiles them. Arrays lie in the machine's memory;
// around them nothing may be touched.
#pragma once

#include <doctest/doctest.h>

#include <type_traits>
#include <vector>

#if defined(__CUDACC__)
#include "backend/emulation/cuda_memory.cuh"
#else
#include "backend/emulation/emulated_memory.hpp"
#endif
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/view.hpp"
#include "merit/testing/tolerance.hpp"

namespace merit_test {

using namespace merit;
using namespace merit::kernels;

using List = std::vector<double>;
using Ids = std::vector<std::uint32_t>;

/// A number as it is kept in an array of T.
template <class T>
T kept(double x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return Bf16{to_bf16(static_cast<float>(x))};
  } else {
    return static_cast<T>(x);
  }
}
template <class T>
List kept(List list) {
  for (double& x : list) x = number<double>(kept<T>(x));
  return list;
}

/// `count` normal numbers that an array of T holds exactly.
template <class T>
List random_list(Rng& rng, Index count, double deviation = 1) {
  List list(count);
  for (double& x : list) x = number<double>(kept<T>(deviation * rng.normal()));
  return list;
}

/// A matrix in the machine's memory, rows further apart than they are wide: `padding` elements lie before each row and
/// after the last. With none, rows of whole 16 bytes are aligned.
template <class T>
class Array {
 public:
  /// Holds nothing, which must not be read.
  Array(Index rows, Index cols, Index padding = 0)
      : rows_(rows), cols_(cols), padding_(padding), memory_((rows * stride() + padding) * sizeof(T)) {
    fence();
  }
  template <class Element>
  Array(Index rows, Index cols, const std::vector<Element>& values, Index padding = 0)
      : Array(rows, cols, padding) {
    set(values);
  }

  /// From outside: its elements, or their values.
  template <class Element>
  void set(const std::vector<Element>& values) {
    REQUIRE(values.size() == rows_ * cols_);
    std::vector<T> elements;
    for (const Element& value : values) {
      if constexpr (std::is_same_v<Element, T>) {
        elements.push_back(value);
      } else {
        elements.push_back(kept<T>(value));
      }
    }
    for (Index i = 0; i < rows_; ++i) memory_.set(place(i), elements.data() + i * cols_, cols_ * sizeof(T));
  }

  Rows<T> rows() { return {data(), stride()}; }
  Rows<const T> constant() const { return {data(), stride()}; }
  T* data() { return static_cast<T*>(memory_.data()) + padding_; }
  const T* data() const { return static_cast<const T*>(memory_.data()) + padding_; }

  /// What it holds. All of it must have been written, and nothing around it.
  std::vector<T> elements() const {
    std::vector<T> all(rows_ * cols_);
    for (Index i = 0; i < rows_; ++i) memory_.get(place(i), all.data() + i * cols_, cols_ * sizeof(T));
    REQUIRE(memory_.fence_is_whole());
    return all;
  }
  List values() const {
    List list;
    for (const T x : elements()) list.push_back(number<double>(x));
    return list;
  }

 private:
  Index stride() const { return cols_ + padding_; }
  Index place(Index row) const { return (padding_ + row * stride()) * sizeof(T); }
  void fence() {
    for (Index i = 0; i <= rows_; ++i) memory_.forbid(i * stride() * sizeof(T), padding_ * sizeof(T));
  }

  Index rows_, cols_, padding_;
  MachineMemory memory_;
};

/// A list of elements, or of their values.
template <class T, class Element>
Array<T> row_of(const std::vector<Element>& values) {
  return Array<T>(1, values.size(), values);
}

/// How far a result may be off that is computed in float and rounded to T `roundings` times on its way.
template <class T>
struct Kept {
  static constexpr double after(int) { return Tolerance<T>::value; }
  static constexpr double gradient_after(int) { return Tolerance<T>::gradient; }
};
template <>
struct Kept<Bf16> {
  static constexpr double after(int roundings) { return roundings * bf16_rounding + Tolerance<float>::value; }
  static constexpr double gradient_after(int roundings) {
    return roundings * bf16_rounding + Tolerance<float>::gradient;
  }
};

}  // namespace merit_test
