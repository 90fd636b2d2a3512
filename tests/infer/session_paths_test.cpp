// Texts that a session keeps: what they agree on is kept once, and goes with the last of them; families of many prompts are
// one step.
#include "merit/infer/session_paths.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "infer/session_models.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/model/aliases.hpp"

namespace session_paths_test {

using namespace merit_test;
using Double = ReferenceBackend<double>;
using Tokens = std::vector<Token>;

/// A model that counts what is asked of it.
template <class Model>
struct Counted : Model {
  using Model::Model;
  template <class... Arguments>
  auto score(Arguments&&... arguments) {
    ++calls;
    return Model::score(std::forward<Arguments>(arguments)...);
  }
  Index calls = 0;
};
using Small = Counted<SmallModel<Double, Llama>>;

struct Fixture {
  Small model;
  Session<Small> session;
  Fixture() : model({.backbone = small_gemma()}), session(model) { shake(model); }
  double whole(const Tokens& tokens) { return whole_scores(model, {tokens})[0]; }
};

TEST_CASE_FIXTURE(Fixture,
                  "paths are computed from where they cease to agree, in one step, and equal ones are one") {
  SessionPaths paths(session);
  const std::vector<Tokens> first{{1, 2, 3, 4}, {1, 2, 5}, {7}, {1, 2, 5}, {1, 2}};
  const Index calls = model.calls;
  std::vector<Index> added;
  const auto places = paths.extend(first, [&](Index path, Index number) {
    added.push_back(path);
    paths[path].score = static_cast<double>(session.scores()[number]);
  });
  CHECK(model.calls == calls + 1);
  CHECK(places == std::vector<Index>{0, 1, 2, 1, 3});
  CHECK(added == std::vector<Index>{0, 1, 2, 3});
  for (Index i = 0; i < first.size(); ++i) {
    CHECK(session.tokens(paths[places[i]].node) == first[i]);
    CHECK(paths[places[i]].score == whole(first[i]));
  }
  CHECK(session.counts().nodes == 4);
  CHECK(session.counts().held == 4 + 1 + 1 + 1);  // of {1, 2} its last token, which is read, once more
  CHECK(session.counts().computed == 7);

  const std::vector<Tokens> next{{1, 2, 3, 9}, {7}, {1, 2, 5, 5}};
  paths.extend(next, [&](Index path, Index number) {
    CHECK(static_cast<double>(session.scores()[number]) == whole(next[path == 4 ? 0 : 2]));
  });
  CHECK(session.counts().computed == 7 + 2);
  CHECK(paths.longest(Tokens{1, 2, 5, 5, 1}).length == 4);
  CHECK(session.tokens(paths.longest(Tokens{1, 2, 5, 5, 1}).node) == next[2]);
  CHECK(paths.longest(Tokens{3}).node == SessionNode{});
  CHECK(paths.extend(std::span<const Tokens>(), [](Index, Index) {}).empty());
}

TEST_CASE_FIXTURE(Fixture, "what paths agree on stays until the last of them is released") {
  SessionPaths paths(session);
  paths.extend(std::vector<Tokens>{{1, 2, 3, 4}, {1, 2, 3, 5}, {1, 2, 6}, {8, 9}}, [](Index, Index) {});
  CHECK(session.counts().held == 8);
  paths.keep(std::vector<Tokens>{{1, 2, 3, 5, 7}, {8}});  // of the first of them nothing but what it shares
  CHECK(session.counts().held == 4);
  CHECK(session.counts().nodes == 1);
  CHECK(session.tokens(paths[0].node) == Tokens{1, 2, 3, 5});
  const Index computed = session.counts().computed;
  paths.extend(std::vector<Tokens>{{1, 2, 3, 5, 7}}, [&](Index, Index) {
    CHECK(static_cast<double>(session.scores()[0]) == whole({1, 2, 3, 5, 7}));
  });
  CHECK(session.counts().computed == computed + 1);
  paths.keep({});
  CHECK(session.counts().held == 0);
  CHECK(session.counts().nodes == 0);
}

TEST_CASE_FIXTURE(Fixture, "a node that is given up goes with the last that stands behind it") {
  const SessionNode a = session.extend({}, Tokens{1, 2}), b = session.extend(a, Tokens{3}),
                    c = session.extend(b, Tokens{4}), d = session.extend(b, Tokens{5});
  session.disown(b);
  CHECK(session.counts().nodes == 3);
  session.release(c);
  CHECK(session.counts().held == 4);
  CHECK(session.tokens(d) == Tokens{1, 2, 3, 5});
  session.release(d);
  CHECK(session.counts().held == 2);
  CHECK(!session.holds(b));
  session.disown(a);  // nothing stands behind it
  CHECK(session.counts().held == 0);
  session.disown({});
}

TEST_CASE_FIXTURE(Fixture, "what lost its memory is forgotten, and what failed leaves nothing") {
  const Index token_bytes = 3 * 2 * 4 * sizeof(double);
  Session small(model, {.memory_limit = 8 * token_bytes});
  SessionPaths paths(small);
  paths.extend(std::vector<Tokens>{{1, 2, 3}, {4, 5, 6}}, [](Index, Index) {});
  paths.extend(std::vector<Tokens>{{1, 2, 3, 7, 7, 7}}, [](Index, Index) {});
  CHECK(small.counts().evicted == 3);
  paths.forget_lost();
  CHECK(small.counts().nodes == 2);
  CHECK(paths.longest(Tokens{4, 5, 6}).length == 0);
  CHECK_THROWS_AS(paths.extend(std::vector<Tokens>{{1, 2, 8}, {1, 2, 9, 9, 9, 9, 9, 9}}, [](Index, Index) {}),
                  DataError);
  CHECK(small.counts().nodes == 2);
  CHECK(paths.longest(Tokens{1, 2, 9}).length == 2);
  paths.extend(std::vector<Tokens>{{1, 2, 3, 7, 7, 8}}, [&](Index, Index) {
    CHECK(static_cast<double>(small.scores()[0]) == whole({1, 2, 3, 7, 7, 8}));
  });
  paths.keep({});
  CHECK(small.counts().held == 0);
}

/// Families of several prompts, twice: what the model says of each by itself, in one step each time.
template <class Model>
void check_families(Model&& model, bool gate = false) {
  shake(model);
  const std::vector<Tokens> prompts{{3, 1, 4, 1, 5}, {3, 1, 4, 7}, {9, 9}, {3, 1, 4}, {}};
  std::vector<Sequence> sequences;
  for (const Tokens& prompt : prompts) {
    for (const Tokens& completion : {Tokens{9, 2, 6}, Tokens{9, 2, 7, 1}, Tokens{8, 8}}) {
      Sequence one{.tokens = prompt, .completion_begin = prompt.size()};
      one.tokens.insert(one.tokens.end(), completion.begin(), completion.end());
      one.step_ends = {prompt.size() + 1, one.tokens.size() - 1};
      if (completion.size() == 2) one.step_ends.pop_back();
      if (gate) one.step_ends = {prompt.empty() ? 0 : prompt.size() - 1};
      sequences.push_back(std::move(one));
    }
  }
  std::vector<RowScores> expected;
  for (const Sequence& one : sequences) expected.push_back(score_rows(model, std::span(&one, 1))[0]);

  Session session(model);
  std::vector<std::vector<const Sequence*>> members(prompts.size());
  std::vector<SessionFamily> families;
  for (Index i = 0; i < prompts.size(); ++i) {
    for (Index k = 0; k < 3; ++k) members[i].push_back(&sequences[3 * i + k]);
    families.push_back({{}, prompts[i], members[i]});
  }
  std::vector<SessionNode> nodes;
  for (int time = 0; time < 2; ++time) {
    CAPTURE(time);
    const Index calls = model.calls, computed = session.counts().computed;
    std::vector<SessionNode> now;
    const auto found = session.score_families(families, now);
    CHECK(model.calls == calls + 1);
    REQUIRE(found.size() == expected.size());
    for (Index i = 0; i < found.size(); ++i) CHECK(found[i].values == expected[i].values);
    CHECK(session.counts().held == 8);
    if (time == 0) {
      // Prompts, and behind each of them a forest of its three completions.
      CHECK(session.counts().computed == computed + 8 + 5 * 7);
      for (Index i = 0; i < 3; ++i) CHECK(session.tokens(now[i]) == prompts[i]);
      nodes = now;
      for (Index i = 0; i < 3; ++i) families[i].node = nodes[i];
      families[3].node = nodes[1];
    }
    for (Index i = time == 0 ? 3 : 0; i < 5; ++i) CHECK(now[i] == SessionNode{});
  }
  for (Index i = 0; i < 3; ++i) session.release(nodes[i]);
  CHECK(session.counts().held == 0);
}

TEST_CASE("a prompt is kept where the head reads nothing behind it") {
  ValueModel<Llama, Double> states({.backbone = tiny_llama()});
  Session session(states);
  const std::vector<Token> prompt{3, 1, 4};
  const Sequence nothing{.tokens = prompt, .completion_begin = 3},
      more{.tokens = {3, 1, 4, 1}, .completion_begin = 3};
  const std::vector<const Sequence*> none{&nothing}, some{&more};
  std::vector<SessionNode> nodes;
  const std::vector<SessionFamily> empty{{{}, prompt, none}};
  CHECK(session.score_families(empty, nodes).at(0).rows() == 0);
  CHECK(session.tokens(nodes.at(0)) == prompt);
  CHECK(session.is_kept(nodes[0]));
  const Index computed = session.counts().computed;
  CHECK(session.score_whole_rows(nodes[0], std::span(&more, 1))[0].values ==
        score_rows(states, std::span(&more, 1))[0].values);
  CHECK(session.counts().computed <= computed + 2);
}

TEST_CASE("families of many prompts are one step, with heads of every kind, to the bit") {
  check_families(Small({.backbone = tiny_llama(), .head = {.init_deviation = 1}}));
  check_families(Small({.backbone = small_windowed(), .head = {.init_deviation = 1}}));
  check_families(
      Counted<OutcomeRewardModel<Llama, Double>>({.backbone = small_gemma(), .head = {.init_deviation = 1}}));
  check_families(
      Counted<ProcessRewardModel<Llama, Double>>({.backbone = tiny_llama(), .head = {.init_deviation = 1}}));
  check_families(
      Counted<ValueModel<Llama, Double>>({.backbone = small_windowed(), .head = {.init_deviation = 1}}));
  using Gated = RewardModel<Llama, GatedRegressionHead, RegressionLoss<ScoreMeaning::per_completion>, Double>;
  check_families(Counted<Gated>({.backbone = tiny_llama(), .head = {.attributes = 3, .gate_widths = {4}}}),
                 true);
}

}  // namespace session_paths_test
