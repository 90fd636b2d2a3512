// A step's gradient over ranks: each rank's sum of its own micro-batches is sent, in buckets, behind the backward pass, to
// the ranks whose optimizers move them, and the moved weights come back.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/optim/optimizer.hpp"
#include "merit/tape/gradients.hpp"
#include "merit/tape/parameters.hpp"
#include "merit/train/rank_shards.hpp"
#include "merit/train/step_exchange.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Sends numbers on a thread of its own, so that a step's arithmetic goes on meanwhile.
class Sender {
 public:
  /// Calls send(0), send(1), … as they are allowed.
  explicit Sender(std::function<void(Index)> send) : send_(std::move(send)), thread_([this] { run(); }) {}
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  ~Sender() {
    {
      const std::scoped_lock lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// A new step: none is allowed.
  void restart() {
    const std::scoped_lock lock(mutex_);
    allowed_ = sent_ = 0;
  }
  /// The first `count` may be sent.
  void allow(Index count) {
    {
      const std::scoped_lock lock(mutex_);
      allowed_ = count;
    }
    changed_.notify_all();
  }
  /// Returns when all that is allowed is sent; throws what one threw.
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return sent_ == allowed_ || error_; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return ends_ || (sent_ < allowed_ && !failed_); });
      if (ends_) return;
      const Index number = sent_;
      lock.unlock();
      std::exception_ptr error;
      try {
        send_(number);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error) {
        error_ = error;
        failed_ = true;  // nothing is sent any more
      } else {
        ++sent_;
      }
      changed_.notify_all();
    }
  }

  std::function<void(Index)> send_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Index allowed_ = 0, sent_ = 0;
  bool ends_ = false, failed_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // the last, as it uses the others
};

/// The sums of a step's gradient over micro-batches and ranks.
///
/// By default a rank adds its micro-batches up as they come, and these sums are added in the order of ranks: the bits depend
/// on how many ranks there are. With `fixed_tree` the gradients of the micro-batches, numbered over all ranks, are the
/// leaves of one binary tree (as pairwise summation has it: Higham 1993): two neighbours are added where the left one's number
/// is a multiple of their size. Each rank adds the whole subtrees of its own leaves, and their owners the rest, so that the
/// bits are those of one rank. It needs log₂(micro-batches) copies of the gradient in host memory.
template <class Backend>
class GradientExchange final : public StepExchange, private GradientWatch {
 public:
  using Numbers = ScoreBackendOf<Backend>;
  using T = typename Numbers::Stat;

  GradientExchange(Parameters<Backend>& parameters, Comm& comm, bool fixed_tree,
                   Index bucket_elements = Index{1} << 22, Index piece_elements = Index{1} << 20)
      : GradientWatch(parameters.tensor_count()),
        parameters_(&parameters),
        comm_(&comm),
        fixed_tree_(fixed_tree),
        piece_(piece_elements),
        devices_(in_host_memory || fixed_tree || comm.size() == 1 ? nullptr : comm.devices()),
        shards_(parameters, comm.size(), bucket_elements),
        shard_(shards_.of_rank(comm.rank())),
        unfinished_(shards_.buckets().size()) {}
  ~GradientExchange() override {
    parameters_->watch_gradients(nullptr);
    if (moving_) static_cast<void>(room_.release());  // after an error: devices still write there
  }

  const OptimizerShard& shard() const override { return shard_; }

