// Every head: which rows it reads, what its parameters are called, what it computes, and its gradient.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/head/lm_gain_bias_head.hpp"
#include "merit/head/token_logit_head.hpp"
#include "merit/head/two_layer_head.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/nn/select_rows.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/testing/random_forest.hpp"
#include "merit/testing/values.hpp"

namespace heads_test {

using namespace merit;
using B = ReferenceBackend<double>;

constexpr Index rows = 3;
constexpr Index width = 4;
constexpr Index vocabulary = 6;

/// A head over three hidden rows that are parameters, with a table to read logits from.
template <class Head>
struct Bench {
  B::Handle handle{B{}};
  Parameters<B> parameters{handle};
  std::uint32_t hidden = parameters.declare({"hidden", {rows, width}, Init::normal(1)});
  std::uint32_t table = parameters.declare({"table", {vocabulary, width}, Init::normal(1)});
  typename Head::template Bound<B> head;
  std::vector<std::uint32_t> ids{0, 1, 2};

  explicit Bench(const Head& settings, double soft_cap = 0)
      : head(detail::bind_head<Head, B>(settings, width, parameters,
                                        {[this] { return parameters.slice(table); }, soft_cap})) {
    parameters.allocate(Rng(3));
    Rng noise(4);  // also where a tensor starts at zero or one
    for (double& value : parameters.values()) value += 0.3 * noise.normal();
  }

  Var forward(Tape<B>& tape) { return head.forward(tape, embedding(tape, ids, parameters.slice(hidden))); }
  double operator()(std::uint32_t tensor, Index row, Index column) const {
    return value_at(parameters, parameters.slice(tensor), row, column);
  }
  double operator()(const char* name, Index row, Index column) const {
    return (*this)(static_cast<std::uint32_t>(parameters.find(name)), row, column);
  }
  /// Σ hidden(i, j) · tensor(row, j)
  template <class Name>
  double dot(Index i, Name tensor, Index row) const {
    double sum = 0;
    for (Index j = 0; j < width; ++j) sum += (*this)(hidden, i, j) * (*this)(tensor, row, j);
    return sum;
  }
  std::vector<std::string> own_names() const {
    std::vector<std::string> names;
    for (Index i = 2; i < parameters.tensor_count(); ++i) {
      std::string name = parameters.spec(i).name + " [";
      for (const Index extent : parameters.spec(i).shape) name += std::to_string(extent) + " ";
      names.push_back(name + "]");
    }
    return names;
  }

