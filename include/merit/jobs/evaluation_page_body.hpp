// What the page of an evaluation shows of each kind.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/eval/calibration.hpp"
#include "merit/infer/probabilities.hpp"
#include "merit/jobs/evaluation_page.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/page/report_page.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/reading.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::evaluation_page {

// ---- Figures ---

inline std::string spaced(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// A row for each number or estimate, and those inside of objects; lists have charts of their own.
inline void add_figures(const std::string& prefix, const Json& json,
                        std::vector<std::vector<std::string>>& rows) {
  for (const auto& [name, value] : json.items()) {
    const std::string whole = prefix + spaced(name);
    if (value.is_object() && value.contains("value") && value.contains("low")) {
      rows.push_back(
          {whole, number_text(value["value"].get<double>()),
           number_text(value["low"].get<double>()) + " to " + number_text(value["high"].get<double>())});
    } else if (value.is_object()) {
      add_figures(whole + ": ", value, rows);
    } else if (value.is_number()) {
      rows.push_back({whole, number_text(value.get<double>()), ""});
    }
  }
}

inline void figures(ReportPage& page, const std::string& title, const std::string& note, const Json& json) {
  std::vector<std::vector<std::string>> rows;
  add_figures("", json, rows);
  if (!rows.empty()) page.table(title, note, {"figure", "value", "95% interval"}, rows);
}

// ---- The training ---

inline void training(ReportPage& page, const std::string& model) {
  std::filesystem::path directory = std::filesystem::path(model).lexically_normal();
  if (directory.filename().empty()) directory = directory.parent_path();
  const std::filesystem::path path = directory.string() + ".metrics.jsonl";
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return;
  std::map<double, double> losses, headlines;  // by step: a resumed run may have written one twice
  std::string headline_name = "evaluation";
  try {
    JsonLinesReader reader(path);
    while (const auto event = reader.next()) {
      const std::string kind = event->value("event", "");
      if (kind == "step") losses[event->value("step", 0.0)] = event->value("loss", 0.0);
      if (kind == "evaluate" && event->contains("headline")) {
        headlines[event->value("step", 0.0)] = event->value("headline", 0.0);
        headline_name = event->value("headline_name", headline_name);
      }
    }
  } catch (const DataError&) {  // a run that goes on may be writing its last line
  }
  if (losses.size() > 1) {
    ChartSeries series{.name = "loss"};
    double smooth = 0;
    double count = 0;
    const double window = std::max(1.0, static_cast<double>(losses.size()) / 50);
    for (const auto& [step, loss] : losses) {
      count = std::min(count + 1, window);
      smooth += (loss - smooth) / count;
      series.x.push_back(step);
      series.y.push_back(smooth);
    }
    page.chart(LineChart{.title = "Training loss",
                         .note = "A running mean over a fiftieth of the steps.",
                         .x_label = "step",
                         .y_label = "loss",
                         .series = {std::move(series)}});
  }
  if (headlines.size() > 1) {
    ChartSeries series{.name = headline_name, .dots = true};
    for (const auto& [step, value] : headlines) {
      series.x.push_back(step);
      series.y.push_back(value);
    }
    page.chart(LineChart{.title = "Held-out " + headline_name + " while training",
                         .x_label = "step",
                         .y_label = headline_name,
                         .series = {std::move(series)}});
  }
}

// ---- Charts of several kinds ---

/// How often what was given a probability came true.
inline void reliability(ReportPage& page, const std::string& title, const std::string& note,
                        const CalibrationReport& report) {
  ChartSeries model{.name = "model", .dots = true};
  for (const ReliabilityBin& bin : report.bins) {
    if (bin.count == 0) continue;
    model.x.push_back(bin.mean_probability);
    model.y.push_back(bin.mean_outcome);
    model.counts.push_back(static_cast<double>(bin.count));
  }
  page.chart(LineChart{
      .title = title,
      .note = note +
              " On the diagonal, probabilities are what they say; larger marks stand for more of them. The "
              "expected error is " +
              number_text(report.expected_error) + ".",
      .x_label = "probability",
      .y_label = "share that came true",
      .series = {std::move(model), ChartSeries{.name = "perfect", .x = {0, 1}, .y = {0, 1}, .dashed = true}},
      .y_low = 0,
      .y_high = 1});
}

inline ChartSeries with_band(const std::string& name, bool dashed) {
  return ChartSeries{.name = name, .dashed = dashed, .dots = !dashed};
}
inline void add_point(ChartSeries& series, double x, const Estimate& y) {
  series.x.push_back(x);
  series.y.push_back(y.value);
  series.low.push_back(y.low);
  series.high.push_back(y.high);
}

/// The mean of one number for tenths of the other, which goes from low to high.
inline ChartSeries means_by_tenths(const std::string& name, const std::vector<double>& x,
                                   const std::vector<double>& y) {
  std::vector<Index> order(x.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return x[a] < x[b]; });
  ChartSeries series{.name = name, .dots = true};
  const Index parts = std::min<Index>(10, order.size());
  for (Index part = 0; part < parts; ++part) {
    const Index begin = order.size() * part / parts;
    const Index end = order.size() * (part + 1) / parts;
    double mean_x = 0;
    double mean_y = 0;
    for (Index i = begin; i < end; ++i) {
      mean_x += x[order[i]] / static_cast<double>(end - begin);
      mean_y += y[order[i]] / static_cast<double>(end - begin);
    }
    series.x.push_back(mean_x);
    series.y.push_back(mean_y);
  }
  return series;
}

