// The parameters of a model, in segments. What is trained lies in one flat block of values and one of
// gradients (decayed tensors first, then the others), in which every named tensor is a slice: clipping and
// the optimizer are each one loop over a block. What is frozen has its values and nothing else, each matrix
// in the type and, on a host, in the very memory that a file gives it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/sizes.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/tape/gradients.hpp"
#include "merit/tape/low_rank.hpp"
#include "merit/tape/parameter_spec.hpp"
#include "merit/tape/rounded_weights.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The declared tensors and, after allocate(), their values in the backend's memory; the gradients of the
/// trained ones from the first begin_gradients() on.
template <class B>
class Parameters : public LowRankMaps {
 public:
  using T = typename B::Stat;
  using Types = BackendTypes<B>;

  explicit Parameters(typename B::Handle& handle) : handle_(&handle) {}
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  ~Parameters() {
    if (values_ != nullptr) B::release(*handle_, values_, size_);
    if (gradients_ != nullptr) B::release(*handle_, gradients_, size_);
  }

  // --- declaration

  /// Declares a tensor; its number. Before allocate(). Throws ConfigError when it has more elements than can
  /// be addressed.
  std::uint32_t declare(ParameterSpec spec) {
    if (allocated_) throw UsageError("a parameter was declared after the parameters were allocated");
    detail::check_declaration(spec, tensors_.empty() ? nullptr : &tensors_.back().spec);
    Tensor tensor;
    tensor.count = 1;
    for (const Index extent : spec.shape) {
      tensor.count = size_product(tensor.count, extent, "the elements of parameter '", spec.name, "'");
    }
    size_product(tensor.count, sizeof(double), "the bytes of parameter '", spec.name, "'");
    if (!number_of_.emplace(spec.name, static_cast<std::uint32_t>(tensors_.size())).second) {
      throw UsageError(concat("parameter '", spec.name, "' is declared twice"));
    }
    tensor.spec = std::move(spec);
    tensors_.push_back(std::move(tensor));
    return static_cast<std::uint32_t>(tensors_.size() - 1);
  }

  /// Trains the tensors of which `keeps` says so alone; without it none: the model only scores. Before allocate().
  void freeze(const std::function<bool(const ParameterSpec&)>& keeps = {}) {
    for (Tensor& tensor : tensors_) tensor.spec.trainable = keeps && keeps(tensor.spec);
  }

  /// Lays out the tensors and gives them initial values, or leaves them without any for a file to bring. Each
  /// tensor draws from a stream named by its own name, so its start does not depend on what else the model
  /// holds, nor on when it is drawn.
  void allocate(const Rng& rng, Initial initial = Initial::drawn) {
    if (allocated_) throw UsageError("the parameters are allocated already");
    for (const bool decay : {true, false}) {
      for (Tensor& tensor : tensors_) {
        if (tensor.spec.decay != decay || !tensor.spec.trainable) continue;
        if (!tensor.spec.adjacent) size_ = aligned_count<T>(size_);
        tensor.offset = size_;
        size_ = size_sum(size_, tensor.count, "the elements of all parameters");
        size_product(size_, 2 * sizeof(T), "the bytes of all parameters");
      }
      size_ = aligned_count<T>(size_);
      if (decay) decayed_ = size_;
    }
    written_.assign(tensors_.size(), 0);
    rng_ = rng;
    allocated_ = true;
    if (initial == Initial::from_file) return;
    for (Index i = 0; i < tensors_.size(); ++i) draw(i);
  }

  // --- values

  /// Gives tensor i its initial values, from the stream of its name.
  void draw(Index i) {
    set_by(i, [&](VectorView<T> values) {
      const Init& init = tensors_[i].spec.init;
      if (init.kind != Init::Kind::normal) {
        std::fill(values.begin(), values.end(), init.kind == Init::Kind::ones ? T{1} : T{0});
        return;
      }
      Rng stream = rng_.split(fnv1a(tensors_[i].spec.name));
      for (T& value : values) value = static_cast<T>(init.deviation * stream.normal());
    });
  }

