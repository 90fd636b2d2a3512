// Vectors of the host processor, as Eigen spells them for every instruction set: one packet type per scalar,
// and a sweep over a row whose last packet may be partial.
#pragma once

// g++ 12 takes the deliberately undefined operands in its own AVX-512 header for mistakes (GCC bug 105593),
// wherever Eigen's functions are inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// What the processor offers for T: the packet type and the shape of the register tile of a matrix product.
template <class T>
struct Simd {
  using Traits = Eigen::internal::packet_traits<T>;
  using Packet = typename Traits::type;

  static constexpr Index width = static_cast<Index>(Eigen::internal::unpacket_traits<Packet>::size);
  /// Whether there are instructions that load and store some elements of a packet.
  static constexpr bool masked = Eigen::internal::unpacket_traits<Packet>::masked_load_available &&
                                 Eigen::internal::unpacket_traits<Packet>::masked_store_available;
  /// A register tile is tile_rows x panel: two packets wide, and as high as leaves room for the operands.
  static constexpr Index panel = 2 * width;
  static constexpr bool many_registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32;
  static constexpr Index tile_rows = many_registers ? 12 : 6;

  static Packet set(T value) { return Eigen::internal::pset1<Packet>(value); }
  static Packet load(const T* from) { return Eigen::internal::ploadu<Packet>(from); }
  /// Of numbers that are stored otherwise. The loop becomes vector instructions.
  template <class Stored>
  static Packet load(const Stored* from) {
    alignas(64) T values[width];
    for (Index i = 0; i < width; ++i) values[i] = number<T>(from[i]);
    return load(static_cast<const T*>(values));
  }
  /// Of small integers, as quantised weights have them.
  static Packet load(const std::int8_t* from) {
    if constexpr (std::is_same_v<T, float>) {
#if defined(EIGEN_VECTORIZE_AVX512)
      return _mm512_cvtepi32_ps(
          _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif defined(EIGEN_VECTORIZE_AVX2)
      return _mm256_cvtepi32_ps(
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#elif defined(EIGEN_VECTORIZE_SSE4_1)
      return _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_loadu_si32(from)));
#endif
    }
    return load<std::int8_t>(from);
  }
  static void store(T* to, const Packet& value) {
    Eigen::internal::pstoreu(to, value);
  }
};

template <class T>
using Packet = typename Simd<T>::Packet;

// The few packet functions used here, under short names. They are found by the packet type.
template <class P>
inline P add(const P& a, const P& b) {
  return Eigen::internal::padd(a, b);
}
template <class P>
inline P sub(const P& a, const P& b) {
  return Eigen::internal::psub(a, b);
}
template <class P>
inline P mul(const P& a, const P& b) {
  return Eigen::internal::pmul(a, b);
}
template <class P>
inline P div(const P& a, const P& b) {
  return Eigen::internal::pdiv(a, b);
}
template <class P>
inline P larger(const P& a, const P& b) {
  return Eigen::internal::pmax(a, b);
}
/// a · b + c
template <class P>
inline P fma(const P& a, const P& b, const P& c) {
  return Eigen::internal::pmadd(a, b, c);
}
template <class T>
inline T total(const Packet<T>& a) {
  return Eigen::internal::predux(a);
}
template <class T>
inline T maximum(const Packet<T>& a) {
  return Eigen::internal::predux_max(a);
}

/// Applies a scalar function to each element: for what the processor has no vector form of.
template <class T, class F>
inline Packet<T> each(const Packet<T>& a, F&& f) {
  alignas(64) T values[Simd<T>::width];
  Simd<T>::store(values, a);
  for (T& value : values) value = f(value);
  return Simd<T>::load(static_cast<const T*>(values));
}

template <class T>
inline Packet<T> exponential(const Packet<T>& a) {
  if constexpr (Simd<T>::Traits::HasExp) {
    return Eigen::internal::pexp(a);
  } else {
    return each<T>(a, [](T value) { return std::exp(value); });
  }
}

template <class T>
inline Packet<T> square_root(const Packet<T>& a) {
  if constexpr (Simd<T>::Traits::HasSqrt) {
    return Eigen::internal::psqrt(a);
  } else {
    return each<T>(a, [](T value) { return std::sqrt(value); });
  }
}

template <class T>
inline Packet<T> hyperbolic_tangent(const Packet<T>& a) {
  if constexpr (Simd<T>::Traits::HasTanh) {
    return Eigen::internal::ptanh(a);
  } else {
    return each<T>(a, [](T value) { return std::tanh(value); });
  }
}

/// A whole packet of a row.
template <class T>
struct WholeLane {
  template <class Stored>
  static Packet<T> load(const Stored* from) {
    return Simd<T>::load(from);
  }
  static void store(T* to, const Packet<T>& value) { Simd<T>::store(to, value); }
  static Packet<T> kept(const Packet<T>& value) { return value; }
};

