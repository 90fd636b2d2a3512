// Where a head computes: on the backbone's tape, or, where a backend's activations are held in less than
// scores are to be, on a tape of its own, in Stat.
#pragma once

#include "merit/backend/operations.hpp"
#include "merit/tape/parameters.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The usual case: the head goes on on the backbone's tape.
template <class B>
class HeadTape {
 public:
  explicit HeadTape(Parameters<B>&) {}

  Tape<B>& of(Tape<B>& tape) { return tape; }
  /// Hidden rows (R, d) as the head reads them.
  Var bring(Tape<B>&, Var hidden) { return hidden; }
  /// Once the scores' gradient is seeded: leaves that of the hidden rows on the backbone's tape.
  void carry_back() {}
  void trim() {}
};

/// Narrow activations: the rows are converted once, and their gradient, rounded, on the way back.
template <class B>
requires narrow_activations<B>
class HeadTape<B> {
 public:
  using S = ScoreBackendOf<B>;

  explicit HeadTape(Parameters<B>& parameters) : tape_(parameters.handle(), parameters) {}

  Tape<S>& of(Tape<B>&) { return tape_; }
  Var bring(Tape<B>& tape, Var hidden) {
    tape_.reset();
    tape_.set_recording(tape.recording());
    const Var rows = tape_.make(tape.rows(hidden), tape.cols(hidden), tape.needs_gradient(hidden));
    B::widen(tape.handle(), tape.value(hidden), tape_.value(rows));
    tape_.record(rows, CarryNode{&tape, hidden, rows});
    return rows;
  }
  void carry_back() { tape_.backward(); }
  void trim() { tape_.trim(); }

 private:
  struct CarryNode {
    Tape<B>* backbone;
    Var hidden;
    Var rows;
    void backward(Tape<S>& tape) const {
      const auto target = backbone->gradient_target(hidden);
      B::narrow(tape.handle(), tape.gradient(rows), target.write, target.view);
    }
  };

  Tape<S> tape_;
};

}  // namespace MERIT_ABI
}  // namespace merit
