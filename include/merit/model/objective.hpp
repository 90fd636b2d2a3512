// Objectives: what a model learns, as a head that reads hidden rows and the loss of its scores. A
// model has one, or with a JointHead and a JointLoss two, each with scores and gradients of its own.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "merit/core/buffer.hpp"
#include "merit/head/head.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/loss/device_loss.hpp"
#include "merit/loss/evaluate_loss.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/loss/loss.hpp"
#include "merit/nn/next_token_loss.hpp"
#include "merit/tape/head_tape.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Scores brought to the host, in storage that is kept.
template <class B>
class FetchedScores {
 public:
  using Score = typename B::Score;

  /// (R, k), until the next call.
  std::span<const Score> fetch(Tape<B>& tape, Var scores) {
    const auto matrix = tape.value(scores);
    return fetch(tape.handle(), matrix.data, matrix.rows * matrix.cols);
  }
  std::span<const Score> fetch(typename B::Handle& handle, const Score* scores, Index count) {
    count_ = count;
    if (scores_.size() < count_) scores_ = Buffer<Score>(count_);
    B::to_host(handle, scores, scores_.data(), count_);
    B::wait(handle);
    return all();
  }
  std::span<const Score> all() const { return {scores_.data(), count_}; }
  void clear() { count_ = 0; }

 private:
  Buffer<Score> scores_;
  Index count_ = 0;
};

/// What a micro-batch said, kept until it is asked for: on a device there, so that nobody waits for it in between.
template <class B>
class IssuedScores {
 public:
  using Score = typename B::Score;
  using Handle = typename B::Handle;

  explicit IssuedScores(Handle& handle) : handle_(&handle) {}
  IssuedScores(const IssuedScores&) = delete;
  IssuedScores& operator=(const IssuedScores&) = delete;
  ~IssuedScores() {
    if (total_ != nullptr) B::release(*handle_, total_, 1);
    if (scores_ != nullptr) B::release(*handle_, scores_, size_);
  }

  void keep(MatrixView<const Score, typename B::Space> scores) {
    count_ = scores.rows * scores.cols;
    if (size_ < count_) {
      if (scores_ != nullptr) B::release(*handle_, scores_, size_);
      scores_ = nullptr;
      size_ = 0;
      const Index larger = count_ + count_ / 4;
      scores_ = B::template allocate<Score>(*handle_, larger);
      size_ = larger;
    }
    B::copy(*handle_, scores, Write::assign, {scores_, scores.rows, scores.cols});
  }
  /// Brings them to the host; the loss.
  double fetch(FetchedScores<B>& scores) const {
    double loss = on_host;
    if (total_ != nullptr) B::to_host(*handle_, static_cast<const double*>(total_), &loss, 1);
    scores.fetch(*handle_, scores_, count_);
    return loss;
  }
  /// Where a device adds up the loss, which is then what fetch() brings.
  double* total() {
    if (total_ == nullptr) total_ = B::template allocate<double>(*handle_, 1);
    return total_;
  }

  double on_host = 0;  // the loss, where a host computes it

 private:
  Handle* handle_;
  double* total_ = nullptr;  // the loss, where a device computes it
  Score* scores_ = nullptr;  // (size), of which `count` are there
  Index size_ = 0, count_ = 0;
};

/// A head and the loss of its scores. The scores come to the host where the loss is one that a device has no loop of.
template <class Head, class Loss, class B>
class Objective {
 public:
  using Score = typename B::Score;
  using S = ScoreBackendOf<B>;

  Objective(const Head& head, const Loss& loss, Index hidden_width, Parameters<B>& parameters,
            const Unembedding& unembedding)
      : loss_(&loss),
        head_(bind_head<Head, ScoreBackendOf<B>>(head, hidden_width, parameters, unembedding)),
        head_tape_(parameters),
        on_device_(parameters.handle()) {}

  /// Scores of a row.
  Index outputs() const { return outputs_of<Head>(head_); }

  /// The scores of hidden rows (R, d): (R, outputs()), until the next call.
  std::span<const Score> score(Tape<B>& tape, Var hidden) {
    return scores_.fetch(head_tape_.of(tape), forward(tape, hidden));
  }
  std::span<const Score> scores() const { return scores_.all(); }

