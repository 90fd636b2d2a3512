// How well a saved model orders pairs: accuracy with its interval and ties, and the baseline of length beside
// it.
#include <map>
#include <string>
#include <vector>

#include "merit/files.hpp"
#include "support/pairs.hpp"
#include "support/program.hpp"
#include "support/saved_model.hpp"

namespace {

using merit::Index;

constexpr const char* name = "merit_evaluate";

struct Options {
  std::vector<std::string> files;
  std::string model;
  std::string subset_field;
  std::string tokenizer;
  Index batch_tokens = 8192;
  std::uint16_t threads = 0;
  bool json = false;
};

/// The examples of all files, in their order.
struct Records {
  std::vector<merit::PreferenceExample> examples;
  std::map<std::string, std::vector<Index>> subsets;  // the numbers of the examples in each
  merit::DataCounts counts;
};

/// What a record says of its subset: a string or number as text.
std::string subset_of(const nlohmann::json& object, const std::string& field,
                      const merit::SourcePosition& at) {
  if (field.empty()) return "";
  const auto value = object.find(field);
  if (value == object.end() || value->is_null()) return "(none)";
  if (value->is_string()) return value->get<std::string>();
  if (value->is_primitive()) return value->dump();
  throw merit::DataError(at.text() + ": field '" + field +
                         "': found a list or an object, expected the name of a subset");
}

Records read_records(const Options& options, const programs::SavedModel& saved) {
  Records records;
  std::string files;
  for (const std::string& file : options.files) {
    files += (files.empty() ? "" : ", ") + file;
    merit::JsonLinesReader reader{std::filesystem::path(file)};
    while (const auto object = reader.next()) {
      merit::PreferenceRecord record;
      record.source = reader.position();
      merit::detail::parse_record(*object, record);
      programs::check_form(record.form, programs::is_features(saved.backbone), record.source);
      const std::string subset = subset_of(*object, options.subset_field, record.source);
      if (auto example = merit::tokenize(record, *saved.tokenizer, saved.tokenize, records.counts)) {
        if (!options.subset_field.empty()) records.subsets[subset].push_back(records.examples.size());
        records.examples.push_back(std::move(*example));
      }
    }
  }
  if (records.examples.empty()) {
    throw merit::DataError(files + ": no pair to evaluate. " + records.counts.sentence());
  }
  return records;
}

/// The report of some of the pairs.
merit::PairReport report_of(const std::vector<Index>& numbers, const std::vector<merit::PairScores>& scores,
                            const Records& records) {
  std::vector<merit::PairScores> own_scores;
  std::vector<merit::PreferenceExample> own_examples;
  for (const Index i : numbers) {
    own_scores.push_back(scores[i]);
    own_examples.push_back(records.examples[i]);
  }
  return merit::report_pairs(own_scores, own_examples);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Evaluates a saved reward model on preference records.\n\n"
      "Reports the share of pairs whose chosen side scores higher (a tie counts one half) with its 95% "
      "bootstrap\n"
      "interval, and beside it the share in which the chosen side is the longer one, in tokens.\n",
      name);
  programs::prepare(app);
  Options options;
  app.add_option("FILE", options.files, "JSON lines of preference records")
      ->type_name("FILE")
      ->default_str("");
  app.add_option("--model", options.model, "directory of the model")->type_name("DIR");
  app.add_option("--subset-field", options.subset_field,
                 "report also by the value of this field of the records")
      ->type_name("NAME");
  app.add_flag("--json", options.json, "write one JSON object");
  app.add_option("--tokenizer", options.tokenizer, "bytes or words:N; for a model whose card names none")
      ->type_name("NAME");
  app.add_option("--batch-tokens", options.batch_tokens, "tokens scored at once, which bounds the memory")
      ->type_name("N")
      ->check(programs::not_negative, "");
  app.add_option("--threads", options.threads, "0: all; the scores do not depend on it")
      ->type_name("N")
      ->check(programs::not_negative, "");
  programs::parse(app, argc, argv);
  if (options.model.empty())
    throw merit::ConfigError("--model is missing: the directory of the model to evaluate");
  if (options.files.empty())
    throw merit::ConfigError("FILE is missing: the preference records to evaluate on");
  if (options.batch_tokens == 0) throw merit::ConfigError("--batch-tokens is 0, expected at least 1");

  const programs::SavedModel saved = programs::read_usable(options.model, options.tokenizer);
  const Records records = read_records(options, saved);
  return programs::with_model(
      saved.backbone, {.head = saved.head, .threads = options.threads}, [&](auto& model) {
        programs::tell(merit::load_model_parameters(options.model, model), name);
        const std::span<const merit::PreferenceExample> examples(records.examples);
        merit::Progress progress("evaluating", examples.size());
        const auto scores =
            merit::score_pairs(model, examples, options.batch_tokens, programs::progress_of(progress));
        progress.finish();

        const merit::PairReport report = merit::report_pairs(scores, examples);
        merit::Json json = programs::to_json(report);
        json["records"] = programs::to_json(records.counts);
        std::string text = records.counts.sentence() + '\n' + programs::text_of(report);
        for (const auto& [subset, numbers] : records.subsets) {
          const merit::PairReport part = report_of(numbers, scores, records);
          json["subsets"][subset] = programs::to_json(part);
          text += "\n\n" + options.subset_field + " " + subset + '\n' + programs::text_of(part);
        }
        programs::Output output;
        output.line(options.json ? merit::json_text(json, "the report") : text);
        output.flush();
        return 0;
      });
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, [&] { return run(argc, argv); });
}
