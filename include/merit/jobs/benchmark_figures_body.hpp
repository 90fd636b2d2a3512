// From the scores of a benchmark's rows to its figures.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/benchmarks/benchmark_scores.hpp"
#include "merit/core/error.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/benchmark_evaluation.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::benchmark_figures {

/// The scores of each example's sequences.
inline std::vector<std::vector<double>> scores_by_example(const BenchmarkSet& benchmark,
                                                          const Evaluation& evaluation) {
  std::vector<std::vector<double>> scores;
  Index next = 0;
  std::visit(
      [&](const auto& examples) {
        for (const auto& example : examples) {
          auto& own = scores.emplace_back();
          for_each_sequence(example, [&](const Sequence&) { own.push_back(evaluation.scores[next++]); });
        }
      },
      benchmark.set.examples);
  return scores;
}

inline std::string line(const std::string& name, const std::string& what) {
  const std::string shown = visible(name);  // it may be a subset of a file of others
  return "\n" + shown + std::string(shown.size() < 24 ? 24 - shown.size() : 1, ' ') + what;
}

/// A number for each prompt: of the examples, and behind them of the rows without a score.
inline std::vector<Index> prompts_of(const BenchmarkSet& benchmark) {
  std::vector<std::string> prompts;
  for (const ExampleNote& note : benchmark.set.notes) prompts.push_back(note.split_key);
  for (const UnscoredRow& row : benchmark.unscored) prompts.push_back(row.prompt);
  return merit::detail::answer_numbers(prompts);
}

/// Which sequences of each example were cut.
inline std::vector<std::vector<bool>> cuts_by_example(const BenchmarkSet& benchmark) {
  std::vector<std::vector<bool>> cuts;
  std::visit(
      [&](const auto& examples) {
        for (const auto& example : examples) {
          auto& own = cuts.emplace_back();
          for_each_sequence(example, [&](const Sequence& sequence) { own.push_back(sequence.cut); });
        }
      },
      benchmark.set.examples);
  return cuts;
}

/// How many rows of a subset, or of all for an empty name, have no score, and why the first of them has none.
struct Unscored {
  Index count = 0;
  std::string reason;
};
inline Unscored unscored_of(const BenchmarkSet& benchmark, const std::string& subset = {}) {
  Unscored some;
  for (const UnscoredRow& row : benchmark.unscored) {
    if (!subset.empty() && row.subset != subset) continue;
    if (some.count++ == 0) some.reason = row.reason;
  }
  return some;
}

/// "5", or "5 of 8; 3 without a score: too long", which is the reason of the first.
inline std::string denominator(Index scored, const Unscored& unscored) {
  const std::string count = std::to_string(scored);
  if (unscored.count == 0) return count;
  return concat(count, " of ", scored + unscored.count, "; ", unscored.count,
                " without a score: ", unscored.reason);
}

/// Says that a figure is not defined, and why.
inline void add_undefined(const std::string& name, const std::string& why, Json& json, BenchmarkScores& out) {
  json = nullptr;
  out.json["not_defined"][name] = why;
  out.text += line(name, "not defined: " + why);
}

inline void add_subset(const BenchmarkSet& benchmark, const SubsetMean& subset, BenchmarkScores& out) {
  const Unscored unscored = unscored_of(benchmark, subset.name);
  out.json["subsets"][subset.name] = {{"count", subset.count}, {"accuracy", to_json(subset.mean)}};
  if (unscored.count != 0) out.json["subsets"][subset.name]["unscored"] = unscored.count;
  out.text += line("  " + subset.name, text_of(subset.mean) + ", of " + denominator(subset.count, unscored));
}

/// Subsets of which no row has a score: each is told. Their mean has no value then.
inline std::vector<std::string> add_empty_subsets(const BenchmarkSet& benchmark, BenchmarkScores& out) {
  std::vector<std::string> empty;
  for (const UnscoredRow& row : benchmark.unscored) {
    if (row.subset == "Ties" && benchmark.layout == BenchmarkLayout::reward_bench_2) continue;  // by problem
    const auto has_name = [&](const ExampleNote& note) { return note.subset == row.subset; };
    if (std::any_of(benchmark.set.notes.begin(), benchmark.set.notes.end(), has_name)) continue;
    if (std::find(empty.begin(), empty.end(), row.subset) != empty.end()) continue;
    empty.push_back(row.subset);
    const Unscored unscored = unscored_of(benchmark, row.subset);
    out.json["subsets"][row.subset] = nullptr;
    out.json["not_defined"][row.subset] = unscored.reason;
    out.text += line("  " + row.subset,
                     concat("not defined: none of ", unscored.count, " has a score: ", unscored.reason));
  }
  return empty;
}

