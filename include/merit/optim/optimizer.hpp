// What an optimizer is. Its settings are an aggregate with a name() and fields() (core/field.hpp); its
// Bound<B> is one training run's: what it keeps between updates, in the backend's memory, and the update.
#pragma once

#include <algorithm>
#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/optim/shard.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What an optimizer keeps for a tensor, under the name that it has in a checkpoint.
template <class B>
struct OptimizerTensor {
  std::string name;  // such as "first_moment.score.weight"
  std::vector<Index> shape;
  typename BackendTypes<B>::StatVector values;  // row-major
};

/// An optimizer with the parameters that it moves, as the trainer and the checkpoint see it.
template <class B>
class BoundOptimizer {
 public:
  BoundOptimizer(const BoundOptimizer&) = delete;
  BoundOptimizer& operator=(const BoundOptimizer&) = delete;
  virtual ~BoundOptimizer() = default;

  /// One update from the parameters' gradients, each first multiplied by `gradient_scale`. Weight decay moves
  /// what is declared to take it. The gradients may serve as working space: they are no longer the step's.
  void update(double learning_rate, double gradient_scale) {
    ++steps_;
    move(learning_rate, gradient_scale);
  }

  /// Everything kept between updates beside steps(), in the order of a checkpoint; zeros before the first
  /// update. Who restores a run writes through these views.
  virtual std::vector<OptimizerTensor<B>> state() = 0;

  /// What this moves: all that is trained, or one rank's part.
  const OptimizerShard& shard() const { return shard_; }
  /// Updates made so far: part of what is kept.
  Index steps() const { return steps_; }
  void set_steps(Index steps) { steps_ = steps; }

 protected:
  /// The parameters must be laid out and outlive this.
  BoundOptimizer(Parameters<B>& parameters, OptimizerShard shard)
      : parameters_(&parameters), shard_(std::move(shard)) {}

  /// The update numbered steps(), from 1, of the shard's tensors.
  virtual void move(double learning_rate, double gradient_scale) = 0;

  Parameters<B>& parameters() const { return *parameters_; }

 private:
  Parameters<B>* parameters_;
  OptimizerShard shard_;
  Index steps_ = 0;
};

template <class O, class B>
concept optimizer = std::copyable<O> && has_fields<O> &&
    requires(const O& settings, Parameters<B>& parameters) {
  { O::name() } -> std::convertible_to<std::string_view>;
  requires std::derived_from<typename O::template Bound<B>, BoundOptimizer<B>>;
  requires std::constructible_from < typename O::template Bound<B>,
  const O&, Parameters<B>&, const OptimizerShard& > ;
};

/// All that is trained.
template <class B>
OptimizerShard whole_shard(const Parameters<B>& parameters) {
  return OptimizerShard({{0, parameters.size()}});
}

namespace detail {

/// Numbers in a backend's memory, zeros at first.
template <class B>
class StatBlock {
 public:
  using T = typename B::Stat;

  StatBlock(typename B::Handle& handle, Index size)
      : handle_(&handle), size_(size), data_(size == 0 ? nullptr : B::template allocate<T>(handle, size)) {}
  StatBlock(const StatBlock&) = delete;
  StatBlock& operator=(const StatBlock&) = delete;
  ~StatBlock() {
    if (data_ != nullptr) B::release(*handle_, data_, size_);
  }

  bool empty() const { return size_ == 0; }
  /// Empty where the block is.
  typename BackendTypes<B>::StatVector part(Index begin, Index count) {
    if (empty()) return {};
    return {data_ + begin, count};
  }

 private:
  typename B::Handle* handle_;
  Index size_;
  T* data_;
};

/// The trained tensors that a shard holds.
template <class B>
std::vector<Index> tensors_of(const Parameters<B>& parameters, const OptimizerShard& shard) {
  std::vector<Index> numbers = parameters.trained();
  std::erase_if(numbers, [&](Index i) { return !shard.holds(parameters.offset(i)); });
  return numbers;
}

/// Adds the tensors of a block that is laid out as the shard.
template <class B>
void list_block(const Parameters<B>& parameters, const OptimizerShard& shard, const std::string& prefix,
                StatBlock<B>& block, std::vector<OptimizerTensor<B>>& list) {
  if (block.empty()) return;
  for (const Index i : tensors_of(parameters, shard)) {
    const ParameterSpec& spec = parameters.spec(i);
    list.push_back({prefix + spec.name, spec.shape,
                    block.part(shard.place(parameters.offset(i)), parameters.element_count(i))});
  }
}

/// Calls f(begin in the parameters' block, place in the shard's, count, weight decay) for each run of the shard, in which
/// what decays and what does not are apart.
template <class B, class F>
void for_each_range(const Parameters<B>& parameters, const OptimizerShard& shard, double weight_decay, F f) {
  const auto part = [&](Index begin, Index end, double decay) {
    if (begin < end) f(begin, shard.place(begin), end - begin, decay);
  };
  for (const OptimizerShard::Run& run : shard.runs()) {
    part(run.begin, std::min(run.end, parameters.decayed()), weight_decay);
    part(std::max(run.begin, parameters.decayed()), run.end, 0.0);
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
