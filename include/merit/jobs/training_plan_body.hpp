// How a run is planned.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/backbone/layers.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/batch/batch.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/version.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/training_plan.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"
#include "merit/train/progress.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The most memory that this process has had.
inline double peak_bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

template <class Example>
std::vector<const Sequence*> sequences_of(const Example& example) {
  std::vector<const Sequence*> sequences;
  for_each_sequence(example, [&](const Sequence& sequence) { sequences.push_back(&sequence); });
  return sequences;
}

/// What each number of recomputed layers takes. The working memory of the run as it is, in bytes, and its tokens are known.
inline std::vector<TrainingPlan::Recompute> recompute_choices(const BackboneConfig& backbone,
                                                              const ModelMemory& memory, double tokens,
                                                              double trained_share) {
  Index most = 0, now = 0;
  std::visit(
      [&](const auto& settings) {
        if constexpr (requires { settings.recompute; }) {
          most = recomputable_layers(settings);
          now = std::min(most, settings.recompute);
        }
      },
      backbone);
  if (most == 0) return {};
  const auto layer = static_cast<double>(memory.layer), result = static_cast<double>(memory.layer_recomputed);
  // Beside what is kept one layer is computed again at a time.
  const auto bytes = [&](Index layers) {
    const auto n = static_cast<double>(layers);
    return (static_cast<double>(most) - n) * layer + n * result + (layers == 0 ? 0 : layer);
  };
  std::vector<TrainingPlan::Recompute> choices;
  for (const Index layers : std::set<Index>{0, most / 2, most, now}) {
    const double share = static_cast<double>(layers) / static_cast<double>(most + 1);
    choices.push_back({layers, (static_cast<double>(memory.working) + bytes(layers) - bytes(now)) / tokens,
                       1 + share / (2 + trained_share), layers == now});
  }
  return choices;
}

/// One line, with line feeds and tabs as they are spelled.
inline std::string on_one_line(std::string_view text) {
  std::string result;
  for (const char c : text) result += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
  return visible(result);
}

/// The words of the texts by the token that each is; empty for tokenizers of another kind.
inline std::map<Token, std::string> words_of(const AnyTokenizer& tokenizer,
                                             std::span<const std::string> texts) {
  std::map<Token, std::string> words;
  if (tokenizer.get_if<WordHashTokenizer>() == nullptr) return words;
  for (const std::string& text : texts) {
    WordHashTokenizer::each_word(text, [&](std::string_view word) {
      std::vector<Token> tokens;
      tokenizer.encode(word, tokens);
      for (const Token token : tokens) words.emplace(token, word);
    });
  }
  return words;
}

}  // namespace detail

MERIT_INLINE std::string marked_rows(const AnyTokenizer& tokenizer, const AnyHead& head,
                                     const Sequence& sequence, std::span<const std::string> texts) {
  if (!sequence.features.empty()) return concat("a vector of ", sequence.features.size(), " features");
  std::vector<Index> rows, second;
  read_rows(head, {sequence.tokens.size(), sequence.completion_begin, sequence.step_ends}, rows, second);
  const std::map<Token, std::string> words = detail::words_of(tokenizer, texts);
  const auto text_between = [&](Index begin, Index end) {
    if (begin == end) return std::string();
    // Of the end of sequence there is no text.
    const bool ends = sequence.tokens[end - 1] == tokenizer.eos();
    if (auto text =
            tokenizer.decode(VectorView<const Token>(sequence.tokens.data() + begin, end - begin - ends)))
      return detail::on_one_line(*text) + (ends ? "<eos>" : "");
    std::string known;
    for (Index i = begin; i < end; ++i) {
      const Token token = sequence.tokens[i];
      const auto word = words.find(token);
      known += i == begin ? "" : " ";
      known += word != words.end()        ? word->second
               : token == tokenizer.eos() ? "<eos>"
                                          : std::to_string(token);
    }
    return known;
  };
  std::string text;
  Index done = 0;
  for (Index i = 0; i <= sequence.tokens.size(); ++i) {
    const bool read = i != 0 && std::ranges::find(rows, i - 1) != rows.end();
    const bool begins = i == sequence.completion_begin;
    if (!read && !begins && i != sequence.tokens.size()) continue;
    text += text_between(done, i);
    done = i;
    if (read) text += '^';
    if (begins) text += '|';
  }
  return text;
}