inline std::string no_score_in(const std::vector<std::string>& subsets) {
  std::string names;
  for (const std::string& name : subsets) names += (names.empty() ? "" : ", ") + name;
  return "no row of " + names + " has a score";
}

inline BenchmarkScores reward_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  const auto& examples = std::get<std::vector<PreferenceExample>>(benchmark.set.examples);
  std::vector<std::string> names;
  std::vector<double> chosen, rejected;
  std::vector<Index> chosen_lengths, rejected_lengths;
  for (Index i = 0; i < examples.size(); ++i) {
    names.push_back(benchmark.set.notes[i].subset);
    chosen.push_back(evaluation.scores[2 * i]);
    rejected.push_back(evaluation.scores[2 * i + 1]);
    chosen_lengths.push_back(examples[i].chosen.tokens.size() - examples[i].chosen.completion_begin);
    rejected_lengths.push_back(examples[i].rejected.tokens.size() - examples[i].rejected.completion_begin);
  }
  std::vector<std::string> unscored;
  for (const UnscoredRow& row : benchmark.unscored) unscored.push_back(row.subset);
  const auto report = report_reward_bench(names, chosen, rejected, chosen_lengths, rejected_lengths, unscored,
                                          prompts_of(benchmark));
  BenchmarkScores out;
  out.json = {{"score", to_json(report.score)},
              {"pairs", report.pairs},
              {"ties", report.ties},
              {"unscored", report.unscored},
              {"longer_wins", to_json(report.longer_wins)}};
  std::string lost;
  if (report.ties != 0) lost += concat(", ", report.ties, " with equal scores lost");
  if (report.unscored != 0) {
    lost += concat(", ", report.unscored, " without a score lost: ", unscored_of(benchmark).reason);
  }
  out.text =
      line("score", text_of(report.score) + concat(", of ", report.pairs, " pairs", lost)) +
      line("longer wins", text_of(report.longer_wins) +
                              (report.unscored == 0 ? std::string()
                                                    : concat(", of the ", examples.size(), " with a score")) +
                              ": what the length alone gives");
  for (const SectionScore& section : report.sections) {
    out.json["sections"][section.name] = to_json(section.accuracy);
    out.text += line(section.name, text_of(section.accuracy));
  }
  for (const SubsetMean& subset : report.subsets) {
    out.json["subsets"][subset.name] = {{"count", subset.count}, {"accuracy", to_json(subset.mean)}};
    out.text += line("  " + subset.name, text_of(subset.mean) + ", of " + std::to_string(subset.count));
  }
  return out;
}

inline BenchmarkScores reward_bench_2(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  const auto& rows = std::get<std::vector<RewardBench2Row>>(benchmark.rows);
  const auto scores = scores_by_example(benchmark, evaluation);
  const auto cuts = cuts_by_example(benchmark);
  const std::vector<Index> numbers = prompts_of(benchmark);
  std::vector<std::string> names;
  std::vector<double> credits;
  std::vector<Index> prompts;
  std::map<Index, TiesScores> ties;  // by row
  for (Index i = 0; i < scores.size(); ++i) {
    const RewardBench2Row& row = rows[benchmark.row_of[i]];
    if (row.ties) {
      const auto middle = scores[i].begin() + static_cast<std::ptrdiff_t>(row.chosen.size());
      ties[benchmark.row_of[i]] = {{scores[i].begin(), middle}, {middle, scores[i].end()}};
    } else {
      names.push_back(row.subset);
      credits.push_back(best_of_four_credit(choice_keys(scores[i], cuts[i])));
      prompts.push_back(numbers[i]);
    }
  }
  std::vector<TiesProblem> problems;
  Unscored without;  // problems: a prompt without a score takes its other half with it
  const auto pairs = ties_pairs(rows);
  for (const auto& [reference, tied] : pairs) {
    if (ties.contains(reference) && ties.contains(tied)) {
      problems.push_back({ties[reference], ties[tied]});
      continue;
    }
    for (const UnscoredRow& row : benchmark.unscored) {
      if ((row.row == reference || row.row == tied) && without.reason.empty()) without.reason = row.reason;
    }
    ++without.count;
  }
  BenchmarkScores out;
  out.json = Json::object();
  std::vector<std::string> empty = add_empty_subsets(benchmark, out);
  if (problems.empty() && without.count != 0) empty.emplace_back("Ties");
  std::string subsets = std::exchange(out.text, {});
  std::optional<RewardBench2Report> report;
  if (!names.empty() || !problems.empty()) report = report_reward_bench_2(names, credits, problems, prompts);
  if (report && empty.empty()) {
    out.json["score"] = report->score;
    out.text += line("score", fixed(report->score, 3));
  } else {
    add_undefined("score", no_score_in(empty), out.json["score"], out);
  }
  out.text += subsets;
  if (report) {
    for (const SubsetMean& subset : report->subsets) add_subset(benchmark, subset, out);
  }
  if (report && report->ties) {
    out.json["ties"] = {{"score", report->ties->score},
                        {"problems", report->ties->problems},
                        {"reference_accuracy", report->ties->reference_accuracy},
                        {"tied_accuracy", report->ties->tied_accuracy}};
    out.text += line("  Ties",
                     fixed(report->ties->score, 3) + ", of " + denominator(report->ties->problems, without));
  } else if (without.count != 0) {
    add_undefined("Ties",
                  concat("none of ", without.count, without.count == 1 ? " problem" : " problems",
                         " has scores of both prompts: ", without.reason),
                  out.json["ties"], out);
  }
  return out;
}

