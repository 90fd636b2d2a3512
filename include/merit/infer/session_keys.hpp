// The keys and values of a session, and attention that reads them.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "merit/backend/operations.hpp"
#include "merit/core/error.hpp"
#include "merit/forest/forest.hpp"
#include "merit/io/quantize.hpp"
#include "merit/tape/earlier_tokens.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Whole paths as one forest, in which tokens are called by numbers: those that have keys by their rows of the memory. What
/// of it is computed now is a forest of its own, in the same order.
struct SessionStep {
  /// Tokens [begin, begin + count) of the paths and where their keys are: in rows of the memory, or computed now, as tokens
  /// [from, from + count) of `computed`.
  struct Run {
    Index begin, count;
    bool is_kept;
    Index from;
  };
  /// Tokens [begin, begin + count) of the paths, to be kept in rows [row, row + count).
  struct Keep {
    Index begin, count, row;
  };

  ForestBuilder paths;
  Forest computed;                     // positions, rows and depth as in `paths`
  std::vector<std::uint32_t> queries;  // which tokens of `paths` are computed, ascending
  std::vector<Run> runs;
  std::vector<Keep> keeps;
};

/// For each layer a matrix (capacity, keys | values) in the backend's memory.
template <class B>
class SessionKeys final : public EarlierTokens<B> {
 public:
  using Activation = typename B::Activation;
  using Handle = typename B::Handle;

  /// `stored`: in what type; nothing: as they are computed. Throws ConfigError where that is not possible.
  SessionKeys(Handle& handle, std::optional<Dtype> stored)
      : handle_(&handle),
        dtype_(stored.value_or(dtype_of_activation())),
        paths_(no_batch()),
        read_(no_batch()) {
    if (dtype_ == dtype_of_activation()) return;
    if (dtype_ != Dtype::f16 && dtype_ != Dtype::bf16 && dtype_ != Dtype::q8_0) {
      throw ConfigError(concat("session: keys and values are to be stored as ", name_of(dtype_),
                               ", expected BF16, F16, Q8_0, or nothing for the backend's own ",
                               name_of(dtype_of_activation())));
    }
    if (!std::same_as<typename B::Space, HostSpace>) {
      throw ConfigError(concat("session: the backend ", B::name(),
                               " keeps keys and values as it computes them, in ",
                               name_of(dtype_of_activation()), ", expected nothing else to be asked for"));
    }
  }
  SessionKeys(const SessionKeys&) = delete;
  SessionKeys& operator=(const SessionKeys&) = delete;
  ~SessionKeys() override {
    for (const Layer& layer : layers_) B::release(*handle_, layer.data, row_bytes(layer) * layer.rows);
  }

  /// Of one token in all layers. They are known once a step was made.
  Index bytes_per_token() const {
    Index bytes = 0;
    for (const Layer& layer : layers_) bytes += row_bytes(layer);
    return bytes;
  }
  Index layer_count() const { return layers_.size(); }
  Index capacity() const { return capacity_; }

  /// Makes room for more tokens, layer by layer.
  void grow(Index capacity) {
    for (Layer& layer : layers_) {
      const Index before = row_bytes(layer) * layer.rows, bytes = row_bytes(layer) * capacity;
      std::byte* const data = B::template allocate<std::byte>(*handle_, bytes);
      if (before != 0) copy_bytes(layer.data, data, before);
      B::release(*handle_, layer.data, before);
      layer.data = data;
      layer.rows = capacity;
    }
    capacity_ = capacity;
  }

  /// A step begins, which must stay as it is until it ends.
  void begin(const SessionStep& step) {
    step_ = &step;
    next_ = 0;
    ForestView<HostSpace> view = step.paths.view();
    read_ = B::prepare(*handle_, view);
    view.rows = step.queries;
    paths_ = B::prepare(*handle_, view);
  }