  /// Compares every score with a plain loop's, and the gradient with differences.
  void check(Index outputs, const std::vector<std::string>& names,
             const std::function<double(Index, Index)>& expected) {
    CHECK(head.outputs() == outputs);
    CHECK(own_names() == names);
    Tape<B> tape(handle, parameters);
    const Var out = forward(tape);
    REQUIRE(tape.rows(out) == rows);
    REQUIRE(tape.cols(out) == outputs);
    for (Index i = 0; i < rows; ++i) {
      for (Index k = 0; k < outputs; ++k) {
        INFO("row ", i, ", score ", k);
        CHECK(tape.value(out)(i, k) == doctest::Approx(expected(i, k)).epsilon(1e-13));
      }
    }
    const GradientReport report = check_operation(tape, [&](Tape<B>& t) { return forward(t); });
    INFO(report);
    CHECK(report.checked == parameters.elements());
    CHECK(report.error < 1e-7);
  }
};

template <class Head>
std::vector<Index> rows_of(const Head& head, SequenceShape sequence) {
  std::vector<Index> result{99};  // what is there stays
  append_rows_of(head, sequence, result);
  REQUIRE(result.front() == 99);
  return {result.begin() + 1, result.end()};
}

const std::vector<Index> ends{3, 5};

TEST_CASE("heads of completions read the last token") {
  const SequenceShape sequence{7, 2, ends};
  CHECK(rows_of(TwoLayerHead{}, sequence) == std::vector<Index>{6});
  CHECK(rows_of(AttributeHead{}, sequence) == std::vector<Index>{6});
  CHECK(rows_of(TokenLogitHead<ScoreMeaning::per_completion, 1>{}, sequence) == std::vector<Index>{6});
}

TEST_CASE("heads of tokens read every token of the completion and none of the prompt") {
  CHECK(rows_of(TokenHead{}, {7, 4, {}}) == std::vector<Index>{4, 5, 6});
  CHECK(rows_of(LmGainBiasHead{}, {7, 4, {}}) == std::vector<Index>{4, 5, 6});
  CHECK(rows_of(TokenHead{}, {3, 0, {}}) == std::vector<Index>{0, 1, 2});
  CHECK(rows_of(TokenHead{}, {3, 3, {}}).empty());
}

TEST_CASE("heads of steps read the last token of each, and a completion without steps is an error") {
  CHECK(rows_of(StepHead<3>{}, {7, 2, ends}) == ends);
  CHECK(rows_of(StepHead<1>{}, {7, 2, ends}) == ends);
  CHECK(rows_of(TokenLogitHead<>{}, {7, 2, ends}) == ends);
  std::vector<Index> out;
  CHECK_THROWS_WITH_AS(append_rows_of(StepHead<2>{}, {7, 2, {}}, out),
                       "a sequence has no step ends, expected a completion in steps for a head that scores "
                       "them",
                       DataError);
}

TEST_CASE("heads of states and next tokens read the token before each of the completion") {
  CHECK(rows_of(ValueHead{}, {7, 4, {}}) == std::vector<Index>{3, 4, 5});
  CHECK(rows_of(LanguageModelHead{}, {7, 4, {}}) == std::vector<Index>{3, 4, 5});
  CHECK(rows_of(ValueHead{}, {3, 0, {}}) == std::vector<Index>{0, 1});  // nothing is before the first
  CHECK(rows_of(LanguageModelHead{}, {3, 1, {}}) == std::vector<Index>{0, 1});
  CHECK(rows_of(ValueHead{}, {1, 0, {}}).empty());
}

TEST_CASE("a joint head reads each row that either of its heads reads, once and in order") {
  CHECK(rows_of(JointHead<TokenHead, ValueHead>{}, {7, 4, {}}) == std::vector<Index>{3, 4, 5, 6});
  CHECK(rows_of(JointHead<ScalarHead, ValueHead>{}, {7, 4, {}}) == std::vector<Index>{3, 4, 5, 6});
  CHECK(rows_of(JointHead<ValueHead, StepHead<3>>{}, {7, 6, ends}) == std::vector<Index>{3, 5});
}

TEST_CASE("what heads are about, how many scores they give and what they are called") {
  static_assert(head_width<TokenHead> == 1 && TokenHead::meaning == ScoreMeaning::per_token);
  static_assert(head_width<StepHead<>> == 3 && StepHead<>::meaning == ScoreMeaning::per_step);
  static_assert(head_width<ValueHead> == 1 && ValueHead::meaning == ScoreMeaning::per_state);
  static_assert(head_width<AttributeHead> == 0 && head_width<LanguageModelHead> == 0);
  static_assert(LanguageModelHead::meaning == ScoreMeaning::next_token);
  static_assert(head_width<JointHead<TokenHead, StepHead<3>>> == 1);
  static_assert(head_width<JointHead<LanguageModelHead, TokenHead>> == 0);
  static_assert(JointHead<TokenHead, ScalarHead>::meaning == ScoreMeaning::per_token);
  static_assert(reads_unembedding<JointHead<TokenHead, LanguageModelHead>>);
  static_assert(!reads_unembedding<JointHead<TokenHead, ValueHead>> && !reads_unembedding<TokenHead>);
  static_assert(scores_completions<JointHead<ScalarHead, AttributeHead>>);
  static_assert(!scores_completions<JointHead<ScalarHead, ValueHead>>);
  CHECK(StepHead<3>::name() == "step_ternary");
  CHECK(StepHead<2>::name() == "step_binary");
  CHECK(StepHead<1>::name() == "step_logit");
}

TEST_CASE("heads of classes, tokens, steps and states are linear maps, with a bias but for completions") {
  {
    Bench<TokenHead> bench(TokenHead{});
    bench.check(1, {"score.weight [1 4 ]", "score.bias [1 ]"},
                [&](Index i, Index) { return bench.dot(i, "score.weight", 0) + bench("score.bias", 0, 0); });
  }
  {
    Bench<StepHead<3>> bench(StepHead<3>{});
    bench.check(3, {"score.weight [3 4 ]", "score.bias [3 ]"}, [&](Index i, Index k) {
      return bench.dot(i, "score.weight", k) + bench("score.bias", 0, k);
    });
  }
  {
    Bench<CompletionClassHead> bench(CompletionClassHead{});
    bench.check(2, {"score.weight [2 4 ]"},
                [&](Index i, Index k) { return bench.dot(i, "score.weight", k); });
    const double logits[] = {0.5, 2};
    CHECK(CompletionClassHead{}.merge(logits) == 1.5);
    CHECK(CompletionClassHead::name() == "completion_binary");
    CHECK(rows_of(CompletionClassHead{}, {7, 2, ends}) == std::vector<Index>{6});
  }
  {
    Bench<StepHead<2>> bench({.bias = false});
    bench.check(2, {"score.weight [2 4 ]"},
                [&](Index i, Index k) { return bench.dot(i, "score.weight", k); });
  }
  {
    Bench<ValueHead> bench(ValueHead{});
    bench.check(1, {"value_head.weight [1 4 ]", "value_head.bias [1 ]"}, [&](Index i, Index) {
      return bench.dot(i, "value_head.weight", 0) + bench("value_head.bias", 0, 0);
    });
  }
}

TEST_CASE("a head of two layers puts the activation between them") {
  const auto gelu = [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); };
  const auto gelu_tanh = [](double x) {
    return x / 2 * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
  };
  for (const ActivationFunction activation :
       {ActivationFunction::relu, ActivationFunction::gelu, ActivationFunction::gelu_tanh}) {
    INFO(static_cast<int>(activation));
    Bench<TwoLayerHead> bench({.inner = 5, .activation = activation, .init_deviation = 1});
    bench.check(1,
                {"score.0.weight [5 4 ]", "score.0.bias [5 ]", "score.2.weight [1 5 ]", "score.2.bias [1 ]"},
                [&](Index i, Index) {
                  double sum = bench("score.2.bias", 0, 0);
                  for (Index j = 0; j < 5; ++j) {
                    const double x = bench.dot(i, "score.0.weight", j) + bench("score.0.bias", 0, j);
                    const double h = activation == ActivationFunction::relu   ? std::max(x, 0.0)
                                     : activation == ActivationFunction::gelu ? gelu(x)
                                                                              : gelu_tanh(x);
                    sum += bench("score.2.weight", 0, j) * h;
                  }
                  return sum;
                });
  }
  const Bench<TwoLayerHead> as_wide({.bias = false});
  CHECK(as_wide.own_names() == std::vector<std::string>{"score.0.weight [4 4 ]", "score.2.weight [1 4 ]"});
}