/// The same of a domain of RM-Bench: the two halves of safety are one, "all" is all.
inline Unscored unscored_of_domain(const BenchmarkSet& benchmark, const std::string& domain) {
  if (domain == "all") return unscored_of(benchmark);
  Unscored some = unscored_of(benchmark, domain);
  if (domain != "safety") return some;
  for (const char* half : {"safety-refuse", "safety-response"}) {
    const Unscored more = unscored_of(benchmark, half);
    if (some.count == 0) some.reason = more.reason;
    some.count += more.count;
  }
  return some;
}

inline BenchmarkScores rm_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  const auto scores = scores_by_example(benchmark, evaluation);
  std::vector<std::string> domains;
  std::vector<StyleScores> prompts;
  for (Index i = 0; i < scores.size(); ++i) {
    domains.push_back(benchmark.set.notes[i].subset);  // the halves of safety are one domain
    StyleScores& styles = prompts.emplace_back();
    for (Index s = 0; s < 3; ++s) {
      styles.chosen[s] = scores[i][s];
      styles.rejected[s] = scores[i][3 + s];
    }
  }
  const auto report = report_rm_bench(domains, prompts);
  BenchmarkScores out;
  const auto add = [&](const RmBenchDomain& domain) {
    out.json[domain.name] = {{"prompts", domain.prompts},
                             {"easy", domain.easy},
                             {"normal", domain.normal},
                             {"hard", domain.hard},
                             {"mean", domain.mean}};
    const Unscored unscored = unscored_of_domain(benchmark, domain.name);
    out.text += line(domain.name, fixed(domain.mean, 3) + "; easy " + fixed(domain.easy, 3) + ", normal " +
                                      fixed(domain.normal, 3) + ", hard " + fixed(domain.hard, 3) + ", of " +
                                      denominator(domain.prompts, unscored));
    if (unscored.count != 0) out.json[domain.name]["unscored"] = unscored.count;
  };
  BenchmarkScores left;
  const std::vector<std::string> empty = add_empty_subsets(benchmark, left);
  if (empty.empty()) {
    add(report.all);
  } else {
    add_undefined("all", no_score_in(empty), out.json["all"], out);
    for (const std::string& name : empty) {
      out.json[name] = nullptr;
      out.json["not_defined"][name] = unscored_of(benchmark, name).reason;
    }
  }
  for (const RmBenchDomain& domain : report.domains) add(domain);
  out.text += left.text;
  return out;
}

/// What a cut took of solutions: they count as what they are, and what was not seen as missed.
inline std::string cut_note(Index cut) {
  if (cut == 0) return "";
  return concat("; of ", cut, cut == 1 ? " solution" : " solutions",
                " a cut took steps, which count as judged wrong");
}

