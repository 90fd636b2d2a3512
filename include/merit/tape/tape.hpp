// The tape: a linear list of operations, each with a function that carries gradients back through it. It is a
// memory plan as much as a graph: values and gradients live in arenas, variables are numbers, and an
// operation's record is a few words copied into a byte buffer. After the first step nothing is allocated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "merit/backend/operations.hpp"
#include "merit/core/error.hpp"
#include "merit/tape/arena.hpp"
#include "merit/tape/earlier_tokens.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A variable on a tape: a number, not a pointer, so that it survives anything the tape does with memory.
struct Var {
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  std::uint32_t id = none;

  bool present() const { return id != none; }
};

/// Records operations in order and runs them backwards.
///
/// An operation in nn/ computes its value at once, makes its output with make(), and leaves a *node* with
/// record(): a trivially copyable struct with `void backward(Tape<B>&) const`, which reads gradient(out) and
/// writes to gradient_target(in) of each input. The first writer of a gradient assigns, later ones add, so no
/// gradient is zeroed in advance.
template <class B>
class Tape {
 public:
  using Activation = typename B::Activation;
  using Types = BackendTypes<B>;
  using Handle = typename B::Handle;

  /// Both must outlive the tape. One tape serves one model.
  Tape(Handle& handle, Parameters<B>& parameters)
      : handle_(&handle), parameters_(&parameters), value_arena_(handle), gradient_arena_(handle) {}

  Handle& handle() { return *handle_; }
  Parameters<B>& parameters() { return *parameters_; }

  // --- forward

  using Keys = VectorView<const std::uint64_t, typename B::Space>;
  /// What dropout knows the rows of a forest by: a number for each token and for each wanted row, and the one of which all
  /// are made. Empty: it is off.
  struct DropoutKeys {
    Keys tokens, rows;
    std::uint64_t root = 0;
  };
  const DropoutKeys& dropout_keys() const { return dropout_keys_; }
  /// Until reset(); in the backend's memory, as room() gives it.
  void set_dropout_keys(const DropoutKeys& keys) { dropout_keys_ = keys; }
  /// The same of a variable whose rows are neither all tokens nor all wanted rows, (rows); empty: none were set.
  Keys keys_of_rows(Var v) const {
    const Slot& slot = slots_[v.id];
    return slot.row_keys != nullptr ? Keys{slot.row_keys, slot.rows} : Keys{};
  }
  void set_keys_of_rows(Var v, const Keys& keys) { slots_[v.id].row_keys = keys.data; }

  /// What attention reads beside the keys and values of its forest: null where nothing stands before that. Until reset(),
  /// and only while nothing is recorded.
  EarlierTokens<B>* earlier_tokens() const { return earlier_tokens_; }
  void set_earlier_tokens(EarlierTokens<B>& tokens) { earlier_tokens_ = &tokens; }

  /// Without recording the tape keeps values only: scoring.
  bool recording() const { return recording_; }
  void set_recording(bool on) { recording_ = on; }

  /// A new variable (rows, cols), its value uninitialised.
  Var make(Index rows, Index cols, bool needs_gradient) {
    const auto id = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back({value_arena_.template allocate<Activation>(rows * cols), nullptr, rows, cols, 0, id,
                      needs_gradient, false});
    return {id};
  }

  /// The value of a variable, (rows, cols), contiguous.
  typename Types::Matrix value(Var v) const {
    const Slot& slot = slots_[v.id];
    return {slot.value, slot.rows, slot.cols};
  }
  Index rows(Var v) const { return slots_[v.id].rows; }
  Index cols(Var v) const { return slots_[v.id].cols; }
  bool needs_gradient(Var v) const { return v.present() && slots_[v.id].needs_gradient; }

  /// Memory that lives as long as the value beside it: means and deviations, log-sums.
  typename Types::StatVector keep(Index count) { return room<typename B::Stat>(count); }

  /// The same of any elements, for what an operation brings from the host.
  template <class Element>
  VectorView<Element, typename B::Space> room(Index count) {
    return {value_arena_.template allocate<Element>(count), count};
  }

  /// Memory that lives until the operation that asked for it ends; call within `working([&]{ … })`.
  typename Types::StatVector scratch(Index count) { return keep(count); }
  template <class Function>
  void working(Function function) {
    const auto mark = value_arena_.mark();
    function();
    value_arena_.rewind(mark);
  }

  /// For out = residual + branch: both have the same gradient, so they share one block. From here on
  /// `residual` must not be read by another operation; the ones before are its branch, whose gradients are
  /// then added in place.
  void share_gradient(Var out, Var residual) {
    if (!recording_ || !needs_gradient(residual)) return;
    if (slots_[residual.id].lent)
      throw UsageError("a variable is the residual of two sums: add to the first sum's result");
    slots_[residual.id].lent = true;
    slots_[out.id].owner = slots_[residual.id].owner;
  }
  /// For the node of such a sum: throws UsageError if something recorded after it has read the residual,
  /// whose share would by now be mixed into the branch's.
  void check_lent(Var residual) const {
    if (slots_[residual.id].written_by_name) {
      throw UsageError("a residual was read again after it was added to: read the sum instead");
    }
  }

