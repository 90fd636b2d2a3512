// A session keeps what was computed: the keys and values of a tree of tokens stay, and what is added to it or scored behind
// it computes its own tokens alone. What grows branch by branch, as search over steps, a server's conversations or a
// judge's words, costs its new tokens.
//
//   Session session(model);
//   const SessionNode prompt = session.extend({}, prompt_tokens);
//   const std::vector<double> scores = session.score(prompt, answers);          // of each answer, none of which is kept
//   const SessionNode step = session.extend(prompt, step_tokens);               // this one is
//   const auto branches = session.extend({{step, first}, {step, second}});      // both as one forest
//   session.scores();                                                           // the head's, at the end of each of them
//   session.release(step);                                                      // and both branches with it
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/infer/score.hpp"
#include "merit/infer/session_keys.hpp"
#include "merit/infer/session_tree.hpp"
#include "merit/infer/session_types.hpp"
#include "merit/model/reward_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a decoder has computed, to go on from: a tree of nodes, each some tokens behind another. The model outlives it, and
/// stays where and what it is: after a step of training, or with another adapter, what is kept is another model's.
///
/// A score has the bits that the whole sequence has on the reference backend, and differs on others as it does between
/// batches. Heads of every kind read their rows as in whole sequences; what stands before a node is the prompt for those
/// that read where the prompt ends.
///
/// `Model` is a RewardModel, or what has its members: score(forest, earlier), parameters(), head(), config().
template <class Model>
class Session {
 public:
  using Backend = typename Model::BackendType;
  using Score = typename Model::Score;

  /// Computes one token, to see how much a token takes. Throws ConfigError where the model cannot go on from kept keys and
  /// values: an encoder, whose tokens see those behind them, a backbone without attention, or one of feature vectors.
  explicit Session(Model& model, const SessionOptions& options = {})
      : model_(&model), keys_(std::make_unique<Keys>(model.parameters().handle(), options.stored)) {
    const auto& backbone = model.config().backbone;
    if (model.wants_features() || model.sight() == Sight::tree) {
      throw ConfigError(concat("session: the backbone ", backbone.name(),
                               model.wants_features()
                                   ? " reads vectors and no tokens"
                                   : " is an encoder, in which a token sees those behind it",
                               ", expected a decoder: what is added would change what was computed"));
    }
    const std::vector<std::uint32_t> first{0};
    compute({first}, std::vector<Read>{{0, 0}});
    counts_ = {};
    if (keys_->layer_count() == 0) {
      throw ConfigError(concat("session: the backbone ", backbone.name(),
                               " has no attention, expected a decoder with keys and values to keep"));
    }
    if (options.memory_limit != 0) most_ = options.memory_limit / keys_->bytes_per_token();
  }

  /// Computes tokens behind a node, or behind nothing, and keeps them; or adds nothing and throws: UsageError for none or for a
  /// node of another session, DataError for a token or position that the model has not, or for more than memory_limit holds.
  SessionNode extend(const SessionNode& node, std::span<const Token> tokens) {
    const SessionBranch branch{node, tokens};
    return extend(std::span(&branch, 1))[0];
  }
  /// The same of many as one forest, each a node of its own, whether or not they agree; in their order.
  std::vector<SessionNode> extend(std::span<const SessionBranch> branches) {
    for (const SessionBranch& branch : branches) check(branch.tokens, length(branch.node), true);
    return add(branches.size(),
               [&](Index i) { tree_.add(tree_.number_of(branches[i].node), branches[i].tokens); });
  }
  std::vector<SessionNode> extend(std::initializer_list<SessionBranch> branches) {
    return extend(std::span(branches.begin(), branches.size()));
  }

  /// The same, in which each token is a node behind that of the one before it: of the first branch's, then the second's, …
  std::vector<SessionNode> extend_by_token(std::span<const SessionBranch> branches) {
    Index count = 0, done = 0;
    for (const SessionBranch& branch : branches) {
      check(branch.tokens, length(branch.node), true);
      count += branch.tokens.size();
    }
    auto branch = branches.begin();
    return add(count, [&](Index) {
      tree_.add(done == 0 ? tree_.number_of(branch->node) : tree_.added().back(),
                branch->tokens.subspan(done, 1));
      if (++done == branch->tokens.size()) ++branch, done = 0;
    });
  }

