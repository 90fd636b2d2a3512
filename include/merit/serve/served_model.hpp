// A model that many requests ask at once: its scores, and what an answer says of each.
#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/io/json.hpp"
#include "merit/run/kept_prompts.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/run/scorer.hpp"
#include "merit/serve/score_queue.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct ServeOptions {
  std::string name = {};      // by which requests may call the model; empty: its folder's name
  Index batch_tokens = 8192;  // tokens computed at once
  Index kept_bytes = 0;       // for the keys and values of prompts that come again; 0: nothing is kept
  QueueOptions queue = {};
  Index max_records = 1024;                     // completions in one request
  std::chrono::milliseconds time_limit{60000};  // for the scores of one request
};

/// Scores records of many threads, and writes each as answers have it: `score` as the model gives it, `calibrated` by its card,
/// `probability`, and of tokens or steps the head's own `logits`.
class ServedModel {
 public:
  using Records = ScoreQueue::Records;
  using Scores = ScoreQueue::Scores;

  explicit ServedModel(Scorer scorer, ServeOptions options = {})
      : scorer_(std::move(scorer)),
        options_(std::move(options)),
        reading_(reading_of(scorer_.about().about, scorer_.model().meaning(), false)),
        kept_(options_.kept_bytes == 0
                  ? nullptr
                  : std::make_unique<KeptPrompts>(scorer_.model(),
                                                  SessionOptions{.memory_limit = options_.kept_bytes})),
        queue_([this] { return make_scorer(); }, options_.queue) {
    const ModelCard& card = scorer_.about().about;
    try {
      calibrated_ = merit::reading_of(card, scorer_.model().meaning(), true);
      // What was fitted to pairs says nothing of one side.
      if (calibrated_->compares && !calibrated_->standardised) calibrated_.reset();
    } catch (const ConfigError&) {  // it has neither
    }
    if (options_.name.empty()) options_.name = scorer_.about().place.lexically_normal().filename().string();
    if (options_.name.empty())
      options_.name = scorer_.about().place.lexically_normal().parent_path().filename().string();
  }

  const std::string& name() const { return options_.name; }
  const SavedModel& about() const { return scorer_.about(); }
  const Reading& reading() const { return reading_; }                        // scores as the model gives them
  const std::optional<Reading>& calibration() const { return calibrated_; }  // by the model's card
  QueueFigures figures() const { return queue_.figures(); }
  Index reused_tokens() const { return reused_; }

  static Index completions_of(const RecordToScore& record) {
    if (const auto* several = std::get_if<CompletionsRecord>(&record)) return several->size();
    const bool two =
        std::holds_alternative<PreferenceRecord>(record) || std::holds_alternative<JudgeRecord>(record);
    return two ? 2 : 1;
  }

  /// The records' scores. Throws DataError for too many completions, and what ScoreQueue throws.
  Scores scores(Records records) {
    Index completions = 0;
    for (const RecordToScore& record : records) completions += completions_of(record);
    if (completions > options_.max_records) {
      throw DataError(concat("the request: found ", completions, " completions, expected at most ",
                             options_.max_records));
    }
    return queue_.score(std::move(records), end_of(options_.time_limit));
  }

  /// Their completions' scores where each must have one: else throws DataError that says which has none.
  std::vector<CompletionScore> all_scores(Records records) {
    std::vector<CompletionScore> all;
    for (RecordScores& one : scores(std::move(records))) {
      const std::string at = one.source.text();
      if (!one.error.empty())
        throw DataError(one.error.starts_with(at) ? one.error : concat(at, ": ", one.error));
      const auto require = [&](const std::string& dropped, Index entry) {
        if (dropped.empty()) return;
        const bool several = one.form == RecordScores::Form::several;
        throw DataError(
            concat(at, several ? concat(", entry ", entry) : std::string(), " has no score: ", dropped));
      };
      require(one.dropped, 0);
      for (Index i = 0; i < one.completions.size(); ++i) require(one.completions[i].dropped, i);
      for (CompletionScore& completion : one.completions) all.push_back(std::move(completion));
    }
    return all;
  }

  /// A reward is the head's own float, written as short as that.
  double raw(const CompletionScore& one) const {
    return reading_.has_rows() ? one.score : short_float(one.score);
  }
  double probability(const CompletionScore& one) const { return completion_probability(one.score, reading_); }
  /// By the card; null where that says nothing of it. Of a model of steps it is each step that is calibrated.
  Json calibrated(const CompletionScore& one) const {
    if (!calibrated_) return nullptr;
    return shown_score(reading_.has_rows() ? aggregate(row_values(one.head, *calibrated_),
                                                       calibrated_->aggregation, calibrated_->options)
                                           : one.score,
                       *calibrated_);
  }
  /// What the head says of each token or step: a number, or a list of one a class.
  Json logits(const CompletionScore& one) const {
    Json all = Json::array();
    for (Index i = 0; i < one.head.rows(); ++i) {
      Json row = Json::array();
      for (const double value : one.head.row(i)) row.push_back(short_float(value));
      all.push_back(one.head.width == 1 ? row[0] : std::move(row));
    }
    return all;
  }
  Json described(const CompletionScore& one, bool rows = false) const {
    if (!one.dropped.empty()) return {{"score", nullptr}, {"error", "no score: " + one.dropped}};
    Json out{{"score", raw(one)},
             {"calibrated", calibrated(one)},
             {"probability", probability(one)},
             {"tokens", one.tokens}};
    mark_cut(one, out);
    if (rows && reading_.has_rows()) out["rows"] = one.rows;
    if (rows && reading_.gives_probabilities()) out["logits"] = logits(one);
    return out;
  }
  /// Marks an answer about a text of which a limit on length took a part.
  static void mark_cut(const CompletionScore& one, Json& out) {
    if (!one.cut) return;
    out["cut"] = true;
    if (one.rows_of == 0) return;
    out["rows_judged"] = one.rows.size();
    out["rows_of"] = one.rows_of;
  }

  /// What every answer has around its list.
  Json envelope(const char* list, Json items, const std::vector<CompletionScore>& scores) const {
    Index tokens = 0;
    for (const CompletionScore& one : scores) tokens += one.tokens;
    return {{"object", "list"},
            {"created", std::time(nullptr)},
            {"model", options_.name},
            {list, std::move(items)},
            {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
  }

 private:
  static double short_float(double value) { return std::stod(shortest(static_cast<float>(value))); }

  /// Called by the queue's thread, before each batch.
  RecordScorer make_scorer() {
    if (kept_ != nullptr) reused_ = kept_->counts().reused;
    return RecordScorer(scorer_.model(), scorer_.about(), reading_, options_.batch_tokens, kept_.get());
  }

  Scorer scorer_;
  ServeOptions options_;
  const Reading reading_;
  std::optional<Reading> calibrated_;
  std::unique_ptr<KeptPrompts> kept_;  // of the queue's thread
  std::atomic<Index> reused_ = 0;      // tokens that it did not compute again
  ScoreQueue queue_;                   // last: its thread uses the above
};

}  // namespace MERIT_ABI
}  // namespace merit
