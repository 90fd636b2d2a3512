// Records of many callers scored in batches by one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/record_to_score.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// As many records wait as may: the caller should come again later.
class QueueFull : public Error {
 public:
  QueueFull(Index waiting, double seconds)
      : Error(concat(waiting, " records wait to be scored, which is as many as may: come again in ", seconds,
                     " seconds")),
        seconds_(seconds) {}
  /// When there may be room, by the speed so far.
  double seconds() const { return seconds_; }

 private:
  double seconds_;
};

/// The time of a call was over before its scores were there.
class TimedOut : public Error {
 public:
  using Error::Error;
};

/// The queue has been closed: nothing more is taken.
class QueueClosed : public Error {
 public:
  using Error::Error;
};

/// When a time that begins now is over. One that no clock holds lasts a hundred years.
inline std::chrono::steady_clock::time_point end_of(std::chrono::duration<double> time) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::duration<double> longest = std::chrono::hours(24 * 36500);
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::min(time, longest));
}

struct QueueOptions {
  /// How long a batch that is not full waits for more, from its first record; a fiftieth of what the batch before took, where
  /// that is longer: who has just been answered asks again then.
  std::chrono::milliseconds gather{2};
  Index max_waiting = 4096;  // records; a call that finds none waiting is always taken
};

/// What a queue has done since it was made.
struct QueueFigures {
  std::uint64_t batches = 0;
  std::uint64_t records = 0;
  std::uint64_t tokens = 0;  // of completions with their prompts; what they share counts for each
  double busy_seconds = 0;   // in which scores were computed
  Index waiting = 0;         // records, now
};

/// Scores what several threads ask for at once as one batch, and gives each what is its own. A record that is at fault
/// takes no other with it. One thread computes; score() may be called from any.
class ScoreQueue {
 public:
  using Clock = std::chrono::steady_clock;
  using Records = std::vector<RecordToScore>;
  using Scores = std::vector<RecordScores>;

  /// `make_scorer` gives an empty scorer of the model, whose batch_tokens is a batch's budget; what it refers to must outlive
  /// the queue, and nobody else may use the model meanwhile.
  ScoreQueue(std::function<RecordScorer()> make_scorer, const QueueOptions& options = {})
      : make_scorer_(std::move(make_scorer)), options_(options), worker_([this] { work(); }) {}
  ~ScoreQueue() {
    close();
    worker_.join();
  }
  ScoreQueue(const ScoreQueue&) = delete;
  ScoreQueue& operator=(const ScoreQueue&) = delete;

  /// The scores of the records, in their order; of one that cannot be read, RecordScores::error. Throws QueueFull, TimedOut where
  /// they are not there at `deadline`, QueueClosed, and what a failed computation throws.
  Scores score(Records records, Clock::time_point deadline) {
    if (records.empty()) return {};
    const auto call = std::make_shared<Call>(std::move(records), deadline);
    std::future<Scores> scores = call->scores.get_future();
    {
      const std::lock_guard lock(mutex_);
      if (closed_) throw QueueClosed("no more is scored: the program is about to end");
      const Index more = call->records.size();
      if (waiting_ != 0 && waiting_ + more > options_.max_waiting)
        throw QueueFull(waiting_, seconds_to_drain());
      waiting_ += more;
      calls_.push_back(call);
    }
    changed_.notify_one();
    if (scores.wait_until(deadline) == std::future_status::ready) return scores.get();
    throw TimedOut("the scores were not there in the time given for a call");
  }

  /// Takes no more calls; what waits is still answered.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }

  QueueFigures figures() const {
    const std::lock_guard lock(mutex_);
    QueueFigures now = figures_;
    now.waiting = waiting_;
    return now;
  }

 private:
  struct Call {
    Call(Records asked, Clock::time_point until) : records(std::move(asked)), deadline(until) {}
    Records records;
    Clock::time_point deadline;
    std::promise<Scores> scores;
  };
  using Calls = std::vector<std::shared_ptr<Call>>;

