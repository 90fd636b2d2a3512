// Examples to a forest, its rows, and a loss's targets.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "merit/batch/targets.hpp"
#include "merit/forest/example.hpp"
#include "merit/forest/forest.hpp"
#include "merit/head/head.hpp"
#include "merit/head/joint_head.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The sequences of an example, in order.
template <class Example>
void list_sequences(const Example& example, std::vector<const Sequence*>& out) {
  out.clear();
  for_each_sequence(example, [&](const Sequence& sequence) { out.push_back(&sequence); });
}

inline Index shared_tokens_of(std::span<const Sequence* const> sequences) {
  std::vector<std::span<const Token>> tokens;
  Index vectors = 0;
  for (const Sequence* sequence : sequences) {
    if (sequence->features.empty()) {
      tokens.emplace_back(sequence->tokens);
    } else {
      ++vectors;
    }
  }
  return vectors + shared_token_count(std::move(tokens));
}

/// A forest of sequences and the rows that a head reads in them: what BatchBuilder does for every model
/// alike.
class SequenceRows {
 public:
  /// Appends the positions that a head reads in a sequence; to `second` those of a JointHead's second part.
  using Read = void (*)(const void* head, const SequenceShape& sequence, std::vector<Index>& first,
                        std::vector<Index>& second);

  SequenceRows(const void* head, Read read, bool wants_features, Sharing sharing,
               std::optional<Token> pair_separator)
      : head_(head), read_(read), wants_features_(wants_features), forest_(sharing, pair_separator) {}

  void clear() {
    forest_.clear();
    first_.clear();
    second_.clear();
    sequences_ = 0;
  }

  /// The sequences of one example, which are one tree; the number of the first.
  Index add(std::span<const Sequence* const> sequences) {
    spans_.clear();
    Index group = 0;
    for (Index number = 0; number < sequences.size(); ++number) {
      const Sequence& sequence = *sequences[number];
      if (wants_features_ != !sequence.features.empty()) {
        throw DataError(wants_features_
                            ? "a record has no feature vectors, expected them for the features backbone"
                            : "a record has feature vectors, expected text or token ids for this backbone");
      }
      if (wants_features_) {
        const Index added = forest_.add_features(sequence.features);
        group = number == 0 ? added : group;
      } else {
        spans_.emplace_back(sequence.tokens);
      }
    }
    if (!wants_features_) group = forest_.add_tree(spans_);
    for (Index number = 0; number < sequences.size(); ++number) note_rows(*sequences[number], group, number);
    const Index first = sequences_;
    sequences_ += sequences.size();
    return first;
  }

  /// Completes the forest; the tables hold rows now.
  void finish() {
    for (const RowTable* table : {&first_, &second_}) {
      for (const std::uint32_t token : table->tokens) forest_.want_row(token);
    }
    forest_.finish();
    for (RowTable* table : {&first_, &second_}) {
      for (std::uint32_t& token : table->tokens) token = forest_.row_of(token);
    }
  }

  const ForestBuilder& forest() const { return forest_; }
  const RowTable& first() const { return first_; }
  const RowTable& second() const { return second_; }

 private:
  void note_rows(const Sequence& sequence, Index group, Index number) {
    if (wants_features_) {
      first_.tokens.push_back(forest_.index(group + number, 0, 0));
    } else {
      first_positions_.clear();
      second_positions_.clear();
      read_(head_, {sequence.tokens.size(), sequence.completion_begin, sequence.step_ends}, first_positions_,
            second_positions_);
      for (const Index position : first_positions_)
        first_.tokens.push_back(forest_.index(group, number, position));
      for (const Index position : second_positions_)
        second_.tokens.push_back(forest_.index(group, number, position));
    }
    first_.begin.push_back(first_.tokens.size());
    second_.begin.push_back(second_.tokens.size());
  }

  const void* head_;
  Read read_;
  bool wants_features_;
  ForestBuilder forest_;
  RowTable first_;
  RowTable second_;  // of a JointHead's second part
  std::vector<std::span<const Token>> spans_;
  std::vector<Index> first_positions_, second_positions_;
  Index sequences_ = 0;
};

}  // namespace detail

/// Appends the positions that a head reads in a sequence; to `second` those of a JointHead's second part.
template <class Head>
void read_rows(const Head& head, const SequenceShape& sequence, std::vector<Index>& first,
               std::vector<Index>& second) {
  if constexpr (is_joint_head<Head>) {
    append_rows_of(head.first, sequence, first);
    append_rows_of(head.second, sequence, second);
  } else {
    append_rows_of(head, sequence, first);
  }
}

/// Whether the second of two losses reads rows of its own.
template <class Head>
bool reads_second_rows(const Head&) {
  return is_joint_head<Head>;
}