TEST_CASE("a two-layer head of steps gives two classes at each step's end") {
  static_assert(head_width<TwoLayerStepHead> == 2 && TwoLayerStepHead::meaning == ScoreMeaning::per_step);
  CHECK(TwoLayerStepHead::name() == "step_two_layer");
  CHECK(rows_of(TwoLayerStepHead{}, {7, 2, ends}) == ends);
  Bench<TwoLayerStepHead> bench({.inner = 3, .init_deviation = 1});
  bench.check(2, {"score.0.weight [3 4 ]", "score.0.bias [3 ]", "score.2.weight [2 3 ]", "score.2.bias [2 ]"},
              [&](Index i, Index k) {
                double sum = bench("score.2.bias", 0, k);
                for (Index j = 0; j < 3; ++j) {
                  const double x = bench.dot(i, "score.0.weight", j) + bench("score.0.bias", 0, j);
                  sum += bench("score.2.weight", k, j) * std::max(x, 0.0);
                }
                return sum;
              });
}

TEST_CASE("a gated head rates at the last token and weighs by what it reads where the answer begins") {
  const std::vector<Index> gate{2};
  const GatedRegressionHead settings{.attributes = 2, .gate_widths = {3}, .temperature = 2};
  CHECK(rows_of(settings, {7, 4, gate}) == std::vector<Index>{2, 6});
  const std::string none = "gated_regression: a sequence names 0 places for the gate, expected one";
  CHECK_THROWS_WITH_AS(rows_of(settings, {7, 4, {}}), doctest::Contains(none.c_str()), DataError);

  Bench<GatedRegressionHead> bench(settings);
  CHECK(bench.head.outputs() == 4);
  CHECK(bench.own_names() ==
        std::vector<std::string>{"regression_layer.weight [2 4 ]", "gating.layers.0.weight [3 4 ]",
                                 "gating.layers.0.bias [3 ]", "gating.layers.1.weight [2 3 ]",
                                 "gating.layers.1.bias [2 ]"});
  Tape<B> tape(bench.handle, bench.parameters);
  CHECK_THROWS_WITH_AS(bench.forward(tape), doctest::Contains("this head is for scoring"), UsageError);
  tape.reset();
  tape.set_recording(false);
  const Var out = bench.forward(tape);
  REQUIRE(tape.cols(out) == 4);
  std::vector<double> both;  // the gate's row is number 2, the last is number 0
  std::vector<double> weights, ratings;
  for (Index k = 0; k < 4; ++k) both.push_back(tape.value(out)(2, k));
  for (Index k = 0; k < 4; ++k) both.push_back(tape.value(out)(0, k));
  for (Index k = 0; k < 2; ++k) {
    ratings.push_back(bench.dot(0, "regression_layer.weight", k));
    double logit = bench("gating.layers.1.bias", 0, k);
    for (Index j = 0; j < 3; ++j) {
      const double x = bench.dot(2, "gating.layers.0.weight", j) + bench("gating.layers.0.bias", 0, j);
      logit += bench("gating.layers.1.weight", k, j) * std::max(x, 0.0);
    }
    weights.push_back(std::exp(logit / 2));
  }
  const double expected = (weights[0] * ratings[0] + weights[1] * ratings[1]) / (weights[0] + weights[1]);
  CHECK(settings.merge(both) == doctest::Approx(expected).epsilon(1e-13));
  const double huge[] = {0, 0, 1e4, -1e4, 3, 5, 0, 0};
  CHECK(settings.merge(huge) == 3);
  CHECK_THROWS_AS(settings.merge(std::span(both).first(4)), UsageError);
  CHECK_THROWS_WITH_AS(validate(GatedRegressionHead{.attributes = 0}),
                       "gated_regression: attributes is 0, expected at least 1", ConfigError);
  CHECK_THROWS_AS(validate(GatedRegressionHead{.temperature = 0}), ConfigError);
  CHECK_THROWS_AS(validate(GatedRegressionHead{.gate_widths = {0}}), ConfigError);
}

