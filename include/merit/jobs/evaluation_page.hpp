// An evaluation as one HTML page: figures, curves, distributions, and the records most worth reading.
#pragma once

#include <string>

#include "merit/io/json.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a page is made of.
struct EvaluationPage {
  std::string model;  // directory; the training's curves are in MODEL.metrics.jsonl beside it, if it is there
  const AnyTokenizer& tokenizer;
  const RecordSet& set;  // with notes
  const Evaluation& evaluation;
  const Reading& reading;
  double threshold = 0.5;
  Json benchmark = Json::object();  // its own figures, or nothing
};

/// Writes the page, whole or not at all. Throws IoError.
void write_evaluation_page(const std::string& path, const EvaluationPage& input);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/evaluation_page_body.hpp"
#endif
