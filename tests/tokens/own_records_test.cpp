// Records that a program makes, and reads from no file.
#include <doctest/doctest.h>

#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "stored.hpp"

namespace own_records_test {

using merit::DataCounts;
using merit::Index;
using merit::PreferenceExample;
using merit::PreferenceRecord;

const merit::ByteTokenizer bytes;

TEST_CASE(
    "records made in a program become one example each, or an error that names the first that does not") {
  std::vector<PreferenceRecord> mine = {{.prompt = "2+2?", .chosen = "4", .rejected = "5"},
                                        {.prompt = "1+1?", .chosen = "2", .rejected = "3"}};
  const std::vector<PreferenceExample> pairs = merit::tokenize(mine, bytes);
  REQUIRE(pairs.size() == 2);
  for (Index i = 0; i < 2; ++i) {
    DataCounts counts;
    const auto alone = merit::tokenize(mine[i], bytes, {}, counts).value();
    CHECK(pairs[i].chosen.tokens == alone.chosen.tokens);
    CHECK(pairs[i].rejected.tokens == alone.rejected.tokens);
    CHECK(pairs[i].chosen.completion_begin == 4);
  }
  mine[1].rejected = "2";
  CHECK_THROWS_WITH_AS(
      merit::tokenize(mine, bytes),
      doctest::Contains(
          "record:2: gives no example: Of 1 record, 0 were kept, 1 dropped as both sides were equal"),
      merit::DataError);
  mine[1].source = {"here.jsonl", 7};
  CHECK_THROWS_WITH_AS(merit::tokenize(mine, bytes), doctest::Contains("here.jsonl:7: gives no example"),
                       merit::DataError);
}

}  // namespace own_records_test