/// Targets for a model's batches, empty.
template <class Model>
typename Model::Targets targets_for(const Model&) {
  return {};
}

/// What targets must know of the head: how many scores a row has, of a JointHead's second part `second`.
template <class Targets>
void prepare_targets(Targets& targets, Index outputs, Index second) {
  if constexpr (requires { targets.columns; }) targets.columns = outputs;
  if constexpr (requires { targets.first.columns; }) targets.first.columns = outputs;
  if constexpr (requires { targets.classes; }) targets.classes = outputs;
  if constexpr (requires { targets.first.classes; }) targets.first.classes = outputs;
  if constexpr (requires { targets.second.classes; }) targets.second.classes = second;
}

/// Whether the sequences of an example share tokens in a model's forests, where it is asked for.
template <class Model>
Sharing sharing_of(const Model& model, Sharing asked = Sharing::yes) {
  return model.sight() == Sight::tree ? Sharing::no : asked;
}

/// Tokens an example costs once its sequences share what they agree on, or where they do not.
template <class Example>
Index shared_tokens(const Example& example, Sharing sharing = Sharing::yes) {
  std::vector<const Sequence*> sequences;
  detail::list_sequences(example, sequences);
  if (sharing == Sharing::yes) return detail::shared_tokens_of(sequences);
  Index sum = 0;
  for (const Sequence* sequence : sequences) sum += std::max<Index>(sequence->tokens.size(), 1);
  return sum;
}

/// Collects examples of any kind into one forest. Storage is reused: build batch after batch with one
/// builder.
///
///   builder.clear();
///   builder.add(example);  …
///   builder.finish();
///   model.accumulate(builder.forest(), builder.targets(), normaliser);
///
/// An example is one tree, however many sequences it has, or for a model whose tokens see their whole tree one for each
/// sequence. It must outlive finish().
template <class Model>
class BatchBuilder {
 public:
  using Targets = typename Model::Targets;

  explicit BatchBuilder(const Model& model, Sharing sharing = Sharing::yes)
      : model_(&model),
        rows_(&model.head(), read, model.wants_features(), sharing_of(model, sharing),
              model.pair_separator()),
        targets_(targets_for(model)) {}

  void clear() {
    rows_.clear();
    targets_.clear();
    pending_.clear();
    records_ = 0;
  }

  /// An example of any kind, to be scored, and to be learned from if the model's loss takes its kind. Returns
  /// the number of its first sequence, for rows(); its others follow.
  template <class Example>
  Index add(const Example& example) {
    detail::list_sequences(example, sequences_);
    const Index first = rows_.add(sequences_);
    if constexpr (learns_from<Targets, Example>) {
      pending_.push_back({&example, first, [](Targets& targets, const void* what, const ExampleRows& rows) {
                            append_targets(targets, *static_cast<const Example*>(what), rows);
                          }});
    }
    ++records_;
    return first;
  }

  /// Not for what is gone before finish().
  template <class Example>
  requires learns_from<Targets, Example> Index add(const Example&& example)
  = delete;

  /// Completes the forest and resolves every target to its row.
  void finish() {
    rows_.finish();
    view_ = rows_.forest().view();
    prepare_targets(targets_, model_->outputs(), model_->second_outputs());
    const RowTable& second = reads_second_rows(model_->head()) ? rows_.second() : rows_.first();
    for (const Pending& pending : pending_) {
      pending.append(targets_, pending.example, ExampleRows(rows_.first(), second, pending.first));
    }
  }

  /// The rows that the head reads in a sequence, in its order; of a JointHead the first part.
  std::span<const std::uint32_t> rows(Index sequence) const { return rows_.first().of(sequence); }

  /// Valid until the next clear().
  const ForestView<HostSpace>& forest() const { return view_; }
  const Targets& targets() const { return targets_; }
  Index records() const { return records_; }
  Index token_count() const { return rows_.forest().token_count(); }
  Index tokens_before_sharing() const { return rows_.forest().tokens_before_sharing(); }

 private:
  using Head = typename Model::HeadType;

  struct Pending {
    const void* example;
    Index first;  // the number of its first sequence
    void (*append)(Targets&, const void*, const ExampleRows&);
  };

  /// Of a detail::SequenceRows::Read.
  static void read(const void* head, const SequenceShape& sequence, std::vector<Index>& first,
                   std::vector<Index>& second) {
    read_rows(*static_cast<const Head*>(head), sequence, first, second);
  }

  const Model* model_;
  detail::SequenceRows rows_;
  ForestView<HostSpace> view_;
  Targets targets_;
  std::vector<Pending> pending_;
  std::vector<const Sequence*> sequences_;
  Index records_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
