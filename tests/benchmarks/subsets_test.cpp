// Best of n, pass@n and votes over all subsets, against going through every subset.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/eval/best_of_n.hpp"

namespace subsets_test {

using namespace merit;

using Numbers = std::vector<double>;

/// The mean over all subsets of size n of `value(members)`.
double over_subsets(Index size, Index n, const std::function<double(const std::vector<Index>&)>& value) {
  double total = 0;
  double count = 0;
  for (unsigned bits = 0; bits < (1U << size); ++bits) {
    if (static_cast<Index>(std::popcount(bits)) != n) continue;
    std::vector<Index> members;
    for (Index i = 0; i < size; ++i) {
      if ((bits >> i & 1U) != 0) members.push_back(i);
    }
    total += value(members);
    count += 1;
  }
  return total / count;
}

/// The answer with the most weight, straight from the definition.
double vote_credit(const Candidates& problem, const std::vector<Index>& members, bool weighted) {
  std::vector<std::string> answers;
  Numbers sums;
  Numbers credits;
  for (const Index i : members) {
    const auto place = std::find(answers.begin(), answers.end(), problem.answers[i]);
    const auto a = static_cast<Index>(place - answers.begin());
    if (place == answers.end()) {
      answers.push_back(problem.answers[i]);
      sums.push_back(0);
      credits.push_back(problem.correct[i]);
    }
    sums[a] += weighted ? problem.scores[i] : 1.0;
  }
  double top = -1, tied = 0, worth = 0;
  for (const double sum : sums) top = std::max(top, sum);
  for (Index a = 0; a < sums.size(); ++a) {
    if (sums[a] != top) continue;
    tied += 1;
    worth += credits[a];
  }
  return worth / tied;
}

double best_credit(const Candidates& problem, const std::vector<Index>& members) {
  double top = -1e300, tied = 0, worth = 0;
  for (const Index i : members) top = std::max(top, problem.scores[i]);
  for (const Index i : members) {
    if (problem.scores[i] != top) continue;
    tied += 1;
    worth += problem.correct[i];
  }
  return worth / tied;
}

/// Problems with many ties: scores are quarters, answers few, and "2" and "5" are right.
std::vector<Candidates> many_problems() {
  std::vector<Candidates> problems;
  Rng rng(17);
  for (Index size = 1; size <= 10; ++size) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      Candidates problem;
      for (Index i = 0; i < size; ++i) {
        const auto answer = rng.below(6);
        problem.scores.push_back(static_cast<double>(rng.below(6)) / 4);  // sums of quarters are exact
        problem.correct.push_back(answer == 2 || answer == 5 ? 1 : 0);
        problem.answers.push_back(std::to_string(answer));
      }
      problems.push_back(problem);
    }
  }
  return problems;
}

TEST_CASE("expectations over all subsets are the means of going through every one") {
  for (const Candidates& problem : many_problems()) {
    const Index size = problem.scores.size();
    for (Index n = 1; n <= size; ++n) {
      CAPTURE(size);
      CAPTURE(n);
      const auto near = [&](double found, const std::function<double(const std::vector<Index>&)>& value) {
        CHECK(std::abs(found - over_subsets(size, n, value)) < 1e-12);
      };
      near(expected_best_of(problem, n), [&](const auto& members) { return best_credit(problem, members); });
      near(pass_at(problem, n), [&](const auto& members) {
        return std::any_of(members.begin(), members.end(), [&](Index i) { return problem.correct[i] == 1; })
                   ? 1.0
                   : 0.0;
      });
      near(expected_majority(problem, n),
           [&](const auto& members) { return vote_credit(problem, members, false); });
      near(expected_weighted_majority(problem, n),
           [&](const auto& members) { return vote_credit(problem, members, true); });
    }
  }
}

TEST_CASE("with one candidate every choice is chance, and with all the best is the report's") {
  for (const Candidates& problem : many_problems()) {
    double mean = 0;
    for (const double correct : problem.correct)
      mean += correct / static_cast<double>(problem.correct.size());
    const auto size = problem.scores.size();
    CHECK(expected_best_of(problem, 1) == doctest::Approx(mean).epsilon(1e-12));
    CHECK(pass_at(problem, 1) == doctest::Approx(mean).epsilon(1e-12));
    CHECK(expected_majority(problem, 1) == doctest::Approx(mean).epsilon(1e-12));
    const BestOfNReport report = report_best_of_n(std::vector{problem});
    CHECK(expected_best_of(problem, size) == doctest::Approx(report.chosen.value).epsilon(1e-12));
    CHECK(pass_at(problem, size) == doctest::Approx(report.oracle).epsilon(1e-12));
  }
}