  /// Computes `weight` times the loss of hidden rows as micro-batch `number`, from 0, of a step, and seeds its gradient, which
  /// Tape::backward() then carries on. What it is says collect().
  void issue(Tape<B>& tape, Var hidden, const typename Loss::Targets& targets,
             const NormaliserOf<Loss>& normaliser, double weight, Index number) {
    const Var scores = forward(tape, hidden);
    auto& head_tape = head_tape_.of(tape);
    while (issued_.size() <= number) issued_.push_back(std::make_unique<IssuedScores<S>>(tape.handle()));
    IssuedScores<S>& issued = *issued_[number];
    issued.keep(std::as_const(head_tape).value(scores));
    if constexpr (runs_on_device<Loss, S>) {
      typename BackendTypes<S>::Matrix gradient;
      if (head_tape.needs_gradient(scores)) gradient = head_tape.gradient_to_add(scores);
      on_device_.begin(issued.total());
      add_on_device(*loss_, targets, normaliser, weight, head_tape.value(scores), gradient, issued.total());
    } else {
      const Index count = scores_.fetch(head_tape, scores).size();
      issued.on_host = evaluate(targets, normaliser, weight);
      if (head_tape.needs_gradient(scores)) {
        B::from_host(tape.handle(), std::as_const(gradient_).data(),
                     head_tape.gradient_target(scores).view.data, count);
      }
    }
    head_tape_.carry_back();
  }

  /// The loss of a micro-batch that was issued in this step; scores() are its from here on.
  double collect(Index number) { return issued_[number]->fetch(scores_); }

  /// The loss of hidden rows alone. The head runs again: score() may have been another's.
  double loss(Tape<B>& tape, Var hidden, const typename Loss::Targets& targets,
              const NormaliserOf<Loss>& normaliser) {
    score(tape, hidden);
    return evaluate(targets, normaliser, 1);
  }

  /// Gives back working memory.
  void trim() {
    issued_.clear();
    on_device_.trim();
    head_tape_.trim();
  }

 private:
  /// (R, d) → (R, outputs()), on the head's tape.
  Var forward(Tape<B>& tape, Var hidden) {
    return head_.forward(head_tape_.of(tape), head_tape_.bring(tape, hidden));
  }

  /// Adds a loss of scores on a device, or each of two that read the same.
  template <class Part>
  void add_on_device(const Part& loss, const typename Part::Targets& targets,
                     const NormaliserOf<Part>& normaliser, double weight,
                     typename BackendTypes<S>::ConstMatrix scores, typename BackendTypes<S>::Matrix gradient,
                     double* total) {
    if constexpr (is_joint_loss<Part>) {
      add_on_device(loss.first, targets.first, normaliser.first, weight * loss.first_weight, scores, gradient,
                    total);
      add_on_device(loss.second, targets.second, normaliser.second, weight * loss.second_weight, scores,
                    gradient, total);
    } else if (is_positive(normaliser)) {
      on_device_.add(loss, targets, normaliser, weight, scores, gradient, total);
    }
  }

  /// The loss of the fetched scores, and in gradient_ its gradient.
  double evaluate(const typename Loss::Targets& targets, const NormaliserOf<Loss>& normaliser,
                  double weight) {
    const Index count = scores().size();
    for (Buffer<Score>* buffer : {&gradient_, &part_}) {
      if (buffer->size() < count) *buffer = Buffer<Score>(count);
    }
    std::fill_n(gradient_.data(), count, Score{0});
    return add(*loss_, targets, normaliser, weight);
  }

  /// Adds a loss, or each of two that read the same scores. Weights that sum to 0 are nothing to learn from,
  /// not 0/0.
  template <class Part>
  double add(const Part& loss, const typename Part::Targets& targets, const NormaliserOf<Part>& normaliser,
             double weight) {
    if constexpr (is_joint_loss<Part>) {
      return add(loss.first, targets.first, normaliser.first, weight * loss.first_weight) +
             add(loss.second, targets.second, normaliser.second, weight * loss.second_weight);
    } else {
      if (!is_positive(normaliser)) return 0;
      const Index count = scores().size(), width = outputs(), rows = count / width;
      const Index scratch = scratch_size(loss, targets);
      if (scratch_.size() < scratch) scratch_ = Buffer<double>(scratch);
      const double value = evaluate_loss(
          loss, targets, normaliser,
          LossArrays<Score>{{scores().data(), rows, width}, {part_.data(), rows, width}, scratch_.view()});
      for (Index i = 0; i < count; ++i) {
        gradient_.data()[i] += static_cast<Score>(weight * static_cast<double>(part_.data()[i]));
      }
      return weight * value;
    }
  }

  const Loss* loss_;
  typename Head::template Bound<S> head_;
  HeadTape<B> head_tape_;
  DeviceLossOf<Loss, S> on_device_;
  std::vector<std::unique_ptr<IssuedScores<S>>> issued_;  // of a step's micro-batches
  FetchedScores<S> scores_;
  Buffer<Score> gradient_;
  Buffer<Score> part_;      // the gradient of one loss, before its weight
  Buffer<double> scratch_;  // of a loss
};

/// A language model: its loss goes through the unembedding without logits of all rows.
template <class B>
class Objective<LanguageModelHead, LanguageModelLoss, B> {
 public:
  using Score = typename B::Score;

