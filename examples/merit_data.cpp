// Says what files of records hold, and writes them in our own form.
#include <optional>
#include <string>
#include <vector>

#include "command_line/options.hpp"
#include "command_line/source_flags.hpp"
#include "merit/io/file.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/run/data_report.hpp"

namespace {

constexpr const char* name = "merit_data";

int run(int argc, char** argv) {
  programs::CommandLine line(
      name,
      "Says what files of records hold: the kind or published set, counts, lengths, duplicates, prompts that\n"
      "several files have, and the balance of labels.\n\n"
      "  merit_data train.jsonl eval.jsonl\n"
      "  merit_data --select source=math --out math.jsonl ultrafeedback.jsonl.gz\n\n"
      "Reads JSON lines, JSON arrays, CSV and TSV with a header, each also packed by gzip, in our own fields or as\n"
      "published (UltraFeedback, HelpSteer, PRM800K, Math-Shepherd, Arena and others).\n");
  std::vector<std::string> files;
  std::string out;
  programs::SourceFlags source;
  bool json = false;
  line.texts("FILE", files, "FILE", "files of records, each of one kind");
  line.text("--out", out, "FILE", "also write the records that can be read, as JSON lines in our own form");
  programs::declare(line, source);
  line.flag("--json", json, "write one JSON object");
  line.parse(argc, argv);
  if (files.empty()) throw merit::ConfigError("FILE is missing: the records to look at");
  std::optional<merit::AtomicFile> written;
  if (!out.empty()) {
    merit::OutputInputs inputs;
    for (const std::string& file : files) inputs.files.push_back(merit::weighted_file(file).path);
    merit::check_output("--out", out, inputs);
    written.emplace(out);
  }
  const auto write = [&](const merit::OrderedJson& record) { written->write(record.dump() + '\n'); };
  const merit::DataReport report = written
                                       ? merit::report_on_data(files, programs::source_options(source), write)
                                       : merit::report_on_data(files, programs::source_options(source));
  if (written) written->commit();
  programs::Output output;
  output.line(json ? merit::json_text(merit::to_json(report), "the report") : merit::text_of(report));
  output.flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
