// The embedded task: what it promises about its problems, and that no cheap baseline can solve it.
#include "merit/puzzle/embedded_task.hpp"
#include "merit/puzzle/embedded_records.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/records/jsonl.hpp"

namespace embedded_task_test {

using namespace merit;

constexpr std::uint64_t seed = 7;

EmbeddedProblem problem_of(const EmbeddedTaskOptions& options, std::uint64_t index,
                           EmbeddedSplit split = EmbeddedSplit::train) {
  return make_embedded_problem(options, split, seed, index);
}

EmbeddedTaskOptions pair_options() {
  EmbeddedTaskOptions options;
  options.completions = 2;
  return options;
}

/// How often each byte occurs.
std::array<double, 256> bag_of_bytes(std::string_view text) {
  std::array<double, 256> counts{};
  for (const char c : text) counts[static_cast<unsigned char>(c)] += 1;
  return counts;
}

struct TextPair {
  std::string chosen, rejected;
};

std::vector<TextPair> text_pairs(EmbeddedSplit split, std::uint64_t count) {
  std::vector<TextPair> pairs;
  for (std::uint64_t i = 0; i < count; ++i) {
    const EmbeddedProblem problem = problem_of(pair_options(), i, split);
    for (const auto& [chosen, rejected] : embedded_pairs(problem)) {
      pairs.push_back({problem.solutions[chosen].text(), problem.solutions[rejected].text()});
    }
  }
  return pairs;
}

/// Logistic regression on the difference of byte counts and lengths, by gradient descent on `train`.
/// Gives the fraction of `test` it puts right, ties ½.
double bag_of_bytes_accuracy(const std::vector<TextPair>& train, const std::vector<TextPair>& test) {
  const auto features = [](const TextPair& pair) {
    std::array<double, 257> result{};
    const auto chosen = bag_of_bytes(pair.chosen);
    const auto rejected = bag_of_bytes(pair.rejected);
    for (std::size_t i = 0; i < 256; ++i) result[i] = chosen[i] - rejected[i];
    result[256] = static_cast<double>(pair.chosen.size()) - static_cast<double>(pair.rejected.size());
    return result;
  };
  const auto dot = [](const auto& a, const auto& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  std::array<double, 257> weights{};
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (const TextPair& pair : train) {
      const auto x = features(pair);
      const double step = 0.1 / (1 + std::exp(dot(weights, x)));
      for (std::size_t i = 0; i < x.size(); ++i) weights[i] += step * x[i];
    }
  }
  double right = 0;
  for (const TextPair& pair : test) {
    const double margin = dot(weights, features(pair));
    right += margin > 0 ? 1.0 : margin == 0 ? 0.5 : 0.0;
  }
  return right / static_cast<double>(test.size());
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> records;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) records.push_back(nlohmann::json::parse(line));
  return records;
}

TEST_CASE("a problem is a function of options, split, seed and index, and is pinned") {
  const EmbeddedTaskOptions options;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const EmbeddedProblem a = problem_of(options, i);
    const EmbeddedProblem b = problem_of(options, i);
    CHECK(a.prompt == b.prompt);
    REQUIRE(a.solutions.size() == b.solutions.size());
    for (Index s = 0; s < a.solutions.size(); ++s) CHECK(a.solutions[s].text() == b.solutions[s].text());
  }
  std::set<std::string> prompts;
  for (std::uint64_t i = 0; i < 50; ++i) prompts.insert(problem_of(options, i).prompt);
  CHECK(prompts.size() >= 49);
  CHECK(make_embedded_problem(options, EmbeddedSplit::train, 8, 0).prompt != problem_of(options, 0).prompt);
  // A change of these bytes changes everybody's training data.
  CHECK(problem_of(options, 0).prompt == "Q: sort 146982 up\n");
  CHECK(problem_of(options, 1).prompt == "Q: sort 412308 even first\n");
  CHECK(fnv1a(problem_of(options, 0).solutions[0].text()) == 3017149874768304386u);
}

TEST_CASE("the generator's labels are what the checker finds from the text alone") {
  for (int level = 1; level <= 5; ++level) {
    EmbeddedTaskOptions options = EmbeddedTaskOptions::of_difficulty(level);
    if (level == 5) options.max_errors = options.items;
    for (std::uint64_t i = 0; i < 2500; ++i) {
      const EmbeddedProblem problem = problem_of(options, i);
      for (const EmbeddedSolution& solution : problem.solutions) {
        const EmbeddedVerdict verdict = check_embedded_solution(problem.prompt, solution.text());
        REQUIRE_MESSAGE(verdict.line_is_right == solution.line_is_right, problem.prompt, solution.text());
        REQUIRE(verdict.first_error == solution.first_error);
        REQUIRE(verdict.correct == solution.correct);
        REQUIRE(solution.correct == !solution.first_error);
      }
    }
  }
}

