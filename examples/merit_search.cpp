// Searches for the best solution step by step: a policy proposes next steps, a reward model says which to build on.
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "command_line/line_input.hpp"
#include "command_line/open_flags.hpp"
#include "command_line/sampling_flags.hpp"
#include "command_line/source_flags.hpp"
#include "merit/core/visible.hpp"
#include "merit/infer/session_step_scorer.hpp"
#include "merit/infer/step_search.hpp"
#include "merit/puzzle/embedded_task.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record_source.hpp"
#include "merit/records/unread_fields.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/run/text_writer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "merit/train/progress.hpp"

namespace {

using merit::Index;
using Json = merit::OrderedJson;

constexpr const char* name = "merit_search";

struct Options {
  std::string model, policy, policy_tokenizer, file = "-";
  programs::OpenFlags open;
  programs::SourceFlags source;
  std::string strategy = "beam", aggregation, neutral = "good", split, on_error = "skip";
  merit::StepSearchOptions search = {.beam_width = 4};
  std::optional<double> prune_below;
  Index last = 4;
  double error_rate = 0.3;
  merit::Sampling sampling = {.temperature = 0.8};
  Index max_step_tokens = 256;
  std::uint64_t seed = 0;
  Index session_memory = 0;
  std::uint16_t threads = 0;
  bool all = false;
};

/// A step as it was proposed.
struct Step {
  std::string text;  // without what ends it
  bool last = false;
  friend bool operator==(const Step&, const Step&) = default;
};
using Branch = merit::StepBranch<Step>;

/// Steps as one text, each with what ends it: of the last one of a solution that is the end of the text.
std::string text_of(std::span<const Step> steps, const std::string& split, bool ends_all) {
  std::string text;
  for (const Step& step : steps) text += step.text + (step.last && !ends_all ? "" : split);
  return text;
}

// ---- Policies ---

/// Proposes the next steps of all branches of a round.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual std::vector<Step> propose(const merit::CompletionRecord& record, std::span<const Branch> branches,
                                    Index proposals, std::uint64_t seed, Index sample) = 0;
  /// Tokens that it has computed and read again so far; nothing for one that has none.
  virtual std::optional<merit::SessionCounts> counts() const { return std::nullopt; }
  /// Whether a solution is right, where the policy's task says so.
  virtual std::optional<bool> is_right(const merit::CompletionRecord&, const std::string&) const {
    return std::nullopt;
  }
  /// Whether a last step too ends in what ends steps.
  virtual bool ends_all() const = 0;
};

const std::string& string_prompt(const merit::CompletionRecord& record) {
  if (const auto* text = std::get_if<std::string>(&*record.prompt)) return *text;
  throw merit::DataError(record.source.text() +
                         ": field 'prompt': found a conversation, expected a problem of the embedded task");
}

/// The sorting task's own, which errs as often as it is told.
class EmbeddedPolicy final : public Policy {
 public:
  explicit EmbeddedPolicy(double error_rate) : error_rate_(error_rate) {}
  std::vector<Step> propose(const merit::CompletionRecord& record, std::span<const Branch> branches,
                            Index proposals, std::uint64_t seed, Index sample) override {
    std::vector<Step> steps;
    for (const Branch& branch : branches) {
      std::vector<std::string> lines;
      for (const Step& step : branch.steps) lines.push_back(step.text);
      for (Index k = 0; k < proposals; ++k) {
        merit::Rng rng(seed, sample++);
        std::string line = merit::propose_embedded_line({}, string_prompt(record), lines, error_rate_, rng);
        const bool last = line.starts_with("A: ");
        steps.push_back({std::move(line), last});
      }
    }
    return steps;
  }
  std::optional<bool> is_right(const merit::CompletionRecord& record,
                               const std::string& text) const override {
    return merit::check_embedded_solution(string_prompt(record), text).correct;
  }
  bool ends_all() const override { return true; }

 private:
  double error_rate_;
};