TEST_CASE("pass@n is the published estimator, also for many candidates") {
  Candidates problem{Numbers(200, 0.0), Numbers(200, 0.0)};
  for (Index i = 0; i < 3; ++i) problem.correct[i * 50] = 1;
  for (const Index n : {Index{1}, Index{10}, Index{100}, Index{197}, Index{198}}) {
    double miss = 1;  // 1 − Π over i from N − c + 1 to N of (1 − n / i)
    for (Index i = 198; i <= 200; ++i) miss *= 1 - static_cast<double>(n) / static_cast<double>(i);
    CHECK(pass_at(problem, n) == doctest::Approx(n > 197 ? 1 : 1 - miss).epsilon(1e-12));
  }
  CHECK(expected_best_of(problem, 100) == doctest::Approx(3.0 / 200).epsilon(1e-12));  // all tied: chance
}

TEST_CASE("the majority of many candidates is counted without looking at subsets") {
  Candidates problem;
  for (Index i = 0; i < 256; ++i) {
    problem.scores.push_back(0);
    problem.answers.push_back(i % 2 == 0 ? "a" : "b");
    problem.correct.push_back(i % 2 == 0 ? 1 : 0);
  }
  for (const Index n : {Index{1}, Index{2}, Index{99}, Index{256}})
    CHECK(expected_majority(problem, n) == doctest::Approx(0.5).epsilon(1e-10));  // by symmetry
  problem.answers[1] = problem.answers[0], problem.correct[1] = 1;
  CHECK(expected_majority(problem, 255) ==
        doctest::Approx(1).epsilon(1e-12));  // 129 to 127: one fewer still wins
  CHECK(expected_majority(problem, 99) > 0.5);
}

TEST_CASE("a curve rises with n for good scores, is bounded by pass, and leaves votes out without answers") {
  const std::vector<Candidates> good(4, Candidates{{4, 3, 2, 1}, {1, 0, 1, 0}});
  const std::vector<Index> sizes{1, 2, 4};
  const std::vector<BestOfNPoint> curve = best_of_n_curve(good, sizes);
  REQUIRE(curve.size() == 3);
  CHECK(curve[0].chosen.value == 0.5);
  CHECK(curve[1].chosen.value == doctest::Approx(4.0 / 6).epsilon(1e-14));
  CHECK(curve[2].chosen.value == 1);
  CHECK(curve[1].pass.value == doctest::Approx(5.0 / 6).epsilon(1e-14));
  CHECK(curve[1].majority.value == 0);
  CHECK(curve[1].n == 2);
  std::vector<Candidates> voted = good;
  for (Candidates& problem : voted) problem.answers = {"x", "y", "x", "z"};
  CHECK(best_of_n_curve(voted, sizes)[2].majority.value == 1);
  CHECK_THROWS_AS(best_of_n_curve({}, sizes), DataError);
}

TEST_CASE("subsets that do not exist, candidates without answers, and too many subsets are refused") {
  const Candidates problem{{1, 2}, {1, 0}};
  CHECK_THROWS_WITH_AS(expected_best_of(problem, 3),
                       "expected_best_of: found subsets of 3, expected from 1 to the 2 candidates",
                       UsageError);
  CHECK_THROWS_AS(pass_at(problem, 0), UsageError);
  CHECK_THROWS_AS(pass_at({}, 1), UsageError);
  CHECK_THROWS_AS(expected_best_of({{1}, {1, 0}}, 1), UsageError);
  CHECK_THROWS_AS(expected_best_of({{1, std::nan("")}, {1, 0}}, 1), DataError);
  CHECK_THROWS_WITH_AS(expected_majority(problem, 1),
                       "expected_majority: found 0 answers, expected 2, one a candidate", UsageError);
  CHECK_THROWS_AS(expected_weighted_majority({{1, -1}, {1, 0}, {"a", "b"}}, 1), DataError);
  const Candidates large{Numbers(40, 1.0), Numbers(40, 1.0), std::vector<std::string>(40, "a")};
  CHECK_THROWS_AS(expected_weighted_majority(large, 20), UsageError);
  CHECK(expected_weighted_majority(large, 2) == 1);
}

}  // namespace subsets_test