TEST_CASE("a gated head may rate by the mean of bins, and weigh by its last row's outputs as they are") {
  const GatedRegressionHead settings{.attributes = 2,
                                     .gate_widths = {3},
                                     .rating_widths = {5},
                                     .bins = 3,
                                     .activation = ActivationFunction::leaky_relu,
                                     .gate_softmax = false,
                                     .gate_at_end = true};
  CHECK(rows_of(settings, {7, 4, {}}) == std::vector<Index>{6});
  Bench<GatedRegressionHead> bench(settings);
  CHECK(bench.own_names() ==
        std::vector<std::string>{
            "regression_layer.network.0.weight [5 4 ]", "regression_layer.network.0.bias [5 ]",
            "regression_layer.network.2.weight [6 5 ]", "regression_layer.network.2.bias [6 ]",
            "gating.layers.0.weight [3 4 ]", "gating.layers.0.bias [3 ]", "gating.layers.1.weight [2 3 ]",
            "gating.layers.1.bias [2 ]"});
  Tape<B> tape(bench.handle, bench.parameters);
  tape.set_recording(false);
  const Var out = bench.forward(tape);
  REQUIRE(tape.cols(out) == 8);
  const auto network = [&](const std::string& up, const std::string& down, Index inner, Index k) {
    double sum = bench((down + ".bias").c_str(), 0, k);
    for (Index j = 0; j < inner; ++j) {
      const double x = bench.dot(1, (up + ".weight").c_str(), j) + bench((up + ".bias").c_str(), 0, j);
      sum += bench((down + ".weight").c_str(), k, j) * (x > 0 ? x : 0.01 * x);
    }
    return sum;
  };
  std::vector<double> row;
  double expected = 0;
  for (Index k = 0; k < 8; ++k) row.push_back(tape.value(out)(1, k));
  for (Index a = 0; a < 2; ++a) {
    double sum = 0;
    double mean = 0;
    for (Index b = 0; b < 3; ++b) {
      const double share =
          std::exp(network("regression_layer.network.0", "regression_layer.network.2", 5, 3 * a + b));
      sum += share;
      mean += share * (0.5 * static_cast<double>(b));
    }
    const double weight = network("gating.layers.0", "gating.layers.1", 3, a);
    CHECK(settings.ratings(row)[a] == doctest::Approx(mean / sum).epsilon(1e-13));
    CHECK(settings.weights(row)[a] == doctest::Approx(weight).epsilon(1e-13));
    expected += weight * mean / sum;
  }
  CHECK(settings.merge(row) == doctest::Approx(expected).epsilon(1e-13));
  row.resize(16);
  CHECK_THROWS_WITH_AS(settings.weights(row), doctest::Contains("16 scores of a completion, expected 8"),
                       UsageError);
  CHECK_THROWS_WITH_AS((GatedRegressionHead{.attributes = ~Index{0}, .bins = 2}.outputs()),
                       doctest::Contains("gated_regression: "), ConfigError);
}