/// The last `count` elements of a row, fewer than a packet. The missing ones read as zero and are not stored.
template <class T>
struct PartLane {
  Index count;
  template <class Stored>
  Packet<T> load(const Stored* from) const {
    if constexpr (Simd<T>::masked && std::is_same_v<Stored, T>) {
      return Eigen::internal::ploadu<Packet<T>>(from, mask());
    } else {
      alignas(64) T values[Simd<T>::width] = {};
      for (Index i = 0; i < count; ++i) values[i] = number<T>(from[i]);
      return Simd<T>::load(static_cast<const T*>(values));
    }
  }
  void store(T* to, const Packet<T>& value) const {
    if constexpr (Simd<T>::masked) {
      Eigen::internal::pstoreu(to, value, mask());
    } else {
      alignas(64) T values[Simd<T>::width];
      Simd<T>::store(values, value);
      for (Index i = 0; i < count; ++i) to[i] = values[i];
    }
  }
  /// The value with zeros in place of the missing elements.
  Packet<T> kept(const Packet<T>& value) const {
    alignas(64) T values[Simd<T>::width] = {};
    store(values, value);
    return Simd<T>::load(static_cast<const T*>(values));
  }

 private:
  /// A bit for each element.
  auto mask() const {
    using Bits = std::conditional_t<(Simd<T>::width > 8), std::uint16_t, std::uint8_t>;
    return static_cast<Bits>((1u << count) - 1);
  }
};

/// place = value, or place += value.
template <class T, class Lane>
inline void put(const Lane& lane, T* place, const Packet<T>& value, Write write) {
  lane.store(place, write == Write::add ? add(lane.load(place), value) : value);
}

/// Calls f(i, lane) for i = 0, W, 2W, ... below n. Every element goes through the same packet arithmetic, so
/// its value does not depend on where in the row it lies.
template <class T, class F>
inline void sweep(Index n, F&& f) {
  constexpr Index width = Simd<T>::width;
  Index i = 0;
  for (; i + width <= n; i += width) f(i, WholeLane<T>{});
  if (i < n) f(i, PartLane<T>{n - i});
}

/// The sum of f(i, lane) over a row of n; f must give zero for elements that are missing (see `kept`).
template <class T, class F>
inline T sweep_total(Index n, F&& f) {
  Packet<T> sum = Simd<T>::set(T{0});
  sweep<T>(n, [&](Index i, auto lane) { sum = add(sum, f(i, lane)); });
  return total<T>(sum);
}

/// Calls f(std::integral_constant<Index, i>) for i = 0 .. n-1, unrolled by the compiler at any optimisation
/// level.
template <Index n, class F>
__attribute__((always_inline)) inline void unroll(F&& f) {
  [&]<Index... i>(std::index_sequence<i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<Index, i>{}), ...);
  }
  (std::make_index_sequence<n>{});
}

/// Sums of a · row r of b for some rows of b that are read together; each is summed in the same order whatever
/// `rows`. Begins with none.
template <Index rows, class T>
class DotSums {
 public:
  DotSums() {
    for (auto& row : sums_)
      for (Packet<T>& sum : row) sum = Simd<T>::set(T{0});
  }

  /// Adds n products, a multiple of `unit` but in the last call.
  template <class Stored>
  void add_products(Index n, const T* a, const Stored* b, Index stride) {
    Packet<T> sums[rows][lanes];  // in registers
    unroll<rows>([&](auto r) __attribute__((always_inline)) {
      unroll<lanes>([&](auto l) __attribute__((always_inline)) { sums[r][l] = sums_[r][l]; });
    });
    Index i = 0;
    for (; i + unit <= n; i += unit) {
      unroll<lanes>([&](auto l) __attribute__((always_inline)) {
        const Packet<T> left = S::load(a + i + l * width);
        unroll<rows>([&](auto r) __attribute__((always_inline)) {
          sums[r][l] = fma(left, S::load(b + r * stride + i + l * width), sums[r][l]);
        });
      });
    }
    sweep<T>(n - i, [&](Index j, auto lane) {
      const Packet<T> left = lane.load(a + i + j);
      unroll<rows>([&](auto r) __attribute__((always_inline)) {
        sums[r][0] = fma(left, lane.load(b + r * stride + i + j), sums[r][0]);
      });
    });
    unroll<rows>([&](auto r) __attribute__((always_inline)) {
      unroll<lanes>([&](auto l) __attribute__((always_inline)) { sums_[r][l] = sums[r][l]; });
    });
  }

  void totals(T* out) const {
    unroll<rows>([&](auto r) __attribute__((always_inline)) {
      out[r] = total<T>(add(add(sums_[r][0], sums_[r][1]), add(sums_[r][2], sums_[r][3])));
    });
  }

 private:
  using S = Simd<T>;
  static constexpr Index width = S::width;

 public:
  /// Four sums a row, so that one multiplication need not wait for the one before it.
  static constexpr Index lanes = 4;
  static constexpr Index unit = lanes * width;

 private:
  Packet<T> sums_[rows][lanes];
};

/// out[r] = a · row r of b.
template <Index rows, class T, class Stored>
inline void dots(Index n, const T* a, const Stored* b, Index stride, T* out) {
  DotSums<rows, T> sums;
  sums.add_products(n, a, b, stride);
  sums.totals(out);
}

/// a · b
template <class T, class Stored>
inline T dot(Index n, const T* a, const Stored* b) {
  T result;
  dots<1>(n, a, b, 0, &result);
  return result;
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