  /// The same of whole paths, from their first token on, which are computed from where they cease to agree with their
  /// node's and with each other; the last token of each always is. What they agree on is kept once.
  std::vector<SessionNode> extend_whole(std::span<const SessionBranch> paths) {
    for (const SessionBranch& path : paths) check(path.tokens, 0, true);
    std::vector<Place> places;
    return add(paths.size(), [&](Index i) {
      Place place = place_of(paths[i].node, paths[i].tokens, places);
      place.agreed = std::min(place.agreed, paths[i].tokens.size() - 1);
      places.push_back(hang(place, paths[i].tokens));
    });
  }
  SessionNode extend_whole(const SessionNode& node, std::span<const Token> path) {
    const SessionBranch branch{node, path};
    return extend_whole(std::span(&branch, 1))[0];
  }

  /// What the head says at the last token of each node of the last extend(), (nodes, outputs): of a JointHead the first part.
  std::span<const Score> scores() const { return scores_; }
  /// The same at the last tokens of some nodes, which are computed again: rows of the last layer are not kept.
  std::span<const Score> scores_at(std::span<const SessionNode> nodes) {
    std::vector<std::uint32_t> numbers;
    for (const SessionNode& node : nodes) {
      numbers.push_back(tree_.number_of(node));
      if (numbers.back() == Tree::root)
        throw UsageError("session: the root has no token, expected another node");
    }
    begin_call();
    for (const std::uint32_t number : numbers) tree_.use(number);
    if (nodes.empty()) return scores_;
    undo_if_it_fails([&] {
      keep_missing();
      std::vector<Numbers> paths;
      std::vector<Read> reads;
      for (const std::uint32_t number : numbers) {
        std::vector<Token> tokens;
        tree_.append_tokens(number, tokens);
        reads.push_back({tree_.missing().size() + paths.size(), tokens.size() - 1});
        paths.push_back(numbers_of(number, tokens, tokens.size(), 0, std::vector{tokens.size() - 1}));
      }
      take_scores(compute(paths, reads));
    });
    return scores_;
  }

  /// The rows that the head reads in each of some sequences behind a node, which are computed as one forest in which they
  /// share what they agree on, and are not kept. A sequence is what follows the node: its places count from there, and where
  /// its completion begins at 0 all that stands before it is the prompt. Throws as extend() does; a sequence may have no
  /// tokens, where the head reads the node's last.
  std::vector<RowScores> score_rows(const SessionNode& node, std::span<const Sequence> sequences) {
    const Index before = tree_.length(tree_.number_of(node));
    return score_behind(node, sequences, before, 0);
  }
  /// The same of whole sequences, from their first token on, of which the node's tokens are not computed as far as they
  /// agree with them.
  std::vector<RowScores> score_whole_rows(const SessionNode& node, std::span<const Sequence> sequences) {
    return score_behind(node, sequences, 0, tree_.length(tree_.number_of(node)));
  }
  /// The same of many families as one forest, in which their beginnings are kept, as extend_whole() keeps paths. `nodes` gets
  /// the node of each beginning, or the root where one that is kept already begins so. Throws as extend() does.
  std::vector<RowScores> score_families(std::span<const SessionFamily> families,
                                        std::vector<SessionNode>& nodes) {
    for (const SessionFamily& family : families) {
      check(family.beginning, 0, false);
      tree_.number_of(family.node);
      for (const Sequence* member : family.members) check(member->tokens, 0, false);
    }
    std::vector<RowScores> rows;
    nodes.clear();
    begin_call();
    undo_if_it_fails([&] {
      std::vector<Place> places;
      std::vector<Scored> scored;
      for (const SessionFamily& family : families) {
        const Index before = tree_.added().size();
        const Place place = hang(place_of(family.node, family.beginning, places), family.beginning);
        tree_.use(place.number);
        const bool is_new = tree_.added().size() != before;
        if (is_new) places.push_back(place);
        nodes.push_back(is_new ? tree_.node(place.number) : SessionNode{});
        for (const Sequence* member : family.members)
          scored.push_back({place.number, member, 0, family.beginning.size()});
      }
      rows = score_all(scored);
    });
    return rows;
  }

