// The answers to requests that put documents in order.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/serve/known_fields.hpp"
#include "merit/serve/request_fields.hpp"
#include "merit/serve/serve_reply.hpp"
#include "merit/serve/served_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Best first, those that were cut last, as RecordScores::order() has them.
inline ServeReply answer_rerank(ServedModel& model, const OrderedJson& body) {
  const bool of_tei = has_any_field(body, {"texts"});
  const char* field = of_tei ? "texts" : "documents";
  refuse_misspelt(body, {"query", field, "top_n", "raw_scores", of_tei ? "return_text" : "return_documents",
                         "use_activation", "activation", "softmax"});
  const std::vector<std::string> query = texts_field(body, {"query"});
  if (query.size() != 1) throw DataError("the request: field 'query': found a list, expected a string");
  const std::vector<std::string> documents = texts_field(body, {field});
  Index top = documents.size();
  if (const auto wanted = number_field(body, "top_n"); wanted) top = std::min<Index>(top, *wanted);
  ServedModel::Records records;
  records.push_back(completions_of(request_position(field), query[0], documents));
  RecordScores scored;
  scored.completions = model.all_scores(std::move(records));
  const std::vector<CompletionScore>& all = scored.completions;
  const bool raw = flag_field(body, "raw_scores") || without_activation(body);
  const bool with_text = flag_field(body, of_tei ? "return_text" : "return_documents", !of_tei);
  Json results = Json::array();
  for (const Index i : scored.order()) {
    if (results.size() == top) break;
    const double shown = raw ? model.raw(all[i]) : model.probability(all[i]);
    Json item{{"index", i}};
    if (of_tei) {
      item["score"] = shown;
      ServedModel::mark_cut(all[i], item);
      if (with_text) item["text"] = documents[i];
    } else {
      item.update(model.described(all[i]));
      item["relevance_score"] = shown;
      if (with_text) item["document"] = {{"text", documents[i]}};
    }
    results.push_back(std::move(item));
  }
  return reply(of_tei ? results : model.envelope("results", std::move(results), all));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
