// The options of how files of records are taken: fields under other names, parts of files.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "merit/benchmarks/benchmark_files.hpp"
#include "merit/core/error.hpp"
#include "merit/core/visible.hpp"
#include "merit/records/record_source.hpp"
#include "options.hpp"

namespace programs {

struct SourceFlags {
  std::vector<std::string> rename, select, ratings;
  merit::Index limit = 0;
};

inline void declare(CommandLine& line, SourceFlags& flags) {
  line.texts(
      "--rename", flags.rename, "FIELD=NAME",
      "read a field under another name, such as question=prompt; of any kind of record, as often as needed",
      Several::one_each);
  line.texts(
      "--select", flags.select, "FIELD=VALUE",
      "only records in which the field has the value; fields of objects by dots; several values of one field: any",
      Several::one_each);
  line.number("--limit", flags.limit, "only the first N records of each file; 0: all");
  line.texts(
      "--rating", flags.ratings, "NAME",
      "which ratings of UltraFeedback or HelpSteer count, such as helpfulness; empty: the overall score, and all five",
      Several::one_each);
}

inline merit::RecordSourceOptions source_options(const SourceFlags& flags) {
  merit::RecordSourceOptions options{.limit = flags.limit, .ratings = flags.ratings};
  for (const std::string& text : flags.rename) options.rename.push_back(merit::name_pair(text, "--rename"));
  for (const std::string& text : flags.select) options.select.push_back(merit::name_pair(text, "--select"));
  return options;
}

/// Throws ConfigError for the first of these options that was given beside a benchmark.
inline void refuse_beside_layout(const CommandLine& line, const std::string& file,
                                 merit::BenchmarkLayout layout, const std::vector<std::string>& options) {
  for (const std::string& option : options) {
    if (!line.given(option)) continue;
    throw merit::ConfigError(merit::concat(option, " is given, but ", file, " is the benchmark ",
                                           merit::name_of(layout), ", which is read whole and as published"));
  }
}

/// Says what a user should know of files.
inline void say_remarks(const std::vector<std::string>& remarks, const char* program) {
  for (const std::string& remark : remarks)
    std::fprintf(stderr, "%s: %s\n", program, merit::visible(one_line(remark)).c_str());
}

}  // namespace programs
