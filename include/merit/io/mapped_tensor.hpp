// A tensor in the memory of its file, for every format that stores plain numbers in order.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "merit/core/dtype.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A file's memory, mapped when the first of its tensors is asked for. For one thread at a time.
class MappedTensors {
 public:
  /// `elements` numbers that begin at byte `begin`; nothing where there are none or they are not aligned.
  /// Calls refuse(element, number), which throws, about the first that is not finite.
  template <class Refuse>
  std::optional<StoredTensor> at(const InputFile& file, Dtype dtype, Index begin, Index elements,
                                 const Refuse& refuse) {
    if (elements == 0 || begin % size_of(dtype) != 0) return std::nullopt;
    if (memory_ == nullptr) memory_ = file.map();
    const std::byte* const data = memory_.get() + begin;
    visit_stored(WeightView<>(data, dtype, 1, elements, elements), [&](auto numbers) {
      const Index bad = first_non_finite(numbers.data, elements);
      if (bad < elements) refuse(bad, number<double>(numbers(0, bad)));
    });
    return StoredTensor{data, dtype, memory_};
  }

 private:
  std::shared_ptr<const std::byte> memory_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
