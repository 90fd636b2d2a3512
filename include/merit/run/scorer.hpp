// A model folder opened to score text: prompts with answers, conversations, records.
#pragma once

#include <concepts>
#include <filesystem>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kept_prompts.hpp"
#include "merit/run/load_saved_model.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// An answer and its score, for an order of several.
struct RankedAnswer {
  Index index = 0;  // among those given
  double score = 0;
  std::string text = {};
  bool cut = false;  // a limit on length took tokens of it or of its prompt
};

/// A list of texts: of std::string, of std::string_view, of char*.
template <class Range>
concept texts = std::ranges::input_range<Range> &&
    std::convertible_to<std::ranges::range_reference_t<Range>, std::string_view>;

/// A reward model with all that it takes to score text: weights, tokenizer, chat template, the place where a
/// score is read. Made by open(). One thread at a time may use it.
class Scorer {
 public:
  /// `others`: the adapters beside the first, as read_other_adapters() gives them.
  Scorer(SavedModel saved, std::unique_ptr<AnyModel> model, std::vector<SavedModel> others = {})
      : model_(std::move(model)) {
    add(std::move(saved));
    for (SavedModel& other : others) add(std::move(other));
  }

  /// The score of an answer to a prompt that is plain text.
  double score(std::string_view prompt, std::string_view completion);

  /// The scores of several answers to one prompt, which is computed once.
  template <texts Completions>
  std::vector<double> score(std::string_view prompt, const Completions& completions) {
    std::vector<double> scores;
    for (const CompletionScore& one : scores_of(prompt, completions).completions) scores.push_back(one.score);
    return scores;
  }

  /// The score of a conversation as its chat template writes it.
  double score(std::span<const Message> conversation, const TemplateInputs& inputs = {});

  /// The score of one record, with those of its tokens or steps where the model has them.
  CompletionScore score(const CompletionRecord& record);

  /// The scores of each record's completions, in their order, for records of any kind. A record that cannot be
  /// scored says why.
  template <std::ranges::input_range Records>
  requires requires(RecordScorer scorer, const std::ranges::range_value_t<Records>& record) {
    scorer.add(record);
  }
  std::vector<RecordScores> score(const Records& records, Index batch_tokens = 8192) {
    RecordScorer scorer(*model_, about(), reading(), batch_tokens, kept_.get());
    std::vector<RecordScores> all;
    const auto take = [&] {
      for (RecordScores& scores : scorer.flush()) all.push_back(std::move(scores));
    };
    for (const auto& record : records) {
      scorer.add(record);
      if (scorer.full()) take();
    }
    take();
    return all;
  }

  /// The scores of sequences of the model's tokens, in their order, each by itself: what they share is computed
  /// for each.
  std::vector<double> score(std::span<const Sequence> sequences, Index batch_tokens = 8192);

  /// The answers to a prompt, best first; equal ones in the order given, and those that a limit on length cut
  /// last, as far as `rank_cut` says. Throws DataError where an answer has no score.
  template <texts Answers>
  std::vector<RankedAnswer> rank(std::string_view prompt, const Answers& answers,
                                 RankCut rank_cut = RankCut::last) {
    const RecordScores scores = scores_of(prompt, answers);
    std::vector<std::string> list;
    for (const std::string_view answer : answers) list.emplace_back(answer);
    std::vector<RankedAnswer> order;
    for (const Index i : scores.order(rank_cut)) {
      const CompletionScore& one = scores.completions[i];
      order.push_back({i, one.score, list[i], one.cut});
    }
    return order;
  }

  /// From now on prompts are computed once, and a text that goes on from there on (infer/session.hpp): for who scores answer
  /// after answer to a prompt, or a conversation as it grows. Scores stay what they are. Throws ConfigError for an encoder.
  void keep_prompts(const SessionOptions& options = {});
  /// What is kept, and how much was computed and read again since.
  SessionCounts kept() const { return kept_ ? kept_->counts() : SessionCounts{}; }

  /// From now on scores are the base's with the adapter of that name, of those given when it was opened, read as its own
  /// folder says; that of a folder that was opened itself is "default". Throws ConfigError that lists the names.
  void use_adapter(const std::string& name);

  /// What the folder of the adapter in use says of itself, or that of the model, and how its scores are read.
  const SavedModel& about() const { return *described_[in_use_].saved; }
  const Reading& reading() const { return *described_[in_use_].reading; }
  AnyModel& model() { return *model_; }

 private:
  template <class Record>
  RecordScores one(Record record) {
    if (record.source.file.empty()) record.source = {"the text to score", 1};
    std::vector<RecordScores> scores = score(std::span<const Record>(&record, 1));
    return std::move(scores.front());
  }
  [[noreturn]] static void refuse(const std::string& what, const std::string& reason);
  template <texts Completions>
  RecordScores scores_of(std::string_view prompt, const Completions& completions) {
    CompletionsRecord record;
    record.prompt = std::string(prompt);
    for (const std::string_view text : completions) record.completions.emplace_back(std::string(text));
    RecordScores all = one(std::move(record));
    for (Index i = 0; i < all.completions.size(); ++i) {
      if (!all.completions[i].dropped.empty()) {
        refuse(concat("answer ", i + 1), all.completions[i].dropped);
      }
    }
    if (!all.dropped.empty()) refuse("answer 1", all.dropped);
    return all;
  }

  void add(SavedModel saved) {
    Described one{std::make_unique<const SavedModel>(std::move(saved)), nullptr};
    one.reading = std::make_unique<Reading>(reading_of(one.saved->about, model_->meaning(), false));
    described_.push_back(std::move(one));
  }

  // Behind pointers, so that a Scorer can be moved.
  struct Described {
    std::unique_ptr<const SavedModel> saved;
    std::unique_ptr<Reading> reading;
  };
  std::unique_ptr<AnyModel> model_;
  std::vector<Described> described_;  // by adapter
  Index in_use_ = 0;
  std::unique_ptr<KeptPrompts> kept_;
  SessionOptions keep_options_;
};

/// Opens a reward model: a directory as transformers or merit writes it, or a GGUF file. Throws IoError,
/// DataError or ConfigError, one sentence that says what was found and what was expected.
///
///   merit::Scorer scorer = merit::open("Skywork-Reward-V2-Qwen3-0.6B");
///   scorer.score(conversation);
Scorer open(const std::filesystem::path& place, const OpenOptions& options = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/scorer_body.hpp"
#endif