TEST_CASE("the checker knows right lines from wrong ones by hand") {
  const std::string prompt = "Q: sort 1602 odd first\n";
  const auto labels = [&](std::string_view text) {
    return check_embedded_solution(prompt, text).line_is_right;
  };
  using Labels = std::vector<bool>;
  const EmbeddedVerdict right = check_embedded_solution(prompt, "26|10\n126|0\n1026|\nA: 1026\n");
  CHECK(right.line_is_right == Labels{true, true, true, true});
  CHECK(right.correct);
  CHECK(!right.first_error);

  CHECK(labels("62|10\n162|0\n1062|\nA: 1062\n") == Labels{false, true, true, true});
  CHECK(labels("26|10\n216|0\n0216|\nA: 0216\n") == Labels{true, false, true, true});
  CHECK(labels("26|10\n126|0\n1206|\nA: 1206\n") == Labels{true, true, false, true});
  CHECK(labels("26|10\n126|0\n1026|\nA: 1062\n") == Labels{true, true, true, false});
  CHECK(!check_embedded_solution(prompt, "26|10\n126|0\n1026|\nA: 1062\n").correct);

  // The right answer after a wrong line: the answer line does not follow, yet the answer is right.
  const EmbeddedVerdict repaired = check_embedded_solution(prompt, "26|10\n126|0\n1206|\nA: 1026\n");
  CHECK(repaired.line_is_right == Labels{true, true, false, false});
  CHECK(repaired.correct);

  // The two solutions that the header shows.
  const std::string shown = "Q: sort 923168 odd first\n";
  CHECK(check_embedded_solution(shown, "92|3168\n392|168\n3928|16\n13928|6\n139268|\nA: 139268\n").correct);
  CHECK(check_embedded_solution(shown, "92|3168\n392|168\n3928|16\n31928|6\n319268|\nA: 319268\n")
            .line_is_right == Labels{true, true, true, false, true, true});

  // Lines of another form, and all that follow them.
  CHECK(labels("26|01\n126|0\n1026|\nA: 1026\n") == Labels{false, false, false, false});  // rest reordered
  CHECK(labels("6|102\n26|10\n126|0\n1026|\nA: 1026\n") == Labels{false, false, false, false, false});
  CHECK(labels("26|10\n1126|0\n1026|\nA: 1026\n") == Labels{true, false, false, false});
  CHECK(labels("26|10\n026|0\n1026|\nA: 1026\n") == Labels{true, false, false, false});  // 0 for 1
  CHECK(labels("26|10\n126 0\n1026|\nA: 1026\n") == Labels{true, false, false, false});
  CHECK(labels("26|10\n1026|\nA: 1026\n") == Labels{true, false, false});  // a line left out
  CHECK(labels("26|10\nA: 26\n") == Labels{true, false});                  // not finished
  CHECK(labels("26|10\n\n") == Labels{true, false});

  // No answer, nothing at all, something after the answer, no end of line.
  CHECK(check_embedded_solution(prompt, "26|10\n").first_error == Index{1});
  CHECK(check_embedded_solution(prompt, "").first_error == Index{0});
  CHECK(!check_embedded_solution(prompt, "").correct);
  CHECK(!check_embedded_solution(prompt, "26|10\n126|0\n1026|\nA: 1026\nA: 1026\n").correct);
  CHECK(check_embedded_solution(prompt, "26|10\n126|0\n1026|\nA: 1026").correct);
}

TEST_CASE("what is right under one rule is wrong under the others") {
  const std::string text = "13|24\n123|4\n1234|\nA: 1234\n";
  CHECK(check_embedded_solution("Q: sort 1324 up\n", text).correct);
  for (const char* rule : {"down", "even first", "odd first"}) {
    CHECK(!check_embedded_solution(concat("Q: sort 1324 ", rule, "\n"), text).correct);
  }
}

TEST_CASE("a prompt that is none of the task is a data error") {
  for (const char* prompt : {"", "Q: sort ", "Q: sort 123 up", "Q: sort 123 sideways\n", "Q: sort  up\n",
                             "Q: sort 121 up\n", "Q: sort 12a up\n", "sort 123 up\n", "Q: sort 123\n"}) {
    CHECK_THROWS_AS(check_embedded_solution(prompt, ""), DataError);
  }
}

