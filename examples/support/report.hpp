// An evaluation as one HTML page: figures, curves, distributions, and the records most worth reading.
#pragma once

#include <string>

#include "evaluation.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"

namespace programs {

struct ReportInput {
  std::string model;  // directory; the training's curves are in MODEL.metrics.jsonl beside it, if it is there
  const merit::AnyTokenizer& tokenizer;
  const RecordSet& set;  // with notes
  const Evaluation& evaluation;
  const Reading& reading;
  double threshold = 0.5;
  Json benchmark = Json::object();  // its own figures, or nothing
};

/// Writes the page, whole or not at all. Throws IoError.
void write_report(const std::string& path, const ReportInput& input);

}  // namespace programs
