// A search over steps, through a session and by rescoring the branches' prefixes as whole forests: what there is to gain is
// the number of tokens scored again over that of new ones, and the last counter says how much of it is gained. Completions
// of several kept prompts, all at once and prompt by prompt. Tokens one by one.
#include <benchmark/benchmark.h>

#include <span>
#include <vector>

#include "../support/alternate.hpp"
#include "merit/infer/session.hpp"
#include "merit/merit.hpp"

namespace {

using namespace merit;
using Model = BradleyTerryModel<Llama, EigenBackend<float>>;
using Tokens = std::vector<Token>;

constexpr Index prompt_tokens = 512, step_tokens = 40, steps = 6, branches = 8;

Tokens tokens_of(Rng& rng, Index count) {
  Tokens tokens(count);
  for (Token& token : tokens) token = static_cast<Token>(rng.below(1000));
  return tokens;
}

Model::Config settings() {
  return {.backbone = {.vocabulary_size = 1000,
                       .hidden_size = 512,
                       .intermediate_size = 1408,
                       .layers = 8,
                       .heads = 8,
                       .kv_heads = 4},
          .scores_only = true};
}

void search_over_steps(benchmark::State& state) {
  Model model(settings());
  Rng rng(3);
  const Tokens prompt = tokens_of(rng, prompt_tokens);
  std::vector<std::vector<Tokens>> written(steps);  // by step and branch
  for (auto& step : written) {
    for (Index b = 0; b < branches; ++b) step.push_back(tokens_of(rng, step_tokens));
  }
  const bench::Way rescoring{[&] {
                               double squares = 0;
                               std::vector<Sequence> sequences(
                                   branches, {.tokens = prompt, .completion_begin = prompt_tokens});
                               for (Index s = 0; s < steps; ++s) {
                                 for (Index b = 0; b < branches; ++b) {
                                   Tokens& tokens = sequences[b].tokens;
                                   tokens.insert(tokens.end(), written[s][b].begin(), written[s][b].end());
                                 }
                                 const PromptCompletions tree{sequences};
                                 for (const double score : score(model, std::span(&tree, 1)))
                                   squares += score * score;
                               }
                               return squares;
                             },
                             steps * prompt_tokens + branches * step_tokens * steps * (steps + 1) / 2};
  const bench::Way keeping{[&] {
                             double squares = 0;
                             Session session(model);
                             std::vector<SessionNode> ends(branches, session.extend({}, prompt));
                             for (Index s = 0; s < steps; ++s) {
                               std::vector<SessionBranch> next;
                               for (Index b = 0; b < branches; ++b) next.push_back({ends[b], written[s][b]});
                               ends = session.extend(next);
                               for (const float score : session.scores())
                                 squares += static_cast<double>(score) * static_cast<double>(score);
                             }
                             return squares;
                           },
                           prompt_tokens + branches * step_tokens * steps};
  bench::alternate(state, rescoring, keeping, branches);
  for (const char* const of_work : {"by_work", "off_work_%", "plain_GFLOP/s", "saving_GFLOP/s"})
    state.counters.erase(of_work);  // arithmetic is not counted here
  const double possible = static_cast<double>(rescoring.tokens) / static_cast<double>(keeping.tokens);
  state.counters["times_as_fast"] = 1 / state.counters["ratio"];
  state.counters["possible"] = possible;
  state.counters["fraction"] = 1 / state.counters["ratio"] / possible;
}

/// Short completions of several prompts, which are kept already or new: a step for each prompt, one for those that are new
/// too, or one for all.
void several_prompts(benchmark::State& state) {
  constexpr Index prompts = 8, completions = 4, completion_tokens = 8;
  const auto known_tokens = static_cast<Index>(state.range(0));
  const bool are_kept = state.range(1) != 0;
  Model model(settings());
  Rng rng(3);
  std::vector<Tokens> texts;
  std::vector<std::vector<Sequence>> sequences(prompts);
  std::vector<std::vector<const Sequence*>> members(prompts);
  for (Index i = 0; i < prompts; ++i) {
    texts.push_back(tokens_of(rng, known_tokens));
    for (Index k = 0; k < completions; ++k) {
      Sequence& one =
          sequences[i].emplace_back(Sequence{.tokens = texts[i], .completion_begin = known_tokens});
      const Tokens completion = tokens_of(rng, completion_tokens);
      one.tokens.insert(one.tokens.end(), completion.begin(), completion.end());
    }
    for (const Sequence& one : sequences[i]) members[i].push_back(&one);
  }
  Session session(model);
  std::vector<SessionNode> kept(prompts), nodes;
  for (Index i = 0; are_kept && i < prompts; ++i) kept[i] = session.extend({}, texts[i]);
  const auto squares_of = [](const std::vector<RowScores>& all) {
    double squares = 0;
    for (const RowScores& rows : all) squares += rows.values[0] * rows.values[0];
    return squares;
  };
  const bench::Way one_by_one{[&] {
    double squares = 0;
    for (Index i = 0; i < prompts; ++i) {
      const SessionNode node = are_kept ? kept[i] : session.extend({}, texts[i]);
      squares += squares_of(session.score_whole_rows(node, sequences[i]));
      if (!are_kept) session.release(node);
    }
    return squares;
  }};
  const bench::Way together{[&] {
    std::vector<SessionFamily> families;
    for (Index i = 0; i < prompts; ++i) families.push_back({kept[i], texts[i], members[i]});
    const double squares = squares_of(session.score_families(families, nodes));
    for (const SessionNode& node : nodes) {
      if (node != SessionNode{}) session.release(node);
    }
    return squares;
  }};
  bench::alternate(state, one_by_one, together, prompts * completions);
  for (const char* const of_work : {"by_work", "off_work_%", "by_tokens", "off_tokens_%", "tokens",
                                    "plain_tokens", "plain_GFLOP/s", "saving_GFLOP/s"})
    state.counters.erase(of_work);
}

/// Tokens a second of one branch after another token: what a judge's words cost.
void one_token_at_a_time(benchmark::State& state) {
  Model model(settings());
  Rng rng(3);
  Session session(model);
  SessionNode node = session.extend({}, tokens_of(rng, static_cast<Index>(state.range(0))));
  for (auto _ : state) node = session.extend(node, tokens_of(rng, 1));
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(search_over_steps)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);
BENCHMARK(several_prompts)
    ->ArgsProduct({{32, 256, 1024}, {1, 0}})
    ->ArgNames({"prompt", "kept"})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(15);
BENCHMARK(one_token_at_a_time)->Arg(64)->Arg(1024)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
