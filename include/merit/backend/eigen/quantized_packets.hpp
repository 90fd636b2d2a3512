// Weights of a quantised type in vectors: their integers become numbers in registers.
#pragma once

#include <algorithm>
#include <cstddef>

#include "merit/backend/eigen/simd.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/ggml_blocks.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// The packet of numbers that begins at element `at` of a group, the bits of group_numbers.
template <class Format>
inline Packet<float> group_packet(const BlockGroup& group, Index at) {
  using S = Simd<float>;
  const Index half = Format::halves ? at / (block_group / 2) : 0;
  const Packet<float> integers = S::load(group.integers + at), scale = S::set(group.scale[half]);
  if constexpr (Format::has_minimum) return fma(scale, integers, S::set(group.minimum[half]));
  return mul(scale, integers);
}

/// As detail::quantized_numbers.
template <Dtype dtype>
void quantized_numbers(const std::byte* blocks, Index count, float* out) {
  using S = Simd<float>;
  constexpr DtypeLayout layout = layout_of(dtype);
  for (Index i = 0; i < count; ++i, blocks += layout.bytes) {
    for (Index g = 0; g < layout.elements / block_group; ++g, out += block_group) {
      BlockGroup group;
      BlockFormat<dtype>::read(blocks, g, group);
      unroll<block_group / S::width>([&](auto p) __attribute__((always_inline)) {
        S::store(out + p * S::width, group_packet<BlockFormat<dtype>>(group, p * S::width));
      });
    }
  }
}

/// a · one row of a quantised weight, both of n numbers, which are never put into memory; summed in the order of
/// `dot`, to the same bits.
template <Dtype dtype>
float quantized_dot(Index n, const float* a, const std::byte* row) {
  using S = Simd<float>;
  using Sums = DotSums<1, float>;
  constexpr Index elements = layout_of(dtype).elements, bytes = layout_of(dtype).bytes;  // of a block
  constexpr Index packets = block_group / S::width;                                      // of a group
  Packet<float> sums[Sums::lanes];
  for (Packet<float>& sum : sums) sum = S::set(0);
  // Adds the group at element k; its packet p goes to the sum lane(p).
  const auto add_group = [&](Index k, auto lane) __attribute__((always_inline)) {
    BlockGroup group;
    BlockFormat<dtype>::read(row + k / elements * bytes, k % elements / block_group, group);
    unroll<packets>([&](auto p) __attribute__((always_inline)) {
      Packet<float>& sum = sums[lane(p)];
      sum = fma(S::load(a + k + p * S::width), group_packet<BlockFormat<dtype>>(group, p * S::width), sum);
    });
  };
  constexpr Index step = std::max(Sums::unit, block_group);
  Index k = 0;
  for (; k + step <= n; k += step) {
    unroll<step / block_group>([&](auto g) __attribute__((always_inline)) {
      add_group(k + g * block_group, [g](Index p) { return (g * packets + p) % Sums::lanes; });
    });
  }
  for (; k < n; k += block_group) add_group(k, [](Index) { return Index{0}; });
  return total<float>(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

/// How the numbers of a quantised type are read in vectors.
inline QuantizedRows quantized_rows(const WeightView<>& weight) {
  return visit_quantized(weight.dtype, [&]<Dtype dtype>(DtypeConstant<dtype>) {
    return QuantizedRows(weight, quantized_numbers<dtype>);
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
