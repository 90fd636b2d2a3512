// The parameters of a model: one flat block of values and one of gradients, in which every named tensor is a
// slice. Clipping, the optimizer and checkpoints are each one loop over a block. A model that only scores has
// no block of gradients.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/rng.hpp"

namespace merit::inline MERIT_ABI {

/// How a tensor starts: zeros, ones, or normal with a standard deviation.
struct Init {
  enum class Kind : std::uint8_t { zeros, ones, normal } kind = Kind::zeros;
  double deviation = 0;

  static Init zeros() { return {}; }
  static Init ones() { return {Kind::ones, 0}; }
  static Init normal(double deviation) { return {Kind::normal, deviation}; }
};

/// Where the values of a new model come from: drawn now, as each tensor's Init says; or zeros that a file
/// replaces, after which Parameters::draw gives the tensors that the file lacks what they would have drawn.
enum class Initial : std::uint8_t { drawn, from_file };

/// One named tensor, as a backbone or head declares it.
struct ParameterSpec {
  std::string name;          // as in published checkpoints
  std::vector<Index> shape;  // one or two dimensions
  Init init;
  bool decay = true;      // weight decay applies (not to norms and biases)
  bool adjacent = false;  // lies directly behind the one declared before, so that both can be one matrix
  bool trainable = true;
};

/// One tensor, or several adjacent ones taken as one matrix (rows, cols), or a row or some columns of it.
struct ParameterSlice {
  std::uint32_t first = 0;  // the tensors it covers
  std::uint32_t count = 0;
  Index offset = 0;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  bool present() const { return count != 0; }
  Index size() const { return rows * cols; }
  /// One row: the vector of one token in an embedding.
  ParameterSlice row(Index i) const { return {first, count, offset + i * stride, 1, cols, stride}; }
  /// Some columns: the queries' part of a joint projection.
  ParameterSlice columns(Index begin, Index width) const {
    return {first, count, offset + begin, rows, width, stride};
  }
};

/// The declared tensors and, after allocate(), their values in the backend's memory; their gradients from the
/// first begin_gradients() on.
template <class B>
class Parameters {
 public:
  using T = typename B::Scalar;
  using Types = BackendTypes<B>;

  explicit Parameters(typename B::Handle& handle) : handle_(&handle) {}
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  ~Parameters() {
    if (values_ != nullptr) B::release(*handle_, values_, size_);
    if (gradients_ != nullptr) B::release(*handle_, gradients_, size_);
  }

  /// Declares a tensor; its number. Before allocate().
  std::uint32_t declare(ParameterSpec spec) {
    if (values_ != nullptr) throw UsageError("a parameter was declared after the parameters were allocated");
    for (const Tensor& tensor : tensors_) {
      if (tensor.spec.name == spec.name) {
        throw UsageError(detail::concat("parameter '", spec.name, "' is declared twice"));
      }
    }
    tensors_.push_back({.spec = std::move(spec)});
    return static_cast<std::uint32_t>(tensors_.size() - 1);
  }

  /// Lays out the flat block (decayed tensors first, then the others) and fills it with initial values, or
  /// leaves zeros for a file to replace. Each tensor draws from a stream named by its own name, so its start
  /// does not depend on what else the model holds, nor on when it is drawn.
  void allocate(const Rng& rng, Initial initial = Initial::drawn) {
    if (values_ != nullptr) throw UsageError("the parameters are allocated already");
    size_ = 0;
    for (const bool decay : {true, false}) {
      for (Tensor& tensor : tensors_) {
        if (tensor.spec.decay != decay) continue;
        if (!tensor.spec.adjacent) size_ = aligned_count<T>(size_);
        tensor.offset = size_;
        tensor.count = 1;
        for (const Index extent : tensor.spec.shape) tensor.count *= extent;
        size_ += tensor.count;
      }
      size_ = aligned_count<T>(size_);
      if (decay) decayed_ = size_;
    }
    values_ = B::allocate(*handle_, size_);
    written_.assign(tensors_.size(), 0);
    rng_ = rng;
    if (initial == Initial::from_file) return;
    for (Index i = 0; i < tensors_.size(); ++i) draw(i);
  }

  /// Gives tensor i its initial values, from the stream of its name.
  void draw(Index i) {
    const Tensor& tensor = tensors_[i];
    const Init& init = tensor.spec.init;
    tensors_[i].is_set = true;
    if (init.kind == Init::Kind::zeros || init.kind == Init::Kind::ones) {
      B::fill(*handle_, {values_ + tensor.offset, tensor.count}, init.kind == Init::Kind::ones ? T{1} : T{0});
      return;
    }
    Rng stream = rng_.split(fnv1a(tensor.spec.name));
    Buffer<T> host(tensor.count);
    for (T& value : host.view()) value = static_cast<T>(init.deviation * stream.normal());
    B::from_host(*handle_, host.data(), values_ + tensor.offset, tensor.count);
  }

