// What a training run would be, before it is one: lengths, steps, time, memory, and how a record is seen.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/io/json.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/record_set.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/train/train_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Time and memory are measured by a step of the longest records, whose result is thrown away.
struct TrainingPlan {
  struct Lengths {  // tokens of a sequence
    Index least = 0, median = 0, nine_tenths = 0, most = 0;
  };

  Index parameters = 0, trained_parameters = 0;
  Index records = 0, sequences = 0;
  Lengths lengths = {};
  Index steps = 0, steps_per_epoch = 0;
  Index tokens = 0;  // of an epoch, computed
  Index tokens_before_sharing = 0;
  double seconds = 0;  // of all steps, as the tokens of the measured one took
  double peak_bytes = 0;
  // What that is, in bytes: weights as they are held, gradients and the optimizer's numbers of what is trained, and of each
  // token of the records that are computed at once what the way back needs.
  double weight_bytes = 0, gradient_bytes = 0, optimizer_bytes = 0, bytes_per_token = 0;
  Index tokens_at_once = 0;
  /// What the backbone's `recompute` would make of it: none, half and all of the layers that can be, and as it is.
  struct Recompute {
    Index layers = 0;
    double bytes_per_token = 0;
    double time = 1;  // of a step without any, about, by the products that are computed again
    bool chosen = false;
  };
  std::vector<Recompute> recompute = {};  // empty: no layer can be
  std::string record = {};                // the first one, as the model sees it
};

/// Makes two steps of the `batch_size` longest records with `model`, which is not what it was afterwards. The notes of
/// `train`, where it has them, are where the words of its record are from.
TrainingPlan plan_training(AnyModel& model, const RecordSet& train, const AnyTokenizer& tokenizer,
                           const TrainOptions& options);

/// A sequence as text: | where the completion begins, ^ behind each token whose row the head reads. Tokens of a
/// tokenizer that cannot decode are the words of `texts` that have them, else numbers.
std::string marked_rows(const AnyTokenizer& tokenizer, const AnyHead& head, const Sequence& sequence,
                        std::span<const std::string> texts = {});

Json to_json(const TrainingPlan& plan);
std::string text_of(const TrainingPlan& plan);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/training_plan_body.hpp"
#endif
