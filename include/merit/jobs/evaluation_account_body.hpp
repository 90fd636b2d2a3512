// The account of an evaluation.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/evaluation_account.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE EvaluationAccount account_of(const AnyModel* model, const RecordSet& set,
                                          const BenchmarkSet* benchmark, const Evaluation& evaluation,
                                          const Reading& reading, double threshold,
                                          const std::string& subset_field) {
  EvaluationAccount account{to_json(evaluation), set.account() + '\n' + text_of(evaluation)};
  account.json["records"] = to_json(set);
  if (benchmark != nullptr) {
    const BenchmarkScores scores = benchmark_scores(*benchmark, evaluation, reading, threshold);
    account.json["benchmark"] = scores.json;
    account.text += "\n\n" + scores.text;
    return account;
  }
  if (subset_field.empty()) return account;
  std::map<std::string, std::vector<Index>> subsets;
  for (Index i = 0; i < set.notes.size(); ++i) subsets[set.notes[i].subset].push_back(i);
  for (const auto& [subset, read] : set.subsets) {
    const std::vector<Index>& numbers = subsets[subset];
    std::string report;
    try {
      if (numbers.empty())
        throw DataError(concat("none of its ", read, " records has a score: all were dropped"));
      Evaluation part = evaluate_some(model, set, evaluation, numbers, reading, threshold);
      part.read = read;
      part.left_out = read - numbers.size();
      account.json["subsets"][subset] = to_json(part);
      report = text_of(part);
    } catch (const DataError& error) {  // a part may have nothing to compare where the whole has
      account.json["subsets"][subset] = {{"not_reported", error.what()}, {"read", read}};
      report = std::string("not reported: ") + error.what();
    }
    account.text += "\n\n" + visible(subset_field + " " + subset) + '\n' + report;
  }
  return account;
}

}  // namespace MERIT_ABI
}  // namespace merit