  /// Gives tensor i the element_count(i) values at `host`.
  void set(Index i, const T* host) {
    B::from_host(*handle_, host, values_ + tensors_[i].offset, tensors_[i].count);
    tensors_[i].is_set = true;
  }

  /// Whether tensor i was drawn or set: false for what Initial::from_file still waits for.
  bool is_set(Index i) const { return tensors_[i].is_set; }

  /// The tensors first … first+count−1 as one matrix: the last dimension of each is `cols`, and their rows
  /// follow each other. A vector is one row. They must have been declared adjacent.
  ParameterSlice slice(std::uint32_t first, std::uint32_t count = 1) const {
    if (count == 0 || first + count > tensors_.size()) {
      throw UsageError(
          detail::concat("there are no parameters ", first, " to ", first + count, " of ", tensors_.size()));
    }
    const Tensor& head = tensors_[first];
    ParameterSlice slice{first, count, head.offset, 0, head.spec.shape.back(), 0};
    Index end = head.offset;
    bool vectors = true;
    for (std::uint32_t i = first; i < first + count; ++i) {
      const Tensor& tensor = tensors_[i];
      if (tensor.offset != end) {
        throw UsageError(
            detail::concat("parameter '", tensor.spec.name, "' is not adjacent to the one before"));
      }
      end += tensor.count;
      vectors = vectors && tensor.spec.shape.size() == 1;
    }
    if (vectors) slice.cols = end - head.offset;
    slice.rows = (end - head.offset) / slice.cols;
    slice.stride = slice.cols;
    return slice;
  }

  typename Types::ConstMatrix value(const ParameterSlice& slice) const {
    return {values_ + slice.offset, slice.rows, slice.cols, slice.stride};
  }
  typename Types::ConstVector value_vector(const ParameterSlice& slice) const {
    return {values_ + slice.offset, slice.size()};
  }

  /// True if any tensor of the slice is trained. The tensors of one slice are frozen together.
  bool trainable(const ParameterSlice& slice) const {
    return slice.present() && tensors_[slice.first].spec.trainable;
  }

  /// Where a gradient goes and how: the first writer of a step assigns, later writers add. Who writes some
  /// rows or columns only always adds, to zeros where nobody wrote before.
  struct Target {
    typename Types::Matrix view;
    Write write;
  };
  Target gradient_target(const ParameterSlice& slice) {
    allocate_gradients();
    bool any = false;
    bool all = true;
    Index whole = 0;
    for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) {
      whole += tensors_[i].count;
      any = any || written_[i] != 0;
      all = all && written_[i] != 0;
    }
    const bool partial = slice.size() != whole;
    if ((any && !all) || partial) zero_unwritten(slice.first, slice.count);
    for (std::uint32_t i = slice.first; i < slice.first + slice.count; ++i) written_[i] = 1;
    return {{gradients_ + slice.offset, slice.rows, slice.cols, slice.stride},
            any || partial ? Write::add : Write::assign};
  }
  /// The same for operations that can only add: zeroed before its first use in a step.
  typename Types::Matrix gradient_to_add(const ParameterSlice& slice) {
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

  typename Types::Vector values() { return {values_, size_}; }
  typename Types::ConstVector values() const { return {values_, size_}; }
  typename Types::Vector gradients() {
    allocate_gradients();
    return {gradients_, size_};
  }
  /// Empty before the first step.
  typename Types::ConstVector gradients() const {
    return {gradients_, gradients_ == nullptr ? Index{0} : size_};
  }

  /// Elements in a block, of which the first `decayed()` take weight decay.
  Index size() const { return size_; }
  Index decayed() const { return decayed_; }

  Index tensor_count() const { return tensors_.size(); }
  const ParameterSpec& spec(Index i) const { return tensors_[i].spec; }
  Index offset(Index i) const { return tensors_[i].offset; }
  Index element_count(Index i) const { return tensors_[i].count; }
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
    for (Index i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].spec.name == name) return i;
    }
    return tensors_.size();
  }

  typename B::Handle& handle() const { return *handle_; }

 private:
  struct Tensor {
    ParameterSpec spec;
    Index offset = 0;
    Index count = 0;
    bool is_set = false;
  };

  void allocate_gradients() {
    if (gradients_ == nullptr) gradients_ = B::allocate(*handle_, size_);
  }

  void zero_unwritten(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = first; i < first + count; ++i) {
      if (written_[i] != 0) continue;
      B::fill(*handle_, {gradients_ + tensors_[i].offset, tensors_[i].count}, T{0});
      written_[i] = 1;
    }
  }

  typename B::Handle* handle_;
  Rng rng_{0};
  std::vector<Tensor> tensors_;
  std::vector<std::uint8_t> written_;
  T* values_ = nullptr;
  T* gradients_ = nullptr;
  Index size_ = 0;
  Index decayed_ = 0;
};

}  // namespace merit::inline MERIT_ABI
