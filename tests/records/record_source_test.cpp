// Files of records under other names, in part, in tables, with weights; and what is said of fields that are not read.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "merit/records/jsonl.hpp"
#include "merit/records/record_source.hpp"
#include "merit/records/unread_fields.hpp"

namespace record_source_test {

using merit::Index;
using merit::OrderedJson;
using merit::RecordKind;
using merit::RecordSource;
using merit::RecordSourceOptions;

std::vector<std::string> read(RecordSource& source) {
  std::vector<std::string> records;
  while (const auto record = source.next()) records.push_back(record->dump());
  return records;
}

std::vector<std::string> read_lines(const std::string& lines, RecordSourceOptions options = {}) {
  std::istringstream in(lines);
  RecordSource source(in, "in.jsonl", std::move(options));
  return read(source);
}

/// A file of that name with these bytes, gone at the end.
struct File {
  File(const char* name, const std::string& bytes)
      : path(std::filesystem::temp_directory_path() / (std::string("merit_record_source_") + name)) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  ~File() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

std::vector<std::string> read_file(const File& file, RecordSourceOptions options = {}) {
  RecordSource source(file.path.string(), std::move(options));
  return read(source);
}

std::string error_of_file(const File& file) {
  try {
    read_file(file);
  } catch (const merit::Error& error) {
    return std::string(error.what()).substr(file.path.string().size());
  }
  return "no error";
}

using Records = std::vector<std::string>;

TEST_CASE("fields are read under the names given, in any kind, and what had the new name goes") {
  const RecordSourceOptions options{.rename = {{"question", "prompt"}, {"gold", "label"}}};
  CHECK(
      read_lines("{\"question\":\"Q\",\"completion\":\"a\",\"gold\":true}\n{\"prompt\":\"P\"}\n", options) ==
      Records{R"({"completion":"a","prompt":"Q","label":true})", R"({"prompt":"P"})"});
  CHECK(read_lines(R"({"question":"Q","prompt":"old"})", options) == Records{R"({"prompt":"Q"})"});
  std::istringstream in("{\"question\":1}\n{}\n{\"question\":2}\n");
  RecordSource source(in, "in", options);
  read(source);
  CHECK(source.renamed() == std::vector<Index>{2, 0});
  CHECK(merit::name_pair("a=b", "--rename") == merit::NamePair{"a", "b"});
  CHECK(merit::name_pair("a=", "--select") == merit::NamePair{"a", ""});
  for (const char* bad : {"a", "=b", "a=", ""}) {
    CHECK_THROWS_WITH_AS(merit::name_pair(bad, "--rename"),
                         doctest::Contains("expected a field, = and its new name, such as question=prompt"),
                         merit::ConfigError);
  }
}

TEST_CASE("renames are of the fields as they were, and what they replace is counted") {
  const RecordSourceOptions swap{.rename = {{"chosen", "rejected"}, {"rejected", "chosen"}}};
  CHECK(read_lines(R"({"chosen":"a","rejected":"b"})", swap) == Records{R"({"rejected":"a","chosen":"b"})"});
  std::istringstream in(
      "{\"question\":\"Q\",\"prompt\":\"old\"}\n{\"question\":\"Q\"}\n{\"question\":\"Q\",\"prompt\":null}\n"
      "{\"question\":null,\"prompt\":\"kept\"}\n");
  RecordSource source(in, "in", {.rename = {{"question", "prompt"}}});
  CHECK(read(source) == Records{R"({"prompt":"Q"})", R"({"prompt":"Q"})", R"({"prompt":"Q"})",
                                R"({"question":null,"prompt":"kept"})"});
  CHECK(source.remarks() == Records{"--rename question=prompt replaced the field prompt in 1 record"});
  std::istringstream both("{\"chosen\":\"a\",\"rejected\":\"b\"}\n");
  RecordSource swapped(both, "in", swap);
  read(swapped);
  CHECK(swapped.remarks().empty());
}

TEST_CASE("no record says what became of the rows") {
  std::istringstream in("{\"instruction\":\"Q\",\"completions\":[],\"s\":1}\n{\"s\":2}\n");
  RecordSource source(in, "in", {.select = {{"s", "1"}}});
  CHECK(!source.next());
  CHECK(source.no_record() ==
        "in: there is no record that is selected: 1 row left out: no completions; --select left out 1");
}

TEST_CASE("rows are selected by the values of fields, of objects in them too, and limited by number") {
  const std::string lines =
      "{\"s\":\"x\",\"n\":1,\"o\":{\"k\":true}}\n{\"s\":\"y\",\"n\":1.0}\n{\"s\":\"x\",\"n\":2}\n{\"n\":null}\n";
  const auto count = [&](std::vector<merit::NamePair> select) {
    return read_lines(lines, {.select = std::move(select)}).size();
  };
  CHECK(count({{"s", "x"}}) == 2);
  CHECK(count({{"s", "x"}, {"s", "y"}}) == 3);  // either
  CHECK(count({{"s", "x"}, {"n", "1"}}) == 1);  // both
  CHECK(count({{"n", "1"}}) == 2);
  CHECK(count({{"n", "null"}}) == 1);
  CHECK(count({{"o.k", "true"}}) == 1);
  CHECK(count({{"none", "x"}}) == 0);
  CHECK(read_lines(lines, {.limit = 2}).size() == 2);
  CHECK(read_lines(lines, {.select = {{"s", "x"}}, .limit = 2}).back().find("\"n\":2") != std::string::npos);
  CHECK(read_lines(lines, {.limit = 100}).size() == 4);
}

TEST_CASE("a file may have a weight, which multiplies those of its records") {
  const File file("weights.jsonl", "{\"prompt\":\"P\"}\n{\"prompt\":\"Q\",\"weight\":2}\n");
  RecordSource source(file.path.string() + ":0.25");
  CHECK(read(source) == Records{R"({"prompt":"P","weight":0.25})", R"({"prompt":"Q","weight":0.5})"});
  CHECK(source.position().file == file.path.string());
  CHECK(merit::weighted_file("none.jsonl:3").weight == 3);
  CHECK(merit::weighted_file("C:none").path == "C:none");
  CHECK_THROWS_WITH_AS(merit::weighted_file("none:-1"), doctest::Contains("the weight -1"),
                       merit::ConfigError);
  CHECK_THROWS_WITH_AS(merit::weighted_file(""), "found an empty path, expected a file of records",
                       merit::ConfigError);
  CHECK_THROWS_WITH_AS(merit::weighted_file("none:1e300"),
                       "none:1e300: found the weight 1e+300, expected a number of 0 to 1e15",
                       merit::ConfigError);
  const File heavy("heavy.jsonl", "{\"weight\":1e10}\n");
  RecordSource product(heavy.path.string() + ":1e10");
  CHECK_THROWS_WITH_AS(
      product.next(),
      doctest::Contains(":1: field 'weight': found 1e+10, times 1e+10, the weight of the file, "
                        "expected a product of at most 1e15"),
      merit::DataError);
  for (const char* text : {"none:0.5,epochs=2", "none:weight=0.5,epochs=2", "none:epochs=2,weight=0.5"}) {
    const merit::WeightedFile both = merit::weighted_file(text);
    CHECK((both.path == "none" && both.weight == 0.5 && both.epochs == 2));
  }
  CHECK((merit::weighted_file("a:b:epochs=.25").path == "a:b" &&
         merit::weighted_file("a:epochs=.25").epochs == 0.25));
  for (const char* text : {"none:other=2", "none:x,epochs=2", "none:", "none:1.5x"})
    CHECK(merit::weighted_file(text).path == text);
  for (const auto& one :
       {std::pair("none:epochs=", "\"epochs=\""), std::pair("none:weight=x", "\"weight=x\""),
        std::pair("none:epochs=1,epochs=2", "\"epochs=2\""), std::pair("none:0.5,weight=1", "\"weight=1\""),
        std::pair("none:0.5,share=1", "\"share=1\""), std::pair("none:0.5,", "\"\""),
        std::pair("none:epochs=0", "the epochs 0,"), std::pair("none:epochs=nan", "the epochs nan,"),
        std::pair("none:epochs=2e6", "the epochs 2e+06,")}) {
    INFO(one.first);
    CHECK_THROWS_WITH_AS(merit::weighted_file(one.first), doctest::Contains(one.second), merit::ConfigError);
  }
  const std::string misspelled = file.path.string() + ":wieght=1";  // of a file that is there
  CHECK_THROWS_WITH_AS(merit::weighted_file(misspelled),
                       doctest::Contains("found \"wieght=1\", expected behind"), merit::ConfigError);
  const std::string often = file.path.string() + ":epochs=2";
  CHECK_THROWS_WITH_AS(RecordSource{often}, doctest::Contains("epochs=2 of a file that is not trained on"),
                       merit::ConfigError);
  RecordSource trained(often, {.trains = true});
  CHECK(read(trained) == Records{R"({"prompt":"P"})", R"({"prompt":"Q","weight":2})"});
  const File named("odd:2", "{}\n");
  CHECK(merit::weighted_file(named.path.string()).weight == 1);  // the file's own name
}

TEST_CASE("a table with a header gives records, with quotes, line ends and types as fields need them") {
  const File file("a.csv",
                  "\xEF\xBB\xBFprompt,chosen,rejected,margin,note\r\n"
                  "42,\"a, \"\"b\"\"\",c,1.5,\r\n"
                  "\"two\nlines\",true,[1],,x\r\n"
                  "\r\n"
                  "last,\"[{\"\"role\"\": \"\"assistant\"\", \"\"content\"\": \"\"A\"\"}]\",d,2,\"\"\n");
  CHECK(read_file(file) ==
        Records{R"({"prompt":"42","chosen":"a, \"b\"","rejected":"c","margin":1.5,"note":""})",
                R"({"prompt":"two\nlines","chosen":"true","rejected":"[1]","note":"x"})",
                R"({"prompt":"last","chosen":[{"role":"assistant","content":"A"}],)"
                R"("rejected":"d","margin":2,"note":""})"});
  RecordSource source(file.path.string());
  std::vector<Index> lines;
  while (source.next()) lines.push_back(source.position().line);
  CHECK(lines == std::vector<Index>{2, 3, 6});
  const File tabs("b.tsv", "prompt\tcompletion\tgold\nP\ta,b\tTrue\nP\tc\t0\n");
  CHECK(read_file(tabs, {.rename = {{"gold", "label"}}}) ==
        Records{R"({"prompt":"P","completion":"a,b","label":true})",
                R"({"prompt":"P","completion":"c","label":0})"});
  const File steps("c.csv", "prompt,completions,labels\nQ,\"[\"\"a\"\", \"\"b\"\"]\",\"[1, 0]\"\n");
  CHECK(read_file(steps) == Records{R"({"prompt":"Q","completions":["a","b"],"labels":[1,0]})"});
}

