// The bodies of training_choice.hpp.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/jobs/training_choice.hpp"
#include "merit/model/model_card.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/record_set.hpp"
#include "merit/run/saved_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE PolicyPair choose_policies(RecordKind kind, const std::string& head, const std::string& loss,
                                        const std::string& usual_head) {
  std::vector<PolicyPair> fitting;
  for_each_pair(kind, [&](const PolicyPair& pair) { fitting.push_back(pair); });
  const auto agrees = [&](const PolicyPair& one, const std::string& wanted_head) {
    return (wanted_head.empty() || wanted_head == one.head) && (loss.empty() || loss == one.loss);
  };
  for (const std::string& wanted : {head.empty() ? usual_head : head, head}) {
    for (const PolicyPair& one : fitting) {
      if (agrees(one, wanted)) return one;
    }
  }
  if (head == GatedRegressionHead::name())
    throw ConfigError(concat("--head is ", head, ": ", GatedRegressionHead::untrained));
  std::string list;
  for (const PolicyPair& one : fitting) {
    list += concat(list.empty() ? "" : ", ", one.head, " with ", one.loss);
  }
  std::string asked;
  if (!head.empty()) asked += " --head " + head;
  if (!loss.empty()) asked += " --loss " + loss;
  throw ConfigError("found" + asked + ", expected for records of the kind " + name_of_kind(kind) +
                    " one of: " + list);
}

namespace detail {

/// Whether labels of steps are none sure, as Monte-Carlo estimates are.
inline bool has_soft_labels(const RecordSet& records) {
  if (records.kind != RecordKind::steps) return false;
  bool soft = false;
  for_each_example(records, [&]<class Example>(const Example& example) {
    if constexpr (std::is_same_v<Example, StepsExample>) {
      for (const auto& label : example.labels) soft |= label && label->bad > 0 && label->bad < 1;
    }
  });
  return soft;
}

}  // namespace detail

MERIT_INLINE ModelCard training_card(const SavedModel& model, RecordKind kind, const RecordSet& records,
                                     const std::string& aggregation, const std::string& margin) {
  ModelCard card = card_of(model);
  card.kind = name_of_kind(kind);
  const ScoreMeaning meaning = meaning_of(model.head);
  card.labels = labels_of(model.head);
  if (meaning == ScoreMeaning::per_step) {
    card.other["step_scale"] = name_of(model.tokenize.step_scale);
    card.other["neutral_steps"] = name_of(model.tokenize.neutral);
    // Labels that stop at an error go with the product, Monte-Carlo estimates with the last.
    card.aggregation = detail::has_soft_labels(records) ? "last" : "product";
  } else if (meaning == ScoreMeaning::per_token) {
    card.aggregation = "mean";
  } else if (meaning == ScoreMeaning::per_state) {
    card.other["gamma"] = model.tokenize.gamma;
    card.other["lambda"] = model.tokenize.lambda;
    card.aggregation = "last";
  }
  if (model.tokenize.margin) card.other["margin"] = margin;
  if (!aggregation.empty()) card.aggregation = std::string(name_of(aggregation_from_name(aggregation)));
  return card;
}

MERIT_INLINE Index attributes_of(RecordKind kind, const AnyHead& any, const AnyLoss& loss) {
  if (kind != RecordKind::ratings || name_of(loss) != "regression") return 0;
  const auto* head = std::get_if<AttributeHead>(&any);
  return head != nullptr ? head->merge_weights.size() : 1;
}

}  // namespace MERIT_ABI
}  // namespace merit
