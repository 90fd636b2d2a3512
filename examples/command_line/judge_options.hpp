// The options of merit_judge.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/infer/sampling.hpp"
#include "merit/judge/judge_template.hpp"
#include "options.hpp"
#include "sampling_flags.hpp"
#include "source_flags.hpp"

namespace programs {

struct JudgeOptions {
  std::string file = "-";
  std::string model, base, adapter, tokenizer;
  std::string ask = "pairwise";
  std::string reading = "words";
  merit::Index samples = 1;
  merit::Sampling sampling = {.temperature = 0};
  merit::Index max_new_tokens = 512;
  std::vector<std::string> stops;
  merit::Index lookup = 0;
  std::uint64_t seed = 0;
  std::string out, replies, report;
  std::string write = "automatic";
  bool resume = false, overwrite = false, json = false;
  std::string layout, subset_field;
  SourceFlags source;
  std::string on_error = "stop";
  merit::Index batch_tokens = 8192;
  std::uint16_t threads = 0;
};

inline void declare(CommandLine& line, JudgeOptions& options) {
  line.text("FILE", options.file, "FILE", "JSON lines, a JSON array or a table; - is the standard input");
  line.text("--model", options.model, "DIR|FILE", "folder of a language model, or a GGUF file");
  line.text(
      "--template", options.ask, "NAME|FILE",
      "what is asked: pairwise, which of two answers is better; reference, the same beside a right one; rating, how "
      "good one is; or a file with slots such as {question}, {answer_a} and {answer_b}");
  line.text(
      "--reading", options.reading, "NAME",
      "words, the verdict that the model writes; or logits, those of A and B, or of yes and no: nothing is written");
  line.number("--samples", options.samples, "replies to each prompt, whose verdicts vote");
  declare(line, options.sampling);
  line.number("--max-new-tokens", options.max_new_tokens,
              "tokens of a reply; one that is cut may have no verdict");
  line.texts("--stop", options.stops, "TEXT",
             "a reply ends before this text, as often as needed; \\n is a line feed", Several::one_each);
  line.number("--seed", options.seed, "of the samples");
  line.number(
      "--lookup", options.lookup,
      "tokens that are proposed at once, as they follow in the text so far where it repeats itself: for replies "
      "that quote; 0: none");
  line.number("--batch-tokens", options.batch_tokens,
              "of prompts and their replies that are written together, which bounds the memory");
  line.text("--out", options.out, "FILE", "where records go, JSON lines");
  line.text(
      "--write", options.write, "NAME",
      "as what: votes (kind judge), preferences (the likelier answer is chosen; none of those that are as likely), "
      "scores (kind ratings; of single answers kind outcome), or automatic: votes for two answers that are compared, "
      "else scores");
  line.text(
      "--layout", options.layout, "NAME",
      "the benchmark of which FILE has rows: reward_bench, reward_bench_2, rm_bench, judge_bench, llm_bar; empty: "
      "as the fields say");
  line.text("--subset-field", options.subset_field, "NAME",
            "also report, as merit_evaluate does, by the value of this field of the records");
  line.text("--report", options.report, "FILE",
            "also write one HTML page that needs no network, with the figures of merit_evaluate");
  line.text(
      "--replies", options.replies, "FILE",
      "where all that the judge said goes, JSON lines: also what has no verdict; and FILE.state, for --resume");
  line.flag(
      "--resume", options.resume,
      "go on with --replies where they were interrupted, however that was, or begin them; --out is made anew of all. The "
      "same FILE, model and options are needed, but for those of the report, --batch-tokens and --threads");
  line.flag("--overwrite", options.overwrite, "replace --out and --replies where they are there");
  line.flag("--json", options.json, "write the report as one JSON object");
  line.text("--adapter", options.adapter, "NAME=DIR|DIR", "an adapter of --model, with which it judges");
  line.text("--base", options.base, "DIR",
            "where the base model of an adapter in --model is; empty: where the adapter says");
  line.text("--tokenizer", options.tokenizer, "NAME|DIR", "for a model that names none");
  line.text("--on-error", options.on_error, "NAME",
            "what a record that cannot be read does: stop, or skip, which counts it by its reason");
  declare(line, options.source);
  line.number("--threads", options.threads, "0: all; the verdicts do not depend on it");
}

/// Throws ConfigError for what contradicts itself.
inline void check(const CommandLine& line, const JudgeOptions& options) {
  if (options.model.empty())
    throw merit::ConfigError("--model is missing: the folder or GGUF file of the language model that judges");
  merit::value_from_name<merit::JudgeReading>("--reading", options.reading);
  if (options.reading == "logits") {
    std::vector<std::string> written{"--samples", "--max-new-tokens", "--stop",
                                     "--seed",    "--lookup",         "--batch-tokens"};
    merit::Sampling::fields([&](const auto& field) { written.push_back(field.command_line()); });
    for (const std::string& option : written) {
      if (line.given(option))
        throw merit::ConfigError(option + " is given with --reading logits, for which nothing is written");
    }
  }
  constexpr merit::Index most_samples = 65536;
  const auto require_some = [](const char* option, merit::Index value) {
    if (value == 0) throw merit::ConfigError(std::string(option) + " is 0, expected at least 1");
  };
  require_some("--samples", options.samples);
  require_some("--max-new-tokens", options.max_new_tokens);
  require_some("--batch-tokens", options.batch_tokens);
  if (options.samples > most_samples)
    throw merit::ConfigError(
        merit::concat("--samples is ", options.samples, ", expected at most ", most_samples));
  check(line, options.sampling);
  if (options.samples > 1 && options.sampling.temperature == 0)
    throw merit::ConfigError("--samples is given without --temperature, at 0 of which all are the same");
  if (line.given("--seed") && options.sampling.temperature == 0)
    throw merit::ConfigError("--seed is given without --temperature, at 0 of which nothing is drawn");
  for (const std::string& stop : options.stops) {
    if (stop.empty()) throw merit::ConfigError("--stop is empty, expected a text that ends a reply");
  }
  if (line.given("--write") && options.out.empty())
    throw merit::ConfigError("--write is given without --out, where records are written");
  for (const auto& [option, given] :
       {std::pair{"--layout", !options.layout.empty()},
        std::pair{"--subset-field", !options.subset_field.empty()},
        std::pair{"--report", !options.report.empty()}, std::pair{"--resume", options.resume}}) {
    if (given && options.file == "-")
      throw merit::ConfigError(std::string(option) +
                               " is given without FILE, which is read more than once for it");
  }
  if (options.resume && options.replies.empty())
    throw merit::ConfigError(
        "--resume is given without --replies, which have what was judged before the interruption");
  if (options.resume && options.overwrite)
    throw merit::ConfigError("--resume and --overwrite contradict each other: give one of them");
  if (options.overwrite && options.out.empty() && options.replies.empty())
    throw merit::ConfigError("--overwrite is given without --out and --replies");
}

}  // namespace programs