  /// Gives tensor i the element_count(i) values at `host`.
  void set(Index i, const T* host) {
    set_by(i, [&](VectorView<T> values) { std::copy_n(host, values.size, values.data); });
  }

  /// Gives tensor i the values that `fill` writes into a host vector of element_count(i): on a host, into
  /// their place.
  template <class Fill>
  void set_by(Index i, Fill fill) {
    take_memory(i);
    Tensor& tensor = tensors_[i];
    T* const place = static_cast<T*>(tensor.data);
    if constexpr (std::is_same_v<typename B::Space, HostSpace>) {
      fill(VectorView<T>(place, tensor.count));
    } else {
      Buffer<T> host(tensor.count);
      fill(host.view());
      B::from_host(*handle_, std::as_const(host).data(), place, tensor.count);
      B::wait(*handle_);
    }
    tensor.is_set = true;
  }

  /// Whether tensor i can be held as `dtype` stores it: a frozen matrix, in no more bits than a parameter
  /// has. A quantised type only in host memory, whose products read it, and with rows of whole blocks.
  bool can_hold(Index i, Dtype dtype) const {
    const ParameterSpec& spec = tensors_[i].spec;
    if (spec.trainable || spec.shape.size() != 2) return false;
    const Index block = layout_of(dtype).elements;
    if (block == 1) return size_of(dtype) <= sizeof(T);
    return std::is_same_v<typename B::Space, HostSpace> && spec.shape[1] % block == 0;
  }
  /// Gives tensor i, which can_hold() it, the stored values: on a host the very memory, which must be aligned
  /// to its elements; elsewhere a copy.
  void hold(Index i, const StoredTensor& stored) {
    Tensor& tensor = tensors_[i];
    ++sets_;
    tensor.dtype = stored.dtype;
    tensor.held = true;
    if constexpr (std::is_same_v<typename B::Space, HostSpace>) {
      tensor.data = const_cast<void*>(stored.data);  // nothing writes to what is frozen
      tensor.owner = stored.owner;
    } else {
      const Index bytes = stored_bytes(stored.dtype, tensor.count);
      own(tensor, bytes);
      B::from_host(*handle_, static_cast<const std::byte*>(stored.data), static_cast<std::byte*>(tensor.data),
                   bytes);
      B::wait(*handle_);
    }
    tensor.is_set = true;
  }

  /// Whether tensor i has values: false for what Initial::from_file still waits for.
  bool is_set(Index i) const { return tensors_[i].is_set; }

  /// Tensor i as it is stored, row-major, in the backend's memory: one row of all its elements. UsageError
  /// where there is none, or a file has still to bring its values.
  typename Types::Weight stored(Index i) const {
    if (i >= tensors_.size()) throw UsageError(concat("there is no parameter ", i));
    const Tensor& tensor = tensors_[i];
    require_set(tensor);
    return {tensor.data, tensor.dtype, 1, tensor.count, tensor.count};
  }

  /// Copies the values of tensor i, converted, to `host` (element_count(i)). Throws as stored().
  void get(Index i, T* host) const {
    const typename Types::Weight from = stored(i);
    Buffer<std::byte> bytes(stored_bytes(from.dtype, from.cols));
    B::to_host(*handle_, static_cast<const std::byte*>(from.data), bytes.data(), bytes.size());
    B::wait(*handle_);
    detail::copy_numbers(from.dtype, bytes.data(), from.cols, host);
  }

