// Shards of records: each record in one, and the texts that name none.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "merit/records/shard.hpp"

namespace shard_test {

using merit::Index;
using merit::Shard;

TEST_CASE("a record belongs to one shard, and the shards have all of them in order") {
  for (Index count = 1; count <= 7; ++count) {
    for (const Index records : {Index{0}, Index{1}, Index{6}, Index{7}, Index{8}, Index{100}}) {
      std::vector<Index> owners(records, 0);
      Index all = 0;
      for (Index number = 1; number <= count; ++number) {
        const Shard shard{number, count};
        Index own = 0;
        for (Index record = 0; record < records; ++record) {
          if (!shard.has(record)) continue;
          ++owners[record];
          CHECK(shard.record(own++) == record);
        }
        CHECK(shard.count_of(records) == own);
        all += own;
      }
      CHECK(owners == std::vector<Index>(records, 1));
      CHECK(all == records);
    }
  }
}

TEST_CASE("the first of three has the records 0, 3, 6") {
  const Shard shard = Shard::from("1/3", "--shard");
  CHECK(shard.number == 1);
  CHECK(shard.count == 3);
  CHECK(shard.text() == "1/3");
  CHECK(shard.record(2) == 6);
  CHECK((shard.has(0) && !shard.has(1) && !shard.has(2) && shard.has(3)));
  CHECK(Shard::from("18446744073709551615/18446744073709551615", "").has(18446744073709551614u));
}

TEST_CASE("what names no shard is refused by one sentence") {
  for (const std::string text : {"0/5", "6/5", "a/b", "", "/", "1", "1/", "/3", "1/3/", " 1/3", "1/3 ",
                                 "-1/3", "1/-3", "0/0", "1.0/3", "+1/3", "1/18446744073709551616"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(
        Shard::from(text, "--shard"),
        ("--shard is \"" + text + "\", expected I/N with I from 1 to N, such as 2/8").c_str(),
        merit::ConfigError);
  }
}

}  // namespace shard_test
