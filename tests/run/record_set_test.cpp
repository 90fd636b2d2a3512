// Files of every kind of record to the examples of a set, and what is refused.
#include "merit/run/record_set.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>  // mkfifo

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "io/temporary.hpp"
#include "letter_model.hpp"
#include "merit/core/error.hpp"

namespace record_set_test {

using merit::ConfigError;
using merit::DataError;
using merit::Index;
using merit::RecordKind;
using merit::RecordSet;
using merit_test::contains;
using merit_test::error_of;
using merit_test::read_lines;

/// The only examples of a set, which must be of this type.
template <class Example>
const std::vector<Example>& examples_of(const RecordSet& set) {
  REQUIRE(std::holds_alternative<std::vector<Example>>(set.examples));
  return std::get<std::vector<Example>>(set.examples);
}

TEST_CASE("examples that are stored are those that are held") {
  const merit_test::TemporaryDirectory folder;
  const std::string lines =
      "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\", \"margin\": 2}\n"
      "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"a\"}\n{bad\n"
      "{\"prompt\": \"q\", \"chosen\": \"abc\", \"rejected\": \"b\", \"weight\": 0.5}\n";
  merit_test::put(folder / "records.jsonl", lines);
  const std::vector<std::string> files{(folder / "records.jsonl").string() + ":0.5"};
  merit::RecordSetOptions options{.kind = RecordKind::preference,
                                  .source = {.on_error = merit::OnError::skip}};
  for (const bool margins : {true, false}) {
    options.margins = margins;
    options.store.clear();
    const RecordSet held = merit::read_record_set(files, merit::make_tokenizer("bytes"), options);
    options.store = folder / "examples";
    const RecordSet stored = merit::read_record_set(files, merit::make_tokenizer("bytes"), options);
    CHECK(merit::size_of(stored.examples) == 0);
    CHECK((held.size() == 2 && stored.size() == 2));
    CHECK(held.account() == stored.account());
    CHECK(held.remarks == stored.remarks);
    std::vector<std::string> texts[2];
    for (const RecordSet* set : {&held, &stored}) {
      merit::for_each_example(*set, [&](const auto& example) {
        merit::detail::stored_examples::AppendBytes{texts[set == &stored].emplace_back()}(example);
      });
    }
    CHECK(texts[0] == texts[1]);
    CHECK(examples_of<merit::PreferenceExample>(held)[0].margin == (margins ? 2 : 0));
    CHECK(examples_of<merit::PreferenceExample>(held)[1].weight == 0.25);
  }
  options.notes = true;
  CHECK_THROWS_AS(merit::read_record_set(files, merit::make_tokenizer("bytes"), options), merit::UsageError);
}

TEST_CASE("files that are visited more or less than once an epoch are parts of the set") {
  const merit_test::TemporaryDirectory folder;
  const std::string one = "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n";
  const std::string same = "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"a\"}\n";
  merit_test::put(folder / "a.jsonl", one + one + same + one + one);
  merit_test::put(folder / "b.jsonl", one + one + one);
  const std::string a = (folder / "a.jsonl").string(), b = (folder / "b.jsonl").string();
  std::vector<Index> counted;
  merit::RecordSetOptions options{.source = {.trains = true},
                                  .on_record = [&](Index read) { counted.push_back(read); }};
  const auto read = [&](const std::vector<std::string>& files) {
    return merit::read_record_set(files, merit::make_tokenizer("bytes"), options);
  };
  CHECK(read({a, b + ":0.5"}).parts.empty());
  CHECK(counted == std::vector<Index>{1, 2, 3, 4, 5, 6, 7, 8});
  for (const char* store : {"", "examples"}) {
    options.store = *store == 0 ? std::filesystem::path() : folder / store;
    const RecordSet set = read({a + ":epochs=0.5", b});
    CHECK(set.parts == std::vector<merit::SetPart>{{4, 0.5}, {3, 1}});  // of what is used
    REQUIRE(!set.remarks.empty());
    CHECK(set.remarks[0] == a + ": an epoch visits 2 records of 4, as epochs=0.5 says");
    CHECK(merit::with_parts_of(set, {.epochs = 3}).parts == set.parts);
  }
  CHECK(merit::with_parts_of({}, {.parts = {{1, 2}}}).parts.size() == 1);
  options.source.trains = false;
  CHECK_THROWS_AS(read({a + ":epochs=0.5"}), ConfigError);

  CHECK(read({a + ":0", b}).size() == 7);
  CHECK_THROWS_WITH_AS(read({a + ":0", b + ":weight=0"}), doctest::Contains("every weight is 0"),
                       ConfigError);
}

TEST_CASE("a note tells the records of one prompt, and copies without a prompt, from others") {
  const auto notes_of = [](RecordKind kind, const std::string& lines, merit::RecordSetOptions options = {}) {
    return read_lines(kind, lines, std::move(options)).notes;
  };
  const auto pairs = notes_of(RecordKind::preference,
                              "{\"chosen\": \"a\", \"rejected\": \"b\"}\n"
                              "{\"chosen\": \"a\", \"rejected\": \"b\"}\n"
                              "{\"chosen\": \"a\", \"rejected\": \"c\"}\n"
                              "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n"
                              "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"c\"}\n"
                              "{\"prompt\": \"\", \"chosen\": \"a\", \"rejected\": \"b\"}\n");
  REQUIRE(pairs.size() == 6);
  CHECK(pairs[0].prompt.empty());  // shown to a reader: no place in a file
  CHECK(pairs[3].prompt == "p");
  CHECK(pairs[0].split_key == pairs[1].split_key);
  CHECK(pairs[0].split_key != pairs[2].split_key);
  CHECK(pairs[3].split_key == "p");
  CHECK(pairs[4].split_key == "p");
  CHECK(pairs[5].split_key == pairs[0].split_key);  // an empty prompt is none
  const auto ids = notes_of(
      RecordKind::outcome,
      "{\"prompt_ids\": [1, 23], \"completion_ids\": [4], \"label\": 1}\n"
      "{\"prompt_ids\": [], \"completion_ids\": [4], \"label\": 1}\n{\"prompt_ids\": [], \"completion_ids\": [4], \"label\": 0}\n");
  REQUIRE(ids.size() == 3);
  CHECK(ids[0].prompt == "1 23 ");
  CHECK(ids[1].prompt.empty());
  CHECK(ids[1].split_key == ids[2].split_key);
  CHECK(ids[0].split_key != ids[1].split_key);
  const auto vectors = notes_of(RecordKind::outcome,
                                "{\"completion_features\": [1, 2], \"label\": 1}\n"
                                "{\"completion_features\": [1, 2], \"label\": 0}\n",
                                {.wants_features = true});
  REQUIRE(vectors.size() == 2);
  CHECK(vectors[0].prompt.empty());
  CHECK(vectors[0].split_key != vectors[1].split_key);  // each record is its own
}

TEST_CASE("records of each kind become its examples, with counts and notes") {
  const RecordSet pairs =
      read_lines(RecordKind::preference,
                 "{\"prompt\": \"p\", \"chosen\": \"ab\", \"rejected\": \"c\", \"margin\": 2}\n"
                 "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"a\"}\n");
  REQUIRE(examples_of<merit::PreferenceExample>(pairs).size() == 1);
  CHECK(examples_of<merit::PreferenceExample>(pairs)[0].margin == 2);
  CHECK(pairs.counts.records == 2);
  CHECK(pairs.counts.kept == 1);
  CHECK(pairs.counts.dropped_equal == 1);
  REQUIRE(pairs.notes.size() == 1);
  CHECK(pairs.notes[0].prompt == "p");
  CHECK(pairs.notes[0].texts == std::vector<std::string>{"ab", "c"});
  CHECK(pairs.notes[0].source.line == 1);

  const RecordSet judged = read_lines(
      RecordKind::judge,
      "{\"prompt\": \"p\", \"response_a\": \"a\", \"response_b\": \"b\", \"votes\": [\"b\", \"b\", \"a\"]}\n");
  // The winner first.
  CHECK(judged.notes[0].texts == std::vector<std::string>{"b", "a"});
  CHECK(examples_of<merit::PreferenceExample>(judged)[0].chosen.tokens ==
        std::vector<merit::Token>{'p', 'b'});

  const RecordSet ranking = read_lines(
      RecordKind::ranking, "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"ranks\": [1, 0]}\n");
  CHECK(examples_of<merit::RankingExample>(ranking)[0].groups[0].ranks == std::vector<Index>{1, 0});

  const RecordSet ratings = read_lines(
      RecordKind::ratings, "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"scores\": [1.5, 4]}\n");
  CHECK(examples_of<merit::RankingExample>(ratings)[0].groups[0].ratings == std::vector<double>{1.5, 4});

  const RecordSet outcomes =
      read_lines(RecordKind::outcome, "{\"prompt\": \"p\", \"completion\": \"a\", \"label\": true}\n");
  CHECK(examples_of<merit::OutcomeExample>(outcomes)[0].label == 1);

  const RecordSet steps = read_lines(
      RecordKind::steps, "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"labels\": [1, -1]}\n");
  CHECK(examples_of<merit::StepsExample>(steps)[0].labels.size() == 2);
  CHECK(examples_of<merit::StepsExample>(steps)[0].labels[1]->bad == 1);
  CHECK(steps.notes[0].texts == std::vector<std::string>{"a", "b"});

  const RecordSet rollouts =
      read_lines(RecordKind::rollout, "{\"prompt\": \"p\", \"completion\": \"ab\", \"reward\": 3}\n");
  CHECK(examples_of<merit::RolloutExample>(rollouts)[0].returns == std::vector<double>{3, 3});
}

TEST_CASE("outcomes are cut into steps for a model that scores those, and other kinds are refused") {
  const RecordSet steps = read_lines(
      RecordKind::outcome, "{\"prompt\": \"p\", \"completion\": \"a\\nb\", \"label\": 1, \"weight\": 2}\n",
      {.wants_steps = true});
  CHECK(examples_of<merit::OutcomeExample>(steps)[0].sequence.step_ends.size() == 2);
  CHECK(examples_of<merit::OutcomeExample>(steps)[0].weight == 2);
  CHECK(
      error_of<ConfigError>([] {
        read_lines(RecordKind::preference, "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n",
                   {.wants_steps = true});
      }) ==
      "the model scores steps, which records of the kind preference do not have; it is evaluated on those of: "
      "steps, outcome");
}

TEST_CASE("what a set cannot be made of is one sentence") {
  CHECK(contains(error_of<DataError>([] { read_lines(RecordKind::preference, ""); }),
                 "records.jsonl: no record to use. Of 0 records"));
  const std::string line = "{\"prompt\": \"p\", \"completion\": \"a\", \"label\": 1, \"topic\": 7}\n";
  CHECK(
      contains(error_of<DataError>([&] { read_lines(RecordKind::outcome, line, {.subset_field = "level"}); }),
               "no record has the field 'level', which names the subsets to report by"));
  CHECK(read_lines(RecordKind::outcome, line, {.subset_field = "topic"}).notes[0].subset == "7");

  // Each subset counts what was read, also where all of it is dropped; 1 and 1.0 are one.
  std::string lines;
  for (const char* level : {"1", "1.0", "[2]", "\"long\"", "null"}) {
    const std::string text = level == std::string("\"long\"") ? "aaaaaaaaaaaaaaaaaaaa" : "a";
    lines += std::string("{\"prompt\": \"p\", \"completion\": \"") + text +
             "\", \"label\": 1, \"level\": " + level + "}\n";
  }
  merit::RecordSetOptions options{.subset_field = "level"};
  options.tokenize.max_tokens = 10;
  const RecordSet set = read_lines(RecordKind::outcome, lines, options);
  CHECK(set.subsets == std::map<std::string, Index>{{"(none)", 1}, {"1", 2}, {"[2]", 1}, {"long", 1}});
  CHECK(set.notes.size() == 4);
  CHECK(
      contains(error_of<DataError>([&] { read_lines(RecordKind::outcome, line, {.wants_features = true}); }),
               "records.jsonl:1: found text or ids, expected feature vectors"));
  const std::string vectors =
      "{\"completion_features\": [1, 2], \"label\": 1}\n{\"completion_features\": [1], \"label\": 1}\n";
  CHECK(contains(
      error_of<DataError>([&] { read_lines(RecordKind::outcome, vectors, {.wants_features = true}); }),
      "records.jsonl:2: found 1 features, expected 2 as in the records before"));
  const std::string rated =
      "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"scores\": [[1, 2], [3, 4]]}\n";
  CHECK(contains(error_of<DataError>([&] { read_lines(RecordKind::ratings, rated, {.attributes = 3}); }),
                 "field 'scores': found ratings of 2 attributes, expected 3"));

  const merit_test::TemporaryDirectory folder;
  const std::string pipe = (folder / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of<DataError>([&] { merit::require_no_pipe({pipe}); }) ==
        pipe + ": found a pipe, expected a file, as its records are read more than once");

  const RecordSet tied = read_lines(
      RecordKind::ranking, "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"ranks\": [0, 0]}\n");
  CHECK(contains(error_of<DataError>([&] { merit::require_preferences(tied, "to evaluate on"); }),
                 "found 1 record that ties all completions, expected at least one in which one is better, to "
                 "evaluate on"));
}

TEST_CASE("what the first records of files say") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "f.jsonl").string();
  merit_test::put(file,
                  "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"scores\": [[1, 2], [3, 4]]}\n");
  CHECK(merit::attributes_in(file) == 2);
  merit_test::put(file, "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"labels\": [1, -1]}\n");
  CHECK(merit::step_scale_in({file}) == merit::StepScale::ternary);
  merit_test::put(file, "{\"completion_features\": [1, 2, 3], \"label\": 1}\n");
  CHECK(merit::feature_width_in(file, RecordKind::outcome) == 3);
}

TEST_CASE("margins by name, and taken away") {
  CHECK_FALSE(merit::ranking_margin("none", RecordKind::ranking));
  CHECK(merit::ranking_margin("rating:0.5", RecordKind::ratings)(4, 2, 1) == doctest::Approx(1));
  CHECK(merit::ranking_margin("strength:llama2_small", RecordKind::ranking)(0, 0, 3) == 1);
  CHECK(contains(error_of<ConfigError>([] { merit::ranking_margin("rating:1", RecordKind::ranking); }),
                 "records of the kind ranking have no ratings"));
  CHECK(contains(
      error_of<ConfigError>([] { merit::ranking_margin("rating:x", RecordKind::ratings); }),
      "--margin is \"rating:x\", expected for records of the kind ratings one of: none, rating:SCALE"));
  RecordSet set = read_lines(RecordKind::preference,
                             "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\", \"margin\": 2}\n");
  merit::remove_margins(set);
  CHECK(examples_of<merit::PreferenceExample>(set)[0].margin == 0);
}

}  // namespace record_set_test