  /// The tensors first … first+count−1 as one matrix: the last dimension of each is `cols`, and their rows
  /// follow each other. A vector is one row. They must have been declared adjacent.
  ParameterSlice slice(std::uint32_t first, std::uint32_t count = 1) const {
    if (count == 0 || first + count > tensors_.size()) {
      throw UsageError(
          concat("there are no parameters ", first, " to ", first + count, " of ", tensors_.size()));
    }
    ParameterSlice slice{first, count, 0, 0, tensors_[first].spec.shape.back(), 0};
    Index elements = 0;
    bool vectors = true;
    for (std::uint32_t i = first; i < first + count; ++i) {
      const ParameterSpec& spec = tensors_[i].spec;
      if (i != first && !spec.adjacent) {
        throw UsageError(concat("parameter '", spec.name, "' is not adjacent to the one before"));
      }
      elements += tensors_[i].count;
      vectors = vectors && spec.shape.size() == 1;
    }
    if (vectors) slice.cols = elements;
    slice.rows = elements / slice.cols;
    slice.stride = slice.cols;
    return slice;
  }

  /// The values of a slice that lies in one piece: of one tensor, or of adjacent ones that are trained,
  /// vectors, or not held as a file stores them. UsageError where it does not, or where a file has still to
  /// bring values.
  typename Types::Weight value(const ParameterSlice& slice) const {
    typename Types::Weight whole;
    for_each_part(slice, [&](const typename Types::Weight& part, Index row) {
      if (row != 0) {
        throw UsageError(concat("parameter '", tensors_[slice.first].spec.name,
                                "' and those adjacent do not lie in one piece"));
      }
      whole = part;
    });
    return whole;
  }
  /// The same of vectors, which are always numbers of type Stat.
  typename Types::ConstStatVector value_vector(const ParameterSlice& slice) const {
    const typename Types::Weight vector = value(slice);
    if (vector.dtype != dtype_of<T>()) {
      throw UsageError(concat("parameter '", tensors_[slice.first].spec.name, "' is held as ",
                              name_of(vector.dtype), ": expected a vector, or its use as a matrix"));
    }
    return {static_cast<const T*>(vector.data), slice.size()};
  }
  /// Calls f(part, first row) for each piece of a slice in which its rows lie in one run: adjacent matrices
  /// that a file holds apart are several.
  template <class F>
  void for_each_part(const ParameterSlice& slice, F f) const {
    const Index last = Index{slice.first} + slice.count;
    Index whole = 0;
    for (Index i = slice.first; i < last; ++i) whole += tensors_[i].count;
    for (Index i = slice.first, row = 0; i < last;) {
      const Tensor& tensor = tensors_[i];
      require_set(tensor);
      if (watch_ != nullptr)
        for (Index read = i; read < last; ++read) watch_->read(read);
      const auto* const data = static_cast<const std::byte*>(tensor.data);
      Index elements = tensor.count;
      for (++i; i < last && tensors_[i].dtype == tensor.dtype &&
                tensors_[i].data == data + stored_bytes(tensor.dtype, elements);
           ++i) {
        elements += tensors_[i].count;
      }
      const bool one_piece = row == 0 && i == last;
      if (!one_piece && slice.size() != whole) {
        throw UsageError(concat("parameter '", tensor.spec.name,
                                "' and those adjacent lie apart: expected all of them, not a part"));
      }
      const Index block = layout_of(tensor.dtype).elements;
      if (slice.begin % block != 0 || slice.cols % block != 0) {
        throw UsageError(concat("parameter '", tensor.spec.name, "' is held as ", name_of(tensor.dtype),
                                ": expected its rows, or columns in whole blocks of ", block));
      }
      const Index rows = one_piece ? slice.rows : elements / slice.cols;
      f(typename Types::Weight{data + stored_bytes(tensor.dtype, slice.begin), tensor.dtype, rows, slice.cols,
                               slice.stride},
        row);
      row += rows;
    }
  }

  // --- gradients

  /// True if the tensors of the slice are trained: adjacent ones are frozen together.
  bool trainable(const ParameterSlice& slice) const {
    return slice.present() && tensors_[slice.first].spec.trainable;
  }