TEST_CASE("all solutions of a problem have the same bytes line by line") {
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const EmbeddedProblem problem = problem_of(pair_options(), i);
    REQUIRE(problem.solutions.size() == 2);
    REQUIRE(problem.solutions[0].text() != problem.solutions[1].text());
    REQUIRE(problem.solutions[0].text().size() == problem.solutions[1].text().size());
    for (Index line = 0; line < problem.solutions[0].lines.size(); ++line) {
      REQUIRE(bag_of_bytes(problem.solutions[0].lines[line]) ==
              bag_of_bytes(problem.solutions[1].lines[line]));
    }
  }
}

TEST_CASE("length and bag-of-bytes baselines stay at one half on held-out pairs") {
  const std::vector<TextPair> train = text_pairs(EmbeddedSplit::train, 4000);
  std::vector<TextPair> test = text_pairs(EmbeddedSplit::held_out, 2000);
  const double accuracy = bag_of_bytes_accuracy(train, test);
  CHECK(accuracy <= 0.53);
  CHECK(accuracy >= 0.47);

  // The baseline itself works: let one digit be doubled in the rejected ones and it sees that.
  std::vector<TextPair> spoiled = train;
  for (TextPair& pair : spoiled) pair.rejected.back() = '3';
  for (TextPair& pair : test) pair.rejected.back() = '3';
  CHECK(bag_of_bytes_accuracy(spoiled, test) > 0.99);
}

TEST_CASE("no list of a held-out problem occurs in a training problem, and the prompt tells the split") {
  EmbeddedTaskOptions options = pair_options();
  options.items = 4;  // 5040 lists: with these many problems nearly all of them are drawn
  std::set<std::string> train, held_out;
  const auto list_of = [](const std::string& prompt) { return prompt.substr(8, prompt.find(' ', 8) - 8); };
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::string a = problem_of(options, i, EmbeddedSplit::train).prompt;
    const std::string b = problem_of(options, i, EmbeddedSplit::held_out).prompt;
    REQUIRE(embedded_split(a) == EmbeddedSplit::train);
    REQUIRE(embedded_split(b) == EmbeddedSplit::held_out);
    train.insert(list_of(a));
    held_out.insert(list_of(b));
  }
  for (const std::string& list : held_out) REQUIRE(!train.contains(list));
  CHECK(train.size() + held_out.size() > 4900);
  const double share = static_cast<double>(held_out.size()) / 5040;
  CHECK(share > 0.10);
  CHECK(share < 0.15);
}

TEST_CASE("every list length has problems in both splits") {
  for (Index items = 3; items <= 10; ++items) {
    EmbeddedTaskOptions options = pair_options();
    options.items = items;
    for (const auto split : {EmbeddedSplit::train, EmbeddedSplit::held_out}) {
      CHECK(problem_of(options, 0, split).solutions[0].lines.size() == items);
    }
  }
}

TEST_CASE("every problem has right and wrong solutions in the share asked for, in no fixed order") {
  EmbeddedTaskOptions options;
  options.right_share = 0.5;
  double right = 0, right_first = 0;
  constexpr std::uint64_t count = 3000;
  for (std::uint64_t i = 0; i < count; ++i) {
    const EmbeddedProblem problem = problem_of(options, i);
    REQUIRE(problem.solutions.size() == 8);
    Index of_this = 0;
    for (const EmbeddedSolution& solution : problem.solutions) of_this += solution.correct;
    REQUIRE(of_this >= 1);
    REQUIRE(of_this <= 7);
    right += static_cast<double>(of_this);
    right_first += problem.solutions[0].correct;
  }
  CHECK(right / count == doctest::Approx(4.0).epsilon(0.02));  // 1 + 6 · ½
  CHECK(right_first / count == doctest::Approx(0.5).epsilon(0.07));
}

TEST_CASE("first errors are spread evenly over the lines, and later lines may err too") {
  EmbeddedTaskOptions options = pair_options();
  options.max_errors = 3;
  std::vector<double> first(options.items, 0), errors(options.items + 1, 0);
  double wrong = 0;
  for (std::uint64_t i = 0; i < 12000; ++i) {
    for (const EmbeddedSolution& solution : problem_of(options, i).solutions) {
      if (solution.correct) continue;
      wrong += 1;
      first[*solution.first_error] += 1;
      Index count = 0;
      for (const bool right : solution.line_is_right) count += !right;
      errors[count] += 1;
    }
  }
  // 12000 / 6 on each line; five standard deviations are 204. A few repaired answers are drawn again.
  for (const double count : first) CHECK(std::abs(count - wrong / 6) < 300);
  CHECK(errors[1] > 0);
  CHECK(errors[2] > 0);
  CHECK(errors[3] > 0);
  CHECK(errors[4] == 0);
}

