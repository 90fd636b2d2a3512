// A model of the compiled set behind one interface: to be loaded and scored with.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "merit/core/score_meaning.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/infer/score.hpp"
#include "merit/model/load_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Sequences to be scored together as one tree, so that what they share is computed once.
struct Family {
  std::vector<const Sequence*> members;
};
template <class F>
void for_each_sequence(const Family& family, const F& f) {
  for (const Sequence* sequence : family.members) f(*sequence);
}

/// A model that is loaded and scores.
class ScoringModel {
 public:
  virtual ~ScoringModel() = default;
  virtual Index parameters() const = 0;
  virtual ScoreMeaning meaning() const = 0;
  virtual LoadReport load(const std::filesystem::path& from, const LoadOptions& options) = 0;
  /// The rows of every sequence of every family, in order.
  virtual std::vector<RowScores> score(std::span<const Family> families, Index token_budget,
                                       const OnProgress& on_progress) = 0;
  /// One number of a completion's rows, which are one but for a head that says otherwise: the score, or what
  /// the head merges of its scores.
  virtual double merged(std::span<const double> rows) const = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
