// Examples to a forest, its rows, and a loss's targets.
#pragma once

#include <span>
#include <vector>

#include "merit/data/example.hpp"
#include "merit/data/forest.hpp"
#include "merit/head/head.hpp"
#include "merit/infer/targets.hpp"
#include "merit/model/reward_model.hpp"

namespace merit::inline MERIT_ABI {

/// Tokens an example costs once its sequences share what they agree on.
template <class Example>
Index shared_tokens(const Example& example) {
  std::vector<std::span<const Token>> tokens;
  Index vectors = 0;
  for_each_sequence(example, [&](const Sequence& sequence) {
    if (sequence.features.empty()) {
      tokens.emplace_back(sequence.tokens);
    } else {
      ++vectors;
    }
  });
  return vectors + shared_token_count(tokens);
}

/// Collects examples of any kind into one forest. Storage is reused: build batch after batch with one
/// builder.
///
///   builder.clear();
///   builder.add(example);  …
///   builder.finish();
///   model.accumulate(builder.forest(), builder.targets(), normaliser);
///
/// An example is one tree, however many sequences it has, and must outlive finish().
template <class Model>
class BatchBuilder {
 public:
  using Targets = typename Model::Targets;

  explicit BatchBuilder(const Model& model, Sharing sharing = Sharing::yes)
      : model_(&model), forest_(sharing) {}

  void clear() {
    forest_.clear();
    targets_.clear();
    first_.clear();
    second_.clear();
    pending_.clear();
    sequences_ = 0;
    records_ = 0;
  }

  /// An example of any kind, to be scored, and to be learned from if the model's loss takes its kind. Returns
  /// the number of its first sequence, for rows(); its others follow.
  template <class Example>
  Index add(const Example& example) {
    const Index first = add_tree(example);
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
    for (const RowTable* table : {&first_, &second_}) {
      for (const std::uint32_t token : table->tokens) forest_.want_row(token);
    }
    forest_.finish();
    for (RowTable* table : {&first_, &second_}) {
      for (std::uint32_t& token : table->tokens) token = forest_.row_of(token);
    }
    view_ = forest_.view();
    prepare();
    for (const Pending& pending : pending_) {
      pending.append(targets_, pending.example,
                     ExampleRows(first_, is_joint_head<Head> ? second_ : first_, pending.first));
    }
  }

  /// The rows that the head reads in a sequence, in its order; of a JointHead the first part.
  std::span<const std::uint32_t> rows(Index sequence) const { return first_.of(sequence); }

  /// Valid until the next clear().
  const ForestView<HostSpace>& forest() const { return view_; }
  const Targets& targets() const { return targets_; }
  Index records() const { return records_; }
  Index token_count() const { return forest_.token_count(); }
  Index tokens_before_sharing() const { return forest_.tokens_before_sharing(); }

 private:
  using Head = typename Model::HeadType;

  struct Pending {
    const void* example;
    Index first;  // the number of its first sequence
    void (*append)(Targets&, const void*, const ExampleRows&);
  };

  /// What targets must know of the head.
  void prepare() {
    if constexpr (requires { targets_.columns; }) targets_.columns = model_->outputs();
    if constexpr (requires { targets_.first.columns; }) targets_.first.columns = model_->reward_outputs();
    if constexpr (requires { targets_.classes; }) targets_.classes = model_->outputs();
    if constexpr (is_joint_head<Head>) targets_.first_columns = model_->reward_outputs();
    if constexpr (requires { targets_.first.classes; }) targets_.first.classes = model_->reward_outputs();
    if constexpr (requires { targets_.second.classes; }) {
      targets_.second.classes =
          is_joint_head<Head> ? model_->outputs() - model_->reward_outputs() : model_->outputs();
    }
  }

  template <class Example>
  Index add_tree(const Example& example) {
    constexpr bool wants_features = reads_features<typename Model::BackboneType>;
    spans_.clear();
    Index group = 0;
    Index count = 0;
    for_each_sequence(example, [&](const Sequence& sequence) {
      if (wants_features != !sequence.features.empty()) {
        throw DataError(wants_features
                            ? "a record has no feature vectors, expected them for the features backbone"
                            : "a record has feature vectors, expected text or token ids for this backbone");
      }
      if (wants_features) {
        const Index added = forest_.add_features(sequence.features);
        group = count == 0 ? added : group;
      } else {
        spans_.emplace_back(sequence.tokens);
      }
      ++count;
    });
    if (!wants_features) group = forest_.add_tree(spans_);
    Index number = 0;
    for_each_sequence(example, [&](const Sequence& sequence) {
      if constexpr (is_joint_head<Head>) {
        read(model_->head().first, sequence, group, number, first_);
        read(model_->head().second, sequence, group, number, second_);
      } else {
        read(model_->head(), sequence, group, number, first_);
      }
      ++number;
    });
    const Index first = sequences_;
    sequences_ += count;
    return first;
  }

  /// Notes the tokens that a head reads in a sequence.
  template <class Part>
  void read(const Part& head, const Sequence& sequence, Index group, Index number, RowTable& table) {
    if constexpr (reads_features<typename Model::BackboneType>) {
      table.tokens.push_back(forest_.index(group + number, 0, 0));
    } else {
      positions_.clear();
      head.rows({sequence.tokens.size(), sequence.completion_begin, sequence.step_ends}, positions_);
      for (const Index position : positions_) {
        table.tokens.push_back(forest_.index(group, number, position));
      }
    }
    table.begin.push_back(table.tokens.size());
  }

  const Model* model_;
  ForestBuilder forest_;
  ForestView<HostSpace> view_;
  Targets targets_;
  RowTable first_;
  RowTable second_;  // of a JointHead's second part
  std::vector<Pending> pending_;
  std::vector<std::span<const Token>> spans_;
  std::vector<Index> positions_;
  Index sequences_ = 0;
  Index records_ = 0;
};

}  // namespace merit::inline MERIT_ABI
