// Whole files: their kind, the scale of their step labels, and the real ones to their known counts.
#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"
#include "merit/tokens/record_files.hpp"
#include "merit/tokens/tokenize.hpp"
#include "stored.hpp"

namespace record_files_test {

using merit::DataCounts;
using merit::Index;
using merit::RecordKind;
using merit::StepScale;
using merit::Truncation;
namespace fs = std::filesystem;

const merit::ByteTokenizer bytes;

/// A file that is removed again.
struct TemporaryFile {
  TemporaryFile(const std::string& name, const std::string& text)
      : path(fs::temp_directory_path() / ("merit_record_files_" + name)) {
    std::ofstream(path) << text;
  }
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  fs::path path;
};

std::string steps_line(const std::string& labels, int count) {
  std::string steps;
  for (int i = 0; i < count; ++i) steps += i == 0 ? "\"s\"" : ", \"s\"";
  return R"({"prompt": "p", "completions": [)" + steps + R"(], "labels": [)" + labels + "]}\n";
}

StepScale scale_of(const std::string& text) {
  const TemporaryFile file("scale.jsonl", text);
  return merit::detect_step_scale(file.path);
}

TEST_CASE("the kind of a file is that of its first record") {
  const TemporaryFile ranking("kind.jsonl",
                              "\n{\"prompt\": \"p\", \"completions\": [\"a\"], \"ranks\": [0]}\n");
  CHECK(merit::detect_record_kind(ranking.path) == RecordKind::ranking);
  const TemporaryFile none("none.jsonl", "{\"x\": 1}\n");
  CHECK_THROWS_WITH_AS(merit::detect_record_kind(none.path),
                       (none.path.string() +
                        ":1: record: found the fields x, of no kind, expected those of one of: preference, "
                        "ranking, ratings, outcome, steps, judge, rollout")
                           .c_str(),
                       merit::DataError);
  const TemporaryFile empty("empty.jsonl", "\n");
  CHECK_THROWS_WITH_AS(merit::detect_record_kind(empty.path),
                       (empty.path.string() + ": there is no record").c_str(), merit::DataError);
}

TEST_CASE("the scale of step labels is ternary with a -1, binary without") {
  CHECK(scale_of(steps_line("1, 0", 2)) == StepScale::binary);
  CHECK(scale_of(steps_line("1, 0", 2) + steps_line("1, -1", 2)) == StepScale::ternary);
  CHECK(scale_of(steps_line("1, 0", 2) + steps_line("null, 0.5", 2)) == StepScale::binary);
  CHECK(scale_of(steps_line("true, [0, 0.5, 0.5]", 2)) == StepScale::binary);
  CHECK(scale_of("") == StepScale::binary);

  const TemporaryFile one("one.jsonl", steps_line("1, 1", 2) + steps_line("1, 0.5", 2));
  const TemporaryFile two("two.jsonl", steps_line("-1", 1));
  const std::array<fs::path, 2> both{one.path, two.path};
  CHECK_THROWS_WITH_AS(merit::detect_step_scale(both),
                       (two.path.string() +
                        ":1: field 'labels[0]': found -1, of step scale ternary, expected numbers of one "
                        "scale, but " +
                        one.path.string() + ":2 has 0.5 in 'labels[1]', of step scale binary")
                           .c_str(),
                       merit::DataError);
}

TEST_CASE("a zero among step labels is read by the scale of the whole file") {
  const auto first_label = [](const std::string& text) {
    const TemporaryFile file("zero.jsonl", text);
    DataCounts counts;
    const auto examples = merit::read_examples<merit::StepsRecord>(file.path, bytes, {}, counts);
    CHECK(counts.kept == 2);
    return *examples.at(0).labels.at(0);
  };
  CHECK(first_label(steps_line("0", 1) + steps_line("-1", 1)) == merit::StepLabel{0, 1, 0});
  CHECK(first_label(steps_line("0", 1) + steps_line("0.5", 1)) == merit::StepLabel{1, 0, 0});
}

TEST_CASE("the real files of every kind are read without an error, to their known counts") {
  const auto found = merit_test::shared_data("data");
  if (!found) return;
  const fs::path data = *found;
  const auto kind = [&](const std::string& name) {
    return merit::detect_record_kind(data / name / "train.jsonl");
  };
  CHECK(kind("hh_harmless") == RecordKind::preference);
  CHECK(kind("pandalm") == RecordKind::judge);
  CHECK(kind("oasst_rankings") == RecordKind::ranking);
  CHECK(kind("finegrained_rankings") == RecordKind::ranking);
  CHECK(kind("prometheus_ratings") == RecordKind::ratings);
  CHECK(kind("gsm8k_outcomes") == RecordKind::outcome);
  CHECK(kind("bigbench_mistake_steps") == RecordKind::steps);

  // The numbers were counted apart from this code, from the fields' UTF-8 bytes.
  const auto check = [&]<class Record>(const Record&, const std::string& name, const DataCounts& expected,
                                       const merit::TokenizeOptions& options = {}) {
    CAPTURE(name);
    DataCounts counts;
    const auto examples = merit::read_examples<Record>(data / name, bytes, options, counts);
    CHECK(examples.size() == counts.kept);
    CHECK(counts == expected);
    return examples;
  };
  const auto all_kept = [](Index records, Index tokens, Index longest, Index all_tied = 0) {
    DataCounts counts;
    counts.records = counts.kept = records;
    counts.tokens = tokens;
    counts.longest = longest;
    counts.all_tied = all_tied;
    return counts;
  };
  const merit::RankingRecord ranking;
  check(ranking, "oasst_rankings/train.jsonl", all_kept(155, 700978, 7796));
  check(ranking, "oasst_rankings/eval.jsonl", all_kept(16, 94556, 6785));
  check(ranking, "finegrained_rankings/train.jsonl", all_kept(364, 4638075, 5431, 11));
  check(ranking, "finegrained_rankings/eval.jsonl", all_kept(31, 380355, 4516));
  const merit::RatingsRecord ratings;
  check(ratings, "prometheus_ratings/train.jsonl", all_kept(58, 468145, 4986, 6));
  check(ratings, "prometheus_ratings/eval.jsonl", all_kept(5, 32073, 4253));
  const merit::OutcomeRecord outcome;
  const auto outcomes = check(outcome, "gsm8k_outcomes/train.jsonl", all_kept(3708, 1792264, 1801));
  double right = 0;
  for (const auto& example : outcomes) right += example.label;
  CHECK(right == 1371);
  check(outcome, "gsm8k_outcomes/eval.jsonl", all_kept(492, 232925, 1670));
  const merit::JudgeRecord judge;
  const auto judged = check(judge, "pandalm/train.jsonl", all_kept(762, 710760, 2208, 54));
  double sureness = 0;
  for (const auto& example : judged) sureness += example.soft_label;
  CHECK(sureness == doctest::Approx(710.6666666666666));
  check(judge, "pandalm/eval.jsonl", all_kept(68, 64151, 2463, 12));

  const merit::StepsRecord steps;
  const auto bad_steps = [](const std::vector<merit::StepsExample>& examples) {
    double bad = 0;
    for (const auto& example : examples) {
      for (const auto& label : example.labels) bad += label ? label->bad : 0;
    }
    return bad;
  };
  DataCounts whole = all_kept(1536, 1976978, 64241);
  whole.labels = 12323;
  whole.unlabelled = 11542;
  CHECK(bad_steps(check(steps, "bigbench_mistake_steps/train.jsonl", whole)) == 1195);
  DataCounts dropped = all_kept(1536, 1890253, 64241);
  dropped.kept = 1533;
  dropped.dropped_over_long = 3;
  dropped.labels = 12296;
  dropped.labels_lost = 27;
  dropped.unlabelled = 11346;
  CHECK(bad_steps(check(steps, "bigbench_mistake_steps/train.jsonl", dropped, {.max_tokens = 8192})) == 1192);
  DataCounts cut = all_kept(1536, 1035477, 64241);
  cut.kept = 1415;
  cut.dropped_cut = 121;
  cut.cut_right = 458;
  cut.labels = 11210;
  cut.labels_lost = 1113;
  cut.unlabelled = 7639;
  cut.steps_cut = 3992;
  check(steps, "bigbench_mistake_steps/train.jsonl", cut,
        {.max_tokens = 1024, .truncation = Truncation::cut_right});
  DataCounts eval = all_kept(223, 270136, 5195);
  eval.labels = 1845;
  eval.unlabelled = 1434;
  check(steps, "bigbench_mistake_steps/eval.jsonl", eval);

  DataCounts words;
  merit::read_examples<merit::StepsRecord>(data / "bigbench_mistake_steps/train.jsonl",
                                           merit::WordHashTokenizer(65536), {.step_separator = " ;"}, words);
  CHECK(words.kept == 1536);
  CHECK(words.labels == 12323);
}

TEST_CASE("real pairs tokenize to their known counts") {
  const auto data = merit_test::shared_data("data");
  if (!data) return;
  const auto read = [&](const std::string& name, const merit::AnyTokenizer& tokenizer,
                        const merit::TokenizeOptions& options) {
    merit::PreferenceReader reader{*data / name};
    DataCounts counts;
    const auto examples = merit::read_examples(reader, tokenizer, options, counts);
    CHECK(examples.size() == counts.kept);
    CHECK(counts.kept + counts.dropped_over_long + counts.dropped_equal + counts.dropped_empty ==
          counts.records);
    return counts;
  };
  const auto byte_tokens = merit::make_tokenizer("bytes");
  const auto word_tokens = merit::make_tokenizer("words:65536");
  // Counted apart from this code, from the fields' UTF-8 bytes. In order: records, kept, over-long, equal,
  // empty, cut_left, cut_right, cut_prompt, tokens, longest.
  CHECK(read("hh_harmless/train.jsonl", byte_tokens, {}) ==
        DataCounts{1604, 1604, 0, 0, 0, 0, 0, 0, 2189110, 4372});
  CHECK(read("hh_harmless/eval.jsonl", byte_tokens, {}) ==
        DataCounts{247, 247, 0, 0, 0, 0, 0, 0, 355683, 3817});
  CHECK(read("llmbar/train.jsonl", byte_tokens, {}) == DataCounts{405, 404, 0, 1, 0, 0, 0, 0, 869762, 5741});
  CHECK(read("llmbar/eval.jsonl", byte_tokens, {}) == DataCounts{53, 53, 0, 0, 0, 0, 0, 0, 110653, 3501});
  CHECK(read("hh_harmless/train.jsonl", byte_tokens, {.max_tokens = 512, .truncation = Truncation::drop}) ==
        DataCounts{1604, 678, 926, 0, 0, 0, 0, 0, 364914, 4372});
  const auto cut_together = [](DataCounts counts) {
    std::swap(counts.cut_left, counts.cut_left_together);
    return counts;
  };
  CHECK(read("hh_harmless/train.jsonl", byte_tokens,
             {.max_tokens = 512, .truncation = Truncation::cut_left_together}) ==
        cut_together({1604, 1604, 0, 0, 0, 926, 0, 0, 1167162, 4372}));
  CHECK(read("hh_harmless/train.jsonl", byte_tokens,
             {.max_tokens = 512, .truncation = Truncation::cut_right}) ==
        DataCounts{1604, 1017, 0, 587, 0, 0, 339, 0, 683585, 4372});
  CHECK(read("hh_harmless/train.jsonl", byte_tokens,
             {.max_tokens = 512, .truncation = Truncation::keep_completion}) ==
        DataCounts{1604, 1413, 191, 0, 0, 0, 0, 735, 1018873, 4372});
  CHECK(read("hh_harmless/train.jsonl", word_tokens, {}) ==
        DataCounts{1604, 1604, 0, 0, 0, 0, 0, 0, 458787, 887});
  CHECK(read("llmbar/train.jsonl", word_tokens,
             {.max_tokens = 100, .truncation = Truncation::cut_left_together}) ==
        cut_together({405, 404, 0, 1, 0, 315, 0, 0, 66321, 1013}));
}

}  // namespace record_files_test
