// The least that a backbone, a head and a loss can be. A template that compiles with these asks for no more
// than the concepts; a new policy of one's own can start from a copy. (The least tokenizer lies beside its
// concept, in tokenizer/tokenizer.hpp.)
#pragma once

#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/head.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// hidden = zero, whatever the tokens; no parameters.
struct BackboneArchetype {
  template <class B>
  class Bound {
   public:
    Bound(const BackboneArchetype&, Parameters<B>&) {}
    Index hidden_width() const { return 1; }
    Var forward(Tape<B>& tape, const typename BackendTypes<B>::Forest& forest) {
      const Var out = tape.make(forest.row_count(), 1, false);  // (R, 1)
      B::fill(tape.handle(), tape.value(out).flat(), typename B::Activation{0});
      return out;
    }
  };

  static constexpr std::string_view name() { return "archetype"; }
  Index token_limit() const { return 1; }  // token 0 alone
  Index position_limit() const { return 0; }
};

/// score = hidden, read at the last token; no parameters.
template <ScoreMeaning Meaning = ScoreMeaning::per_completion>
struct HeadArchetype {
  template <class B>
  class Bound {
   public:
    Bound(const HeadArchetype&, Index width, Parameters<B>&) : width_(width) {}
    Index outputs() const { return width_; }
    Var forward(Tape<B>&, Var hidden) { return hidden; }

   private:
    Index width_;
  };

  static constexpr ScoreMeaning meaning = Meaning;
  static constexpr std::string_view name() { return "archetype"; }
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    out.push_back(sequence.length - 1);
  }
};

/// loss = 0, whatever the scores, of a term; its targets are empty.
template <ScoreMeaning Meaning = ScoreMeaning::per_completion>
struct LossArchetype {
  struct Unit {
    Index size() const { return 1; }
    ScorePlace place(Index) const { return {}; }
  };
  struct Targets {
    void clear() {}
    Index unit_count() const { return 0; }
    Unit unit(Index) const { return {}; }
  };

  static constexpr ScoreMeaning reads = Meaning;
  static constexpr std::string_view name() { return "archetype"; }
  double normaliser(const Targets&) const { return 1; }
  UnitLoss term(const Unit&, double, const UnitNumbers& numbers) const {
    numbers.slopes[0] = 0;
    return {};
  }
};

/// The same, of a loop of its own.
template <ScoreMeaning Meaning = ScoreMeaning::per_completion>
struct LoopLossArchetype {
  struct Targets {
    void clear() {}
  };

  static constexpr ScoreMeaning reads = Meaning;
  static constexpr std::string_view name() { return "archetype"; }
  double normaliser(const Targets&) const { return 1; }
  template <class Score>
  double value_and_gradient(MatrixView<const Score>, const Targets&, double,
                            MatrixView<Score> gradient) const {
    for (Index i = 0; i < gradient.rows; ++i) {
      for (Index j = 0; j < gradient.cols; ++j) gradient(i, j) = 0;
    }
    return 0;
  }
};

static_assert(backbone<BackboneArchetype, ReferenceBackend<double>>);
static_assert(head<HeadArchetype<>, ReferenceBackend<double>>);
static_assert(loss<LossArchetype<>, double> && term_loss<LossArchetype<>>);
static_assert(loss<LoopLossArchetype<>, double> && !term_loss<LoopLossArchetype<>>);

}  // namespace MERIT_ABI
}  // namespace merit
