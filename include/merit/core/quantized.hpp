// Numbers out of weights of a quantised type. Elements of a block have no address, so that rows are read in
// runs: some whole blocks at a time, as floats, into a small place of the reader's own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/ggml_blocks.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The longest run: every block divides it.
inline constexpr Index quantized_run = 256;

/// Reads `count` groups of a row of blocks, from group `first` on.
template <Dtype dtype>
void read_groups(const std::byte* row, Index first, Index count, BlockGroup* out) {
  constexpr DtypeLayout layout = layout_of(dtype);
  constexpr Index groups = layout.elements / block_group;  // of a block
  for (Index g = first; g < first + count; ++g, ++out)
    BlockFormat<dtype>::read(row + g / groups * layout.bytes, g % groups, *out);
}

/// How one quantised type is read. The groups alone are code of its own, so that a type more costs a user's build little.
struct QuantizedReader {
  void (*groups)(const std::byte* row, Index first, Index count, BlockGroup* out);
  bool has_minimum;
  /// Where in a block its float16 scales begin: its numbers are finite when those are.
  std::array<std::uint8_t, 2> scales;
  std::uint8_t scale_count;
};

template <Dtype dtype>
QuantizedReader quantized_reader_of() {
  constexpr auto places = BlockFormat<dtype>::scale_places;
  QuantizedReader reader{read_groups<dtype>, BlockFormat<dtype>::has_minimum, {}, places.size()};
  std::copy(places.begin(), places.end(), reader.scales.begin());
  return reader;
}

/// Of a quantised type.
inline QuantizedReader quantized_reader(Dtype dtype) {
  using D = Dtype;
  switch (dtype) {
    case D::q4_0: return quantized_reader_of<D::q4_0>();
    case D::q4_1: return quantized_reader_of<D::q4_1>();
    case D::q5_0: return quantized_reader_of<D::q5_0>();
    case D::q5_1: return quantized_reader_of<D::q5_1>();
    case D::q8_0: return quantized_reader_of<D::q8_0>();
    case D::q2_k: return quantized_reader_of<D::q2_k>();
    case D::q3_k: return quantized_reader_of<D::q3_k>();
    case D::q4_k: return quantized_reader_of<D::q4_k>();
    case D::q5_k: return quantized_reader_of<D::q5_k>();
    case D::q6_k: return quantized_reader_of<D::q6_k>();
    case D::iq4_nl: return quantized_reader_of<D::iq4_nl>();
    case D::iq4_xs: return quantized_reader_of<D::iq4_xs>();
    case D::tq2_0: return quantized_reader_of<D::tq2_0>();
    case D::mxfp4: return quantized_reader_of<D::mxfp4>();
    case D::f64:
    case D::f32:
    case D::f16:
    case D::bf16: break;
  }
  throw UsageError(concat("numbers of the plain type ", name_of(dtype), " were to be read out of blocks"));
}

/// A weight of a quantised type, to be read.
class QuantizedRows {
 public:
  explicit QuantizedRows(const WeightView<HostSpace>& weight)
      : dtype_(weight.dtype),
        layout_(layout_of(weight.dtype)),
        reader_(quantized_reader(weight.dtype)),
        data_(static_cast<const std::byte*>(weight.data)),
        stride_(weight.stride / layout_.elements * layout_.bytes) {}

  Dtype dtype() const { return dtype_; }
  bool has_minimum() const { return reader_.has_minimum; }

  /// The blocks of a row.
  const std::byte* row(Index index) const { return data_ + index * stride_; }

  /// Reads `count` groups of a row, from group `first` on.
  void read_groups(Index row, Index first, Index count, BlockGroup* out) const {
    reader_.groups(this->row(row), first, count, out);
  }

  /// Elements of a block.
  Index block() const { return layout_.elements; }

  /// Writes elements [begin, begin + count) of a row, whole groups, at most quantized_run of them.
  void read(Index row, Index begin, Index count, float* out) const {
    BlockGroup groups[quantized_run / block_group];
    read_groups(row, begin / block_group, count / block_group, groups);
    for (Index g = 0; g < count / block_group; ++g)
      group_numbers(groups[g], has_minimum(), out + g * block_group);
  }

  /// Calls f(first, begin, end) for the runs that cover elements [begin, end) of a row: to be read from the
  /// block at `first` on, of which [begin, end) are wanted.
  template <class F>
  void for_each_run(Index begin, Index end, F&& f) const {
    while (begin < end) {
      const Index first = begin / layout_.elements * layout_.elements;
      const Index last = std::min(end, first + quantized_run);
      f(first, begin, last);
      begin = last;
    }
  }
  /// How many elements to read from `first` on, so that those before `end` are among them.
  Index whole_blocks(Index first, Index end) const {
    return (end - first + layout_.elements - 1) / layout_.elements * layout_.elements;
  }

 private:
  Dtype dtype_;
  DtypeLayout layout_;
  QuantizedReader reader_;
  const std::byte* data_;
  Index stride_;  // bytes
};

/// `count` elements, whole blocks of them, as T (float or double).
template <class T>
void dequantize(Dtype dtype, const std::byte* blocks, T* out, Index count) {
  const QuantizedRows rows(WeightView<HostSpace>(blocks, dtype, 1, count, count));
  rows.for_each_run(0, count, [&](Index first, Index, Index end) {
    float numbers[quantized_run];
    rows.read(0, first, end - first, numbers);
    std::copy_n(numbers, end - first, out + first);
  });
}

/// The same of any type, aligned to its elements.
template <class T>
void copy_numbers(Dtype dtype, const std::byte* stored, Index count, T* out) {
  if (is_quantized(dtype)) return dequantize(dtype, stored, out, count);
  visit_stored(WeightView<HostSpace>(stored, dtype, 1, count, count), [&](auto numbers) {
    for (Index i = 0; i < count; ++i) out[i] = number<T>(numbers(0, i));
  });
}

/// False where all numbers of a block are finite for certain, which its scales tell.
inline bool may_be_infinite(const QuantizedReader& reader, const std::byte* block) {
  if (reader.scale_count == 0) return quant_byte(block, 0) > 250;  // the exponent of MXFP4
  for (Index i = 0; i < reader.scale_count; ++i) {
    if ((quant_integer<std::uint16_t>(block, reader.scales[i]) & 0x7C00u) == 0x7C00u) return true;
  }
  return false;
}

/// The numbers of a weight of any type, as a matrix of their own where they have no address: for loops that
/// are to be plain before all else.
template <class F>
decltype(auto) visit_numbers(const WeightView<HostSpace>& weight, F&& f) {
  if (!is_quantized(weight.dtype)) return visit_stored(weight, f);
  std::vector<float> numbers(weight.rows * weight.cols);
  for (Index i = 0; i < weight.rows; ++i) {
    const auto* const row = static_cast<const std::byte*>(weight.row(i).data);
    dequantize(weight.dtype, row, numbers.data() + i * weight.cols, weight.cols);
  }
  return f(MatrixView<const float>(numbers.data(), weight.rows, weight.cols));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
