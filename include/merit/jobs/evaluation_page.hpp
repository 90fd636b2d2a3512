// An evaluation as one HTML page: figures, curves, distributions, and the records most worth reading.
#pragma once

#include <string>

#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/page/report_page.hpp"
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
  Json judge = Json::object();      // those of a judge's replies (to_json() of its report), or nothing
};

/// Throws before anything is computed when a page cannot be written there, as `option` says, or would replace what is none.
inline void check_evaluation_page(const std::string& option, const std::string& path,
                                  const OutputInputs& inputs) {
  check_output(option, path, inputs);
  check_own(path, "a report of merit_evaluate or merit_judge", [](const std::string& page) {
    return page.substr(0, page.find("<title>")).find(ReportPage::mark) != page.npos;
  });
  AtomicFile writable(path);
}

/// Writes the page, whole or not at all. Throws IoError.
void write_evaluation_page(const std::string& path, const EvaluationPage& input);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/evaluation_page_body.hpp"
#endif