  /// Leaves a node that carries the gradient of `out` back. Nothing happens when no input needs a gradient.
  template <class Node>
  void record(Var out, const Node& node) {
    static_assert(std::is_trivially_copyable_v<Node>,
                  "a node is copied as bytes: keep views and numbers in it");
    static_assert(alignof(Node) <= alignof(Word));
    if (!recording_ || !needs_gradient(out)) return;
    constexpr Index node_words = (sizeof(Node) + sizeof(Word) - 1) / sizeof(Word);
    const Index at = nodes_.size();
    nodes_.resize(at + header_words + node_words);
    const Header header{&run_node<Node>, last_, out.id, produced_, static_cast<std::uint32_t>(slots_.size())};
    std::memcpy(&nodes_[at], &header, sizeof header);
    std::memcpy(&nodes_[at + header_words], &node, sizeof node);
    last_ = at;
    produced_ = static_cast<std::uint32_t>(slots_.size());
    ++node_count_;
    if (watch_ != nullptr) watch_->recorded(node_count_);
  }

  /// Activation checkpointing (Chen et al. 2016). Runs `function(tape, input)`, whose result is (rows, cols),
  /// keeps only the result, and runs the function again on the way back. While scoring it just frees what is
  /// inside. `Function` is a trivially copyable callable; it must not make use of variables other than its
  /// input. If it adds to its input as to a residual, nothing else may read that input.
  template <class Function>
  Var checkpoint(Function function, Var input, Index rows, Index cols) {
    static_assert(std::is_trivially_copyable_v<Function>);
    const Var out = make(rows, cols, true);
    const bool was_recording = recording_;
    const Mark mark = this->mark();
    recording_ = false;
    const Var inner = function(*this, input);
    slots_[out.id].needs_gradient = needs_gradient(inner);
    B::copy(*handle_, value(inner), Write::assign, value(out));
    rewind(mark);
    recording_ = was_recording;
    record(out, Recompute<Function>{function, input, out});
    return out;
  }

  // --- backward

  /// Where the gradient of `v` goes. Requires needs_gradient(v).
  GradientTarget<typename Types::Matrix> gradient_target(Var v) {
    slots_[v.id].written_by_name = true;
    Slot& slot = slots_[slots_[v.id].owner];
    const bool first = !slot.written;
    if (first) {
      slot.gradient = acquire(slot.rows * slot.cols, slot.gradient_size);
      slot.written = true;
    }
    return {{slot.gradient, slot.rows, slot.cols}, first ? Write::assign : Write::add};
  }
  /// The same for operations that write a part or can only add: zeroed before its first use.
  typename Types::Matrix gradient_to_add(Var v) {
    const auto target = gradient_target(v);
    if (target.write == Write::assign) B::fill(*handle_, target.view.flat(), Activation{0});
    return target.view;
  }
  /// The gradient of `v`, complete when the node that made `v` runs.
  typename Types::Matrix gradient(Var v) const {
    const Slot& slot = slots_[slots_[v.id].owner];
    return {slot.gradient, slot.rows, slot.cols};
  }
  bool has_gradient(Var v) const { return slots_[slots_[v.id].owner].written; }

  /// Carries gradients from what was seeded (by writing gradient_target of a variable) back to the
  /// parameters.
  void backward() {
    if (watch_ == nullptr) return run_back_to(no_node);
    Index left = node_count_;
    watch_->begin_backward(left);
    while (last_ != no_node) {
      Header header;
      std::memcpy(&header, &nodes_[last_], sizeof header);
      run_back_to(header.previous);
      watch_->left(--left);
    }
  }
  /// Drives the parameters' watch, if they have one, until reset(): for the tape on which the pass begins.
  void drive_watch() { watch_ = parameters_->gradient_watch(); }

  // --- memory

  /// Forgets the step, keeps the memory.
  void reset() {
    dropout_keys_ = {};
    earlier_tokens_ = nullptr;
    watch_ = nullptr;
    slots_.clear();
    nodes_.clear();
    free_.clear();
    last_ = no_node;
    produced_ = 0;
    node_count_ = 0;
    value_arena_.reset();
    gradient_arena_.reset();
  }

  /// Forgets everything, as reset() does, and gives the memory back.
  void trim() {
    reset();
    layer_bytes_ = {};
    value_arena_.trim();
    gradient_arena_.trim();
  }

  /// What of the values a layer takes: all that it computes, and its result alone, in bytes.
  struct LayerBytes {
    Index inside = 0, result = 0;
  };
  /// Of the largest layer so far; a backbone says when one has been computed.
  LayerBytes layer_bytes() const { return layer_bytes_; }
  void note_layer(Var result, Index inside) {
    const Index bytes = rows(result) * cols(result) * sizeof(Activation);
    layer_bytes_ = {std::max(layer_bytes_.inside, inside), std::max(layer_bytes_.result, bytes)};
  }
  /// Bytes of values at this moment.
  Index value_bytes() const { return value_arena_.bytes(); }

