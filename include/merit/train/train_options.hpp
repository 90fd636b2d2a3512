// The numbers of a training run, what a step reports, and what a run calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/forest/forest.hpp"
#include "merit/optim/any_optimizer.hpp"
#include "merit/optim/schedule.hpp"
#include "merit/train/sampling.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The numbers of a training run.
struct TrainOptions {
  Index epochs = 1;     // one is usual for reward models: more overfits (Ouyang et al. 2022)
  Index max_steps = 0;  // so many optimizer steps whatever `epochs` says, and the schedule over them; 0: all
  Index batch_size = 16;  // records in an optimizer step
  /// Tokens in a forest, after sharing: bounds memory, does not change the gradient.
  Index micro_batch_tokens = 8192;
  double max_gradient_norm = 1;  // of all gradients together; 0: no clipping
  AnyOptimizer optimizer = AdamW{};
  Schedule schedule = {};
  std::uint64_t seed = 0;  // of the order of records
  Sharing sharing = Sharing::yes;
  /// Adds gradients in an order that does not depend on how many ranks there are, for the same bits with any number, at the
  /// price of memory (see gradient_exchange.hpp) and of less even work. Needs a trainer that is given ranks; one alone is a
  /// SoloComm.
  bool fixed_tree = false;
  /// Rounds trained weights by chance where products read them in fewer bits (WeightRounding), in place of to nearest.
  bool stochastic_rounding = false;
  std::vector<SetPart> parts = {};  // how often an epoch visits which examples; empty: each once

  void validate() const {
    const auto positive = [](const char* field, Index value) {
      if (value == 0) throw ConfigError(concat("training: ", field, " is 0, expected at least 1"));
    };
    positive("epochs", epochs);
    positive("batch_size", batch_size);
    positive("micro_batch_tokens", micro_batch_tokens);
    if (!(max_gradient_norm >= 0)) {
      throw ConfigError(
          concat("training: max_gradient_norm is ", max_gradient_norm, ", expected at least 0"));
    }
    merit::validate(optimizer);
    schedule.validate();
  }
};

/// What one optimizer step did.
struct StepReport {
  Index step = 0;   // from 1
  Index steps = 0;  // of the whole run
  Index epoch = 0;  // from 1
  double loss = 0;
  double accuracy = 0;       // of the step's own pairs or labels before the update; ties ½
  Index judged = 0;          // how many those were; 0 where the loss has no right and wrong
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  double seconds = 0;
  Index records = 0;
  Index micro_batches = 0;          // of all ranks together, as are the tokens
  Index tokens = 0;                 // computed
  Index tokens_before_sharing = 0;  // in the records
};

enum class StopReason : std::uint8_t { finished, requested };

/// What a run calls, each where it is set. Ranks have the same numbers of steps here; each may have functions of its own, but
/// those that save or measure together are all ranks'.
struct TrainHooks {
  std::function<void(const StepReport&)> on_step = {};
  Index evaluate_every = 0;                          // steps; also after the last one
  std::function<bool(Index step)> on_evaluate = {};  // returns false to stop early
  Index checkpoint_every = 0;                        // steps
  std::function<void(Index step)> on_checkpoint = {};
  const std::atomic<bool>* stop = nullptr;  // set from a signal handler: ends after the current step
};

}  // namespace MERIT_ABI
}  // namespace merit