inline BenchmarkScores process_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation,
                                     const Reading& reading, double threshold) {
  const auto solutions = scored_solutions(benchmark.set, evaluation.rows, reading);
  std::vector<std::string> names;
  std::vector<FirstErrorSubset> subsets;
  std::vector<std::vector<Index>> problems;
  Index cut = 0;
  for (Index i = 0; i < solutions.size(); ++i) {
    const std::string& name = benchmark.set.notes[i].subset;
    const auto place = static_cast<Index>(std::find(names.begin(), names.end(), name) - names.begin());
    if (place == names.size()) names.push_back(name), subsets.emplace_back(), problems.emplace_back();
    problems[place].push_back(solutions[i].problem);
    subsets[place].predicted.push_back(predicted_first_wrong(solutions[i], threshold));
    subsets[place].actual.push_back(first_wrong(solutions[i]));
    cut += solutions[i].is_cut() ? 1 : 0;
  }
  BenchmarkScores out, left;
  out.json = Json::object();
  double sum = 0;
  std::string undefined;  // why the mean is not, where it is not
  for (Index s = 0; s < names.size(); ++s) {
    const FirstErrorFigures figures =
        first_error_figures(subsets[s].predicted, subsets[s].actual, problems[s]);
    Json& json = left.json["subsets"][names[s]];
    const auto value = [&](const char* field, const std::optional<Estimate>& figure) {
      json[field] = figure ? to_json(*figure) : Json();
      return figure ? fixed(figure->value, 3) : std::string("not defined");
    };
    const std::string found = value("found", figures.found);
    const std::string accepted = value("accepted", figures.accepted);
    json["f1"] = figures.f1 ? Json(*figures.f1) : Json();
    json["erroneous"] = figures.erroneous;
    json["correct"] = figures.correct;
    const std::string why =
        figures.erroneous == 0 ? "no solution has an error" : "every solution has an error";
    if (!figures.f1) {
      undefined += (undefined.empty() ? "" : "; ") + names[s] + ": " + why;
      json["not_defined"] = why;
    }
    sum += figures.f1.value_or(0);
    left.text += line("  " + names[s], (figures.f1 ? fixed(*figures.f1, 3) : "not defined, as " + why) +
                                           concat("; erroneous found ", found, " of ", figures.erroneous,
                                                  ", correct accepted ", accepted, " of ", figures.correct));
    const Unscored unscored = unscored_of(benchmark, names[s]);
    if (unscored.count != 0) {
      json["unscored"] = unscored.count;
      left.text += concat(", of ", denominator(figures.erroneous + figures.correct, unscored));
    }
  }
  for (const std::string& name : add_empty_subsets(benchmark, left)) {
    undefined += (undefined.empty() ? "" : "; ") + name + ": no solution has a score";
  }
  out.json = std::move(left.json);
  out.json["cut"] = cut;
  const std::string at = concat("at the threshold ", fixed(threshold, 3), cut_note(cut));
  if (undefined.empty()) {
    const double mean = sum / static_cast<double>(names.size());
    out.json["mean_f1"] = mean;
    out.text = line("mean F1", fixed(mean, 3) + " " + at);
  } else {
    add_undefined("mean F1", undefined, out.json["mean_f1"], out);
    out.text += "; " + at;
  }
  out.text += left.text;
  return out;
}

inline BenchmarkScores prm_bench(const BenchmarkSet& benchmark, const Evaluation& evaluation,
                                 const Reading& reading, double threshold) {
  const auto& rows = std::get<std::vector<PrmBenchRow>>(benchmark.rows);
  const auto solutions = scored_solutions(benchmark.set, evaluation.rows, reading);
  std::vector<std::string> classes;
  std::vector<std::vector<double>> scores;
  std::vector<std::vector<bool>> good;
  Index cut = 0;
  for (Index i = 0; i < solutions.size(); ++i) {
    const PrmBenchRow& row = rows[benchmark.row_of[i]];
    classes.push_back(row.classification);
    scores.push_back(scores_with_unseen(solutions[i]));
    cut += solutions[i].is_cut() ? 1 : 0;
    auto& own = good.emplace_back();
    for (const auto& label : solutions[i].good) own.push_back(label.value_or(true));
  }
  const auto counts = count_steps_by_class(classes, scores, good, threshold);
  const auto report = report_prm_bench(counts);
  BenchmarkScores out;
  Index beyond = 0;
  for (const PrmBenchRow& row : rows) beyond += row.errors_beyond();
  out.json = {{"prm_score", report.score},
              {"cut", cut},
              {"unscored", unscored_of(benchmark).count},
              {"errors_beyond_the_last_step", beyond}};
  out.text = line("PRMScore", fixed(report.score, 3) + " at the threshold " + fixed(threshold, 3) + ", of " +
                                  denominator(solutions.size(), unscored_of(benchmark)) + cut_note(cut));
  if (beyond != 0)
    out.text += line("not counted",
                     concat(beyond, beyond == 1 ? " error step" : " error steps", " beyond the last step"));
  for (Index c = 0; c < counts.size(); ++c) {
    out.json["classes"][counts[c].name] = report.classes[c];
    out.text += line("  " + counts[c].name, fixed(report.classes[c], 3));
  }
  add_empty_subsets(benchmark, out);
  return out;
}