  void begin() override {
    nodes_.clear();
    next_ = 0;
    if (devices_ != nullptr) {
      pieces_.clear();
      allowed_ = next_piece_ = 0;
      arriving_ = {};
      if (room_ == nullptr)
        room_ = std::make_unique<StatBlock<Numbers>>(parameters_->handle(), comm_->size() * largest_piece());
    }
    for (Index b = 0; b < unfinished_.size(); ++b) unfinished_[b] = shards_.buckets()[b].tensors.size();
    if (sends_by_thread()) {
      if (sender_ == nullptr)
        sender_ = std::make_unique<Sender>([this](Index b) { send(shards_.buckets()[b]); });
      sender_->restart();
    }
  }
  void before_batch(bool first, bool last) override {
    if (fixed_tree_ && !first) parameters_->begin_gradients();
    if (last && sends_behind()) {
      restart();
      parameters_->watch_gradients(this);
    }
  }
  void after_batch(Index number) override {
    parameters_->watch_gradients(nullptr);
    if (!fixed_tree_) return;
    parameters_->end_gradients();
    Node node{number, 1, numbers(parameters_->size())};
    to_host(gradients().data, node.sum.data(), node.sum.size());
    grow(nodes_, std::move(node));
  }
  void finish() override {
    parameters_->end_gradients();
    if (sends_behind()) {
      allow(shards_.buckets().size());
      if (sends_by_thread()) {
        sender_->wait();
      } else {
        while (next_piece_ < pieces_.size()) begin_piece();
        add_received();
      }
    } else {
      if (fixed_tree_) gather_nodes();
      for (const RankShards::Bucket& bucket : shards_.buckets()) send(bucket);
      drop(nodes_);
    }
  }
  double sum_of_squares() override {
    // Each unit's by one rank, added in their order whoever has them.
    std::vector<double> own(shards_.units().size());
    for (Index u = 0; u < own.size(); ++u) {
      const auto& [begin, end] = shards_.units()[u];
      if (shard_.holds(begin))
        own[u] = Numbers::sum_of_squares(parameters_->handle(), gradients().subview(begin, end - begin));
    }
    const std::vector<double> all = gather_lists(*comm_, own);
    double sum = 0;
    for (Index u = 0; u < own.size(); ++u) {
      double of_unit = 0;
      for (Index at = u; at < all.size(); at += own.size()) of_unit += all[at];
      sum += of_unit;
    }
    return sum;
  }
  void spread_values() override {
    const auto values = parameters_->values();
    if (devices_ != nullptr) return spread_on_devices(values.data);
    for (const RankShards::Bucket& bucket : shards_.buckets()) {
      for_each_piece(bucket, [&](const std::vector<Run>& pieces) {
        const Run own = pieces[comm_->rank()];
        std::vector<std::span<const std::byte>> out(comm_->size(),
                                                    bytes_of(brought(values.data, own, own_), own));
        std::vector<std::span<std::byte>> in(comm_->size());
        received_.resize(comm_->size());
        for (Index r = 0; r < comm_->size(); ++r)
          in[r] =
              r == comm_->rank() ? std::span<std::byte>{} : room_for(values.data, pieces[r], received_[r]);
        out[comm_->rank()] = {};
        comm_->exchange(out, in);
        for (Index r = 0; r < comm_->size(); ++r)
          if (r != comm_->rank()) take(received_[r], pieces[r], values.data);
      });
    }
  }

 private:
  static constexpr bool in_host_memory = std::is_same_v<typename Numbers::Space, HostSpace>;

  struct Run {
    Index begin, size;
  };
  /// The sum of `size` micro-batches from number `begin` on.
  struct Node {
    Index begin, size;
    std::vector<T> sum;  // of the whole block, or of a piece of it
  };

  bool sends_behind() const { return sends_by_thread() || devices_ != nullptr; }
  /// A device's memory is its stream's, which only the thread that computes knows.
  bool sends_by_thread() const { return in_host_memory && !fixed_tree_ && comm_->size() > 1; }
  /// The first `count` buckets may be sent.
  void allow(Index count) {
    if (sends_by_thread()) return sender_->allow(count);
    for (; allowed_ < count; ++allowed_) {
      for_each_piece(shards_.buckets()[allowed_],
                     [&](const std::vector<Run>& piece) { pieces_.push_back(piece); });
    }
  }

  /// Adds the next node to a tree, whose subtrees are whole as far as they can be.
  void grow(std::vector<Node>& tree, Node node) {
    while (!tree.empty() && tree.back().size == node.size && tree.back().begin % (2 * node.size) == 0) {
      Node& left = tree.back();
      add(left.sum.data(), node.sum.data(), node.sum.size());
      left.size *= 2;
      free_.push_back(std::move(node.sum));
      node = std::move(left);
      tree.pop_back();
    }
    tree.push_back(std::move(node));
  }
  void drop(std::vector<Node>& tree) {
    for (Node& node : tree) free_.push_back(std::move(node.sum));
    tree.clear();
  }
  /// Room for so many numbers, from what was dropped where there is any.
  std::vector<T> numbers(Index count) {
    std::vector<T> room;
    if (!free_.empty()) {
      room = std::move(free_.back());
      free_.pop_back();
    }
    room.resize(count);
    return room;
  }

  void on_final(Index tensor) override {
    const Index bucket = shards_.bucket_of(tensor);
    if (bucket == shards_.buckets().size()) return;  // frozen
    parameters_->end_gradient(tensor);
    --unfinished_[bucket];
    const Index before = next_;
    while (next_ < unfinished_.size() && unfinished_[next_] == 0) ++next_;
    if (next_ != before) allow(next_);  // in one order on all ranks, whichever is first
    if (devices_ != nullptr) begin_piece();
  }

