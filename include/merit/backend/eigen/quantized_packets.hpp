// Weights of a quantised type in vectors: their integers become numbers in registers.
#pragma once

#include <algorithm>
#include <cstddef>

#include "merit/backend/eigen/simd.hpp"
#include "merit/core/ggml_blocks.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// The packet of numbers that begins at element `at` of a group, the bits of group_numbers.
template <bool has_minimum>
inline Packet<float> group_packet(const BlockGroup& group, Index at) {
  using S = Simd<float>;
  const Index half = at / (block_group / 2);
  const Packet<float> integers = S::load(group.integers + at), scale = S::set(group.scale[half]);
  if constexpr (has_minimum) return fma(scale, integers, S::set(group.minimum[half]));
  return mul(scale, integers);
}

template <bool has_minimum>
void read_numbers(const QuantizedRows& rows, Index row, Index begin, Index count, float* out) {
  using S = Simd<float>;
  BlockGroup groups[quantized_run / block_group];
  rows.read_groups(row, begin / block_group, count / block_group, groups);
  for (Index g = 0; g < count / block_group; ++g, out += block_group) {
    unroll<block_group / S::width>([&](auto p) __attribute__((always_inline)) {
      S::store(out + p * S::width, group_packet<has_minimum>(groups[g], p * S::width));
    });
  }
}

/// As QuantizedRows::read.
inline void read_numbers(const QuantizedRows& rows, Index row, Index begin, Index count, float* out) {
  const auto read = rows.has_minimum() ? read_numbers<true> : read_numbers<false>;
  read(rows, row, begin, count, out);
}

/// a · one row of a quantised weight, both of n numbers, which are never put into memory; summed in the order of
/// `dot`, to the same bits. read(g) gives group g of the row.
template <bool has_minimum, class Read>
float quantized_dot(Index n, const float* a, Read&& read) {
  using S = Simd<float>;
  using Sums = DotSums<1, float>;
  constexpr Index packets = block_group / S::width;                            // of a group
  constexpr Index together = std::max(Sums::unit, block_group) / block_group;  // groups of a unit
  Packet<float> sums[Sums::lanes];
  for (Packet<float>& sum : sums) sum = S::set(0);
  // Adds a group; its packet p goes to the sum lane(p).
  const auto add_group = [&](Index g, auto lane) __attribute__((always_inline)) {
    const BlockGroup group = read(g);  // of each its own, for registers to hold
    unroll<packets>([&](auto p) __attribute__((always_inline)) {
      Packet<float>& sum = sums[lane(p)];
      sum = fma(S::load(a + g * block_group + p * S::width), group_packet<has_minimum>(group, p * S::width),
                sum);
    });
  };
  const Index count = n / block_group;
  Index g = 0;
  for (; g + together <= count; g += together) {
    unroll<together>([&](auto t) __attribute__((always_inline)) {
      add_group(g + t, [t](Index p) { return (t * packets + p) % Sums::lanes; });
    });
  }
  for (; g < count; ++g) add_group(g, [](Index) { return Index{0}; });
  return total<float>(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

using QuantizedDot = float (*)(Index n, const float* a, const QuantizedRows& rows, Index row);

/// Of the types that models are kept in most often: groups are read without a call.
template <Dtype dtype>
float quantized_dot_of(Index n, const float* a, const QuantizedRows& rows, Index row) {
  constexpr Index groups = layout_of(dtype).elements / block_group;  // of a block
  const std::byte* const blocks = rows.row(row);
  return quantized_dot<BlockFormat<dtype>::has_minimum>(
      n, a, [&](Index g) __attribute__((always_inline)) {
        BlockGroup group;
        BlockFormat<dtype>::read(blocks + g / groups * layout_of(dtype).bytes, g % groups, group);
        return group;
      });
}

/// Of any type, whose groups are read some at a time.
template <bool has_minimum>
float quantized_dot_of_any(Index n, const float* a, const QuantizedRows& rows, Index row) {
  constexpr Index most = quantized_run / block_group;
  BlockGroup groups[most];
  return quantized_dot<has_minimum>(
      n, a, [&](Index g) __attribute__((always_inline)) {
        if (g % most == 0) rows.read_groups(row, g, std::min(most, n / block_group - g), groups);
        return groups[g % most];
      });
}

inline QuantizedDot quantized_dot(const QuantizedRows& rows) {
  switch (rows.dtype()) {
    case Dtype::q4_0: return quantized_dot_of<Dtype::q4_0>;
    case Dtype::q4_1: return quantized_dot_of<Dtype::q4_1>;
    case Dtype::q8_0: return quantized_dot_of<Dtype::q8_0>;
    case Dtype::q4_k: return quantized_dot_of<Dtype::q4_k>;
    case Dtype::q6_k: return quantized_dot_of<Dtype::q6_k>;
    default: return rows.has_minimum() ? quantized_dot_of_any<true> : quantized_dot_of_any<false>;
  }
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