/// A language model: the branches of a round are one forest, and what stands before them was computed in earlier ones.
class LanguageModelPolicy final : public Policy {
 public:
  LanguageModelPolicy(merit::TextWriter writer, const Options& options, std::string split)
      : writer_(std::move(writer)), options_(options), split_(std::move(split)) {}
  std::vector<Step> propose(const merit::CompletionRecord& record, std::span<const Branch> branches,
                            Index proposals, std::uint64_t seed, Index sample) override {
    std::vector<std::vector<merit::Token>> prompts;
    for (const Branch& branch : branches) {
      const std::string begun = text_of(branch.steps, split_, false);
      if (const auto* text = std::get_if<std::string>(&*record.prompt)) {
        prompts.push_back(writer_.tokens_of(*text, begun));
      } else {
        prompts.push_back(
            writer_.tokens_of(std::get<std::vector<merit::Message>>(*record.prompt), record.inputs, begun));
      }
    }
    std::vector<Step> steps;
    for (merit::WrittenText& one : writer_.write_each(prompts, {.sampling = options_.sampling,
                                                               .branches = proposals,
                                                               .max_tokens = options_.max_step_tokens,
                                                               .stops = {split_},
                                                               .seed = seed,
                                                               .first_stream = sample})) {
      steps.push_back({std::move(one.text), one.end == merit::GenerationEnd::end_token});
    }
    return steps;
  }
  std::optional<merit::SessionCounts> counts() const override { return writer_.counts(); }
  bool ends_all() const override { return false; }

 private:
  merit::TextWriter writer_;
  const Options& options_;
  std::string split_;
};

// ---- What the model reads ---

/// Prompt and steps as the reward model's own files have them become tokens. What is too long is an error.
class BranchTokens {
 public:
  BranchTokens(const merit::SavedModel& saved, std::string split, bool ends_all)
      : saved_(saved), tokenize_(saved.tokenize), split_(std::move(split)), ends_all_(ends_all) {
    tokenize_.truncation = merit::Truncation::error;
  }

  merit::Sequence operator()(const merit::CompletionRecord& record, std::span<const Step> steps) const {
    merit::DataCounts counts;
    if (merit::meaning_of(saved_.head) == merit::ScoreMeaning::per_step) {
      merit::StepsRecord of_steps;
      of_steps.prompt = record.prompt;
      of_steps.inputs = record.inputs;
      of_steps.source = record.source;
      for (const Step& step : steps) of_steps.completions.push_back(step.text);
      of_steps.labels.assign(steps.size(), true);  // scored, not judged: without a label it would be left out
      auto example = merit::tokenize(of_steps, *saved_.tokenizer, tokenize_, counts);
      if (!example) fail(record);
      return std::move(example->sequence);
    }
    const std::string text = text_of(steps, split_, ends_all_);
    merit::Sequence sequence = completion(record, text);
    if (!sequence.step_ends.empty()) return sequence;  // where a gate is read
    // What stays when the text goes on: what it has in common with one that does.
    const merit::Sequence longer = completion(record, text + "0");
    const auto differs = std::mismatch(sequence.tokens.begin(), sequence.tokens.end(), longer.tokens.begin(),
                                       longer.tokens.end());
    const auto common = static_cast<Index>(differs.first - sequence.tokens.begin());
    if (common != 0) sequence.step_ends = {common - 1};
    return sequence;
  }

 private:
  merit::Sequence completion(const merit::CompletionRecord& record, const std::string& text) const {
    merit::CompletionRecord own = record;
    own.completion = text;
    merit::DataCounts counts;
    merit::TokenizedCompletion result = merit::tokenize(own, *saved_.tokenizer, tokenize_, counts);
    if (result.fate != merit::CompletionFate::kept) fail(record);
    return std::move(result.sequence);
  }
  [[noreturn]] static void fail(const merit::CompletionRecord& record) {
    throw merit::DataError(record.source.text() +
                           ": a branch has no tokens that the model scores, expected a step of some");
  }

  const merit::SavedModel& saved_;
  merit::TokenizeOptions tokenize_;
  std::string split_;
  bool ends_all_;
};

// ---- A record ---