// ---- Records ---

inline constexpr Index records_of_each_sort = 3;

/// The tokens from `begin` to `end` as they are read where they stand; as numbers where they cannot be decoded.
inline std::string text_between(const AnyTokenizer& tokenizer, const std::vector<Token>& tokens, Index begin,
                                Index end) {
  std::string text;
  const bool ends = end > begin && tokens[end - 1] == tokenizer.eos();
  const Index last = ends ? end - 1 : end;
  // What a token adds to the text before it: a space may belong to it only where it is not the first.
  constexpr Index context = 8;
  const Index from = begin > context ? begin - context : 0;
  const auto before = tokenizer.decode({tokens.data() + from, begin - from});
  const auto whole = tokenizer.decode({tokens.data() + from, last - from});
  if (before && whole) {
    text = whole->starts_with(*before) ? whole->substr(before->size())
                                       : *tokenizer.decode({tokens.data() + begin, last - begin});
  } else {
    for (Index i = begin; i < last; ++i) text += merit::concat('#', tokens[i], ' ');
  }
  return ends ? text + " ⟨end⟩" : text;
}

/// The words of `text`, a completion, where they are its tokens without the last, which may be an end of
/// sequence; none for tokens of another kind and where only a part of them was read.
inline std::vector<std::string> words_read(const EvaluationPage& input, const Sequence& sequence,
                                           const std::string& text) {
  std::vector<std::string> words;
  if (input.tokenizer.get_if<WordHashTokenizer>() == nullptr) return words;
  std::vector<Token> tokens;
  input.tokenizer.encode(text, tokens);
  const std::span<const Token> read = std::span(sequence.tokens).subspan(sequence.completion_begin);
  if (read.size() < tokens.size() || !std::equal(tokens.begin(), tokens.end(), read.begin())) return words;
  WordHashTokenizer::each_word(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

/// A completion coloured by its tokens or steps; as a whole where that is what was scored. `steps` are the
/// texts of those that were scored, which stand for them where tokens cannot be decoded.
inline std::vector<ScoredSpan> spans_of(const EvaluationPage& input, const Sequence& sequence,
                                        const RowScores& rows, std::span<const std::string> steps,
                                        const std::string& text, double probability) {
  std::vector<ScoredSpan> spans;
  const std::vector<double> values = row_values(rows, input.reading);
  if (input.reading.meaning == ScoreMeaning::per_token) {
    const std::vector<std::string> words = words_read(input, sequence, text);
    for (Index i = 0; i < values.size(); ++i) {
      const Index at = sequence.completion_begin + i;
      spans.push_back(
          {i < words.size() ? words[i] + ' ' : text_between(input.tokenizer, sequence.tokens, at, at + 1),
           values[i]});
    }
  } else if (input.reading.meaning == ScoreMeaning::per_step) {
    const bool decodes = input.tokenizer.decode({sequence.tokens.data(), 0}).has_value();
    Index begin = sequence.completion_begin;
    for (Index k = 0; k < values.size(); ++k) {
      const Index end = sequence.step_ends[k] + 1;
      spans.push_back({!decodes && steps.size() == values.size()
                           ? steps[k]
                           : text_between(input.tokenizer, sequence.tokens, begin, end),
                       values[k]});
      begin = end;
    }
  } else {
    spans.push_back({text, probability});
  }
  return spans;
}

/// Three sections of records: sure and wrong, sure and right, and those it cannot tell.
template <class Record>
void telling(ReportPage& page, const std::vector<double>& probabilities, const std::vector<double>& labels,
             const std::string& note, const Record& record) {
  const TellingRecords numbers = telling_records(probabilities, labels, records_of_each_sort);
  const auto section = [&](const std::string& title, const std::vector<Index>& list) {
    std::vector<ScoredRecord> records;
    for (const Index i : list) records.push_back(record(i));
    page.records(title, note, records);
  };
  section("Sure and wrong", numbers.wrong);
  section("Sure and right", numbers.right);
  section("Hard to tell", numbers.uncertain);
}

inline void show(ReportPage& page, const EvaluationPage& input,
                 const std::vector<PreferenceExample>& examples) {
  const std::vector<double>& scores = input.evaluation.scores;
  HistogramChart histogram{.title = "Scores", .x_label = "score", .classes = {{"chosen"}, {"rejected"}}};
  std::vector<double> sure, right, probabilities, weights;
  for (Index i = 0; i < examples.size(); ++i) {
    histogram.classes[0].values.push_back(scores[2 * i]);
    histogram.classes[1].values.push_back(scores[2 * i + 1]);
    const double p = sigmoid(scores[2 * i] - scores[2 * i + 1]);
    probabilities.push_back(p);
    sure.push_back(std::max(p, 1 - p));
    weights.push_back(examples[i].weight);
    const double label = examples[i].soft_label;
    right.push_back(p > 0.5 ? label : p < 0.5 ? 1 - label : 0.5);
  }
  page.chart(histogram);
  reliability(page, "Reliability of pairs",
              "How often the higher-scored one was chosen, by how sure the model was.",
              report_calibration(sure, right, 10, weights));
  telling(page, probabilities, std::vector<double>(examples.size(), 1.0),
          "Coloured by the probability of being the better one.", [&](Index i) {
            const ExampleNote& note = input.set.notes[i];
            ScoredRecord record;
            record.title = "chosen " + number_text(scores[2 * i]) + ", rejected " +
                           number_text(scores[2 * i + 1]) + "  (" + note.source.text() + ")";
            record.prompt = note.prompt;
            record.steps = true;
            record.spans = {{note.texts[0], probabilities[i], "chosen"},
                            {note.texts[1], 1 - probabilities[i], "rejected"}};
            return record;
          });
}

inline void show_ranks(ReportPage& page, const EvaluationPage& input,
                       const std::vector<RankingExample>& examples) {
  HistogramChart histogram{
      .title = "Scores", .x_label = "score", .classes = {{"of the best rank"}, {"others"}}};
  Index next = 0;
  std::vector<double> credits, labels;  // P(the best-scored of the best rank is above all others)
  std::vector<std::vector<double>> of_group;
  for (const RankingExample& example : examples) {
    for (const RankedGroup& group : example.groups) {
      const Index best = *std::min_element(group.ranks.begin(), group.ranks.end());
      std::vector<double> top, rest;
      auto& own = of_group.emplace_back();
      for (Index i = 0; i < group.ranks.size(); ++i) {
        own.push_back(input.evaluation.scores[next]);
        (group.ranks[i] == best ? top : rest).push_back(input.evaluation.scores[next++]);
      }
      for (const double score : top) histogram.classes[0].values.push_back(score);
      for (const double score : rest) histogram.classes[1].values.push_back(score);
      const double above = rest.empty() ? 0 : *std::max_element(rest.begin(), rest.end());
      credits.push_back(rest.empty() ? 0.5 : sigmoid(*std::max_element(top.begin(), top.end()) - above));
      labels.push_back(1);
    }
  }
  page.chart(histogram);
  if (of_group.size() != input.set.notes.size()) return;  // conversations with several groups
  telling(page, credits, labels, "Coloured by how much of the best-scored ones each completion is.",
          [&](Index i) {
            const ExampleNote& note = input.set.notes[i];
            const auto& group = examples[i].groups[0];
            const double highest = *std::max_element(of_group[i].begin(), of_group[i].end());
            ScoredRecord record{.title = note.source.text(), .prompt = note.prompt, .steps = true};
            for (Index k = 0; k < note.texts.size(); ++k) {
              record.spans.push_back(
                  {note.texts[k], 2 * sigmoid(of_group[i][k] - highest),
                   "rank " + std::to_string(group.ranks[k]) + ", scored " + number_text(of_group[i][k])});
            }
            return record;
          });
}

inline void show_ratings(ReportPage& page, const EvaluationPage& input,
                         const std::vector<RankingExample>& examples) {
  std::vector<double> ratings;
  for (const RankingExample& example : examples) {
    for (const RankedGroup& group : example.groups) {
      for (Index i = 0; i < group.completions.size(); ++i) {
        double sum = 0;
        for (Index a = 0; a < group.attributes; ++a) sum += group.ratings[i * group.attributes + a];
        ratings.push_back(sum);
      }
    }
  }
  page.chart(LineChart{.title = "Scores by rating",
                       .note = "Each point is a tenth of the completions, by what they were rated.",
                       .x_label = "rating",
                       .y_label = "mean score",
                       .series = {means_by_tenths("model", ratings, input.evaluation.scores)}});
  page.chart(
      HistogramChart{.title = "Scores", .x_label = "score", .classes = {{"all", input.evaluation.scores}}});
}

inline void show(ReportPage& page, const EvaluationPage& input, const std::vector<RankingExample>& examples) {
  if (input.set.kind == RecordKind::ratings) {
    show_ratings(page, input, examples);
  } else {
    show_ranks(page, input, examples);
  }
}

inline void show(ReportPage& page, const EvaluationPage& input, const std::vector<OutcomeExample>& examples) {
  const OutcomeReport& report = *input.evaluation.outcomes;
  if (!report.curve.empty()) {
    ChartSeries chosen = with_band("top-scored", false);
    ChartSeries pass = with_band("oracle (pass@n)", true);
    ChartSeries majority = with_band("majority", false);
    ChartSeries longest = with_band("longest", true);
    for (const BestOfNPoint& point : report.curve) {
      const auto n = static_cast<double>(point.n);
      add_point(chosen, n, point.chosen);
      add_point(pass, n, point.pass);
      if (report.weighted_majority) add_point(majority, n, point.majority);
      if (point.n <= report.baselines[0].chosen.size())
        add_point(longest, n, report.baselines[0].chosen[point.n - 1]);
    }
    std::vector<ChartSeries> series{std::move(chosen), std::move(pass), std::move(longest)};
    if (report.weighted_majority) series.push_back(std::move(majority));
    page.chart(LineChart{.title = "Best of n",
                         .note =
                             "How often the choice among n completions is right, over all subsets of n; at 1 "
                             "it is chance.",
                         .x_label = "n",
                         .y_label = "right",
                         .series = std::move(series),
                         .y_low = 0,
                         .y_high = 1});
  }
  reliability(page, "Reliability", "How many completions were right, by their probability.",
              report.calibration);
  HistogramChart histogram{
      .title = "Probabilities", .x_label = "probability of being right", .classes = {{"right"}, {"wrong"}}};
  std::vector<double> probabilities, labels;
  std::vector<Index> seen;
  for (Index i = 0; i < examples.size(); ++i) {
    if (input.evaluation.rows[i].rows() == 0) continue;  // a cut took it whole
    seen.push_back(i);
    probabilities.push_back(completion_probability(input.evaluation.scores[i], input.reading));
    labels.push_back(examples[i].label);
    histogram.classes[examples[i].label >= 0.5 ? 0 : 1].values.push_back(probabilities.back());
  }
  page.chart(histogram);
  telling(page, probabilities, labels, "Coloured by the probability of being right.", [&](Index k) {
    const ExampleNote& note = input.set.notes[seen[k]];
    ScoredRecord record;
    record.title = std::string(labels[k] >= 0.5 ? "right" : "wrong") + ", scored " +
                   number_text(probabilities[k]) + "  (" + note.source.text() + ")";
    record.prompt = note.prompt;
    record.spans = spans_of(input, examples[seen[k]].sequence, input.evaluation.rows[seen[k]],
                            std::span(note.texts).subspan(1), note.texts[0], probabilities[k]);
    record.steps = input.reading.meaning == ScoreMeaning::per_step;
    return record;
  });
}

inline void show(ReportPage& page, const EvaluationPage& input, const std::vector<StepsExample>& examples) {
  const auto solutions = scored_solutions(input.set, input.evaluation.rows, input.reading);
  HistogramChart histogram{
      .title = "Steps", .x_label = "probability of being good", .classes = {{"good"}, {"bad"}}};
  std::vector<double> probabilities, labels, weights, lowest, correct;
  std::vector<Index> shown;
  for (Index i = 0; i < solutions.size(); ++i) {
    bool labelled = false;
    for (Index k = 0; k < solutions[i].scores.size(); ++k) {
      const std::optional<bool> good = solutions[i].good[solutions[i].unseen_before + k];
      if (!good) continue;
      labelled = true;
      probabilities.push_back(solutions[i].scores[k]);
      labels.push_back(*good ? 1 : 0);
      weights.push_back(solutions[i].weight);
      histogram.classes[*good ? 0 : 1].values.push_back(solutions[i].scores[k]);
    }
    if (!labelled) continue;
    shown.push_back(i);
    lowest.push_back(*std::min_element(solutions[i].scores.begin(), solutions[i].scores.end()));
    correct.push_back(first_wrong(solutions[i]) ? 0 : 1);
  }
  if (probabilities.empty()) return;  // no labelled step was seen
  page.chart(histogram);
  if (std::accumulate(weights.begin(), weights.end(), 0.0) > 0)  // else those that count were not seen
    reliability(page, "Reliability of steps", "How many steps were good, by their probability.",
                report_calibration(probabilities, labels, 10, weights));
  telling(page, lowest, correct,
          "Each step with the probability that it is good. A step under " + number_text(input.threshold) +
              " counts as wrong.",
          [&](Index n) {
            const Index i = shown[n];
            const ExampleNote& note = input.set.notes[i];
            ScoredRecord record;
            record.title = std::string(correct[n] > 0 ? "no error" : "with an error") + ", lowest step " +
                           number_text(lowest[n]) + "  (" + note.source.text() + ")";
            record.prompt = note.prompt;
            record.steps = true;
            const Index seen = solutions[i].scores.size();
            const Index before = std::min(solutions[i].unseen_before, note.texts.size());
            record.spans = spans_of(
                input, examples[i].sequence, input.evaluation.rows[i],
                std::span(note.texts).subspan(before, std::min(seen, note.texts.size() - before)), "", 0);
            for (Index k = 0; k < record.spans.size(); ++k) {
              const auto& good = solutions[i].good[solutions[i].unseen_before + k];
              record.spans[k].label = good ? (*good ? "good" : "bad") : "";
            }
            return record;
          });
}

inline void show(ReportPage& page, const EvaluationPage& input, const std::vector<RolloutExample>& examples) {
  std::vector<double> values, returns;
  for (Index i = 0; i < examples.size(); ++i) {
    const RowScores& rows = input.evaluation.rows[i];
    for (Index t = 0; t < rows.rows(); ++t) {
      values.push_back(rows.row(t)[0]);
      returns.push_back(examples[i].returns[examples[i].returns.size() - rows.rows() + t]);
    }
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  page.chart(LineChart{
      .title = "Returns by value",
      .note = "Each point is a tenth of the states, by the value they were given.",
      .x_label = "value",
      .y_label = "mean return",
      .series = {means_by_tenths("model", values, returns),
                 ChartSeries{.name = "perfect", .x = {*low, *high}, .y = {*low, *high}, .dashed = true}}});
  page.chart(HistogramChart{.title = "Values and returns",
                            .x_label = "value",
                            .classes = {{"values", values}, {"returns", returns}}});
}

}  // namespace detail::evaluation_page

MERIT_INLINE void write_evaluation_page(const std::string& path, const EvaluationPage& input) {
  ReportPage page("Evaluation of " + input.model, name_of_kind(input.set.kind) + " records of " +
                                                      input.set.files + ". " + input.set.account());
  using namespace detail::evaluation_page;
  figures(page, "Figures", "With 95% intervals over prompts, and beside the model's what needs none.",
          to_json(input.evaluation));
  figures(page, "Benchmark", "As its own code counts.", input.benchmark);
  figures(page, "Judge", "What verdicts owe to the place of an answer, and what was not read.", input.judge);
  std::visit([&](const auto& examples) { show(page, input, examples); }, input.set.examples);
  training(page, input.model);
  page.write_to(path);
}

}  // namespace MERIT_ABI
}  // namespace merit