TEST_CASE("right solutions of one problem differ in their steps and agree in their answer") {
  EmbeddedTaskOptions options;
  options.right_share = 1;
  const EmbeddedProblem problem = problem_of(options, 3);
  std::set<std::string> texts, answers;
  for (const EmbeddedSolution& solution : problem.solutions) {
    if (!solution.correct) continue;
    texts.insert(solution.text());
    answers.insert(solution.lines.back());
  }
  CHECK(texts.size() >= 6);
  CHECK(answers.size() == 1);
}

TEST_CASE("a pair shares its lines up to the first error") {
  const EmbeddedTaskOptions options;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const EmbeddedProblem problem = problem_of(options, i);
    Index wrong = 0;
    for (const EmbeddedSolution& solution : problem.solutions) wrong += !solution.correct;
    const std::vector<EmbeddedPair> pairs = embedded_pairs(problem);
    REQUIRE(pairs.size() == wrong);
    for (const auto& [chosen, rejected] : pairs) {
      const EmbeddedSolution& a = problem.solutions[chosen];
      const EmbeddedSolution& b = problem.solutions[rejected];
      REQUIRE(a.correct);
      REQUIRE(!b.correct);
      for (Index line = 0; line < *b.first_error; ++line) REQUIRE(a.lines[line] == b.lines[line]);
    }
  }
}

TEST_CASE("difficulty changes length, rules and how near the misses are") {
  CHECK(EmbeddedTaskOptions::of_difficulty(3).items == EmbeddedTaskOptions{}.items);
  std::size_t previous = 0;
  for (int level = 1; level <= 5; ++level) {
    const EmbeddedTaskOptions options = EmbeddedTaskOptions::of_difficulty(level);
    options.validate();
    const std::size_t length = problem_of(options, 0).solutions[0].text().size();
    CHECK(length > previous);
    CHECK(length == options.items * (options.items + 2) - (options.items + 2) + options.items + 4);
    previous = length;
  }
  const auto rules_seen = [](Index rules) {
    EmbeddedTaskOptions options = pair_options();
    options.rules = rules;
    std::set<std::string> seen;
    for (std::uint64_t i = 0; i < 200; ++i) {
      const std::string prompt = problem_of(options, i).prompt;
      seen.insert(prompt.substr(prompt.find(' ', 8)));
    }
    return seen.size();
  };
  for (Index rules = 1; rules <= 4; ++rules) CHECK(rules_seen(rules) == rules);

  // At share 1 a misplaced digit is one exchange of neighbours away from the right line.
  const auto near_misses = [](double share) {
    EmbeddedTaskOptions options = pair_options();
    options.near_miss_share = share;
    double near = 0, all = 0;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const EmbeddedProblem problem = problem_of(options, i);
      const EmbeddedPair pair = embedded_pairs(problem)[0];
      const Index line = *problem.solutions[pair.rejected].first_error;
      if (line == 0 || line + 1 == options.items) continue;
      const std::string& a = problem.solutions[pair.chosen].lines[line];
      const std::string& b = problem.solutions[pair.rejected].lines[line];
      Index different = 0;
      for (Index i_byte = 0; i_byte < a.size(); ++i_byte) different += a[i_byte] != b[i_byte];
      near += different == 2;
      all += 1;
    }
    return near / all;
  };
  CHECK(near_misses(1) == 1);
  CHECK(near_misses(0) < 0.7);
  CHECK(near_misses(0) > 0.2);
}

TEST_CASE("options out of range are config errors") {
  const auto refuses = [](auto change) {
    EmbeddedTaskOptions options;
    change(options);
    CHECK_THROWS_AS(problem_of(options, 0), ConfigError);
  };
  refuses([](auto& o) { o.items = 2; });
  refuses([](auto& o) { o.items = 11; });
  refuses([](auto& o) { o.rules = 0; });
  refuses([](auto& o) { o.rules = 5; });
  refuses([](auto& o) { o.completions = 1; });
  refuses([](auto& o) { o.right_share = -0.1; });
  refuses([](auto& o) { o.right_share = std::numeric_limits<double>::quiet_NaN(); });
  refuses([](auto& o) { o.max_errors = 0; });
  refuses([](auto& o) { o.max_errors = 7; });
  refuses([](auto& o) { o.near_miss_share = 1.5; });
  CHECK_THROWS_AS(EmbeddedTaskOptions::of_difficulty(0), ConfigError);
  CHECK_THROWS_AS(EmbeddedTaskOptions::of_difficulty(6), ConfigError);
  EmbeddedTaskOptions options;
  options.items = 2;
  CHECK_THROWS_WITH(options.validate(), "embedded task: items is 2, expected 3 to 10");
}

