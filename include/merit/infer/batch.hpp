// Examples to a forest, its rows, and a loss's targets.
#pragma once

#include <array>
#include <span>
#include <type_traits>
#include <vector>

#include "merit/data/example.hpp"
#include "merit/data/forest.hpp"
#include "merit/head/head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace merit::inline MERIT_ABI {

/// Tokens a preference example costs once its two sides share what they agree on.
inline Index shared_tokens(const PreferenceExample& example) {
  const std::array<std::span<const Token>, 2> both{example.chosen.tokens, example.rejected.tokens};
  return example.chosen.features.empty() ? shared_token_count(both) : 2;
}
inline Index shared_tokens(const Sequence& sequence) {
  return sequence.features.empty() ? sequence.tokens.size() : 1;
}

/// Collects examples of any kind into one forest. Storage is reused: build batch after batch with one
/// builder.
///
///   builder.clear();
///   builder.add(example);  …
///   builder.finish();
///   model.accumulate(builder.forest(), builder.targets(), normaliser);
template <class Model>
class BatchBuilder {
 public:
  using Targets = typename Model::Targets;

  explicit BatchBuilder(const Model& model, Sharing sharing = Sharing::yes)
      : model_(&model), forest_(sharing) {}

  void clear() {
    forest_.clear();
    targets_.clear();
    reads_.clear();
    read_begin_.assign(1, 0);
    rows_.clear();
    pending_pairs_.clear();
    sequences_ = 0;
    records_ = 0;
  }

  /// A sequence to score. Returns its number, for rows().
  Index add(const Sequence& sequence) {
    const std::array<const Sequence*, 1> one{&sequence};
    const Index first = add_tree(one);
    ++records_;
    return first;
  }

  /// A pair, its common prefix shared. Returns the number of the chosen side; the rejected one follows.
  Index add(const PreferenceExample& example) requires std::is_same_v<Targets, PairTargets> {
    const std::array<const Sequence*, 2> both{&example.chosen, &example.rejected};
    const Index first = add_tree(both);
    ++records_;
    pending_pairs_.push_back({first, example.margin, example.weight, example.soft_label});
    return first;
  }

  /// Completes the forest and resolves every target to its row.
  void finish() {
    for (const std::uint32_t token : reads_) forest_.want_row(token);
    forest_.finish();
    rows_.clear();
    for (const std::uint32_t token : reads_) rows_.push_back(forest_.row_of(token));
    if constexpr (std::is_same_v<Targets, PairTargets>) {
      for (const PendingPair& pair : pending_pairs_) {
        targets_.pairs.push_back(
            {rows(pair.first)[0], rows(pair.first + 1)[0], pair.margin, pair.weight, pair.soft_label});
      }
    }
    view_ = forest_.view();
  }

  /// The rows that the head reads in a sequence, in its order.
  std::span<const std::uint32_t> rows(Index sequence) const {
    return std::span(rows_).subspan(read_begin_[sequence], read_begin_[sequence + 1] - read_begin_[sequence]);
  }

  /// Valid until the next clear().
  const ForestView<HostSpace>& forest() const { return view_; }
  const Targets& targets() const { return targets_; }
  Index records() const { return records_; }
  Index token_count() const { return forest_.token_count(); }
  Index tokens_before_sharing() const { return forest_.tokens_before_sharing(); }

 private:
  struct PendingPair {
    Index first;
    double margin, weight, soft_label;
  };

  Index add_tree(std::span<const Sequence* const> sequences) {
    constexpr bool wants_features = reads_features<typename Model::BackboneType>;
    spans_.clear();
    Index group = 0;
    for (const Sequence* sequence : sequences) {
      if (wants_features != !sequence->features.empty()) {
        throw DataError(wants_features
                            ? "a record has no feature vectors, expected them for the features backbone"
                            : "a record has feature vectors, expected text or token ids for this backbone");
      }
      if (wants_features) {
        const Index added = forest_.add_features(sequence->features);
        group = sequence == sequences.front() ? added : group;
      } else {
        spans_.emplace_back(sequence->tokens);
      }
    }
    if (!wants_features) group = forest_.add_tree(spans_);
    const Index first = sequences_;
    for (Index s = 0; s < sequences.size(); ++s) {
      positions_.clear();
      if (wants_features) {
        positions_.push_back(0);
      } else {
        model_->head().rows({sequences[s]->tokens.size(), sequences[s]->completion_begin, {}}, positions_);
      }
      for (const Index position : positions_) {
        reads_.push_back(wants_features ? forest_.index(group + s, 0, 0) : forest_.index(group, s, position));
      }
      read_begin_.push_back(reads_.size());
    }
    sequences_ += sequences.size();
    return first;
  }

  const Model* model_;
  ForestBuilder forest_;
  ForestView<HostSpace> view_;
  Targets targets_;
  std::vector<std::uint32_t> reads_;  // the tokens that heads read, sequence by sequence
  std::vector<Index> read_begin_{0};  // (sequences + 1) where each sequence's reads begin
  std::vector<std::uint32_t> rows_;   // the row of each read
  std::vector<PendingPair> pending_pairs_;
  std::vector<std::span<const Token>> spans_;
  std::vector<Index> positions_;
  Index sequences_ = 0;
  Index records_ = 0;
};

}  // namespace merit::inline MERIT_ABI
