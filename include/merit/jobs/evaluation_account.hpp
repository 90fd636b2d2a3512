// All that is said of an evaluation: its report, its benchmark's own figures, its subsets.
#pragma once

#include <string>

#include "merit/io/json.hpp"
#include "merit/jobs/benchmark_evaluation.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The same as an object and as lines for a person.
struct EvaluationAccount {
  Json json;
  std::string text;
};

/// The account of an evaluation of `set`, which is the benchmark's where there is one. `model`: whose scores they are, or
/// nullptr. `subset_field`: by which field the notes of a set that is no benchmark name its subsets; empty: by none.
EvaluationAccount account_of(const AnyModel* model, const RecordSet& set, const BenchmarkSet* benchmark,
                             const Evaluation& evaluation, const Reading& reading, double threshold,
                             const std::string& subset_field);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/evaluation_account_body.hpp"
#endif