  /// Nodes recorded since reset().
  Index node_count() const { return node_count_; }
  /// Bytes held in the arenas for values and gradients.
  Index bytes() const { return value_arena_.capacity() + gradient_arena_.capacity(); }

 private:
  using Word = std::max_align_t;
  static constexpr Index no_node = ~Index{0};

  struct Slot {
    Activation* value;
    Activation* gradient;
    Index rows;
    Index cols;
    Index gradient_size;  // elements of the block behind `gradient`
    std::uint32_t owner;  // the slot whose gradient block this one uses: itself, or a residual stream's
    bool needs_gradient;
    bool written;
    bool lent = false;                        // it is the residual of a sum
    const std::uint64_t* row_keys = nullptr;  // see set_keys_of_rows()
    bool written_by_name = false;  // a node wrote this variable's gradient, not a sum's that shares it
  };
  struct Header {
    void (*run)(Tape&, const Word*);
    Index previous;
    std::uint32_t out;
    std::uint32_t
        slot_begin;  // the variables made for this node: once it has run, nobody reads their gradients
    std::uint32_t slot_end;
  };
  static constexpr Index header_words = (sizeof(Header) + sizeof(Word) - 1) / sizeof(Word);
  struct FreeBlock {
    Activation* data;
    Index size;
  };
  struct Mark {
    typename Arena<B>::Mark values;
    Index nodes;
    Index last;
    Index slots;
    Index node_count;
    std::uint32_t produced;
  };

  template <class Node>
  static void run_node(Tape& tape, const Word* bytes) {
    alignas(Node)
        std::byte storage[sizeof(Node)];  // a copy: the buffer may move if the node records (checkpoint)
    std::memcpy(storage, bytes, sizeof(Node));
    reinterpret_cast<const Node*>(storage)->backward(tape);
  }

  template <class Function>
  struct Recompute {
    Function function;
    Var input;
    Var out;

    void backward(Tape& tape) const {
      const Mark mark = tape.mark();
      const Var again = function(tape, input);
      const auto target = tape.gradient_target(again);
      B::copy(tape.handle(), tape.gradient(out), target.write, target.view);
      tape.run_back_to(mark.last);
      tape.rewind(mark);
    }
  };

  void run_back_to(Index stop) {
    while (last_ != stop) {
      Header header;
      std::memcpy(&header, &nodes_[last_], sizeof header);
      const Index at = last_;
      if (has_gradient({header.out})) {
        working([&] { header.run(*this, &nodes_[at + header_words]); });
      }
      for (std::uint32_t id = header.slot_begin; id < header.slot_end; ++id) give_back(slots_[id], id);
      last_ = header.previous;
    }
  }

  Mark mark() const {
    return {value_arena_.mark(), nodes_.size(), last_, slots_.size(), node_count_, produced_};
  }
  void rewind(const Mark& mark) {
    for (Index id = mark.slots; id < slots_.size(); ++id)
      give_back(slots_[id], static_cast<std::uint32_t>(id));
    slots_.resize(mark.slots);
    nodes_.resize(mark.nodes);
    last_ = mark.last;
    node_count_ = mark.node_count;
    produced_ = mark.produced;
    value_arena_.rewind(mark.values);
  }

  /// A gradient block of at least `count` elements: the smallest free one that wastes less than half, else
  /// new.
  Activation* acquire(Index count, Index& size) {
    Index best = free_.size();
    for (Index i = 0; i < free_.size(); ++i) {
      if (free_[i].size < count || free_[i].size > 2 * count + 64) continue;
      if (best == free_.size() || free_[i].size < free_[best].size) best = i;
    }
    if (best == free_.size()) {
      size = count;
      return gradient_arena_.template allocate<Activation>(count);
    }
    const FreeBlock block = free_[best];
    free_[best] = free_.back();
    free_.pop_back();
    size = block.size;
    return block.data;
  }
  void give_back(Slot& slot, std::uint32_t id) {
    if (slot.owner != id || slot.gradient == nullptr) return;
    free_.push_back({slot.gradient, slot.gradient_size});
    slot.gradient = nullptr;
  }

  Handle* handle_;
  Parameters<B>* parameters_;
  Arena<B> value_arena_;
  Arena<B> gradient_arena_;
  std::vector<Slot> slots_;
  std::vector<Word> nodes_;
  std::vector<FreeBlock> free_;
  Index last_ = no_node;
  Index node_count_ = 0;
  std::uint32_t produced_ = 0;
  bool recording_ = true;
  DropoutKeys dropout_keys_;
  EarlierTokens<B>* earlier_tokens_ = nullptr;
  GradientWatch* watch_ = nullptr;
  LayerBytes layer_bytes_;
};

}  // namespace MERIT_ABI
}  // namespace merit
