// Files of preference records to examples, and what is said about a model's scores of them.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "merit/files.hpp"
#include "program.hpp"

namespace programs {

/// The examples of one or more files.
struct PairSet {
  std::vector<merit::PreferenceExample> examples;
  merit::DataCounts counts;
  std::string files;  // their names, for errors and reports
};

/// Features belong to the features backbone, text and ids to the others. Throws DataError with file and line.
inline void check_form(merit::RecordForm form, bool wants_features, const merit::SourcePosition& at) {
  const bool has_features = form == merit::RecordForm::features;
  if (has_features == wants_features) return;
  throw merit::DataError(merit::detail::concat(
      at.text(), ": found ", has_features ? "feature vectors" : "text or ids", ", expected ",
      has_features ? "text or ids: feature vectors are for the backbone features"
                   : "feature vectors, which is what the backbone features reads"));
}

/// Reads preference files, one record at a time. Throws DataError also when nothing is left to use.
inline PairSet read_pairs(const std::vector<std::string>& files, const merit::AnyTokenizer& tokenizer,
                          const merit::TokenizeOptions& options, bool wants_features) {
  PairSet set;
  for (const std::string& file : files) {
    set.files += (set.files.empty() ? "" : ", ") + file;
    merit::PreferenceReader reader{std::filesystem::path(file)};
    while (const auto record = reader.next()) {
      check_form(record->form, wants_features, record->source);
      if (auto example = merit::tokenize(*record, tokenizer, options, set.counts)) {
        set.examples.push_back(std::move(*example));
      }
    }
  }
  if (set.examples.empty()) throw merit::DataError(set.files + ": no pair to use. " + set.counts.sentence());
  return set;
}

inline merit::Json to_json(const merit::DataCounts& counts) {
  merit::Json json = merit::Json::object();
  for (const auto& [name, value] : counts.items()) json[std::string(name)] = value;
  return json;
}

inline merit::Json to_json(const merit::Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

inline merit::Json to_json(const merit::PairReport& report) {
  return {{"pairs", report.pairs},
          {"accuracy", to_json(report.accuracy)},
          {"ties", report.ties},
          {"longer_wins", to_json(report.longer_wins)},
          {"length_ties", report.length_ties},
          {"loss", report.loss},
          {"mean_margin", report.mean_margin},
          {"min_score", report.min_score},
          {"mean_score", report.mean_score},
          {"max_score", report.max_score}};
}

/// "0.912 (95% interval 0.894 to 0.930)".
inline std::string text_of(const merit::Estimate& estimate) {
  return fixed(estimate.value, 3) + " (95% interval " + fixed(estimate.low, 3) + " to " +
         fixed(estimate.high, 3) + ")";
}

/// The report as a person reads it, one line each.
inline std::string text_of(const merit::PairReport& report) {
  const auto ties = [](merit::Index count) {
    return count == 0 ? std::string("no ties") : std::to_string(count) + (count == 1 ? " tie" : " ties");
  };
  return "accuracy      " + text_of(report.accuracy) + ", " + ties(report.ties) + " in " +
         std::to_string(report.pairs) + (report.pairs == 1 ? " pair" : " pairs") + "\n" +  //
         "longer wins   " + text_of(report.longer_wins) + ", " + ties(report.length_ties) +
         ": what the length alone gives\n" +                                     //
         "loss          " + fixed(report.loss, 4) + " (0.6931 is a coin's)\n" +  //
         "mean margin   " + fixed(report.mean_margin, 4) + "\n" +                //
         "scores        " + fixed(report.min_score, 4) + " to " + fixed(report.max_score, 4) + ", mean " +
         fixed(report.mean_score, 4);
}

/// For the progress of scoring.
inline merit::OnProgress progress_of(merit::Progress& progress) {
  return [&progress](merit::Index done, merit::Index) { progress.update(done); };
}

}  // namespace programs
