// A tensor in the memory of its file, for every format that stores numbers in order.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "merit/core/dtype.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Calls refuse(element, number), which throws, about the first of `elements` stored numbers that is not finite.
/// Of quantised ones little more than the scales is read.
template <class Refuse>
void require_finite(const std::byte* data, Dtype dtype, Index elements, const Refuse& refuse) {
  if (!is_quantized(dtype)) {
    return visit_stored(WeightView<>(data, dtype, 1, elements, elements), [&](auto numbers) {
      const Index bad = first_non_finite(numbers.data, elements);
      if (bad < elements) refuse(bad, number<double>(numbers(0, bad)));
    });
  }
  const DtypeLayout layout = layout_of(dtype);
  const QuantizedReader reader = quantized_reader(dtype);
  for (Index begin = 0; begin < elements; begin += layout.elements, data += layout.bytes) {
    if (!may_be_infinite(reader, data)) continue;
    float numbers[quantized_run];
    QuantizedRows(WeightView<>(data, dtype, 1, layout.elements, layout.elements))
        .read(0, 0, layout.elements, numbers);
    const Index bad = first_non_finite(numbers, layout.elements);
    if (bad < layout.elements) refuse(begin + bad, double{numbers[bad]});
  }
}

/// A file's memory, mapped when the first of its tensors is asked for. For one thread at a time.
class MappedTensors {
 public:
  /// `elements` numbers (whole blocks of a quantised type) that begin at byte `begin`; nothing where there are
  /// none or they are not aligned. Calls refuse as require_finite does.
  template <class Refuse>
  std::optional<StoredTensor> at(const InputFile& file, Dtype dtype, Index begin, Index elements,
                                 const Refuse& refuse) {
    const Index alignment = is_quantized(dtype) ? 1 : size_of(dtype);
    if (elements == 0 || begin % alignment != 0) return std::nullopt;
    if (memory_ == nullptr) memory_ = file.map();
    const std::byte* const data = memory_.get() + begin;
    require_finite(data, dtype, elements, refuse);
    return StoredTensor{data, dtype, memory_};
  }

 private:
  std::shared_ptr<const std::byte> memory_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
