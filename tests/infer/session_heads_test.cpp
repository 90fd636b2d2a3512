// Heads of every kind read in a session what they read in whole sequences; adapters and quantised weights go along.
#include <doctest/doctest.h>

#include "../io/temporary.hpp"
#include "infer/session_models.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/infer/rerank.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/checkpoint.hpp"
#include "model/quantized_file.hpp"

namespace session_heads_test {

using namespace merit_test;
using Double = ReferenceBackend<double>;
using Tokens = std::vector<Token>;

Llama with_unembedding() {
  Llama llama = tiny_llama();
  llama.unembedding = true;
  return llama;
}

/// Completions of a prompt as a session and as merit::score_rows() see them.
template <class Model>
void check_rows(Model& model, bool gate = false) {
  const Tokens prompt{3, 1, 4, 1, 5};
  const std::vector<Tokens> completions{{9, 2, 6}, {9, 2, 7, 1}, {8}};
  std::vector<Sequence> whole, behind;
  for (const Tokens& tokens : completions) {
    Sequence sequence{.tokens = prompt, .completion_begin = prompt.size()};
    sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
    sequence.step_ends = gate ? std::vector<Index>{4} : std::vector<Index>{5, sequence.tokens.size() - 1};
    if (!gate && tokens.size() == 1) sequence.step_ends = {5};
    whole.push_back(sequence);
    behind.push_back({.tokens = tokens, .step_ends = sequence.step_ends});
    for (Index& end : behind.back().step_ends) end -= gate ? 0 : prompt.size();
  }
  const std::vector<RowScores> expected = score_rows(model, std::vector{PromptCompletions{whole}});
  Session session(model);
  const SessionNode begin = session.extend({}, std::span(prompt).first(2));
  const SessionNode end = session.extend(begin, std::span(prompt).subspan(2));
  const auto check = [&](const std::vector<RowScores>& found) {
    for (Index i = 0; i < expected.size(); ++i) {
      CHECK(found[i].values == expected[i].values);
      CHECK(found[i].width == expected[i].width);
      CHECK(found[i].rows() > 0);
    }
  };
  check(session.score_whole_rows(end, whole));
  check(session.score_whole_rows(begin, whole));
  if (!gate) check(session.score_rows(end, behind));
}

TEST_CASE("heads of tokens, steps and states read the same rows in a session") {
  OutcomeRewardModel<Llama, Double> tokens({.backbone = tiny_llama()});
  check_rows(tokens);
  ProcessRewardModel<Llama, Double> steps({.backbone = tiny_llama()});
  check_rows(steps);
  ValueModel<Llama, Double> states({.backbone = tiny_llama()});
  check_rows(states);
}

TEST_CASE("a sequence in which the head reads nothing has no rows, by itself as beside others") {
  // A state is the token before one of the completion's: of a completion of one token without a prompt there is none.
  ValueModel<Llama, Double> states({.backbone = tiny_llama()});
  const std::vector<Sequence> none{{.tokens = {3}}}, both{{.tokens = {3}}, {.tokens = {3, 1}}};
  const std::vector<RowScores> alone = score_rows(states, none);
  REQUIRE(alone.size() == 1);
  CHECK(alone[0].rows() == 0);
  Session session(states);
  CHECK(session.score_rows({}, none).at(0).rows() == 0);
  CHECK(session.score_whole_rows({}, none).at(0).rows() == 0);
  const std::vector<RowScores> expected = score_rows(states, both);
  CHECK(expected[0].rows() == 0);
  CHECK(expected[1].rows() == 1);
  CHECK(session.score_whole_rows({}, both)[1].values == expected[1].values);
}

TEST_CASE("heads of several numbers, with gates and with logits read the same rows in a session") {
  AttributeModel<Llama, Double> attributes({.backbone = tiny_llama(), .head = {.merge_weights = {1, 2, 3}}});
  check_rows(attributes);
  RewardModel<Llama, GatedRegressionHead, RegressionLoss<ScoreMeaning::per_completion>, Double> gated(
      {.backbone = tiny_llama(), .head = {.attributes = 3, .gate_widths = {4}}});
  check_rows(gated, true);
  VerifierModel<Llama, Double> verifier({.backbone = with_unembedding(), .head = {.first = {.token = 2}}});
  check_rows(verifier);
  RewardModel<Llama, LanguageModelHead, LanguageModelLoss, Double> language({.backbone = with_unembedding()});
  check_rows(language);
}

TEST_CASE("an adapter works in a session as in scoring") {
  SmallModel<Double, Llama> model(
      {.backbone = tiny_llama(), .adapters = {{.lora = {.rank = 2, .dora = true}}}});
  shake(model);
  Rng rng(5);
  Session session(model);
  Index compared = 0;
  grow_and_check(session, rng, 8, [&](double score, double whole) {
    CHECK(score == whole);
    ++compared;
  });
  CHECK(compared > 8);
}

TEST_CASE("quantised weights work in a session as in scoring") {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "m.gguf", QuantizedFile({Dtype::q8_0, Dtype::q4_k}).bytes());
  SmallModel<ReferenceBackend<float>, Llama> model(
      {.backbone = quantized_llama, .initial = Initial::from_file, .scores_only = true});
  load_model_parameters(directory / "m.gguf", model);
  const Tokens whole{1, 2, 3, 4, 5, 6};
  Session session(model);
  const SessionNode node = session.extend({}, std::span(whole).first(4));
  session.extend(node, std::span(whole).subspan(4));
  CHECK(static_cast<double>(session.scores()[0]) == whole_scores(model, {whole})[0]);
}

}  // namespace session_heads_test
