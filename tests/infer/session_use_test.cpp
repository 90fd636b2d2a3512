// What a session keeps, forgets, counts and refuses.
#include <doctest/doctest.h>

#include "infer/session_models.hpp"
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/bert.hpp"
#include "merit/backbone/features.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "sanitized.hpp"

namespace session_use_test {

using namespace merit_test;
using Double = ReferenceBackend<double>;
using Tokens = std::vector<Token>;

const Tokens prompt{1, 2, 3, 4, 5}, first{6, 7}, second{6, 8, 9};

Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Fixture {
  SmallModel<Double, Llama> model;
  Fixture() : model({.backbone = tiny_llama()}) { shake(model); }
  double whole(const Tokens& tokens) { return whole_scores(model, {tokens})[0]; }
};

TEST_CASE_FIXTURE(Fixture, "a session counts what it keeps, computes and reads again") {
  Session session(model);
  CHECK(session.counts().held == 0);
  CHECK(session.counts().computed == 0);
  const SessionNode p = session.extend({}, prompt);
  const auto nodes = session.extend({{p, first}, {p, second}});
  SessionCounts counts = session.counts();
  CHECK(counts.nodes == 3);
  CHECK(counts.held == 10);
  CHECK(counts.bytes == 10 * 3 * 2 * 8 * sizeof(double));  // layers, keys and values, width
  CHECK(counts.reserved_bytes >= counts.bytes);
  CHECK(counts.computed == 10);
  CHECK(counts.reused == 5);
  CHECK(session.length(nodes[1]) == 8);
  CHECK(session.tokens(nodes[1]) == prompt + second);

  // Scored completions share what they agree on and are not kept.
  const std::vector<Sequence> completions{{.tokens = first}, {.tokens = second}};
  const std::vector<double> scores = session.score(p, completions);
  CHECK(scores == std::vector{whole(prompt + first), whole(prompt + second)});
  counts = session.counts();
  CHECK(counts.held == 10);
  CHECK(counts.computed == 10 + 4);
  CHECK(counts.reused == 5 + 5);

  // From the root, without a node.
  CHECK(session.score({}, std::vector<Sequence>{{.tokens = prompt}})[0] == whole(prompt));
  // No tokens: what the head says at the node itself, whose last token is computed again.
  CHECK(session.score(nodes[0], std::vector<Sequence>{{}})[0] == whole(prompt + first));
  CHECK(session.counts().computed == 14 + 5 + 1);
  const auto at = session.scores_at(std::vector{nodes[1], p});
  CHECK(std::vector<double>(at.begin(), at.end()) == std::vector{whole(prompt + second), whole(prompt)});
  CHECK(session.counts().computed == 20 + 2);
  CHECK_THROWS_WITH_AS(session.scores_at(std::vector<SessionNode>{{}}),
                       "session: the root has no token, expected another node", UsageError);
}

TEST_CASE_FIXTURE(Fixture, "whole sequences use what they have in common with a node") {
  Session session(model);
  const SessionNode p = session.extend({}, prompt);
  const Tokens other{1, 2, 3, 9};
  const std::vector<Sequence> all{{.tokens = prompt + first}, {.tokens = other}, {.tokens = prompt}};
  const auto rows = session.score_whole_rows(p, all);
  CHECK(rows[0].values == std::vector{whole(prompt + first)});
  CHECK(rows[1].values == std::vector{whole(other)});
  CHECK(rows[2].values == std::vector{whole(prompt)});
  CHECK(session.counts().computed == 5 + 2 + 1 + 1);
}

TEST_CASE_FIXTURE(Fixture, "a whole path goes on from where it ceases to agree with a node's") {
  Session session(model);
  const SessionNode p = session.extend({}, prompt), a = session.extend(p, first);
  const SessionNode b = session.extend_whole(a, prompt + Tokens{6, 1, 1});  // within `a`
  CHECK(static_cast<double>(session.scores()[0]) == whole(prompt + Tokens{6, 1, 1}));
  CHECK(session.tokens(b) == prompt + Tokens{6, 1, 1});
  const SessionNode c = session.extend_whole(b, Tokens{1, 2, 9});  // two nodes before it
  CHECK(static_cast<double>(session.scores()[0]) == whole({1, 2, 9}));
  CHECK(session.tokens(c) == Tokens{1, 2, 9});
  session.extend(c, first);
  CHECK(static_cast<double>(session.scores()[0]) == whole(Tokens{1, 2, 9} + first));
  session.extend_whole(a, prompt);  // nothing is new: its last token is computed
  CHECK(static_cast<double>(session.scores()[0]) == whole(prompt));
  CHECK(session.counts().computed == 7 + 2 + 1 + 2 + 1);
  CHECK_THROWS_AS(session.extend_whole(a, Tokens{}), UsageError);
  session.release(b);  // `c` has the first two tokens alone in common with it
  CHECK(!session.holds(b));
  CHECK(session.holds(a));
  CHECK(session.tokens(c) == Tokens{1, 2, 9});
  CHECK(session.score(a, std::vector<Sequence>{{.tokens = second}})[0] == whole(prompt + first + second));
}

TEST_CASE_FIXTURE(Fixture, "what is released is gone with all behind it, and its memory is used again") {
  Session session(model);
  const SessionNode p = session.extend({}, prompt), a = session.extend(p, first),
                    b = session.extend(a, second);
  const SessionNode c = session.extend(p, second);
  const Index reserved = session.counts().reserved_bytes;
  session.release(a);
  CHECK(session.counts().held == 8);
  CHECK(session.counts().nodes == 2);
  CHECK_THROWS_WITH_AS(session.extend(b, first),
                       "session: the node was released, or one that stands before it", UsageError);
  CHECK_THROWS_AS(session.release(a), UsageError);
  const SessionNode d = session.extend(p, first);
  CHECK(static_cast<double>(session.scores()[0]) == whole(prompt + first));
  CHECK(d != a);
  CHECK_THROWS_AS(session.length(a), UsageError);  // although its number is given again
  session.extend(c, first);
  CHECK(static_cast<double>(session.scores()[0]) == whole(prompt + second + first));
  CHECK(session.counts().reserved_bytes == reserved);
  CHECK_THROWS_WITH_AS(session.release({}),
                       "session: the root is to be released, expected a node of extend()", UsageError);
}

TEST_CASE_FIXTURE(Fixture,
                  "under a limit the oldest trees lose their keys, and have them again when they are used") {
  const Index token_bytes = 3 * 2 * 8 * sizeof(double);
  Session session(model, {.memory_limit = 12 * token_bytes + 1});
  const SessionNode a = session.extend({}, prompt), a1 = session.extend(a, first);
  const SessionNode b = session.extend({}, Tokens{9, 8, 7});
  CHECK(session.counts().held == 10);
  CHECK(session.counts().evicted == 0);
  const SessionNode c = session.extend(b, second);  // 13 tokens: the tree of `a` goes as a whole
  CHECK(session.counts().evicted == 7);
  CHECK(session.counts().held == 6);
  CHECK(!session.is_kept(a));
  CHECK(!session.is_kept(a1));
  CHECK(session.is_kept(c));
  CHECK(session.counts().reserved_bytes <= 12 * token_bytes);

  session.extend(a1, Tokens{3});  // 8 tokens are computed
  CHECK(static_cast<double>(session.scores()[0]) == whole(prompt + first + Tokens{3}));
  CHECK(session.is_kept(a1));
  CHECK(!session.is_kept(c));
  CHECK(session.counts().computed == 5 + 2 + 3 + 3 + 8);

  // A scored node is kept again too. What one call needs is more than there is room for:
  CHECK(session.score(c, std::vector<Sequence>{{.tokens = first}})[0] ==
        whole(Tokens{9, 8, 7} + second + first));
  CHECK(session.is_kept(c));
  CHECK_THROWS_WITH_AS(
      session.extend({{a1, second}, {b, prompt}}),
      "session: one call needs the keys and values of 18 tokens at once, expected at most 12, its limit of memory",
      DataError);
  CHECK(session.counts().nodes == 5);
  session.extend(c, first);
  CHECK(static_cast<double>(session.scores()[0]) == whole(Tokens{9, 8, 7} + second + first));
}

TEST_CASE_FIXTURE(Fixture, "bad calls are refused and leave a session as it was") {
  Session session(model), other(model);
  const SessionNode p = session.extend({}, prompt), foreign = other.extend({}, prompt);
  CHECK_THROWS_WITH_AS(session.extend(foreign, first), "session: the node is another session's", UsageError);
  CHECK_THROWS_WITH_AS(session.extend(p, Tokens{}),
                       "session: a node is to be extended by no tokens, expected some", UsageError);
  CHECK_THROWS_WITH_AS(
      session.extend(p, Tokens{16}),
      "token 16 is outside the model's vocabulary of 16: the tokenizer does not belong to this model",
      DataError);
  CHECK_THROWS_AS(session.score(p, std::vector<Sequence>{{.tokens = {~Token{0}}}}), DataError);
  CHECK_THROWS_WITH_AS(session.score({}, std::vector<Sequence>{{}}),
                       "session: a sequence has no tokens and no node before it", UsageError);
  CHECK(session.counts().held == 5);
  CHECK(session.extend(std::span<const SessionBranch>()).empty());
  CHECK(session.score(p, std::vector<Sequence>()).empty());
}

TEST_CASE("a session refuses positions that the model does not have") {
  SmallModel<Double, Gpt2> model({.backbone = tiny_gpt2()});
  Session session(model);
  const SessionNode p = session.extend({}, prompt);
  CHECK_THROWS_WITH_AS(session.extend(p, Tokens(60, 1)),
                       "a sequence has 65 tokens, expected at most 64, the model's positions: cut it with a "
                       "truncation policy",
                       DataError);
  CHECK_THROWS_AS(session.score(p, std::vector<Sequence>{{.tokens = Tokens(60, 1)}}), DataError);
  CHECK(session.counts().held == 5);
  session.extend(p, Tokens(59, 1));
  CHECK(static_cast<double>(session.scores()[0]) == whole_scores(model, {prompt + Tokens(59, 1)})[0]);
}

TEST_CASE("a session is refused where what is added changes what was computed") {
  SmallModel<Double, Bert> encoder({.backbone = {.vocabulary_size = 16,
                                                 .hidden_size = 8,
                                                 .intermediate_size = 8,
                                                 .layers = 1,
                                                 .heads = 2,
                                                 .max_positions = 8}});
  CHECK_THROWS_WITH_AS(
      Session{encoder},
      "session: the backbone bert is an encoder, in which a token sees those behind it, expected a "
      "decoder: what is added would change what was computed",
      ConfigError);
  SmallModel<Double, Features> vectors({.backbone = {.width = 4}});
  CHECK_THROWS_AS(Session{vectors}, ConfigError);
  SmallModel<Double, BagOfTokens> bag({.backbone = {.vocabulary_size = 16, .width = 8}});
  CHECK_THROWS_WITH_AS(
      Session{bag},
      "path_mean: the forest follows tokens of which keys and values alone are kept, expected whole "
      "sequences",
      UsageError);
}

TEST_CASE_FIXTURE(Fixture, "keys and values in 16 bits take less and change scores a little") {
  RewardModel<Llama, ScalarHead, PairwiseLoss, ReferenceBackend<float>> single({.backbone = tiny_llama()});
  shake(single);
  const double exact = whole_scores(single, {prompt + second})[0];
  for (const auto& [dtype, error] : {std::pair{Dtype::bf16, 0.05}, std::pair{Dtype::f16, 0.005}}) {
    Session session(single, {.stored = dtype});
    const SessionNode p = session.extend({}, prompt);
    const double found = session.score(p, std::vector<Sequence>{{.tokens = second}})[0];
    CHECK(std::abs(found - exact) < error);
    CHECK(found != exact);
    CHECK(session.counts().bytes == 5 * 3 * 2 * 8 * 2);
  }
  CHECK_THROWS_WITH_AS(
      Session(single, SessionOptions{.stored = Dtype::q4_k}),
      "session: keys and values are to be stored as Q4_K, expected BF16, F16, Q8_0, or nothing for the "
      "backend's own F32",
      ConfigError);
  CHECK_THROWS_WITH_AS(
      Session(single, SessionOptions{.stored = Dtype::q8_0}),
      "session: keys and values of a token are 16 numbers, expected a multiple of 32 to be stored as "
      "Q8_0",
      ConfigError);
  Llama wide = tiny_llama();
  wide.head_dim = 16;
  RewardModel<Llama, ScalarHead, PairwiseLoss, ReferenceBackend<float>> of_blocks({.backbone = wide});
  Session session(of_blocks, {.stored = Dtype::q8_0});
  const SessionNode p = session.extend({}, prompt);
  const double found = session.score(p, std::vector<Sequence>{{.tokens = second}})[0];
  CHECK(found == doctest::Approx(whole_scores(of_blocks, {prompt + second})[0]).epsilon(0.05));
  CHECK(session.counts().bytes == 5 * 3 * 2 * 34);
}

TEST_CASE(
    "stored keys and values keep random trees close to whole sequences: on the host, windows, short memory") {
  Llama backbone = small_gemma();
  backbone.head_dim = 32;  // a block of Q8_0
  SmallModel<EigenBackend<float>, Llama> model({.backbone = backbone});
  shake(model);
  for (const auto& [stored, most] :
       {std::pair(std::optional<Dtype>(), 1e-5), std::pair(std::optional(Dtype::f16), 2e-3),
        std::pair(std::optional(Dtype::bf16), 0.02), std::pair(std::optional(Dtype::q8_0), 0.05)}) {
    double largest = 0;
    Index compared = 0;
    for (std::uint64_t n = 0; n < (MERIT_TEST_SANITIZED != 0 ? 10 : 100); ++n) {
      Rng rng(n, 31);
      Session measured(model, {.stored = stored});
      measured.extend({}, std::vector<Token>{1});
      Session session(model, {.memory_limit = 40 * measured.counts().bytes, .stored = stored});
      grow_and_check(session, rng, 1 + rng.below(6), [&](double score, double whole) {
        largest = std::max(largest, std::abs(score - whole) / (1 + std::abs(whole)));
        ++compared;
      });
      CHECK(session.counts().held <= 40);
    }
    CHECK(largest < most);
    if (stored) CHECK(largest > most / 100);  // it was stored so
    CHECK(compared > 20);
  }
}

}  // namespace session_use_test