merit::CompletionRecord problem_of(const Json& object, const merit::SourcePosition& at) {
  Json asked = {{"completion", ""}};  // which is searched for
  for (const char* field : {"prompt", "tools", "chat_template_kwargs"}) {
    if (object.contains(field)) asked[field] = object.at(field);
  }
  auto record = std::get<merit::CompletionRecord>(merit::parse_record_to_score(asked, at));
  if (!record.prompt) {
    throw merit::DataError(at.text() +
                           ": found a record without 'prompt' in text, expected the problem to solve");
  }
  return record;
}

struct Searcher {
  merit::AnyModel& model;
  merit::AnySession& session;
  Policy& policy;
  const BranchTokens& tokens;
  const Options& options;
  merit::ProbabilityOptions probabilities;
  std::string split;

  Json answer(const merit::CompletionRecord& record, Index index) {
    const std::uint64_t seed = options.seed * 0x9E3779B97F4A7C15U + index;  // the record's own
    const auto to_sequence = [&](std::span<const Step> steps) { return tokens(record, steps); };
    merit::SessionStepScorer scorer(session, model, to_sequence, probabilities);
    const auto propose = [&](std::span<const Branch> branches, Index proposals, Index sample) {
      return policy.propose(record, branches, proposals, seed, sample);
    };
    const auto finished = [](std::span<const Step> steps) { return steps.back().last; };
    const merit::SessionCounts before = policy.counts().value_or(merit::SessionCounts{});
    const auto result = merit::search_steps<Step>(propose, finished, scorer, options.search);
    const merit::SessionCounts after = policy.counts().value_or(merit::SessionCounts{});

    Json answer = {{"index", index}, {"line", record.source.line}, {"end", merit::name_of(result.end)}};
    if (result.best() != nullptr) {
      put(*result.best(), record, answer);
    } else {
      answer["solution"] = nullptr;
    }
    if (options.all) {
      Json& list = answer["solutions"] = Json::array();
      for (const Branch& branch : result.solutions) put(branch, record, list.emplace_back(Json::object()));
    }
    for (const auto& [field, count] :
         std::initializer_list<std::pair<const char*, Index>>{{"rounds", result.rounds},
                                                              {"expanded", result.expanded},
                                                              {"generated", result.generated},
                                                              {"repeated", result.repeated},
                                                              {"pruned", result.pruned},
                                                              {"crowded_out", result.crowded_out},
                                                              {"tokens_computed", result.computed},
                                                              {"tokens_reused", result.reused}}) {
      answer[field] = count;
    }
    if (policy.counts()) {
      answer["policy_tokens_computed"] = after.computed - before.computed;
      answer["policy_tokens_reused"] = after.reused - before.reused;
    }
    return answer;
  }

 private:
  void put(const Branch& branch, const merit::CompletionRecord& record, Json& answer) const {
    const std::string text = text_of(branch.steps, split, policy.ends_all());
    answer["solution"] = text;
    answer["score"] = branch.score;
    if (const std::optional<bool> right = policy.is_right(record, text)) answer["right"] = *right;
    Json& steps = answer["steps"] = Json::array();
    for (const Step& step : branch.steps) steps.push_back(step.text);
    answer["scores"] = branch.scores;
  }
};

/// Whether every record could be searched for.
bool search_all(Searcher& searcher, const Options& options) {
  const auto on_error = merit::value_from_name<merit::OnError>("--on-error", options.on_error);
  programs::LineFile input(options.file);
  merit::RecordSource reader(input.stream, input.name, programs::source_options(options.source));
  merit::UnreadFields unread;
  merit::UnreadRecords failed;
  programs::Output output;
  const Index lines = input.file.is_open() ? programs::count_lines(input.descriptor()) : 0;
  std::optional<merit::Progress> progress;
  if (lines > 1 && ::isatty(STDOUT_FILENO) != 1) progress.emplace("searching", lines - 1);
  for (Index index = 0;; ++index) {
    Json answer;
    try {
      const auto object = reader.next();
      if (!object) break;
      unread.add_to_score(*object);
      answer = searcher.answer(problem_of(*object, reader.position()), index);
    } catch (const merit::DataError& error) {
      const std::string place = reader.position().text() + ": ";
      const std::string what = error.what();
      const std::string sentence = what.starts_with(place) ? what : place + what;
      if (on_error == merit::OnError::stop) throw merit::DataError(sentence);
      failed.add(reader.position(), sentence);
      answer = {{"index", index}, {"line", reader.position().line}, {"error", sentence}};
    }
    output.line(answer.dump(-1, ' ', false, Json::error_handler_t::replace));
    output.flush();
    if (progress) progress->update(std::min(index + 1, lines - 2), "");
  }
  if (progress) progress->update(lines - 1);
  programs::say_remarks(reader.remarks(), name);
  programs::say_remarks(reader.left_out_sentences(), name);
  programs::say_remarks(unread.sentences(), name);
  programs::say_remarks(failed.lines(), name);
  reader.require_options_used();
  return failed.count() == 0;
}

