// README.md shows which heads and losses make a model, and what each loss learns from: here the tables are
// made from the same traits that the compiler asks.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/batch/targets.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/fit.hpp"
#include "merit/model/policy_set.hpp"
#include "stored.hpp"

namespace fit_table_test {

using namespace merit;

template <class T>
struct Named {
  std::string name;
};

/// A loss whose meaning is a template argument is tried with that of the head.
template <template <ScoreMeaning> class Loss>
struct Meaningful {
  std::string name;
};

template <class Head, class Loss>
constexpr Fit fit_with(Named<Loss>) {
  return fit<Head, Loss>;
}
template <class Head, template <ScoreMeaning> class Loss>
constexpr Fit fit_with(Meaningful<Loss>) {
  return fit<Head, Loss<Head::meaning>>;
}
template <class Loss>
typename Loss::Targets targets_of(Named<Loss>);
template <template <ScoreMeaning> class Loss>
typename Loss<ScoreMeaning::per_completion>::Targets targets_of(Meaningful<Loss>);

template <class Loss>
std::string_view meaning_read(Named<Loss>) {
  switch (Loss::reads) {
    case ScoreMeaning::per_completion: return "completions";
    case ScoreMeaning::per_token: return "tokens";
    case ScoreMeaning::per_step: return "steps";
    case ScoreMeaning::per_state: return "states";
    case ScoreMeaning::next_token: break;
  }
  return "next tokens";
}
template <template <ScoreMeaning> class Loss>
std::string_view meaning_read(Meaningful<Loss>) {
  return "";  // it reads any
}

template <class Loss>
std::string cell(Fit fit, const Loss& loss) {
  switch (fit) {
    case Fit::yes: return "✓";
    case Fit::other_meaning: return "reads " + std::string(meaning_read(loss));
    case Fit::one_score: return "reads one score";
    case Fit::several_scores: return "reads classes";
    case Fit::joint_head: break;
  }
  return "two losses";
}

/// Calls f for every loss.
template <class F>
void for_each_loss(const F& f) {
  f(Named<PairwiseLoss>{"PairwiseLoss"});
  f(Named<HingeLoss>{"HingeLoss"});
  f(Named<PlackettLuceLoss>{"PlackettLuceLoss"});
  f(Meaningful<RegressionLoss>{"RegressionLoss"});
  f(Meaningful<BinaryCrossEntropyLoss>{"BinaryCrossEntropyLoss"});
  f(Meaningful<CategoricalCrossEntropyLoss>{"CategoricalCrossEntropyLoss"});
  f(Named<ValueLoss>{"ValueLoss"});
  f(Named<LanguageModelLoss>{"LanguageModelLoss"});
}

template <class Head>
void append_head(const std::string& name, std::ostream& out) {
  out << "| `" << name << "` |";
  for_each_loss([&](const auto& loss) { out << ' ' << cell(fit_with<Head>(loss), loss) << " |"; });
  out << '\n';
}

template <class Loss, class... Examples>
void append_loss(const Loss& loss, std::ostream& out) {
  using Targets = decltype(targets_of(loss));
  out << "| `" << loss.name << "` |";
  for (const bool learns : {learns_from<Targets, Examples>...}) out << (learns ? " ✓ |" : " |");
  out << '\n';
}

std::string tables() {
  std::ostringstream out;
  out << "| head |";
  for_each_loss([&](const auto& loss) { out << " `" << loss.name << "` |"; });
  out << "\n|---|";
  for_each_loss([&](const auto&) { out << "---|"; });
  out << '\n';
  append_head<ScalarHead>("ScalarHead", out);
  append_head<CompletionClassHead>("CompletionClassHead", out);
  append_head<TwoLayerHead>("TwoLayerHead", out);
  append_head<AttributeHead>("AttributeHead", out);
  append_head<TokenHead>("TokenHead", out);
  append_head<LmGainBiasHead>("LmGainBiasHead", out);
  append_head<StepHead<1>>("StepHead<1>", out);
  append_head<StepHead<2>>("StepHead<2>", out);
  append_head<StepHead<3>>("StepHead<3>", out);
  append_head<TokenLogitHead<ScoreMeaning::per_step, 2>>("TokenLogitHead<per_step, 2>", out);
  append_head<TokenLogitHead<ScoreMeaning::per_token, 1>>("TokenLogitHead<per_token, 1>", out);
  append_head<ValueHead>("ValueHead", out);
  append_head<LanguageModelHead>("LanguageModelHead", out);
  append_head<JointHead<ScalarHead, LanguageModelHead>>("JointHead<A, B>", out);
  out << "\n| loss | preferences | rankings, ratings | outcomes | steps | rollouts "
         "|\n|---|---|---|---|---|---|\n";
  for_each_loss([&]<class Loss>(const Loss& loss) {
    append_loss<Loss, PreferenceExample, RankingExample, OutcomeExample, StepsExample, RolloutExample>(loss,
                                                                                                       out);
  });
  return out.str();
}

constexpr std::string_view begin_mark = "<!-- fit: made by tests/model/fit_table_test.cpp -->\n";
constexpr std::string_view end_mark = "<!-- end of fit -->\n";

TEST_CASE("the README shows what fits what, as the traits say") {
  std::ifstream file(merit_test::stored("../../README.md"));
  REQUIRE(file.good());
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto begin = text.find(begin_mark);
  const auto end = text.find(end_mark);
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  const std::string shown = text.substr(begin + begin_mark.size(), end - begin - begin_mark.size());
  INFO("between the marks in README.md must stand:\n", tables());
  const bool same = shown == tables();
  CHECK(same);
}

TEST_CASE("a loss of two parts fits one head that both fit, or two heads of which each has its own") {
  using Two = JointHead<LmGainBiasHead, LanguageModelHead>;
  using Tokens = BinaryCrossEntropyLoss<ScoreMeaning::per_token>;
  CHECK(fit<Two, JointLoss<Tokens, LanguageModelLoss>> == Fit::yes);
  CHECK(fit<Two, JointLoss<LanguageModelLoss, Tokens>> == Fit::other_meaning);
  CHECK(fit<Two, Tokens> == Fit::joint_head);
  CHECK(fit<ScalarHead, JointLoss<PairwiseLoss, PlackettLuceLoss>> == Fit::yes);
  CHECK(fit<ScalarHead, JointLoss<PairwiseLoss, LanguageModelLoss>> == Fit::other_meaning);
  CHECK(fit<StepHead<1>, JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_step>, CrossEntropyLoss>> ==
        Fit::several_scores);
  CHECK(fit<AttributeHead, JointLoss<RegressionLoss<>, PairwiseLoss>> == Fit::one_score);
  // What is reported is what the part reads that does not fit.
  CHECK(detail::FitOf<ScalarHead, JointLoss<PairwiseLoss, LanguageModelLoss>>::reads ==
        ScoreMeaning::next_token);
  CHECK(detail::FitOf<Two, JointLoss<Tokens, PairwiseLoss>>::reads == ScoreMeaning::per_completion);
}

}  // namespace fit_table_test
