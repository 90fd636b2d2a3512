// Parameters that a file keeps as rows of a larger tensor (StoredRows): read out of it, and put together again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "merit/core/buffer.hpp"
#include "merit/core/error.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The shape of the tensor of a file that holds `spec`, or of spec itself.
inline std::vector<Index> shape_in_file(const ParameterSpec& spec) {
  std::vector<Index> shape = spec.shape;
  if (spec.stored_in.present()) shape[0] = spec.stored_in.rows;
  return shape;
}

/// The rows of `spec` out of the tensor `name` that holds them, of anything with read(name, view).
template <class Source, class T>
void read_stored_rows(const Source& file, const std::string& name, const ParameterSpec& spec,
                      VectorView<T> out) {
  const Index width = out.size / spec.shape[0];
  Buffer<T> whole(spec.stored_in.rows * width);
  file.read(name, whole.view());
  for (Index r = 0; r < spec.shape[0]; ++r)
    std::copy_n(whole.data() + spec.stored_in.row(r) * width, width, out.data + r * width);
}

/// The same where they lie in the file's memory; nothing where they do not follow each other.
inline std::optional<StoredTensor> stored_rows(std::optional<StoredTensor> tensor, const TensorInfo& info,
                                               const StoredRows& rows) {
  if (!tensor || !rows.present()) return tensor;
  if (rows.run != 0) return std::nullopt;
  const Index row_bytes = (info.end - info.begin) / rows.rows;
  tensor->data = static_cast<const std::byte*>(tensor->data) + rows.begin * row_bytes;
  return tensor;
}

/// The larger tensors that parameters are rows of, each put together of all of them.
template <class B>
class JoinedTensors {
 public:
  using T = typename B::Stat;

  /// Takes parameter i, which has a stored_in, into its tensor, which the file calls `name`; adds that to `tensors` when it
  /// is new.
  void add(const Parameters<B>& parameters, Index i, const std::string& name,
           std::vector<TensorSource>& tensors) {
    const ParameterSpec& spec = parameters.spec(i);
    const Index count = parameters.element_count(i), width = count / spec.shape[0];
    auto joined =
        std::find_if(joined_.begin(), joined_.end(), [&](const Joined& one) { return one.name == name; });
    if (joined == joined_.end()) {
      joined_.push_back({name, Buffer<T>(spec.stored_in.rows * width)});
      joined = joined_.end() - 1;
      TensorSource& tensor = tensors.emplace_back();
      tensor.name = joined->name;
      tensor.shape = shape_in_file(spec);
      tensor.data = static_cast<const T*>(joined->values.data());
    }
    std::vector<T> values(count);
    parameters.get(i, values.data());
    for (Index r = 0; r < spec.shape[0]; ++r)
      std::copy_n(values.data() + r * width, width, joined->values.data() + spec.stored_in.row(r) * width);
  }

 private:
  struct Joined {
    std::string name;
    Buffer<T> values;
  };
  std::vector<Joined> joined_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