void declare(programs::CommandLine& line, Options& options) {
  line.text("FILE", options.file, "FILE", "JSON lines, a JSON array or a table; - is the standard input");
  line.text("--model", options.model, "DIR|FILE",
            "the reward model that scores branches: of steps, tokens, values or completions, a decoder");
  line.text("--policy", options.policy, "DIR|FILE|embedded",
            "what proposes steps: a language model, or the embedded sorting task's own proposer");
  line.text("--policy-tokenizer", options.policy_tokenizer, "NAME|DIR",
            "bytes, words:N, ids:N or a folder with a tokenizer; for a language model that names none");
  line.text("--strategy", options.strategy, "NAME",
            "beam; step_best_of_n, a beam of 1; best_first; diverse_beam, subtrees that do not compete");
  line.number(
      "--beam-width", options.search.beam_width,
      "branches kept after each round; of diverse_beam subtrees; of best_first branches grown at once");
  line.number("--proposals", options.search.proposals, "next steps proposed for each branch that is grown");
  line.number("--max-steps", options.search.max_steps, "of a solution");
  line.number("--expansions", options.search.expansions, "of best_first: branches grown at most");
  line.number("--prune-below", options.prune_below,
              "steps that score below it are pruned with their branches", programs::is_number<double>);
  line.text("--aggregation", options.aggregation, "NAME",
            "how the scores of a branch's steps become one: " + merit::list_of_names<merit::Aggregation>() +
                "; empty: as the card of a model of steps says, else last");
  line.number("--last", options.last, "how many steps mean_of_last takes");
  line.text("--neutral", options.neutral, "NAME", "what neutral steps count as: good or bad");
  line.text(
      "--split", options.split, "TEXT",
      "what ends a step that the policy writes; \\n is a line feed; empty: what ends one for the model");
  line.number("--error-rate", options.error_rate, "of the policy embedded: the share of lines that err",
              programs::is_probability);
  programs::declare(line, options.sampling, "of a language model: ");
  line.number("--max-step-tokens", options.max_step_tokens,
              "of a language model: a step ends there at the latest");
  line.number("--seed", options.seed, "the same searches again");
  line.flag("--all", options.all, "write all finished solutions, best first");
  line.text(
      "--on-error", options.on_error, "NAME",
      "what a record that cannot be searched for does: skip, which writes an error in its place and ends with "
      "exit code 1, or stop");
  line.number("--session-memory", options.session_memory,
              "MB of keys and values that the reward model keeps at most; 0: no limit");
  programs::declare(line, options.open);
  programs::declare(line, options.source);
  line.number("--threads", options.threads, "0: all; the scores do not depend on it");
}

/// What contradicts itself among the options.
void check(const programs::CommandLine& line, const Options& options) {
  if (options.model.empty())
    throw merit::ConfigError(
        "--model is missing: the folder or GGUF file of the reward model that scores branches");
  if (options.policy.empty())
    throw merit::ConfigError(
        "--policy is missing: the folder of a language model that proposes steps, or embedded");
  if (options.search.strategy != merit::StepSearchStrategy::best_first && line.given("--expansions")) {
    throw merit::ConfigError("--expansions is given, but the strategy is " + options.strategy +
                             "; it is an option of best_first");
  }
  if (options.neutral != "good" && options.neutral != "bad")
    throw merit::ConfigError("--neutral is \"" + options.neutral + "\", expected good or bad");
  if (options.max_step_tokens == 0) throw merit::ConfigError("--max-step-tokens is 0, expected at least 1");
  const bool embedded = options.policy == "embedded";
  for (const char* option : {"--repetition-penalty", "--temperature", "--top-k", "--top-p", "--min-p",
                             "--max-step-tokens", "--split", "--policy-tokenizer", "--error-rate"}) {
    const bool of_embedded = std::string_view(option) == "--error-rate";
    if (!line.given(option) || of_embedded == embedded) continue;
    throw merit::ConfigError(
        std::string(option) + " is given, but the policy is " +
        (embedded ? "embedded, which is no language model" : "a language model, which errs by itself"));
  }
}