  // Called with the mutex held.
  double seconds_to_drain() const {
    const double per_record =
        figures_.records == 0 ? 0.1 : figures_.busy_seconds / static_cast<double>(figures_.records);
    return std::clamp(per_record * static_cast<double>(waiting_), 1.0, 600.0);
  }

  void work() {
    while (true) {
      RecordScorer scorer = make_scorer_();
      const Calls batch = gather(scorer);
      if (batch.empty()) return;  // closed, and nothing waits
      const Clock::time_point began = Clock::now();
      answer(batch, scorer);
      const std::lock_guard lock(mutex_);
      last_batch_ = Clock::now() - began;
      figures_.busy_seconds += std::chrono::duration<double>(last_batch_).count();
    }
  }

  /// Waits for calls and adds their records to the scorer until it is full or their time to gather is over.
  Calls gather(RecordScorer& scorer) {
    Calls batch;
    Clock::time_point until{};
    std::unique_lock lock(mutex_);
    while (!scorer.full()) {
      if (calls_.empty()) {
        if (!batch.empty()) {
          if (closed_ || !changed_.wait_until(lock, until, [&] { return closed_ || !calls_.empty(); })) break;
          if (calls_.empty()) break;
        } else {
          changed_.wait(lock, [&] { return closed_ || !calls_.empty(); });
          if (calls_.empty()) break;
        }
      }
      const std::shared_ptr<Call> call = std::move(calls_.front());
      calls_.pop_front();
      const Clock::time_point now = Clock::now();
      if (now >= call->deadline) {  // nobody waits for it any more
        waiting_ -= call->records.size();
        continue;
      }
      if (batch.empty())
        until = end_of(std::max<std::chrono::duration<double>>(options_.gather, last_batch_ / 50));
      batch.push_back(call);
      lock.unlock();
      add(*call, scorer);
      lock.lock();
    }
    return batch;
  }

  static void add(const Call& call, RecordScorer& scorer) {
    for (const RecordToScore& record : call.records) {
      const SourcePosition& at =
          std::visit([](const auto& one) -> const SourcePosition& { return one.source; }, record);
      try {
        std::visit([&](const auto& one) { scorer.add(one); }, record);
      } catch (const std::exception& error) {  // nothing may end the thread that all wait for
        scorer.add_error(at, error.what());
      }
    }
  }

  /// Where a batch cannot be computed, each call is tried by itself, so that it fails alone.
  void answer(const Calls& batch, RecordScorer& scorer) {
    Scores all;
    try {
      all = scorer.flush();
    } catch (const std::exception&) {
      if (batch.size() == 1) {
        count(*batch.front(), {});
        return batch.front()->scores.set_exception(std::current_exception());
      }
      for (const auto& call : batch) {
        RecordScorer alone = make_scorer_();
        add(*call, alone);
        answer({call}, alone);
      }
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      ++figures_.batches;
    }
    Index next = 0;
    for (const auto& call : batch) {
      Scores own;
      for (Index i = 0; i < call->records.size(); ++i) own.push_back(std::move(all[next++]));
      count(*call, own);
      call->scores.set_value(std::move(own));
    }
  }

  /// Before its caller knows, who may ask for the figures next.
  void count(const Call& call, const Scores& scores) {
    const std::lock_guard lock(mutex_);
    waiting_ -= call.records.size();
    figures_.records += scores.size();
    for (const RecordScores& one : scores) {
      for (const CompletionScore& completion : one.completions) figures_.tokens += completion.tokens;
    }
  }

  const std::function<RecordScorer()> make_scorer_;
  const QueueOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Call>> calls_;
  Index waiting_ = 0;  // records, among them those that are being computed
  QueueFigures figures_;
  Clock::duration last_batch_{};  // how long it took
  bool closed_ = false;
  std::thread worker_;  // last: it uses all of the above
};

}  // namespace MERIT_ABI
}  // namespace merit