  /// What the nodes of all ranks cover: they are added by the same rule everywhere.
  void gather_nodes() {
    std::vector<Run> own;
    for (const Node& node : nodes_) own.push_back({node.begin, node.size});
    const std::vector<Index> counts = gather_values(*comm_, Index{own.size()});
    const std::vector<Run> all = gather_lists(*comm_, own);
    covers_.assign(comm_->size(), {});
    auto next = all.begin();
    for (Index r = 0; r < comm_->size(); ++r)
      for (Index n = 0; n < counts[r]; ++n) covers_[r].push_back(*next++);
  }

  /// Calls f(the part of each rank) for pieces of a bucket that are small enough to be kept twice.
  template <class F>
  void for_each_piece(const RankShards::Bucket& bucket, F f) const {
    std::vector<Run> pieces(comm_->size());
    for (Index at = 0;; at += piece_) {
      bool any = false;
      for (Index r = 0; r < comm_->size(); ++r) {
        const Index begin = std::min(bucket.cuts[r] + at, bucket.cuts[r + 1]);
        pieces[r] = {begin, std::min(piece_, bucket.cuts[r + 1] - begin)};
        any = any || pieces[r].size != 0;
      }
      if (!any) return;
      f(pieces);
    }
  }

  /// Sums a bucket's gradients where they belong.
  void send(const RankShards::Bucket& bucket) {
    for_each_piece(bucket, [&](const std::vector<Run>& pieces) {
      if (fixed_tree_) {
        send_nodes(pieces);
      } else {
        send_sums(pieces);
      }
    });
  }
  void send_sums(const std::vector<Run>& pieces) {
    const Index ranks = comm_->size();
    const Run own = pieces[comm_->rank()];
    std::vector<std::span<const std::byte>> out(ranks);
    std::vector<std::span<std::byte>> in(ranks);
    sent_.resize(ranks);
    received_.resize(ranks);
    for (Index r = 0; r < ranks; ++r) {
      out[r] = bytes_of(brought(gradients().data, pieces[r], sent_[r]), pieces[r]);
      received_[r].resize(own.size);
      in[r] = std::as_writable_bytes(std::span(received_[r]));
    }
    comm_->exchange(out, in);
    for (Index r = 1; r < ranks; ++r) add(received_[0].data(), received_[r].data(), own.size);
    put(received_[0].data(), own);
  }
  void send_nodes(const std::vector<Run>& pieces) {
    const Index ranks = comm_->size();
    const Run own = pieces[comm_->rank()];
    Index rounds = 0;
    for (const std::vector<Run>& cover : covers_) rounds = std::max(rounds, Index{cover.size()});
    std::vector<std::vector<Node>> received(ranks);
    for (Index n = 0; n < rounds; ++n) {
      std::vector<std::span<const std::byte>> out(ranks);
      std::vector<std::span<std::byte>> in(ranks);
      for (Index r = 0; r < ranks; ++r) {
        if (n < nodes_.size()) out[r] = bytes_of(nodes_[n].sum.data() + pieces[r].begin, pieces[r]);
        if (n < covers_[r].size()) {
          received[r].push_back({covers_[r][n].begin, covers_[r][n].size, numbers(own.size)});
          in[r] = std::as_writable_bytes(std::span(received[r].back().sum));
        }
      }
      comm_->exchange(out, in);
    }
    std::vector<Node> tree;
    for (std::vector<Node>& of_rank : received)
      for (Node& node : of_rank) grow(tree, std::move(node));
    for (Index n = 1; n < tree.size(); ++n) add(tree[0].sum.data(), tree[n].sum.data(), own.size);
    if (!tree.empty()) put(tree[0].sum.data(), own);
    drop(tree);
  }

  // --- numbers in the memory of devices that reach each other

