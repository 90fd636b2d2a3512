// What counts as a verdict, and what never does.
#include "merit/judge/verdict.hpp"

#include <doctest/doctest.h>

#include <string_view>

namespace verdict_test {

using merit::JudgeVote;
using merit::parse_rating;
using merit::parse_vote;
using merit::VerdictFault;

VerdictFault vote_fault(std::string_view text) {
  const auto parsed = parse_vote(text);
  CHECK(parsed.verdict.has_value() == (parsed.fault == VerdictFault::none));
  return parsed.fault;
}
VerdictFault rating_fault(std::string_view text) {
  const auto parsed = parse_rating(text);
  CHECK(parsed.verdict.has_value() == (parsed.fault == VerdictFault::none));
  return parsed.fault;
}

TEST_CASE("a verdict is a letter in two brackets") {
  CHECK(parse_vote("The first is right. [[A]]").verdict == JudgeVote::a);
  CHECK(parse_vote("[[B]]\n").verdict == JudgeVote::b);
  CHECK(parse_vote("Both are fine: [[C]], a tie.").verdict == JudgeVote::tie);
  CHECK(parse_vote("[[[A]]]").verdict == JudgeVote::a);
  for (const char* text : {"", "A", "[A]", "[[A]", "[A]]", "[[a]]", "[[ A ]]", "[[A or B]]", "[[D]]", "[[]]",
                           "[[", "[[5]]", "Assistant A is better.", "[[A]\n]", "[[tie]]"})
    CHECK(vote_fault(text) == VerdictFault::absent);
}

TEST_CASE("the same verdict twice is one, two different ones are none") {
  const auto parsed = parse_vote("I say [[A]]. Final: [[A]]");
  CHECK(parsed.verdict == JudgeVote::a);
  CHECK(parsed.at == 20);  // the last one counts
  CHECK(vote_fault("[[A]] or rather [[B]]") == VerdictFault::contradictory);
  CHECK(vote_fault("[[B]] [[C]] [[B]]") == VerdictFault::contradictory);
  CHECK(vote_fault("[[A]][[B]]") == VerdictFault::contradictory);
  CHECK(parse_vote("[[x]] [[link [[A]] ]]").verdict == JudgeVote::a);  // what is no verdict contradicts none
}

TEST_CASE("a rating is a whole number from 1 to 10") {
  for (int rating = 1; rating <= 10; ++rating)
    CHECK(parse_rating("Rating: [[" + std::to_string(rating) + "]]").verdict == rating);
  CHECK(parse_rating("[[7]] … so [[7]]").verdict == 7);
  CHECK(parse_rating("see [[note]]: [[3]]").verdict == 3);
  CHECK(rating_fault("Rating: 7") == VerdictFault::absent);
  CHECK(rating_fault("[[A]]") == VerdictFault::absent);
  CHECK(rating_fault("[[7]] or [[8]]") == VerdictFault::contradictory);
  for (const char* text : {"[[0]]", "[[11]]", "[[-3]]", "[[7.5]]", "[[8/10]]", "[[07]]", "[[+7]]", "[[100]]",
                           "[[7]] or [[11]]", "[[12]] and [[7]]"})
    CHECK(rating_fault(text) == VerdictFault::off_scale);
}

TEST_CASE("faults have names") {
  CHECK(merit::name_of(VerdictFault::contradictory) == "contradictory");
  CHECK(merit::name_of(VerdictFault::off_scale) == "off_scale");
}

}  // namespace verdict_test