inline BenchmarkScores by_subset(const BenchmarkSet& benchmark, const Evaluation& evaluation) {
  std::vector<std::string> names;
  std::vector<double> credits;
  for (Index i = 0; i < benchmark.set.notes.size(); ++i) {
    names.push_back(benchmark.set.notes[i].subset);
    credits.push_back(pair_credit(evaluation.scores[2 * i], evaluation.scores[2 * i + 1]));
  }
  const std::vector<Index> prompts = prompts_of(benchmark);
  const auto report = report_subsets(names, credits, std::span(prompts).first(credits.size()));
  BenchmarkScores out;
  out.json = {{"accuracy", to_json(report.mean)}, {"mean_of_subsets", report.mean_of_subsets}};
  out.text =
      line("accuracy", text_of(report.mean) + ", of " + denominator(credits.size(), unscored_of(benchmark)));
  if (!benchmark.unscored.empty()) out.json["unscored"] = benchmark.unscored.size();
  for (const SubsetMean& subset : report.subsets) add_subset(benchmark, subset, out);
  if (const auto empty = add_empty_subsets(benchmark, out); !empty.empty()) {
    out.json["mean_of_subsets"] = nullptr;
  }
  return out;
}

}  // namespace detail::benchmark_figures

MERIT_INLINE BenchmarkScores benchmark_scores(const BenchmarkSet& benchmark, const Evaluation& evaluation,
                                              const Reading& reading, double threshold) {
  BenchmarkScores out;
  switch (benchmark.layout) {
    case BenchmarkLayout::reward_bench:
      out = detail::benchmark_figures::reward_bench(benchmark, evaluation);
      break;
    case BenchmarkLayout::reward_bench_2:
      out = detail::benchmark_figures::reward_bench_2(benchmark, evaluation);
      break;
    case BenchmarkLayout::rm_bench: out = detail::benchmark_figures::rm_bench(benchmark, evaluation); break;
    case BenchmarkLayout::process_bench:
      out = detail::benchmark_figures::process_bench(benchmark, evaluation, reading, threshold);
      break;
    case BenchmarkLayout::prm_bench:
      out = detail::benchmark_figures::prm_bench(benchmark, evaluation, reading, threshold);
      break;
    case BenchmarkLayout::judge_bench:
    case BenchmarkLayout::llm_bar: out = detail::benchmark_figures::by_subset(benchmark, evaluation); break;
    case BenchmarkLayout::gsm8k_solutions: break;  // the report of outcomes is all there is
  }
  const std::string name(name_of(benchmark.layout));
  if (out.json.is_null()) out.json = Json::object();
  out.json["layout"] = name;
  out.json["repeated_rows"] = benchmark.repeats;
  out.text = "layout " + name + out.text;
  if (benchmark.repeats != 0) {
    const Index rows = std::visit([](const auto& list) -> Index { return list.size(); }, benchmark.rows);
    out.text += detail::benchmark_figures::line(
        "repeated",
        concat(benchmark.repeats, " of ", rows + benchmark.repeats,
               benchmark.repeats == 1 ? " rows repeats" : " rows repeat", " another, which counts once"));
  }
  if (!std::holds_alternative<std::vector<StepsExample>>(
          benchmark.set.examples)) {  // those say it themselves
    Index cut = 0;
    for (const std::vector<bool>& own : detail::benchmark_figures::cuts_by_example(benchmark))
      cut += std::ranges::find(own, true) != own.end() ? 1 : 0;
    out.json["cut"] = cut;
    if (cut != 0) {
      out.text += detail::benchmark_figures::line(
          "cut",
          concat(
              "of ", cut, cut == 1 ? " row" : " rows",
              " an answer was cut: judged by what was left, and best of several only where none was read whole"));
    }
  }
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