  Objective(const LanguageModelHead& head, const LanguageModelLoss&, Index hidden_width,
            Parameters<B>& parameters, const Unembedding& unembedding)
      : head_(head, hidden_width, parameters, unembedding), head_tape_(parameters) {}

  Index outputs() const { return head_.outputs(); }

  /// The logits of hidden rows: (R, V).
  std::span<const Score> score(Tape<B>& tape, Var hidden) {
    auto& head_tape = head_tape_.of(tape);
    return scores_.fetch(head_tape, head_.forward(head_tape, head_tape_.bring(tape, hidden)));
  }
  /// None after accumulate(): they are never all there.
  std::span<const Score> scores() const { return scores_.all(); }

  void issue(Tape<B>& tape, Var hidden, const NextTokenTargets& targets, double normaliser, double weight,
             Index number) {
    losses_.resize(std::max(losses_.size(), number + 1));
    losses_[number] = run(tape, hidden, targets, normaliser, weight, true);
  }
  double collect(Index number) {
    scores_.clear();
    return losses_[number];
  }
  double loss(Tape<B>& tape, Var hidden, const NextTokenTargets& targets, double normaliser) {
    return run(tape, hidden, targets, normaliser, 1, false);
  }
  void trim() { head_tape_.trim(); }

 private:
  using Next = NextTokenTargets::Next;

  double run(Tape<B>& tape, Var hidden, const NextTokenTargets& targets, double normaliser, double weight,
             bool gradient) {
    if (!is_positive(normaliser)) return 0;
    // By row, in the order they came. (std::stable_sort would ask for memory.)
    order_.resize(targets.next.size());
    for (Index i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::uint32_t>(i);
    std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return std::pair(targets.next[a].row, a) < std::pair(targets.next[b].row, b);
    });
    next_.rows.clear();
    next_.begin.assign(1, 0);
    next_.tokens.clear();
    next_.weights.clear();
    for (const std::uint32_t i : order_) {
      const Next& next = targets.next[i];
      if (next_.rows.empty() || next_.rows.back() != next.row) {
        next_.rows.push_back(next.row);
        next_.begin.push_back(next_.begin.back());
      }
      ++next_.begin.back();
      next_.tokens.push_back(next.token);
      next_.weights.push_back(static_cast<typename B::Stat>(weight * next.weight / normaliser));
    }
    const Unembedding& unembedding = head_.unembedding();
    return next_token_loss(tape, hidden, unembedding.table(), next_, gradient, unembedding.soft_cap());
  }

  typename LanguageModelHead::template Bound<ScoreBackendOf<B>> head_;
  HeadTape<B> head_tape_;
  FetchedScores<ScoreBackendOf<B>> scores_;
  NextTokens<typename B::Stat> next_;
  std::vector<std::uint32_t> order_;
  std::vector<double> losses_;  // of a step's micro-batches
};

/// Two objectives on the same hidden rows. What the model scores is the first's.
template <class HeadA, class HeadB, class LossA, class LossB, class B>
class Objective<JointHead<HeadA, HeadB>, JointLoss<LossA, LossB>, B> {
 public:
  using Loss = JointLoss<LossA, LossB>;
  using Score = typename B::Score;

  /// Throws UsageError when the two heads name a parameter alike.
  Objective(const JointHead<HeadA, HeadB>& head, const Loss& loss, Index hidden_width,
            Parameters<B>& parameters, const Unembedding& unembedding)
      : loss_(&loss),
        first_(head.first, loss.first, hidden_width, parameters, unembedding),
        second_(head.second, loss.second, hidden_width, parameters, unembedding) {}

  Index outputs() const { return first_.outputs(); }
  Index second_outputs() const { return second_.outputs(); }

  std::span<const Score> score(Tape<B>& tape, Var hidden) { return first_.score(tape, hidden); }
  std::span<const Score> scores() const { return first_.scores(); }

  void issue(Tape<B>& tape, Var hidden, const typename Loss::Targets& targets,
             const NormaliserOf<Loss>& normaliser, double weight, Index number) {
    first_.issue(tape, hidden, targets.first, normaliser.first, weight * loss_->first_weight, number);
    second_.issue(tape, hidden, targets.second, normaliser.second, weight * loss_->second_weight, number);
  }
  double collect(Index number) {
    const double first = first_.collect(number);
    return first + second_.collect(number);
  }
  double loss(Tape<B>& tape, Var hidden, const typename Loss::Targets& targets,
              const NormaliserOf<Loss>& normaliser) {
    return loss_->first_weight * first_.loss(tape, hidden, targets.first, normaliser.first) +
           loss_->second_weight * second_.loss(tape, hidden, targets.second, normaliser.second);
  }
  void trim() {
    first_.trim();
    second_.trim();
  }

 private:
  const Loss* loss_;
  Objective<HeadA, LossA, B> first_;
  Objective<HeadB, LossB, B> second_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
