// What is trained on a kind of records: its head and loss, and the card of the model to be.
#pragma once

#include <string>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/model/model_card.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/record_set.hpp"
#include "merit/run/saved_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The head and loss asked for among the pairs that learn from a kind of records; what is left open is as
/// usual. `usual_head` goes before the kind's usual one. Throws ConfigError that lists the pairs.
PolicyPair choose_policies(RecordKind kind, const std::string& head, const std::string& loss,
                           const std::string& usual_head);

/// The card of the model to be: how its records were read and how its scores are to be. `aggregation` and
/// `margin` by name; empty: as usual for the kind, and none.
ModelCard training_card(const SavedModel& model, RecordKind kind, const RecordSet& records,
                        const std::string& aggregation, const std::string& margin);

/// How many ratings a completion must have for this head and loss; 0 where it does not learn them one by one.
Index attributes_of(RecordKind kind, const AnyHead& any, const AnyLoss& loss);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/training_choice_body.hpp"
#endif
