// Ratings whose sum is no number do not become ties.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"

namespace ratings_sum_test {

/// What is said of two completions with two ratings each.
std::string refusal(std::vector<double> scores) {
  merit::RatingsRecord record;
  record.prompt = "Q";
  record.completions = {"a", "b"};
  record.scores = std::move(scores);
  record.attributes = 2;
  merit::DataCounts counts;
  try {
    merit::tokenize(record, merit::ByteTokenizer(), {}, counts);
  } catch (const merit::DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("ratings whose sum overflows are refused, and are no ties") {
  CHECK(refusal({1, 1, 1e308, 1e308})
            .ends_with("field 'scores': the ratings of completion 1 sum to inf, expected a finite number"));
  CHECK(refusal({-1e308, -1e308, 1e308, 1e308}).find("completion 0 sum to -inf") != std::string::npos);
  CHECK(refusal({8e307, 8e307, -8e307, -8e307}) == "accepted");
}

}  // namespace ratings_sum_test
