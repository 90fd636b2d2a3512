// A training run from its start, or from where it was interrupted, to a saved model: evaluations, the best model,
// what is fitted to it, metrics.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/jobs/overlap.hpp"
#include "merit/jobs/run_listener.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/record_set.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/train/train_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a run does, beside how its steps are made.
struct RunOptions {
  std::filesystem::path out = {};  // the model's folder, which is replaced; until the run ends also its state
  std::string metrics = {};        // file of JSON lines, one an event
  std::filesystem::path from = {};        // a checkpoint whose weights it starts with; empty: the model's own
  std::string note = {};                  // told once those weights are there; empty: nothing
  std::vector<std::string> remarks = {};  // on the data, told once it is known that the run begins
  std::filesystem::path tensorboard = {};  // folder for events that TensorBoard reads; empty: none
  TrainOptions training = {};
  Comm* comm =
      nullptr;  // those that run this together, each with the same options and data; null: the model's
  Index evaluate_every = 0;           // steps; 0: only at the end
  bool evaluate_every_epoch = false;  // in place of so many steps
  bool evaluate_at_start = false;     // also before the first step, which is no candidate for the best
  bool keep_best = false;             // the best of all evaluations is saved, not the last
  Index patience = 0;  // ends after so many evaluations that are no better, with the best model; 0: never
  Index checkpoint_every = 0;               // steps; 0: only when it is stopped
  std::string calibration = {};             // "temperature" or "platt"; empty: as usual for the kind
  bool reward_statistics = true;            // mean and deviation of the rewards over the training set
  const std::atomic<bool>* stop = nullptr;  // set from a signal handler: ends after the current step
};

/// What `out` holds when the run starts: nothing of it, a run that was interrupted, or its model.
enum class RunStart : std::uint8_t { fresh, interrupted, finished };

/// What is trained, on what. All of it must outlive the run.
struct RunJob {
  RunStart start = RunStart::fresh;
  RecordKind kind = RecordKind::preference;
  const SavedModel& saved;  // backbone, head, tokenizer and its files; of `from` how it is loaded
  const AnyLoss& loss;
  const ModelCard& card;  // how records were read and scores are to be
  const RecordSet& train;
  const RecordSet* eval = nullptr;
  const RecordSet* calibrate = nullptr;
};

/// What a run counts beside its steps, kept in its checkpoints.
struct RunTotals {
  Index tokens = 0;
  Index tokens_before_sharing = 0;
  double seconds = 0;  // in steps
  double best = -1e300;
  Index best_step = 0;  // 0: there was no evaluation yet
  Index evaluations_without_better = 0;
};
Json to_json(const RunTotals& totals);

/// How a run ended.
struct RunResult {
  bool interrupted = false;  // it is saved in `out`, to go on with; what follows `steps` is not there
  Index step = 0;            // made
  Index steps = 0;           // in all
  bool stopped_early = false;
  RunTotals totals = {};
  std::optional<Evaluation> evaluation = {};  // of the model saved
  Overlap overlap = {};                       // of what was held out with what was trained on
  ModelCard card = {};                        // its card, with what was fitted to it
  double threshold = 0.5;                     // a step under it counts as wrong
  Json json = {};                             // all of it, as its metrics end with
};

/// Runs to the end, or until it is asked to stop. A run that was interrupted makes the same model as one that
/// was not. Throws DataError, IoError, ConfigError; what was saved before stays.
RunResult run_training(AnyModel& model, const RunJob& job, const RunOptions& options, RunListener& listener);

/// Where the best model is kept while a run with patience or keep_best goes on.
std::filesystem::path best_directory(const std::filesystem::path& out);
/// Whether the model in `best` is one that a run with patience or keep_best kept there.
bool is_kept_best(const std::filesystem::path& best);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/training_run_body.hpp"
#endif