  /// Who writes some rows or columns only always adds, to zeros where nobody wrote before.
  GradientTarget<typename Types::StatMatrix> gradient_target(const ParameterSlice& slice) {
    allocate_gradients();
    bool any = false;
    bool all = true;
    Index whole = 0;
    for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) {
      if (written_[i] == final_gradient)
        throw UsageError(
            concat("the gradient of '", tensors_[i].spec.name, "' is written after it was final"));
      whole += tensors_[i].count;
      any = any || written_[i] != 0;
      all = all && written_[i] != 0;
    }
    const bool partial = slice.size() != whole;
    if ((any && !all) || partial) zero_unwritten(slice.first, slice.count);
    for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) written_[i] = 1;
    return {{gradients_ + tensors_[slice.first].offset + slice.begin, slice.rows, slice.cols, slice.stride},
            any || partial ? Write::add : Write::assign};
  }
  /// The same for operations that can only add: zeroed before its first use in a step.
  typename Types::StatMatrix gradient_to_add(const ParameterSlice& slice) {
    allocate_gradients();
    zero_unwritten(slice.first, slice.count);
    return gradient_target(slice).view;
  }

  /// A new step: every gradient counts as unwritten. The first one allocates the gradients.
  void begin_gradients() {
    allocate_gradients();
    std::fill(written_.begin(), written_.end(), std::uint8_t{0});
  }
  /// The step's gradients are complete: what nobody wrote is zero.
  void end_gradients() {
    allocate_gradients();
    zero_unwritten(0, static_cast<std::uint32_t>(tensors_.size()));
  }

  /// The gradient of tensor i is complete, and nobody writes it any more until begin_gradients().
  void end_gradient(Index i) {
    zero_unwritten(static_cast<std::uint32_t>(i), 1);
    written_[i] = final_gradient;
  }
  /// Who is told which gradients are final during the next pass over the model; null: nobody. Until it is set otherwise.
  void watch_gradients(GradientWatch* watch) { watch_ = watch; }
  GradientWatch* gradient_watch() const { return watch_; }

  // --- what is trained

  /// The block of trained tensors, to be asked for before each change, and its gradients.
  typename Types::StatVector values() {
    take_values();
    return {values_, size_};
  }
  typename Types::ConstStatVector values() const { return {values_, values_ == nullptr ? Index{0} : size_}; }
  typename Types::StatVector gradients() {
    allocate_gradients();
    return {gradients_, size_};
  }
  /// Empty before the first step.
  typename Types::ConstStatVector gradients() const {
    return {gradients_, gradients_ == nullptr ? Index{0} : size_};
  }

  /// Elements in a block, of which the first `decayed()` take weight decay.
  Index size() const { return size_; }
  Index decayed() const { return decayed_; }
  /// Where trained tensor i begins in a block.
  Index offset(Index i) const {
    if (!tensors_[i].spec.trainable) {
      throw UsageError(
          concat("parameter '", tensors_[i].spec.name, "' is frozen: it has no place in a block"));
    }
    return tensors_[i].offset;
  }

  // --- all tensors

  Index tensor_count() const { return tensors_.size(); }
  const ParameterSpec& spec(Index i) const { return tensors_[i].spec; }
  Index element_count(Index i) const { return tensors_[i].count; }
  /// The numbers of the trained tensors.
  std::vector<Index> trained() const {
    std::vector<Index> numbers;
    for (Index i = 0; i < tensors_.size(); ++i)
      if (tensors_[i].spec.trainable) numbers.push_back(i);
    return numbers;
  }
  /// Trainable elements and all of them, without the gaps of alignment.
  Index trainable_elements() const {
    Index total = 0;
    for (const Tensor& tensor : tensors_) total += tensor.spec.trainable ? tensor.count : 0;
    return total;
  }
  Index elements() const {
    Index total = 0;
    for (const Tensor& tensor : tensors_) total += tensor.count;
    return total;
  }
  /// The number of the tensor called `name`, or tensor_count().
  Index find(std::string_view name) const {
    const auto found = number_of_.find(std::string(name));
    return found == number_of_.end() ? tensors_.size() : Index{found->second};
  }

  typename B::Handle& handle() const { return *handle_; }

 private:
  struct Tensor {
    ParameterSpec spec;
    Index count = 0;
    Index offset = 0;  // in the block, of a trained one
    bool is_set = false;
    Dtype dtype = dtype_of<T>();
    void* data = nullptr;               // in the backend's memory
    std::shared_ptr<const void> owner;  // of the memory of a frozen one
    bool held = false;                  // as a file stores it
  };

  template <class Element>
  Element* take(Index count) const {
    try {
      return B::template allocate<Element>(*handle_, count);
    } catch (const std::bad_alloc&) {
      throw ConfigError(concat("a model of ", elements(), " parameters needs ", count * sizeof(Element),
                               " bytes for them at once, more than there is memory"));
    }
  }

  static void require_set(const Tensor& tensor) {
    if (tensor.is_set) return;
    throw UsageError(
        concat("parameter '", tensor.spec.name, "' has no values yet: expected a checkpoint to be loaded"));
  }

  /// Memory of the tensor's own, released with the last that uses it.
  void own(Tensor& tensor, Index bytes) {
    std::byte* const block = take<std::byte>(bytes);
    tensor.data = block;
    tensor.owner = std::shared_ptr<const void>(block, [handle = handle_, bytes](const void* data) {
      B::release(*handle, static_cast<std::byte*>(const_cast<void*>(data)), bytes);
    });
  }

  void take_values() {
    ++updates_;
    if (values_ != nullptr || size_ == 0) return;
    values_ = take<T>(size_);
    for (Tensor& tensor : tensors_) {
      if (tensor.spec.trainable) tensor.data = values_ + tensor.offset;
    }
  }

  /// Room for tensor i as numbers of type T. Adjacent frozen tensors get theirs together, so that they are
  /// one matrix.
  void take_memory(Index i) {
    ++sets_;
    if (tensors_[i].spec.trainable) return take_values();
    Tensor& tensor = tensors_[i];
    if (tensor.data != nullptr && !tensor.held) return;
    if (tensor.held) {
      tensor.held = false;
      tensor.dtype = dtype_of<T>();
      return own(tensor, tensor.count * sizeof(T));
    }
    Index first = i, end = i + 1;
    while (first > 0 && tensors_[first].spec.adjacent) --first;
    while (end < tensors_.size() && tensors_[end].spec.adjacent) ++end;
    Index bytes = 0;
    for (Index n = first; n < end; ++n)
      bytes = size_sum(bytes, tensors_[n].count * sizeof(T), "the bytes of adjacent parameters");
    own(tensor, bytes);
    const std::shared_ptr<const void> owner = tensor.owner;
    auto* place = static_cast<std::byte*>(tensor.data);
    for (Index n = first; n < end; ++n) {
      if (n == i || tensors_[n].data == nullptr) {
        tensors_[n].data = place;
        tensors_[n].owner = owner;
      }
      place += tensors_[n].count * sizeof(T);
    }
  }

  void allocate_gradients() {
    if (gradients_ == nullptr && size_ != 0) gradients_ = take<T>(size_);
  }

  static constexpr std::uint8_t final_gradient = 2;  // in written_

  void zero_unwritten(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = first; i < first + count; ++i) {
      if (written_[i] != 0 || !tensors_[i].spec.trainable) continue;
      B::fill(*handle_, typename Types::StatVector{gradients_ + tensors_[i].offset, tensors_[i].count}, T{0});
      written_[i] = 1;
    }
  }

  typename B::Handle* handle_;
  Rng rng_{0};
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string, std::uint32_t> number_of_;
  std::vector<std::uint8_t> written_;  // by tensor: 0 no, 1 yes, or final_gradient
  GradientWatch* watch_ = nullptr;
  bool allocated_ = false;
  T* values_ = nullptr;
  T* gradients_ = nullptr;
  Index size_ = 0;
  Index decayed_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