  void attend(Tape<B>& tape, const AttentionArguments<B>& a) override {
    const Index keys = a.k.cols, width = keys + a.v.cols;
    if (next_ == layers_.size()) layers_.push_back(new_layer(width));
    Layer& layer = layers_[next_++];
    const Forest& forest = a.query_tokens.empty() ? paths_ : read_;
    const auto room = tape.template room<Activation>(forest.token_count() * width);
    const Matrix all{room.data, forest.token_count(), width};  // keys | values of all paths
    for (const SessionStep::Run& run : step_->runs) {
      const Matrix to = all.row_block(run.begin, run.count);
      if (run.is_kept) {
        B::gather_rows(*handle_, stored_rows(layer), forest.tokens.subview(run.begin, run.count),
                       Write::assign, to);
      } else {
        B::copy(*handle_, a.k.row_block(run.from, run.count), Write::assign, to.col_block(0, keys));
        B::copy(*handle_, a.v.row_block(run.from, run.count), Write::assign,
                to.col_block(keys, width - keys));
      }
    }
    for (const SessionStep::Keep& keep : step_->keeps) {
      store(all.row_block(keep.begin, keep.count), layer.data + keep.row * row_bytes(layer));
    }
    B::attention(*handle_, {.forest = forest,
                            .shape = a.shape,
                            .query_tokens = forest.rows,
                            .q = a.q,
                            .k = all.col_block(0, keys),
                            .v = all.col_block(keys, width - keys),
                            .out = a.out,
                            .scratch = tape.scratch(B::attention_scratch(*handle_, forest, a.shape))});
  }

 private:
  using Forest = typename BackendTypes<B>::Forest;
  using Matrix = typename BackendTypes<B>::Matrix;

  struct Layer {
    Index width = 0;
    std::byte* data = nullptr;
    Index rows = 0;
  };

  static constexpr Dtype dtype_of_activation() { return dtype_of<Activation>(); }
  typename B::Batch no_batch() { return B::prepare(*handle_, ForestView<HostSpace>{}); }
  Index row_bytes(const Layer& layer) const { return stored_bytes(dtype_, layer.width); }
  typename BackendTypes<B>::Weight stored_rows(const Layer& layer) const {
    return {layer.data, dtype_, layer.rows, layer.width, layer.width};
  }
  Layer new_layer(Index width) const {
    const Index block = layout_of(dtype_).elements;
    if (width % block != 0) {
      throw ConfigError(concat("session: keys and values of a token are ", width,
                               " numbers, expected a multiple of ", block, " to be stored as ",
                               name_of(dtype_)));
    }
    return {width};
  }

  void copy_bytes(const std::byte* from, std::byte* to, Index bytes) {
    if constexpr (std::same_as<typename B::Space, HostSpace>) {
      std::copy_n(from, bytes, to);
    } else {  // as numbers, whatever they are
      const Index count = bytes / sizeof(Activation);
      using Elements = MatrixView<const Activation, typename B::Space>;
      B::copy(*handle_, Elements{reinterpret_cast<const Activation*>(from), 1, count}, Write::assign,
              Matrix{reinterpret_cast<Activation*>(to), 1, count});
    }
  }
  void store(const Matrix& from, std::byte* to) {
    if (dtype_ == dtype_of_activation()) {
      B::copy(*handle_, from, Write::assign, Matrix{reinterpret_cast<Activation*>(to), from.rows, from.cols});
      return;
    }
    if constexpr (std::same_as<typename B::Space, HostSpace>) {
      numbers_.assign(from.data, from.data + from.rows * from.cols);
      quantize(dtype_, numbers_.data(), to, numbers_.size());
    }
  }

  Handle* handle_;
  Dtype dtype_;
  std::vector<Layer> layers_;
  Index capacity_ = 0;
  std::vector<float> numbers_;  // on their way to another type
  // Of the step: its paths, with what is computed as their rows, and with what is read.
  const SessionStep* step_ = nullptr;
  Index next_ = 0;
  typename B::Batch paths_, read_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
