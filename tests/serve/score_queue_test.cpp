// Many callers at once: each gets its own scores, one at fault takes no other with it, and nothing is lost at the end.
#include "merit/serve/score_queue.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "merit/run/reading.hpp"
#include "run/letter_model.hpp"

namespace score_queue_test {

using namespace std::chrono_literals;
using merit::Index;
using merit::RecordToScore;
using merit::ScoreQueue;

/// Letters whose batches take as long as a test says.
class SlowLetters {
 public:
  explicit SlowLetters(std::chrono::milliseconds each = 0ms) : each_(each) {
    saved.head = merit::ScalarHead{};
    saved.tokenizer = merit::make_tokenizer("bytes");
    saved.tokenize.append_eos = false;
    saved.tokenize.max_tokens = 100;
    saved.tokenize.truncation = merit::Truncation::drop;
  }
  merit::RecordScorer scorer() {
    std::this_thread::sleep_for(each_);
    return merit::RecordScorer(model, saved, reading, 64);
  }

  merit::SavedModel saved;
  merit::Reading reading;
  merit_test::LetterModel model{merit::ScalarHead{}, merit::PairwiseLoss{}};

 private:
  std::chrono::milliseconds each_;
};

RecordToScore text(const std::string& completion) {
  merit::CompletionRecord record;
  record.source = {"a test", 1};
  record.completion = completion;
  return record;
}

ScoreQueue::Clock::time_point in(std::chrono::milliseconds time) {
  return ScoreQueue::Clock::now() + time;
}

TEST_CASE("callers of many threads get their own scores") {
  SlowLetters letters;
  ScoreQueue queue([&] { return letters.scorer(); });
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&, caller] {
      for (int call = 0; call < 50; ++call) {
        const int first = (caller * 7 + call) % 26, second = (caller + call * 3) % 26;
        const auto scores = queue.score({text(std::string(1, static_cast<char>('a' + first))),
                                         text("xy" + std::string(1, static_cast<char>('a' + second)))},
                                        in(20s));
        if (scores.size() != 2 || scores[0].completions.at(0).score != first - 12 ||
            scores[1].completions.at(0).score != second - 12)
          ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  const merit::QueueFigures figures = queue.figures();
  CHECK(figures.records == 800);
  CHECK(figures.tokens == 400 * (1 + 3));
  CHECK(figures.waiting == 0);
  CHECK(figures.batches <= 400);
}

TEST_CASE("calls that wait together are one batch") {
  SlowLetters letters(100ms);  // in which all of them come
  ScoreQueue queue([&] { return letters.scorer(); });
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller) callers.emplace_back([&] { queue.score({text("n")}, in(20s)); });
  for (std::thread& caller : callers) caller.join();
  CHECK(queue.figures().batches == 1);
}

TEST_CASE("a record at fault says so, and the others of its batch have their scores") {
  SlowLetters letters(50ms);
  ScoreQueue queue([&] { return letters.scorer(); });
  std::vector<merit::RecordScores> good, bad;
  std::thread first([&] { good = queue.score({text("o")}, in(20s)); });
  std::thread second([&] {
    merit::PreferenceRecord record;  // features for a model of text
    record.source = {"a test", 2};
    record.form = merit::RecordForm::features;
    bad = queue.score({text("p"), record, text(""), text("~")}, in(20s));
  });
  first.join();
  second.join();
  CHECK(good.at(0).completions.at(0).score == 2);
  CHECK(bad.at(0).completions.at(0).score == 3);
  CHECK_MESSAGE(bad.at(1).error.find("a test:2: found") != std::string::npos, bad.at(1).error);
  CHECK(bad.at(2).dropped == "empty: no tokens in the completion");
  CHECK(bad.at(3).dropped == "the score is not finite");
}

TEST_CASE("more than may wait is refused, with when to come again") {
  SlowLetters letters(300ms);
  ScoreQueue queue([&] { return letters.scorer(); }, {.gather = 0ms, .max_waiting = 3});
  // A call that finds none waiting is taken, however large it is.
  std::thread large([&] { CHECK(queue.score(std::vector(5, text("n")), in(20s)).size() == 5); });
  while (queue.figures().waiting == 0) std::this_thread::sleep_for(1ms);
  try {
    queue.score({text("n")}, in(20s));
    FAIL("it was taken");
  } catch (const merit::QueueFull& error) {
    CHECK(std::string(error.what()).starts_with("5 records wait to be scored"));
    CHECK(error.seconds() >= 1);
  }
  large.join();
  CHECK(queue.score({text("n")}, in(20s)).size() == 1);
}

TEST_CASE("a call whose time is over is told so, and is not computed") {
  SlowLetters letters(200ms);
  ScoreQueue queue([&] { return letters.scorer(); });
  CHECK_THROWS_AS(queue.score({text("n")}, in(20ms)), merit::TimedOut);
  CHECK(queue.score({text("o")}, in(20s)).at(0).completions.at(0).score == 2);
  CHECK(queue.figures().records == 1);
  CHECK(queue.figures().waiting == 0);
}

/// Bytes, but of one text it is told that there is no memory.
struct ThrowingTokenizer : merit::ByteTokenizer {
  void encode(std::string_view text, std::vector<merit::Token>& out) const {
    if (text == "!") throw std::bad_alloc();
    merit::ByteTokenizer::encode(text, out);
  }
};

TEST_CASE("whatever a record throws, it fails alone and the queue goes on") {
  SlowLetters letters;
  letters.saved.tokenizer = ThrowingTokenizer{};
  ScoreQueue queue([&] { return letters.scorer(); });
  const auto scores = queue.score({text("n"), text("!"), text("o")}, in(20s));
  CHECK(scores.at(0).completions.at(0).score == 1);
  CHECK(scores.at(1).error == std::bad_alloc().what());
  CHECK(scores.at(2).completions.at(0).score == 2);
  CHECK(queue.score({text("p")}, in(20s)).at(0).completions.at(0).score == 3);
}

TEST_CASE("a time that no clock holds is a long one") {
  using std::chrono::seconds;
  CHECK(merit::end_of(seconds::max()) > ScoreQueue::Clock::now() + std::chrono::hours(24 * 365));
  CHECK(merit::end_of(std::chrono::milliseconds::max()) >
        ScoreQueue::Clock::now() + std::chrono::hours(24 * 365));
  CHECK(merit::end_of(1s) <= ScoreQueue::Clock::now() + 1s);
  SlowLetters letters;
  ScoreQueue queue([&] { return letters.scorer(); }, {.gather = 5ms});
  CHECK(queue.score({text("n")}, merit::end_of(seconds::max())).size() == 1);
}

TEST_CASE("what waits when a queue is closed is answered, and nothing more is taken") {
  SlowLetters letters(100ms);
  ScoreQueue queue([&] { return letters.scorer(); });
  std::vector<std::thread> callers;
  std::atomic<int> answered = 0;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] { answered += static_cast<int>(queue.score({text("n")}, in(20s)).size()); });
  while (queue.figures().waiting != 4) std::this_thread::sleep_for(1ms);
  queue.close();
  CHECK_THROWS_AS(queue.score({text("n")}, in(20s)), merit::QueueClosed);
  for (std::thread& caller : callers) caller.join();
  CHECK(answered == 4);
}

/// Cannot compute a batch with an 'x' in it.
class FailingLetters final : public merit_test::LetterModel {
 public:
  using LetterModel::LetterModel;
  std::span<const float> score(const Forest& forest) override {
    for (const merit::Token token : forest.tokens) {
      if (token == 'x') throw merit::UsageError("an x");
    }
    return LetterModel::score(forest);
  }
};

TEST_CASE("a batch that cannot be computed fails for those alone whose fault it is") {
  SlowLetters letters(50ms);
  FailingLetters model(merit::ScalarHead{}, merit::PairwiseLoss{});
  ScoreQueue queue([&] {
    std::this_thread::sleep_for(50ms);
    return merit::RecordScorer(model, letters.saved, letters.reading, 64);
  });
  std::vector<std::thread> callers;
  std::atomic<int> good = 0, failed = 0;
  for (const char* completion : {"n", "x", "o", "p"}) {
    callers.emplace_back([&, completion] {
      try {
        good += queue.score({text(completion)}, in(20s)).at(0).completions.at(0).score == completion[0] - 'm';
      } catch (const merit::UsageError&) {
        ++failed;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(good == 3);
  CHECK(failed == 1);
}

}  // namespace score_queue_test
