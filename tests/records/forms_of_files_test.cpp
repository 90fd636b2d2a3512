// The forms in which a file of records may come: an array, objects over several lines, gzip; and one sentence for
// each form that cannot be read.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "merit/records/jsonl.hpp"
#include "stored.hpp"

namespace forms_of_files_test {

using merit::Index;

struct Read {
  std::vector<std::string> prompts;
  std::vector<Index> lines;
  std::vector<std::string> errors;
};

Read read(const std::string& text, merit::JsonLinesOptions options = {}) {
  std::istringstream in(text);
  merit::JsonLinesReader reader(in, "in", options);
  Read result;
  for (int tries = 0; tries < 100; ++tries) {
    try {
      const auto object = reader.next();
      if (!object) return result;
      result.prompts.push_back(object->value("p", std::string("?")));
      result.lines.push_back(reader.position().line);
    } catch (const merit::DataError& error) {
      result.errors.emplace_back(error.what());
    }
  }
  FAIL("the reader never ends");
  return result;
}

using Prompts = std::vector<std::string>;
using Lines = std::vector<Index>;

TEST_CASE("a JSON array gives its elements one at a time, with the lines at which they begin") {
  for (const char* text : {R"([{"p": "a"}, {"p": "b"}])", " \n[{\"p\":\"a\"},{\"p\":\"b\"}]\n",
                           "\xEF\xBB\xBF[{\"p\":\"a\"},\r\n{\"p\":\"b\"}\r\n]\r\n"}) {
    CAPTURE(text);
    const Read found = read(text);
    CHECK(found.prompts == Prompts{"a", "b"});
    CHECK(found.errors.empty());
  }
  const Read found =
      read("\n[\n  {\n    \"p\": \"a\",\n    \"x\": [\"]\", \"}\\\"\"]\n  },\n  {\"p\": \"b\"}\n]\n");
  CHECK(found.prompts == Prompts{"a", "b"});
  CHECK(found.lines == Lines{3, 7});
  CHECK(read("[]").prompts.empty());
  CHECK(read("[]").errors.empty());
}

TEST_CASE("after a bad element the next is read") {
  const Read found = read("[{\"p\": \"a\"},\n{\"p\": x},\n7,\n\"s\",\n[1, {\"p\": 2}],\n{\"p\": \"b\"}]");
  CHECK(found.prompts == Prompts{"a", "b"});
  REQUIRE(found.errors.size() == 4);
  CHECK(found.errors[0].starts_with("in:2:"));
  CHECK(found.errors[1] == "in:3: record: found 7, expected one JSON object");
  CHECK(found.errors[2] == "in:4: record: found \"s\", expected one JSON object");
  CHECK(found.errors[3] == "in:5: record: found an array of 2, expected one JSON object");
}

TEST_CASE("an array that is cut off or goes on says so, and what came before is read") {
  for (const auto& one : std::vector<std::pair<const char*, const char*>>{
           {"[{\"p\": \"a\"},\n{\"p\": \"b",
            "in:2: the JSON array: found the end of the file within an element"},
           {"[{\"p\": \"a\"}", "in:1: the JSON array: found the end of the file, expected a ] that ends it"},
           {"[{\"p\": \"a\"}\n{\"p\": \"b\"}]", "in:2: the JSON array: found no comma between two elements"},
           {"[{\"p\": \"a\"},\n]",
            "in:2: the JSON array: found a comma behind the last element, expected none, as JSON has it"},
           {"[{\"p\": \"a\"}]\n{}", "in:2: the JSON array: found more behind its end"}}) {
    CAPTURE(one.first);
    const Read found = read(one.first);
    CHECK(found.prompts == Prompts{"a"});
    REQUIRE(found.errors.size() == 1);
    CHECK(found.errors[0].starts_with(one.second));
  }
}

TEST_CASE("an element holds no more memory than a line may") {
  const std::string text = "[{\"p\": \"" + std::string(1000, 'x') + "\"}, {\"p\": \"b\"}]";
  const Read found = read(text, {.max_line_bytes = 100});
  CHECK(found.prompts == Prompts{"b"});
  REQUIRE(found.errors.size() == 1);
  CHECK(found.errors[0] == "in:1: record 1: found an element of more than 100 bytes, expected a shorter one");
}

TEST_CASE("a line or element without an end is passed over for a while, and then nothing follows") {
  const auto tries = [](const std::string& text) {
    std::istringstream in(text);
    merit::JsonLinesReader reader(in, "in", {.max_line_bytes = 100, .most_skipped = 300});
    std::vector<std::string> errors;
    for (int i = 0; i < 3; ++i) {
      try {
        if (!reader.next()) errors.emplace_back("the end");
      } catch (const merit::DataError& error) {
        errors.emplace_back("one record");
      } catch (const merit::IoError& error) {
        errors.emplace_back(error.what());
        return errors;
      }
    }
    return errors;
  };
  const std::string zeros(1000, '\0');
  const std::string endless = "in:1: record: found no end within 400 bytes, expected a file of records";
  CHECK(tries(zeros) == Prompts{"one record", endless});
  CHECK(tries("[" + zeros) ==
        Prompts{"in:1: record 1: found no end within 400 bytes, expected a file of records"});
  CHECK(tries(zeros.substr(0, 350) + "\n{}") == Prompts{"one record", "the end"});
}

TEST_CASE("an error in an array names the record, of which a line may hold many") {
  std::istringstream in(
      "[{\"prompt\":\"p\",\"completion\":\"a\",\"label\":1},{\"prompt\":\"p\",\"completion\":\"b\"}, 3,\n4]");
  merit::RecordReader<merit::OutcomeRecord> reader(in, "in.json");
  CHECK(reader.next()->completion == merit::TextOrMessages("a"));
  CHECK_THROWS_WITH_AS(reader.next(),
                       doctest::Contains("in.json:1: record 2: field 'label': found no such field"),
                       merit::DataError);
  CHECK_THROWS_WITH_AS(reader.next(), "in.json:1: record 3: found 3, expected one JSON object",
                       merit::DataError);
  CHECK_THROWS_WITH_AS(reader.next(), "in.json:2: record: found 4, expected one JSON object",
                       merit::DataError);
}

TEST_CASE("objects may go on over the lines behind a { of its own") {
  const Read found = read("{\n  \"p\": \"a\"\n}\n\n{\"p\": \"b\"}\n{\n\"p\":\n\"c}\"}\n");
  CHECK(found.prompts == Prompts{"a", "b", "c}"});
  CHECK(found.lines == Lines{1, 5, 6});
  const Read open = read("{\n\"p\": \"a\"\n");
  REQUIRE(open.errors.size() == 1);
  CHECK(open.errors[0] == "in:1: record: found an object that does not end, expected a } that ends it");
}

TEST_CASE("other formats are named, with what to do") {
  for (const auto& one : std::vector<std::pair<std::string, const char*>>{
           {std::string("PAR1\x15\x04", 6),
            "in: found a Parquet file, expected JSON lines, a JSON array or a table; "
            "convert it with: python3 -c"},
           {"ARROW1", "in: found an Arrow file"},
           {"PK\x03\x04zip", "in: found a zip archive"},
           {"\x28\xB5\x2F\xFDzst", "in: found a zstd archive"},
           {"BZh91AY", "in: found a bzip2 archive"},
           {std::string("\xFF\xFE{\0", 4), "in: found text in UTF-16"},
           {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "in: found a pointer of Git LFS"},
           {"<!DOCTYPE html>\n", "in: found a web page"}}) {
    CAPTURE(one.second);
    std::istringstream in(one.first);
    merit::JsonLinesReader reader(in, "in");
    std::string error;
    try {
      reader.next();
    } catch (const merit::IoError& found) {  // which nobody skips: no line of it is a record
      error = found.what();
    }
    CHECK(error.starts_with(one.second));
  }
}

#if defined(MERIT_USE_ZLIB)
/// "{"p": "a"}" and a line feed, packed by gzip -n.
const std::string packed(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x2a\x50\xb2\x52\x50\x4a\x54\xaa"
    "\xe5\x02\x00\x4b\x7e\x75\xc4\x0b\x00\x00\x00",
    31);

TEST_CASE("gzip is read as it comes, in any number of members") {
  CHECK(read(packed).prompts == Prompts{"a"});
  CHECK(read(packed + packed + packed).lines == Lines{1, 2, 3});
}

TEST_CASE("gzip that is cut off or damaged says so") {
  for (const Index size : {Index{5}, Index{20}, packed.size() - 1}) {
    const Read found = read(packed.substr(0, size));
    REQUIRE(!found.errors.empty());
    CHECK(found.errors[0].starts_with("in: ends in the middle of its gzip data"));
  }
  std::string damaged = packed;
  damaged[14] = '\x7f';
  const Read found = read(damaged);
  REQUIRE(!found.errors.empty());
  CHECK(found.errors[0].starts_with("in: found damaged gzip data"));
}
#endif

}  // namespace forms_of_files_test
