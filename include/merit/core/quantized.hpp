// Numbers out of weights of a quantised type. Elements of a block have no address, so that rows are read in
// runs: some whole blocks at a time, as floats, into a small place of the reader's own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
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

template <Dtype dtype>
using DtypeConstant = std::integral_constant<Dtype, dtype>;

/// Calls f(DtypeConstant<dtype>) for a quantised type.
template <class F>
decltype(auto) visit_quantized(Dtype dtype, F&& f) {
  using D = Dtype;
  switch (dtype) {
    case D::q4_0: return f(DtypeConstant<D::q4_0>{});
    case D::q4_1: return f(DtypeConstant<D::q4_1>{});
    case D::q5_0: return f(DtypeConstant<D::q5_0>{});
    case D::q5_1: return f(DtypeConstant<D::q5_1>{});
    case D::q8_0: return f(DtypeConstant<D::q8_0>{});
    case D::q2_k: return f(DtypeConstant<D::q2_k>{});
    case D::q3_k: return f(DtypeConstant<D::q3_k>{});
    case D::q4_k: return f(DtypeConstant<D::q4_k>{});
    case D::q5_k: return f(DtypeConstant<D::q5_k>{});
    case D::q6_k: return f(DtypeConstant<D::q6_k>{});
    case D::iq4_nl: return f(DtypeConstant<D::iq4_nl>{});
    case D::iq4_xs: return f(DtypeConstant<D::iq4_xs>{});
    case D::tq2_0: return f(DtypeConstant<D::tq2_0>{});
    case D::mxfp4: return f(DtypeConstant<D::mxfp4>{});
    case D::f64:
    case D::f32:
    case D::f16:
    case D::bf16: break;
  }
  throw UsageError(concat("numbers of the plain type ", name_of(dtype), " were to be read out of blocks"));
}

/// Writes the numbers of `count` blocks, one after another.
using ReadBlocks = void (*)(const std::byte* blocks, Index count, float* out);

template <Dtype dtype>
void quantized_numbers(const std::byte* blocks, Index count, float* out) {
  constexpr DtypeLayout layout = layout_of(dtype);
  for (Index i = 0; i < count; ++i, blocks += layout.bytes) {
    for (Index g = 0; g < layout.elements / block_group; ++g, out += block_group) {
      BlockGroup group;
      BlockFormat<dtype>::read(blocks, g, group);
      group_numbers<dtype>(group, out);
    }
  }
}

/// How one quantised type is read.
struct QuantizedReader {
  ReadBlocks numbers;
  /// Where in a block its float16 scales begin: its numbers are finite when those are.
  std::array<std::uint8_t, 2> scales;
  std::uint8_t scale_count;
};

/// Of a quantised type.
inline QuantizedReader quantized_reader(Dtype dtype) {
  return visit_quantized(dtype, []<Dtype type>(DtypeConstant<type>) -> QuantizedReader {
    constexpr auto places = BlockFormat<type>::scale_places;
    QuantizedReader reader{quantized_numbers<type>, {}, static_cast<std::uint8_t>(places.size())};
    std::copy(places.begin(), places.end(), reader.scales.begin());
    return reader;
  });
}

/// A weight of a quantised type, to be read.
class QuantizedRows {
 public:
  explicit QuantizedRows(const WeightView<HostSpace>& weight)
      : QuantizedRows(weight, quantized_reader(weight.dtype).numbers) {}

  /// Read by a loop that knows the machine better, to the same bits.
  QuantizedRows(const WeightView<HostSpace>& weight, ReadBlocks numbers)
      : layout_(layout_of(weight.dtype)),
        numbers_(numbers),
        data_(static_cast<const std::byte*>(weight.data)),
        stride_(weight.stride / layout_.elements * layout_.bytes) {}

  /// The blocks of a row.
  const std::byte* row(Index index) const { return data_ + index * stride_; }

  /// Elements of a block.
  Index block() const { return layout_.elements; }

  /// Writes elements [begin, begin + count) of a row, whole blocks, at most quantized_run of them.
  void read(Index row, Index begin, Index count, float* out) const {
    numbers_(this->row(row) + begin / layout_.elements * layout_.bytes, count / layout_.elements, out);
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
  DtypeLayout layout_;
  ReadBlocks numbers_;
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