  /// Begins to move the next piece of what is final to where it belongs. A piece takes the room of the one before, which is
  /// added first; that one has had the time since the last tensor was final.
  void begin_piece() {
    if (next_piece_ == pieces_.size()) return;
    if (next_piece_ != 0) add_received();
    const std::vector<Run>& piece = pieces_[next_piece_++];
    arriving_ = piece[comm_->rank()];
    std::vector<std::span<const std::byte>> out(comm_->size());
    std::vector<std::span<std::byte>> in(comm_->size());
    for (Index r = 0; r < comm_->size(); ++r) {
      out[r] = bytes_of(gradients().data + piece[r].begin, piece[r]);
      in[r] = writable_bytes_of(received_from(r), arriving_);
    }
    moving_ = true;
    devices_->begin(&parameters_->handle(), out, in);
  }
  /// What rank r sends of the piece that arrives.
  T* received_from(Index r) { return room_->part(r * arriving_.size, arriving_.size).data; }
  Index largest_piece() const {
    Index largest = 0;
    for (const RankShards::Bucket& bucket : shards_.buckets())
      largest = std::max(largest, bucket.cuts[comm_->rank() + 1] - bucket.cuts[comm_->rank()]);
    return std::min(largest, piece_);
  }
  void add_received() {
    devices_->end();
    moving_ = false;
    if (arriving_.size == 0) return;
    const typename Numbers::Matrix sum{gradients().data + arriving_.begin, 1, arriving_.size};
    for (Index r = 0; r < comm_->size(); ++r) {
      const typename Numbers::ConstMatrix part{received_from(r), 1, arriving_.size};
      Numbers::copy(parameters_->handle(), part, r == 0 ? Write::assign : Write::add, sum);
    }
    arriving_ = {};
  }
  void spread_on_devices(T* values) {
    std::vector<std::span<const std::byte>> out(comm_->size());
    std::vector<std::span<std::byte>> in(comm_->size());
    moving_ = true;
    for (const RankShards::Bucket& bucket : shards_.buckets()) {
      const auto run_of = [&](Index r) { return Run{bucket.cuts[r], bucket.cuts[r + 1] - bucket.cuts[r]}; };
      const Run own = run_of(comm_->rank());
      for (Index r = 0; r < comm_->size(); ++r) {
        if (r == comm_->rank()) continue;
        out[r] = bytes_of(values + own.begin, own);
        in[r] = writable_bytes_of(values + run_of(r).begin, run_of(r));
      }
      devices_->begin(&parameters_->handle(), out, in);
    }
    devices_->end();
    moving_ = false;
  }

  // --- numbers in host memory

  static void add(T* to, const T* from, Index count) {
    for (Index i = 0; i < count; ++i) to[i] += from[i];
  }
  std::span<const std::byte> bytes_of(const T* data, const Run& run) const {
    return std::as_bytes(std::span<const T>(data, run.size));
  }
  std::span<std::byte> writable_bytes_of(T* data, const Run& run) const {
    return std::as_writable_bytes(std::span<T>(data, run.size));
  }
  typename Parameters<Backend>::Types::StatVector gradients() { return parameters_->gradients(); }
  void to_host(const T* from, T* to, Index count) const {
    Numbers::to_host(parameters_->handle(), from, to, count);
    Numbers::wait(parameters_->handle());
  }
  /// A run of a block of the backend's, in host memory: itself, or copied to `copy`.
  const T* brought(const T* block, const Run& run, std::vector<T>& copy) const {
    if constexpr (in_host_memory) {
      return block + run.begin;
    } else {
      copy.resize(run.size);
      to_host(block + run.begin, copy.data(), run.size);
      return copy.data();
    }
  }
  /// Where a run of a block is received, which take() then brings there.
  std::span<std::byte> room_for(T* block, const Run& run, std::vector<T>& copy) const {
    if constexpr (in_host_memory) return writable_bytes_of(block + run.begin, run);
    copy.resize(run.size);
    return std::as_writable_bytes(std::span(copy));
  }
  void take(const std::vector<T>& copy, const Run& run, T* block) const {
    if constexpr (!in_host_memory) {
      Numbers::from_host(parameters_->handle(), copy.data(), block + run.begin, run.size);
      Numbers::wait(parameters_->handle());
    }
  }
  void put(const T* sum, const Run& run) {
    Numbers::from_host(parameters_->handle(), sum, gradients().data + run.begin, run.size);
    Numbers::wait(parameters_->handle());
  }

  Parameters<Backend>* parameters_;
  Comm* comm_;
  bool fixed_tree_;
  Index piece_;
  DeviceExchange* devices_;  // null where nothing goes from device to device
  RankShards shards_;
  OptimizerShard shard_;
  std::vector<Index> unfinished_;  // by bucket: tensors whose gradients are not final
  Index next_ = 0;                 // the first bucket that has any
  // What devices send: the pieces of the first allowed_ buckets.
  std::vector<std::vector<Run>> pieces_;
  Index allowed_ = 0, next_piece_ = 0;
  Run arriving_{};           // this rank's part of the last one that was begun
  bool moving_ = false;      // something was begun and is not waited for
  std::vector<Node> nodes_;  // of this rank, as they follow each other
  std::vector<std::vector<T>> free_;
  std::vector<std::vector<Run>> covers_;  // by rank: what its nodes cover
  std::vector<T> own_;
  std::unique_ptr<StatBlock<Numbers>> room_;     // (ranks, size of a piece): what devices receive
  std::vector<std::vector<T>> sent_, received_;  // by rank
  std::unique_ptr<Sender> sender_;               // the last, as it uses the others
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