TEST_CASE("one or two tokens' logits are a completion's score, the second's log-odds with two") {
  const AnswerLogitHead one{{3}};
  const AnswerLogitHead two{{5, 0}};
  CHECK(AnswerLogitHead::name() == "answer_logits");
  static_assert(head_width<AnswerLogitHead> == 0);
  {
    Bench<AnswerLogitHead> bench(one);
    bench.check(1, {}, [&](Index i, Index) { return bench.dot(i, bench.table, 3); });
  }
  {
    Bench<AnswerLogitHead> bench(two);
    bench.check(2, {}, [&](Index i, Index k) { return bench.dot(i, bench.table, k == 0 ? 5 : 0); });
  }
  const double logits[] = {0.5, 2};
  CHECK(two.merge(logits) == 1.5);
  CHECK(one.merge(std::span(logits).first(1)) == 0.5);
  CHECK_THROWS_WITH_AS(validate(AnswerLogitHead{}), "answer_logits: tokens has 0 numbers, expected 1 to 2",
                       ConfigError);
  CHECK_THROWS_AS((validate(AnswerLogitHead{{1, 2, 3}})), ConfigError);
}

TEST_CASE("an attribute head gives a score for each weight, and merges them") {
  const AttributeHead settings{.merge_weights = {0.5, -2, 3}};
  Bench<AttributeHead> bench(settings);
  bench.check(3, {"score.weight [3 4 ]", "score.bias [3 ]"},
              [&](Index i, Index k) { return bench.dot(i, "score.weight", k) + bench("score.bias", 0, k); });
  const double attributes[] = {4, 1, -0.25};
  CHECK(settings.merge(attributes) == 2 - 2 - 0.75);
  CHECK_THROWS_AS(validate(AttributeHead{.merge_weights = {}}), ConfigError);
  CHECK_THROWS_WITH_AS((validate(AttributeHead{.merge_weights = {1, NAN}})),
                       doctest::Contains("merge_weights[1]"), ConfigError);
}

TEST_CASE("heads of logits read the unembedding and have no weights of their own") {
  {
    using Head = TokenLogitHead<ScoreMeaning::per_step, 3>;
    Bench<Head> bench(Head{{5, 0, 5}});  // a token may be named twice
    const std::array<Index, 3> tokens{5, 0, 5};
    bench.check(3, {}, [&](Index i, Index k) { return bench.dot(i, bench.table, tokens[k]); });
  }
  {
    Bench<LanguageModelHead> bench(LanguageModelHead{});
    bench.check(vocabulary, {}, [&](Index i, Index k) { return bench.dot(i, bench.table, k); });
  }
  {
    using Head = TokenLogitHead<ScoreMeaning::per_step, 3>;
    Bench<Head> bench(Head{{5, 0, 5}}, 0.7);  // a backbone that caps its logits
    const Token tokens[] = {5, 0, 5};
    bench.check(
        3, {}, [&](Index i, Index k) { return 0.7 * std::tanh(bench.dot(i, bench.table, tokens[k]) / 0.7); });
    const Unembedding capped([] { return ParameterSlice{}; }, 0.7);
    CHECK_THROWS_WITH_AS(capped(), doctest::Contains("the backbone caps its logits at 0.7, expected no cap"),
                         ConfigError);
  }
  {
    Bench<LmGainBiasHead> bench({.token = 2});
    bench.check(1, {"score.gain [1 1 ]", "score.bias [1 ]"}, [&](Index i, Index) {
      return bench("score.gain", 0, 0) * bench.dot(i, bench.table, 2) + bench("score.bias", 0, 0);
    });
  }
}

TEST_CASE("a token that the vocabulary does not have is an error") {
  const auto error = [](auto settings) {
    Bench<decltype(settings)> bench(settings);
    Tape<B> tape(bench.handle, bench.parameters);
    bench.forward(tape);
  };
  CHECK_THROWS_WITH_AS(error(TokenLogitHead<>{{1, 6}}),
                       "token_logits: token 6 is outside the vocabulary of 6", ConfigError);
  CHECK_THROWS_WITH_AS(error(LmGainBiasHead{9}), "lm_gain_bias: token 9 is outside the vocabulary of 6",
                       ConfigError);
}

