// How good a way of training is: figures of models that were each trained without a part of the prompts and judged
// on it, beside baselines on the same parts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/infer/score.hpp"
#include "merit/io/json.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"
#include "merit/tokens/tokenize_options.hpp"
#include "merit/train/train_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct CrossValidationOptions {
  Index folds = 5;  // parts of the prompts: each is held out once for each seed
  Index seeds = 1;  // each draws folds, weights and the order of records anew
  TrainOptions training = {};
  TokenizeOptions tokenize = {};  // of training: which labels of steps are learned from
};

/// A figure of the models beside that of a judge who reads nothing, over all folds of all seeds. Intervals are 95%
/// (corrected_resampled_mean), that of the models' figure cut to what it can be: of a share, 0 to 1.
struct ComparedFigure {
  std::string name;      // "accuracy"
  std::string baseline;  // "longer wins"; empty: there is none
  Estimate model = {};
  double other = 0;          // the baseline's mean over the same folds
  Estimate difference = {};  // the model's less the baseline's, fold by fold
  Index folds = 0;           // in which both are defined
};

struct CrossValidation {
  CrossValidationOptions options = {};
  Index records = 0;
  Index prompts = 0;
  Index read = 0;      // records of the files
  Index left_out = 0;  // of them dropped: the figures are of the others
  std::vector<ComparedFigure> figures = {};
};

/// A model to be trained, its weights drawn by `seed` or read from a file.
using MakeModel = std::function<std::unique_ptr<AnyModel>(std::uint64_t seed)>;

/// Trains folds · seeds models on the records of a set that was read to be judged, as any that is evaluated on: what
/// teaches nothing, such as equal sides, is held out and judged like all others, but not trained on. Records of one prompt are held out together, and without a prompt copies of a record,
/// as the notes of `set` have it (ExampleNote::split_key); without notes each record is its own. The
/// threshold of steps is fitted on an eighth of a fold's training prompts, which are not trained on. Throws
/// DataError where there are fewer prompts than folds, ConfigError for fewer than 2 folds.
CrossValidation cross_validate(const RecordSet& set, const Reading& reading, const MakeModel& make,
                               const CrossValidationOptions& options, const OnProgress& on_progress = {});

Json to_json(const CrossValidation& result);
std::string text_of(const CrossValidation& result);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/cross_validation_body.hpp"
#endif
