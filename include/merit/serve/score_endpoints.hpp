// The answers to requests for scores: records, texts in pairs, classes, and what is said of each token or step.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/serve/known_fields.hpp"
#include "merit/serve/request_fields.hpp"
#include "merit/serve/serve_reply.hpp"
#include "merit/serve/served_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// "text_1" and "text_2", as vLLM's clients send them.
inline ServeReply score_texts(ServedModel& model, const OrderedJson& body) {
  refuse_misspelt(body, {"text_1", "text_2", "queries", "items", "documents", "use_activation", "activation",
                         "softmax", "encoding_format"});
  refuse_other_forms(body);
  const std::vector<std::string> first = texts_field(body, {"text_1", "queries"});
  const std::vector<std::string> second = texts_field(body, {"text_2", "items", "documents"});
  if (first.size() != 1 && first.size() != second.size()) {
    throw DataError(concat("the request: found ", first.size(), " first texts and ", second.size(),
                           " second ones, expected one first text, or as many of both"));
  }
  ServedModel::Records records;
  if (first.size() == 1) {
    records.push_back(completions_of(request_position("text_2"), first[0], second));
  } else {
    for (Index i = 0; i < first.size(); ++i)
      records.push_back(completion_of(request_position("text_2", i), first[i], second[i]));
  }
  const auto all = model.all_scores(std::move(records));
  Json data = Json::array();
  for (const CompletionScore& one : all) {
    Json item = model.described(one);
    item.update({{"index", data.size()}, {"object", "score"}});
    data.push_back(std::move(item));
  }
  return reply(model.envelope("data", std::move(data), all));
}

/// A record, or several in "records", each with its own error.
inline ServeReply answer_score(ServedModel& model, const OrderedJson& body) {
  if (has_any_field(body, {"text_1", "queries"})) return score_texts(model, body);
  const OrderedJson* list = find_field(body, "records");
  if (list != nullptr) {
    if (!list->is_array()) refuse_field("records", *list, "a list");
    refuse_unknown(body, {"records", "rows"});
  }
  const bool rows = flag_field(body, "rows");
  ServedModel::Records records;
  std::vector<std::string> faults;  // of each record: why it is none; empty: it is one
  for (Index i = 0; i < (list != nullptr ? list->size() : 1); ++i) {
    try {
      records.push_back(list != nullptr ? record_of_request((*list)[i], request_position("records", i))
                                        : record_of_request(body, request_position(), {"model", "rows"}));
      faults.emplace_back();
    } catch (const DataError& error) {
      faults.emplace_back(error.what());
    }
  }
  Json results = Json::array();
  std::vector<CompletionScore> all;
  const ServedModel::Scores scored = model.scores(std::move(records));
  Index next = 0;
  for (const std::string& fault : faults) {
    RecordScores one;
    if (fault.empty()) {
      one = scored[next++];
    } else {
      one.error = fault;
    }
    Json result{{"index", results.size()}};
    if (!one.error.empty() || !one.dropped.empty()) {
      result["error"] = one.error.empty() ? "no score: " + one.dropped : one.error;
    } else if (one.form == RecordScores::Form::one) {
      result.update(model.described(one.completions.front(), rows));
    } else {
      result["completions"] = Json::array();
      for (const CompletionScore& each : one.completions)
        result["completions"].push_back(model.described(each, rows));
      if (one.form == RecordScores::Form::several) result["order"] = one.order();
    }
    all.insert(all.end(), one.completions.begin(), one.completions.end());
    results.push_back(std::move(result));
  }
  if (list == nullptr && results[0].contains("error"))
    throw DataError(results[0]["error"].get<std::string>());
  return reply(model.envelope("results", std::move(results), all));
}

inline ServeReply answer_classify(ServedModel& model, const OrderedJson& body) {
  const bool raw = without_activation(body);
  const auto all = model.all_scores(records_of_input(body));
  Json data = Json::array();
  for (const CompletionScore& one : all) {
    const double good = model.probability(one);
    Json item = model.described(one);
    item.update({{"index", data.size()},
                 {"label", good >= 0.5 ? "good" : "bad"},
                 {"probs", {raw ? completion_logit(one.score, model.reading()) : good}},
                 {"num_classes", 1}});
    data.push_back(std::move(item));
  }
  return reply(model.envelope("data", std::move(data), all));
}

inline ServeReply answer_pooling(ServedModel& model, const OrderedJson& body) {
  const bool raw = without_activation(body);
  const auto all = model.all_scores(records_of_input(body));
  Json data = Json::array();
  for (const CompletionScore& one : all) {
    Json item = model.described(one);
    item.update({{"index", data.size()}, {"object", "pooling"}});
    if (model.reading().gives_probabilities()) item["logits"] = model.logits(one);
    item["data"] = !model.reading().has_rows() ? Json{model.raw(one)}
                   : raw                       ? model.logits(one)
                                               : Json(one.rows);
    data.push_back(std::move(item));
  }
  return reply(model.envelope("data", std::move(data), all));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
