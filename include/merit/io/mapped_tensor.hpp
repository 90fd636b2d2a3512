// A tensor in the memory of its file, for every format that stores numbers in order.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

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

/// The whole pages of bytes [first, last) of a mapped file need no memory until they are looked at again: then they are read
/// from the file once more.
inline void give_back_pages(const std::byte* mapped, Index first, Index last) {
  const auto page = static_cast<Index>(::sysconf(_SC_PAGESIZE));
  first = (first + page - 1) / page * page;
  last = last / page * page;
  if (first < last) ::madvise(const_cast<std::byte*>(mapped) + first, last - first, MADV_DONTNEED);
}

/// A file's memory, mapped when the first of its tensors is asked for. For one thread at a time.
class MappedTensors {
 public:
  MappedTensors() = default;
  MappedTensors(MappedTensors&&) = default;
  MappedTensors& operator=(MappedTensors&&) = default;
  /// Gives back what lies between the tensors, which the system has read beside them.
  ~MappedTensors() {
    if (memory_ == nullptr || memory_.use_count() == 1) return;
    std::sort(given_.begin(), given_.end());
    Index end = 0;
    for (const auto& [first, last] : given_) {
      if (first > end) give_back_pages(memory_.get(), end, first);
      end = std::max(end, last);
    }
    give_back_pages(memory_.get(), end, size_);
  }

  /// `elements` numbers (whole blocks of a quantised type) that begin at byte `begin`; nothing where there are
  /// none or they are not aligned. Calls refuse as require_finite does.
  template <class Refuse>
  std::optional<StoredTensor> at(const InputFile& file, Dtype dtype, Index begin, Index elements,
                                 const Refuse& refuse) {
    const Index alignment = is_quantized(dtype) ? 1 : size_of(dtype);
    if (elements == 0 || begin % alignment != 0) return std::nullopt;
    if (memory_ == nullptr) {
      memory_ = file.map();
      size_ = file.size();
    }
    const std::byte* const data = memory_.get() + begin;
    require_finite(data, dtype, elements, refuse);
    given_.emplace_back(begin, begin + stored_bytes(dtype, elements));
    return StoredTensor{data, dtype, memory_};
  }

 private:
  std::shared_ptr<const std::byte> memory_;
  Index size_ = 0;
  std::vector<std::pair<Index, Index>> given_;  // bytes of tensors, [first, last)
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