int run(int argc, char** argv) {
  programs::CommandLine line(
      name,
      "Searches for the best solution of each problem step by step.\n\n"
      "Reads JSON lines: {\"prompt\": …}, text or a conversation. A policy proposes next steps, the reward\n"
      "model scores them, bad ones are pruned. Writes a JSON line for each, in order: the best solution,\n"
      "its steps with their scores, why the search ended, and what it cost in steps generated and tokens\n"
      "computed and reused. Exit codes: 0 done, 1 data or files, 2 options.\n");
  Options options;
  declare(line, options);
  line.parse(argc, argv);
  options.search.strategy = merit::value_from_name<merit::StepSearchStrategy>("--strategy", options.strategy);
  if (options.search.strategy == merit::StepSearchStrategy::step_best_of_n && !line.given("--beam-width"))
    options.search.beam_width = 1;
  check(line, options);

  const merit::OpenOptions open = programs::open_options(line, options.open);
  const merit::SavedModel saved = programs::read_usable(options.model, open, name);
  const merit::ScoreMeaning meaning = merit::meaning_of(saved.head);
  const merit::Reading reading = merit::reading_of(saved.about, meaning, false);
  options.search.aggregation =
      meaning == merit::ScoreMeaning::per_step ? reading.aggregation : merit::Aggregation::last;
  options.search.aggregate = reading.options;
  options.search.aggregate.last = options.last;
  if (!options.aggregation.empty())
    options.search.aggregation =
        merit::value_from_name<merit::Aggregation>("--aggregation", options.aggregation);
  if (line.given("--last") && options.search.aggregation != merit::Aggregation::mean_of_last) {
    throw merit::ConfigError(merit::concat("--last is given, but the aggregation is ",
                                           merit::name_of(options.search.aggregation),
                                           "; it is an option of mean_of_last"));
  }
  programs::check(line, options.sampling);
  options.search.threshold = options.prune_below.value_or(-std::numeric_limits<double>::infinity());
  options.search.validate();

  const auto model = programs::load_usable(saved, open.backend, options.threads, name);
  if (options.session_memory > std::numeric_limits<Index>::max() >> 20) {
    throw merit::ConfigError(merit::concat("--session-memory is ", options.session_memory,
                                           ", expected at most ", std::numeric_limits<Index>::max() >> 20));
  }
  const auto session = model->session({.memory_limit = options.session_memory << 20});
  std::unique_ptr<Policy> policy;
  std::string split = "\n";
  if (options.policy == "embedded") {
    policy = std::make_unique<EmbeddedPolicy>(options.error_rate);
  } else {
    split = saved.tokenize.step_split.empty() ? saved.tokenize.step_separator : saved.tokenize.step_split;
    if (!options.split.empty()) split = programs::unescaped(options.split);
    merit::OpenOptions own{.tokenizer = options.policy_tokenizer, .threads = options.threads};
    std::optional<merit::Progress> progress;
    own.on_progress = [&](Index done, Index total) {
      if (!progress) progress.emplace("loading the policy", total >> 20);
      progress->update(done >> 20, "MB");
    };
    policy = std::make_unique<LanguageModelPolicy>(merit::open_writer(options.policy, own), options, split);
  }
  const BranchTokens tokens(saved, split, policy->ends_all());
  Searcher searcher{.model = *model,
                    .session = *session,
                    .policy = *policy,
                    .tokens = tokens,
                    .options = options,
                    .probabilities = {.neutral = options.neutral == "good" ? merit::NeutralCountsAs::good
                                                                           : merit::NeutralCountsAs::bad},
                    .split = split};
  return search_all(searcher, options) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