TEST_CASE("an empty cell is an empty text, and no number") {
  const File file("empty.csv", "prompt,question,chosen,rejected,margin,scores,messages\n,Q,a,,,,\n");
  CHECK(read_file(file) == Records{R"({"prompt":"","question":"Q","chosen":"a","rejected":""})"});
  const File outcomes("empty2.csv", "prompt,answer,gold\nP,,1\n");
  CHECK(read_file(outcomes, {.rename = {{"answer", "completion"}, {"gold", "label"}}}) ==
        Records{R"({"prompt":"P","completion":"","label":1})"});
}

TEST_CASE("lists as Python writes them, and conversations that are no JSON, are refused") {
  CHECK(error_of_file(File("p.csv", "chosen,rejected\n\"[{'role': 'user', 'content': 'x'}]\",b\n")) ==
        ":2: field 'chosen': found a Python list, expected JSON, as json.dumps writes it");
  CHECK(error_of_file(File("q.csv", "prompt,completions,ranks\nx,\"['a', 'b']\",\"[0, 1]\"\n")) ==
        ":2: field 'completions': found a Python list, expected JSON, as json.dumps writes it");
  CHECK(error_of_file(File("r.csv", "chosen,rejected\n\"[{\"\"role\"\": \"\"user\"\", \"\"con\",b\n"))
            .starts_with(":2: field 'chosen': not valid JSON"));
  CHECK(read_file(File("s.csv", "chosen,rejected\n[{x,['a']\n")) ==
        Records{R"({"chosen":"[{x","rejected":"['a']"})"});  // text
}

TEST_CASE("a table that is not one says where and why") {
  CHECK(error_of_file(File("d.csv", "a,b\n1,2\n1\n")) ==
        ":3: row: found 1 cell, expected 2 as in the header");
  CHECK(error_of_file(File("e.csv", "a,a\n1,2\n")) ==
        ":1: the header: found the column \"a\" twice, expected a name for each column");
  CHECK(error_of_file(File("f.csv", "a,b\n1,\"2\n")) ==
        ":2: row: found a quote that does not end, expected one that does");
  CHECK(error_of_file(File("g.csv", "a,b\n1,\xFF\n")) ==
        ":2: column \"b\": found bytes that are not UTF-8, expected text in UTF-8");
  CHECK(read_file(File("h.csv", "a,b\n")).empty());
  CHECK(read_file(File("i.csv", "")).empty());
}

TEST_CASE("a header belongs to its file: where it is refused no row is read, whatever is tried") {
  for (const char* text : {"a,a,b\n1,2,3\n4,5,6\n", "a,\xFF\n1,2\n3,4\n"}) {
    CAPTURE(text);
    const File file("h.csv", text);
    RecordSource source(file.path.string());
    CHECK_THROWS_AS(source.next(), merit::IoError);  // which nobody skips
  }
  const File quoted("q.csv", "a,\"b\n1,2\n");
  RecordSource source(quoted.path.string());
  CHECK_THROWS_AS(source.next(), merit::IoError);
  CHECK(read_file(File("i.csv", ",,a\n1,2,3\n")) == Records{R"({"a":"3"})"});  // indices have no name
}

TEST_CASE("an option that no row answers to is refused by name, once the end is reached") {
  const auto used = [](const std::string& lines, const RecordSourceOptions& options) -> std::string {
    std::istringstream in(lines);
    RecordSource source(in, "in", options);
    while (source.next()) {
    }
    try {
      source.require_options_used();
    } catch (const merit::Error& error) {
      return error.what();
    }
    return "";
  };
  const std::string lines = "{\"completion\":\"a\"}\n{\"completion\":\"b\"}\n";
  CHECK(used(lines, {.rename = {{"nosuch", "prompt"}}}) ==
        "--rename nosuch=prompt: no record of in has the field \"nosuch\"");
  CHECK(used(lines, {.select = {{"nosuch", "1"}}}) ==
        "in: there is no record that is selected: --select left out 2");
  CHECK(used(lines, {.rename = {{"completion", "x"}}, .select = {{"x", "a"}}}).empty());
  CHECK(used("", {.rename = {{"nosuch", "prompt"}}, .select = {{"nosuch", "1"}}}).empty());
}

TEST_CASE("a layout is not known by a row that was refused") {
  const std::string webgpt =
      R"("question":{"full_text":"q"},"answer_0":"a","answer_1":"b","score_0":1,"score_1":0)";
  const std::string shp = R"("history":"h","human_ref_A":"a","human_ref_B":"b","labels":1)";
  std::istringstream in(merit::concat('{', webgpt, ',', shp, "}\n{", webgpt, "}\n"));
  RecordSource source(in, "in");
  CHECK_THROWS_AS(source.next(), merit::DataError);
  CHECK(source.next()->value("chosen", "") == "a");
}

TEST_CASE("numbers too large to compute with are refused, and whole ones may be written as 1.0") {
  const auto error = [](const std::string& line, auto record) -> std::string {
    std::istringstream in(line);
    merit::RecordReader<decltype(record)> reader(in, "in");
    try {
      reader.next();
    } catch (const merit::DataError& found) {
      return found.what();
    }
    return "no error";
  };
  const std::string two = R"({"prompt":"p","completions":["a","b"],)";
  CHECK(error(two + R"("scores":[1e160,2]})", merit::RatingsRecord{}) ==
        "in:1: field 'scores[0]': found 1e+160, expected a number of at most 1e15 in size");
  CHECK(error(two + R"("scores":[[1,-1e16],[2,3]]})", merit::RatingsRecord{}) ==
        "in:1: field 'scores[0][1]': found -1e+16, expected a number of at most 1e15 in size");
  CHECK(error(R"({"prompt":"p","chosen":"a","rejected":"b","margin":1e99})", merit::PreferenceRecord{}) ==
        "in:1: field 'margin': found 1e+99, expected a number of at most 1e15 in size");
  CHECK(error(two + R"("scores":[1e15,2]})", merit::RatingsRecord{}) == "no error");
  CHECK(error(two + R"("ranks":[1.0,0.0]})", merit::RankingRecord{}) == "no error");
  CHECK(error(two + R"("ranks":[1.5,0]})", merit::RankingRecord{})
            .starts_with("in:1: field 'ranks[0]': found 1.5"));
  CHECK(error(two + R"("ranks":[-1.0,0]})", merit::RankingRecord{})
            .starts_with("in:1: field 'ranks[0]': found -1"));
  CHECK(error(R"({"prompt_ids":[1.0],"chosen_ids":[2.0],"rejected_ids":[3]})", merit::PreferenceRecord{}) ==
        "no error");
  CHECK(merit::require<std::size_t>({{"n", 3.0}}, "n", "in") == 3);
  CHECK(merit::require<int>({{"n", -3.0}}, "n", "in") == -3);
  CHECK_THROWS_AS(merit::require<std::size_t>({{"n", -3.0}}, "n", "in"), merit::DataError);
  CHECK_THROWS_AS(merit::require<int>({{"n", 3.5}}, "n", "in"), merit::DataError);
}

TEST_CASE("a name in each record takes no memory: the first thousand are told apart") {
  merit::UnreadFields unread;
  const auto add = [&](Index number) {
    unread.add(
        OrderedJson{{"prompt", "p"}, {"chosen", "a"}, {"rejected", "b"}, {"id" + std::to_string(number), 1}},
        RecordKind::preference);
  };
  for (Index i = 0; i < 999; ++i) add(i);
  CHECK(unread.sentences()[0].ends_with(" and 979 more"));
  for (Index i = 0; i < 5000; ++i) add(i);
  CHECK(unread.fields().size() == merit::UnreadFields::most_fields);
  CHECK(unread.fields().at("id998") == 2);
  CHECK(unread.sentences()[0].ends_with(" and at least 980 more"));
}

TEST_CASE("fields that are not read are counted, and records without a prompt") {
  merit::UnreadFields unread;
  const auto add = [&](const char* text, RecordKind kind = RecordKind::preference) {
    unread.add(merit::parse_ordered_json(text, "in"), kind, "subset");
  };
  add(R"({"question":"Q","chosen":"a","rejected":"b","margins":2,"id":null})");
  add(R"({"question":"Q","chosen":"a","rejected":"b","subset":"s"})");
  add(R"({"prompt":"Q","chosen":"a","rejected":"b","margin":1,"soft_label":1,"weight":1})");
  add(R"({"chosen":[{"role":"user","content":"x"}],"rejected":[]})");  // its beginning is the prompt
  add(R"({"chosen_ids":[1],"rejected_ids":[2]})");
  CHECK(unread.records() == 5);
  CHECK(unread.without_prompt() == 2);
  CHECK(unread.fields() == std::map<std::string, Index>{{"margins", 1}, {"question", 2}});
  const std::vector<std::string> said = unread.sentences();
  REQUIRE(said.size() == 2);
  CHECK(said[0] ==
        "2 of 5 records have no prompt; --rename question=prompt reads 'question' as it, which 2 have");
  CHECK(said[1] == "fields that are not read: \"margins\" (in 1), \"question\" (in 2)");
  CHECK(merit::UnreadFields().sentences().empty());

  merit::UnreadFields scored;
  for (const char* text :
       {R"({"completion":"whole"})", R"({"messages":[]})", R"({"prompt":"p","completions":["a"]})",
        R"({"prompt":"p","completions":["a"],"labels":[1]})", R"({"question":"q","completion":"a"})"}) {
    scored.add_to_score(merit::parse_ordered_json(text, "in"));
  }
  CHECK(scored.records() == 5);
  CHECK(scored.without_prompt() == 2);  // a conversation has none apart
  CHECK(scored.sentences().at(0) ==
        "2 of 5 records have no prompt; --rename question=prompt reads 'question' as it, which 1 has");
  CHECK(scored.fields() == std::map<std::string, Index>{{"question", 1}});
  merit::UnreadFields whole;
  whole.add_to_score(merit::parse_ordered_json(R"({"completion":"whole"})", "in"));
  CHECK(whole.sentences().empty());  // as it may well be
}

}  // namespace record_source_test
