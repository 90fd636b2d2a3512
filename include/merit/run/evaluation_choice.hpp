// How a saved model is evaluated: on which kinds of records, with which labels and threshold.
#pragma once

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Throws ConfigError where the model's scores say nothing about the kind of records.
void check_meaning(RecordKind kind, const SavedModel& saved);

/// The probability under which a step or an outcome counts as wrong: for steps what was fitted with the
/// calibration, else one half.
double fitted_threshold(const SavedModel& saved, const Reading& reading);

/// How records become examples, with what the card says of the labels that the model learned.
TokenizeOptions labels_as_trained(const SavedModel& saved, RecordKind kind);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/evaluation_choice_body.hpp"
#endif