TEST_CASE("lines proposed one by one make solutions that are as good as their error rate") {
  const EmbeddedTaskOptions options;
  const auto share_right = [&](double error_rate) {
    Rng rng(5);
    double right = 0, all = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const std::string prompt = problem_of(options, i).prompt;
      std::vector<std::string> lines;
      std::string text;
      for (Index line = 0; line < options.items; ++line) {
        lines.push_back(propose_embedded_line(options, prompt, lines, error_rate, rng));
        text += lines.back() + '\n';
      }
      CHECK_THROWS_AS(propose_embedded_line(options, prompt, lines, error_rate, rng), UsageError);
      for (const bool good : check_embedded_solution(prompt, text).line_is_right) {
        right += good;
        all += 1;
      }
    }
    return right / all;
  };
  CHECK(share_right(0) == 1);
  CHECK(share_right(1) == 0);
  CHECK(share_right(0.2) == doctest::Approx(0.8).epsilon(0.02));

  Rng rng(5);
  for (const std::string line : {"12|", "|123", "123", "12|4"}) {
    CHECK_THROWS_AS(propose_embedded_line(options, "Q: sort 123 up\n", std::vector{line}, 0, rng), DataError);
  }
}

TEST_CASE("preference records are read back by the project's own reader") {
  const EmbeddedProblem problem = problem_of(EmbeddedTaskOptions{}, 1);
  std::stringstream file;
  write_preferences(file, problem);
  PreferenceReader reader(file, "pairs");
  const std::vector<EmbeddedPair> pairs = embedded_pairs(problem);
  REQUIRE(!pairs.empty());
  for (const auto& [chosen, rejected] : pairs) {
    const std::optional<PreferenceRecord> record = reader.next();
    REQUIRE(record);
    CHECK(std::get<std::string>(*record->prompt) == problem.prompt);
    CHECK(std::get<std::string>(record->chosen) == problem.solutions[chosen].text());
    CHECK(std::get<std::string>(record->rejected) == problem.solutions[rejected].text());
  }
  CHECK(!reader.next());
}

TEST_CASE("ranking, outcome and steps records say what the solutions are") {
  const EmbeddedProblem problem = problem_of(EmbeddedTaskOptions{}, 2);
  const Index count = problem.solutions.size();

  std::ostringstream outcomes;
  write_outcomes(outcomes, problem);
  const auto outcome = json_lines(outcomes.str());
  REQUIRE(outcome.size() == count);
  for (Index i = 0; i < count; ++i) {
    CHECK(outcome[i]["prompt"] == problem.prompt);
    CHECK(outcome[i]["completion"] == problem.solutions[i].text());
    CHECK(outcome[i]["label"] == problem.solutions[i].correct);
  }

  std::ostringstream rankings;
  write_ranking(rankings, problem);
  const auto ranking = json_lines(rankings.str());
  REQUIRE(ranking.size() == 1);
  CHECK(ranking[0]["completions"].size() == count);
  const auto ranks = ranking[0]["ranks"].get<std::vector<Index>>();
  REQUIRE(ranks.size() == count);
  CHECK(ranks == embedded_ranks(problem));
  std::set<Index> seen(ranks.begin(), ranks.end());
  CHECK(*seen.rbegin() + 1 == seen.size());
  for (Index i = 0; i < count; ++i) {
    CHECK((ranks[i] == 0) == problem.solutions[i].correct);
    for (Index j = 0; j < count; ++j) {
      CHECK((ranks[i] < ranks[j]) == (problem.solutions[i].quality() > problem.solutions[j].quality()));
    }
  }

  using enum AfterFirstError;
  for (const AfterFirstError after : {local, wrong, unlabelled}) {
    std::ostringstream out;
    write_steps(out, problem, after);
    const auto steps = json_lines(out.str());
    REQUIRE(steps.size() == count);
    for (Index i = 0; i < count; ++i) {
      const EmbeddedSolution& solution = problem.solutions[i];
      CHECK(steps[i]["completions"] == solution.lines);
      REQUIRE(steps[i]["labels"].size() == solution.lines.size());
      for (Index line = 0; line < solution.lines.size(); ++line) {
        nlohmann::json expected = bool{solution.line_is_right[line]};
        if (line > solution.first_error.value_or(line) && after == wrong) expected = false;
        if (line > solution.first_error.value_or(line) && after == unlabelled) expected = nullptr;
        CHECK(steps[i]["labels"][line] == expected);
      }
    }
  }
}

}  // namespace embedded_task_test