TEST_CASE("a joint head declares both parts and has the scores of its first") {
  {
    Bench<JointHead<StepHead<2>, ValueHead>> bench(JointHead<StepHead<2>, ValueHead>{});
    bench.check(
        2, {"score.weight [2 4 ]", "score.bias [2 ]", "value_head.weight [1 4 ]", "value_head.bias [1 ]"},
        [&](Index i, Index k) { return bench.dot(i, "score.weight", k) + bench("score.bias", 0, k); });
  }
  {
    using Head = JointHead<LmGainBiasHead, LanguageModelHead>;
    static const Head settings{{.token = 1}, {}};
    Bench<Head> bench(settings);
    bench.check(1, {"score.gain [1 1 ]", "score.bias [1 ]"}, [&](Index i, Index) {
      return bench("score.gain", 0, 0) * bench.dot(i, bench.table, 1) + bench("score.bias", 0, 0);
    });
  }
  CHECK_THROWS_WITH_AS((Bench<JointHead<ScalarHead, TokenHead>>(JointHead<ScalarHead, TokenHead>{})),
                       doctest::Contains("'score.weight' is declared twice"), UsageError);
  CHECK_THROWS_AS((validate(JointHead<ScalarHead, AttributeHead>{.second = {.merge_weights = {}}})),
                  ConfigError);
}

/// The logits of a model's head are products of its hidden rows with its own unembedding, and the gradient
/// reaches the table.
template <class Backbone>
void check_unembedding(const Backbone& backbone, const char* table_name) {
  using Head = TokenLogitHead<ScoreMeaning::per_completion, 2>;
  using Model = RewardModel<Backbone, Head, RegressionLoss<ScoreMeaning::per_completion>, B>;
  Model model({.backbone = backbone, .head = {{3, 1}}, .seed = 2});
  Rng rng(8);
  RandomForest forest = random_forest(rng, {.vocabulary = 9});
  ForestBuilder builder;
  forest.build(builder);
  const auto scores = model.score(builder.view());
  const std::vector<double> found(scores.begin(), scores.end());
  const auto& parameters = model.parameters();
  REQUIRE(parameters.find(table_name) < parameters.tensor_count());
  const ParameterSlice table = parameters.slice(static_cast<std::uint32_t>(parameters.find(table_name)));
  model.tape().reset();
  const Var hidden = model.backbone().forward(model.tape(), builder.view());
  RegressionTargets targets;
  for (Index i = 0; i < builder.view().row_count(); ++i) {
    for (Index k = 0; k < 2; ++k) {
      double sum = 0;
      for (Index j = 0; j < table.cols; ++j)
        sum += model.tape().value(hidden)(i, j) * value_at(parameters, table, k == 0 ? 3 : 1, j);
      CHECK(found[2 * i + k] == doctest::Approx(sum).epsilon(1e-12));
    }
    targets.values.push_back({static_cast<std::uint32_t>(i), 0.5, 1, static_cast<std::uint32_t>(i % 2)});
  }
  const GradientReport report = check_gradients(model, builder.view(), targets, {.samples = 12});
  INFO(report);
  CHECK(report.error < 1e-6);
  const double* gradient =
      parameters.gradients().data + parameters.offset(parameters.find(table_name)) + 3 * table.cols;
  double size = 0;
  for (Index j = 0; j < table.cols; ++j) size += std::abs(gradient[j]);
  CHECK(size > 0);
}

TEST_CASE("logits are read from the backbone's unembedding, its own or the embedding's") {
  Llama llama{.vocabulary_size = 9,
              .hidden_size = 8,
              .intermediate_size = 6,
              .layers = 2,
              .heads = 2,
              .kv_heads = 1,
              .init_deviation = 0.4};
  llama.tied_embedding = true;
  check_unembedding(llama, "model.embed_tokens.weight");
  llama.tied_embedding = false;
  llama.unembedding = true;
  check_unembedding(llama, "lm_head.weight");
  check_unembedding(
      Gpt2{.vocabulary_size = 9, .hidden_size = 8, .layers = 2, .heads = 2, .init_deviation = 0.4},
      "transformer.wte.weight");
}

TEST_CASE("a Llama that holds no unembedding is refused for a head that reads it") {
  using Model = RewardModel<Llama, TokenLogitHead<>, RegressionLoss<ScoreMeaning::per_step>, B>;
  Llama llama{
      .vocabulary_size = 9, .hidden_size = 8, .intermediate_size = 6, .layers = 1, .heads = 2, .kv_heads = 1};
  llama.tied_embedding = false;
  llama.unembedding = false;
  CHECK_THROWS_AS(Model({.backbone = llama}), Error);
}

}  // namespace heads_test