MERIT_INLINE TrainingPlan plan_training(AnyModel& model, const RecordSet& train,
                                        const AnyTokenizer& tokenizer, const TrainOptions& options) {
  TrainingPlan plan{.parameters = model.parameter_count(), .records = size_of(train.examples)};
  plan.trained_parameters = model.trained_parameter_count();
  std::vector<Index> lengths, costs, costs_before_sharing;
  Examples longest;
  std::visit(
      [&]<class Example>(const std::vector<Example>& examples) {
        for (const Example& example : examples) {
          const std::vector<const Sequence*> sequences = detail::sequences_of(example);
          costs_before_sharing.push_back(0);
          for (const Sequence* sequence : sequences) {
            lengths.push_back(sequence->features.empty() ? sequence->tokens.size() : 1);
            costs_before_sharing.back() += lengths.back();
          }
          costs.push_back(detail::shared_tokens_of(sequences));
        }
        std::vector<Index> order(examples.size());
        std::iota(order.begin(), order.end(), Index{0});
        std::ranges::stable_sort(order, std::ranges::greater(), [&](Index i) { return costs[i]; });
        std::vector<Example> chosen;
        for (Index i = 0; i < std::min(options.batch_size, order.size()); ++i)
          chosen.push_back(examples[order[i]]);
        longest = std::move(chosen);
        std::vector<std::string> texts;
        if (!train.notes.empty()) {
          texts = train.notes.front().texts;
          texts.push_back(train.notes.front().prompt);
        }
        for (const Sequence* sequence : detail::sequences_of(examples.front()))
          plan.record += marked_rows(tokenizer, model.head(), *sequence, texts) + '\n';
      },
      train.examples);
  plan.sequences = lengths.size();
  const TrainOptions whole = with_parts_of(train, options);
  for (const Index i : epoch_order(costs.size(), whole.parts, options.seed, 0)) {
    plan.tokens += costs[i];
    plan.tokens_before_sharing += costs_before_sharing[i];
  }
  std::ranges::sort(lengths);
  plan.lengths = {lengths.front(), lengths[lengths.size() / 2], lengths[lengths.size() * 9 / 10],
                  lengths.back()};

  const auto run = model.train(train.examples, whole);
  plan.steps = run->steps();
  plan.steps_per_epoch = run->steps_per_epoch();
  TrainOptions two = options;
  two.max_steps = 2;  // the first also takes memory
  two.parts = {};
  double seconds_per_token = 0;
  TrainHooks hooks;
  hooks.on_step = [&](const StepReport& report) {
    const Index tokens = std::max<Index>(report.tokens, 1);
    seconds_per_token = report.seconds / static_cast<double>(tokens);
    plan.tokens_at_once = (tokens + report.micro_batches - 1) / std::max<Index>(report.micro_batches, 1);
  };
  const auto measured = model.train(longest, two);
  measured->run(hooks);
  const ModelMemory memory = model.memory();
  plan.weight_bytes = static_cast<double>(memory.weights);
  plan.gradient_bytes = static_cast<double>(memory.gradients);
  plan.optimizer_bytes = static_cast<double>(measured->optimizer_bytes());
  const double tokens = static_cast<double>(std::max<Index>(plan.tokens_at_once, 1));
  plan.bytes_per_token = static_cast<double>(memory.working) / tokens;
  plan.recompute = detail::recompute_choices(
      model.config().backbone, memory, tokens,
      static_cast<double>(plan.trained_parameters) / static_cast<double>(plan.parameters));
  plan.seconds = seconds_per_token * static_cast<double>(plan.tokens) /
                 static_cast<double>(plan.steps_per_epoch) * static_cast<double>(plan.steps);
  plan.peak_bytes = detail::peak_bytes();
  return plan;
}

MERIT_INLINE Json to_json(const TrainingPlan& plan) {
  Json recompute = Json::array();
  for (const TrainingPlan::Recompute& one : plan.recompute)
    recompute.push_back({{"layers", one.layers},
                         {"bytes_per_token", one.bytes_per_token},
                         {"time", one.time},
                         {"chosen", one.chosen}});
  return {{"parameters", plan.parameters},
          {"trained_parameters", plan.trained_parameters},
          {"records", plan.records},
          {"sequences", plan.sequences},
          {"lengths",
           {{"least", plan.lengths.least},
            {"median", plan.lengths.median},
            {"nine_tenths", plan.lengths.nine_tenths},
            {"most", plan.lengths.most}}},
          {"steps", plan.steps},
          {"steps_per_epoch", plan.steps_per_epoch},
          {"tokens_per_epoch", plan.tokens},
          {"tokens_per_epoch_before_sharing", plan.tokens_before_sharing},
          {"seconds", plan.seconds},
          {"peak_bytes", plan.peak_bytes},
          {"weight_bytes", plan.weight_bytes},
          {"gradient_bytes", plan.gradient_bytes},
          {"optimizer_bytes", plan.optimizer_bytes},
          {"bytes_per_token", plan.bytes_per_token},
          {"tokens_at_once", plan.tokens_at_once},
          {"recompute", recompute},
          {"record", plan.record}};
}

MERIT_INLINE std::string text_of(const TrainingPlan& plan) {
  std::string lines, recompute;
  for (const TrainingPlan::Recompute& one : plan.recompute)
    recompute += concat(recompute.empty() ? "" : ", ", one.layers, " (", fixed(one.bytes_per_token / 1e3, 1),
                        " kB a token, ", fixed(one.time, 2), " of the time", one.chosen ? ", chosen)" : ")");
  if (!recompute.empty()) recompute = "\nrecompute     layers: " + recompute;
  for (std::size_t begin = 0, end; (end = plan.record.find('\n', begin)) != plan.record.npos; begin = end + 1)
    lines += "\n  " + plan.record.substr(begin, end - begin);
  return concat(
      "parameters    ", plan.parameters, ", of them ", plan.trained_parameters, " trained\nrecords       ",
      plan.records, " of ", plan.sequences, " sequences\nlengths       ", plan.lengths.least, " to ",
      plan.lengths.most, " tokens, half up to ", plan.lengths.median, ", nine tenths up to ",
      plan.lengths.nine_tenths, "\nsteps         ", plan.steps, ", ", plan.steps_per_epoch,
      " an epoch\ntokens        ", plan.tokens, " an epoch, computed for ", plan.tokens_before_sharing,
      " in the records\ntime          about ", spell_seconds(plan.seconds),
      " of steps, as a step of the longest records took\nmemory        ", fixed(plan.peak_bytes / 1e6, 0),
      " MB at most until now, after that step\nof it         ", fixed(plan.weight_bytes / 1e6, 1),
      " MB of weights, ", fixed(plan.gradient_bytes / 1e6, 1), " MB of gradients, ",
      fixed(plan.optimizer_bytes / 1e6, 1), " MB of the optimizer's, ", fixed(plan.bytes_per_token / 1e3, 1),
      " kB of activations for each of ", plan.tokens_at_once, " tokens at once", recompute,
      "\nfirst record  | is where "
      "the completion begins, ^ stands behind a token whose score is read",
      lines);
}

}  // namespace MERIT_ABI
}  // namespace merit