  /// One number for each sequence, as merit::score() gives it, of a head of completions.
  template <class Head = typename Model::HeadType>
  requires(Head::meaning ==
           ScoreMeaning::per_completion) std::vector<double> score(const SessionNode& node,
                                                                   std::span<const Sequence> completions) {
    std::vector<double> scores;
    std::vector<std::uint32_t> rows;
    for (const RowScores& one : score_rows(node, completions)) {
      rows.resize(one.rows());
      for (Index i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint32_t>(i);
      scores.push_back(detail::completion_score(*model_, one.values, rows));
    }
    return scores;
  }

  /// Forgets a node and all that stands behind it.
  void release(const SessionNode& node) {
    const std::uint32_t number = tree_.number_of(node);
    if (number == Tree::root)
      throw UsageError("session: the root is to be released, expected a node of extend()");
    tree_.remove(number);
  }

  /// The caller will not ask for a node any more, although others stand behind it: it is released with the last of them.
  void disown(const SessionNode& node) {
    if (const std::uint32_t number = tree_.number_of(node); number != Tree::root) tree_.disown(number);
  }

  /// Whether a node is this session's and was not released.
  bool holds(const SessionNode& node) const { return tree_.holds(node); }
  /// Whether a node and all before it have their keys and values.
  bool is_kept(const SessionNode& node) const {
    const std::uint32_t number = tree_.number_of(node);
    return number == Tree::root || tree_.is_kept(number);
  }
  /// Tokens from the first on to the node's last.
  Index length(const SessionNode& node) const { return tree_.length(tree_.number_of(node)); }
  std::vector<Token> tokens(const SessionNode& node) const {
    std::vector<Token> tokens;
    tree_.append_tokens(tree_.number_of(node), tokens);
    return tokens;
  }

  SessionCounts counts() const {
    SessionCounts counts = counts_;
    counts.nodes = tree_.node_count();
    counts.held = tree_.held();
    counts.most = most_;
    counts.bytes = counts.held * keys_->bytes_per_token();
    counts.reserved_bytes = keys_->capacity() * keys_->bytes_per_token();
    counts.evicted = tree_.evicted();
    return counts;
  }
  Model& model() const { return *model_; }

 private:
  using Tree = detail::SessionTree;
  using Keys = detail::SessionKeys<Backend>;
  using Numbers = std::vector<std::uint32_t>;  // of tokens, as a SessionStep calls them
  using Read = detail::SessionRead;

  /// A node whose path agrees with another one as far as that.
  struct Place {
    std::uint32_t number;
    Index agreed;
    std::span<const Token> path = {};
  };

  /// A sequence behind `before` tokens of a node's path which it does not have, or that may agree with `agreed` of it.
  struct Scored {
    std::uint32_t number;
    const Sequence* sequence;
    Index before, agreed;
  };

  void begin_call() {
    tree_.begin_call();
    scores_.clear();
  }

  /// Computes `count` nodes that `add_one` adds to the tree.
  template <class AddOne>
  std::vector<SessionNode> add(Index count, const AddOne& add_one) {
    begin_call();
    if (count == 0) return {};
    undo_if_it_fails([&] {
      for (Index i = 0; i < count; ++i) add_one(i);
      keep_missing();
      std::vector<Read> reads;
      for (const std::uint32_t number : tree_.added()) {
        const auto place = std::find(tree_.missing().begin(), tree_.missing().end(), number);
        reads.push_back({static_cast<Index>(place - tree_.missing().begin()), tree_.length(number) - 1});
      }
      take_scores(compute({}, reads));
    });
    std::vector<SessionNode> nodes;
    for (const std::uint32_t number : tree_.added()) nodes.push_back(tree_.node(number));
    return nodes;
  }

  /// Of a node and of paths that this call has added, what a path agrees with longest.
  Place place_of(const SessionNode& node, std::span<const Token> path, std::span<const Place> added) const {
    std::vector<Token> own = tokens(node);
    Place best{tree_.number_of(node), common_length(own, path)};
    for (const Place& one : added) {
      const Index agreed = common_length(one.path, path);
      if (agreed > best.agreed) best = {one.number, agreed};
    }
    return best;
  }
  /// A path behind its place: of the node there, or of one that is added.
  Place hang(const Place& place, std::span<const Token> path) {
    std::uint32_t number = tree_.at(place.number, place.agreed);
    if (place.agreed < path.size()) number = tree_.add(number, path.subspan(place.agreed));
    return {number, path.size(), path};
  }

  void check(std::span<const Token> tokens, Index before, bool needs_some) const {
    if (needs_some && tokens.empty())
      throw UsageError("session: a node is to be extended by no tokens, expected some");
    const auto& backbone = model_->config().backbone;
    detail::check_tokens(tokens, backbone.token_limit(), before + tokens.size(), backbone.position_limit());
  }

  template <class Call>
  void undo_if_it_fails(const Call& call) {
    try {
      call();
    } catch (...) {
      tree_.undo_call();
      throw;
    }
  }

  /// Rows of the memory for what this call uses and is not kept.
  void keep_missing() {
    const Index needed = tree_.make_room(most_);
    if (needed > keys_->capacity()) {
      const Index ahead = std::max(needed, keys_->capacity() + keys_->capacity() / 2);
      keys_->grow(std::min(most_, ahead));
      tree_.set_capacity(keys_->capacity());
    }
    tree_.give_rows();
  }

  std::vector<RowScores> score_behind(const SessionNode& node, std::span<const Sequence> sequences,
                                      Index before, Index agreed) {
    std::vector<Scored> scored;
    for (const Sequence& sequence : sequences) {
      check(sequence.tokens, before, false);
      scored.push_back({tree_.number_of(node), &sequence, before, agreed});
    }
    begin_call();
    tree_.use(tree_.number_of(node));
    std::vector<RowScores> rows;
    undo_if_it_fails([&] { rows = score_all(scored); });
    return rows;
  }
  /// Of sequences behind nodes that this call uses.
  std::vector<RowScores> score_all(std::span<const Scored> scored) {
    std::vector<RowScores> result(scored.size(), RowScores{{}, model_->outputs()});
    std::vector<std::vector<Index>> read;
    for (const Scored& one : scored) read.push_back(positions_read(*one.sequence, one.before));
    const bool none =
        std::all_of(read.begin(), read.end(), [](const auto& positions) { return positions.empty(); });
    if (none && tree_.added().empty()) return result;  // there is nothing to compute
    keep_missing();
    const Index kept = tree_.missing().size();
    std::vector<Numbers> behind;
    std::vector<Read> reads;
    if (none) reads.push_back({0, tree_.length(tree_.missing().front()) - 1});  // a forest has a row
    for (Index i = 0; !none && i < scored.size(); ++i) {
      const auto& [number, sequence, before, agreed] = scored[i];
      std::vector<Token> tokens;
      if (before != 0) tree_.append_tokens(number, tokens);
      tokens.insert(tokens.end(), sequence->tokens.begin(), sequence->tokens.end());
      for (const Index position : read[i]) reads.push_back({kept + i, position});
      behind.push_back(numbers_of(number, tokens, before, agreed, read[i]));
    }
    const std::span<const Score> all = compute(behind, reads);
    for (Index i = 0; !none && i < reads.size(); ++i)
      detail::append_row(*model_, all, rows_[i], result[reads[i].sequence - kept].values);
    return result;
  }

  /// Of the rows that a step has read.
  void take_scores(std::span<const Score> all) {
    for (const std::uint32_t row : rows_) {
      const auto scores = all.subspan(row * model_->outputs(), model_->outputs());
      scores_.insert(scores_.end(), scores.begin(), scores.end());
    }
  }

  /// Where the head reads a sequence, as positions of the whole.
  std::vector<Index> positions_read(const Sequence& sequence, Index before) const {
    std::vector<Index> step_ends = sequence.step_ends, positions, second;
    for (Index& end : step_ends) end += before;
    const SequenceShape shape{before + sequence.tokens.size(), before + sequence.completion_begin, step_ends};
    if (shape.length == 0) throw UsageError("session: a sequence has no tokens and no node before it");
    read_rows(model_->head(), shape, positions, second);
    return positions;
  }

  /// A whole sequence as a step calls its tokens. The first ones are the node's; from the first on that is read and is not
  /// computed in this call they are computed, as rows of the last layer are not kept.
  Numbers numbers_of(std::uint32_t number, std::span<const Token> tokens, Index before, Index agreed,
                     std::span<const Index> read) const {
    Numbers numbers;
    tree_.append_rows(number, numbers);
    Index kept = before;
    while (kept < std::min(agreed, tokens.size()) && tree_.token_in(numbers[kept]) == tokens[kept]) ++kept;
    for (const Index position : read) {
      if (position < kept && !tree_.is_new(numbers[position])) kept = position;
    }
    numbers.resize(kept);
    for (const Token token : tokens.subspan(kept)) {
      numbers.push_back(static_cast<std::uint32_t>(keys_->capacity()) + token);
    }
    return numbers;
  }

  /// Whether a token of a step is to be computed, and which one it is.
  bool is_computed(std::uint32_t number) const { return number >= keys_->capacity() || tree_.is_new(number); }
  Token token_of(std::uint32_t number) const {
    const auto capacity = static_cast<std::uint32_t>(keys_->capacity());
    return number >= capacity ? number - capacity : tree_.token_in(number);
  }

  /// Computes, as one forest, the paths to all that was missing and then `behind`. The scores of the rows that are read lie
  /// at rows_, in order.
  std::span<const Score> compute(const std::vector<Numbers>& behind, const std::vector<Read>& reads) {
    std::vector<Numbers> paths;
    for (const std::uint32_t number : tree_.missing()) tree_.append_rows(number, paths.emplace_back());
    paths.insert(paths.end(), behind.begin(), behind.end());
    const std::vector<std::span<const std::uint32_t>> spans(paths.begin(), paths.end());
    ForestBuilder& builder = step_.paths;
    builder.clear();
    builder.add_tree(spans);
    for (const Read& read : reads) builder.want_row(builder.index(0, read.sequence, read.position));
    lay_out(builder.finish());
    rows_.clear();
    for (const Read& read : reads)
      rows_.push_back(builder.row_of(builder.index(0, read.sequence, read.position)));
    keys_->begin(step_);
    return model_->score(step_.computed.view(), *keys_);
  }

  /// Which tokens of the paths are computed, as a forest; where keys come from, and where they go.
  void lay_out(const Forest& paths) {
    step_.queries.clear();
    step_.runs.clear();
    step_.keeps.clear();
    Forest& computed = step_.computed;
    computed = {};
    computed.rows.reserve(paths.rows.size());
    auto row = paths.rows.begin();
    for (std::uint32_t i = 0; i < paths.token_count(); ++i) {
      const std::uint32_t number = paths.tokens[i];
      const bool is_kept = !is_computed(number);
      const Index from = step_.queries.size();
      if (!step_.runs.empty() && step_.runs.back().is_kept == is_kept) {
        ++step_.runs.back().count;
      } else {
        step_.runs.push_back({i, 1, is_kept, from});
      }
      if (is_kept) continue;
      step_.queries.push_back(i);
      computed.tokens.push_back(token_of(number));
      computed.positions.push_back(paths.positions[i]);
      computed.depth = std::max<Index>(computed.depth, paths.positions[i] + 1);
      if (row != paths.rows.end() && *row == i) {
        computed.rows.push_back(static_cast<std::uint32_t>(from));
        computed.row_positions.push_back(paths.positions[i]);
        ++row;
      }
      if (number >= keys_->capacity()) continue;
      auto& keeps = step_.keeps;
      if (!keeps.empty() && keeps.back().begin + keeps.back().count == i &&
          keeps.back().row + keeps.back().count == number) {
        ++keeps.back().count;
      } else {
        keeps.push_back({i, 1, number});
      }
    }
    // Attention is done on the paths. As a forest by itself each token is a tree.
    const auto count = static_cast<std::uint32_t>(step_.queries.size());
    for (std::uint32_t i = 0; i <= count; ++i) computed.tree_begin.push_back(i);
    computed.tree_segment_begin = computed.segment_begin = computed.tree_begin;
    computed.segment_span_begin.assign(count + 1, 0);
    computed.subtree_end.assign(computed.tree_begin.begin() + 1, computed.tree_begin.end());
    computed.row_roots = computed.rows;
    computed.types.assign(count, 0);
    counts_.computed += count;
    counts_.reused += paths.token_count() - count;
  }

  Model* model_;
  std::unique_ptr<Keys> keys_;  // where tape and backend find it
  Tree tree_;
  Index most_ = std::numeric_limits<std::uint32_t>::max() / 2;  // tokens that are kept
  detail::SessionStep step_;
  Numbers rows_;
  std::vector<Score> scores_;
  SessionCounts counts_;
};

template <class Model>
Session(Model&) -> Session<Model>;
template <class Model>
Session(Model&, SessionOptions) -> Session<Model>;

}  // namespace MERIT_ABI
}  // namespace merit
