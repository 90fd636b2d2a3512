// What ranks say to each other, and how they end together.
#include "merit/comm/thread_comm.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>

#include "../io/temporary.hpp"
#include "merit/comm/agree.hpp"

namespace thread_comm_test {

using namespace merit;
using merit_test::contains;
using merit_test::error_of;

TEST_CASE("lists of unlike lengths are gathered in the order of ranks, whichever comes first") {
  for (const Index ranks : {Index{1}, Index{2}, Index{5}}) {
    std::atomic<Index> right = 0;
    run_ranks(ranks, [&](Comm& comm) {
      for (int round = 0; round < 50; ++round) {
        const std::vector<Index> all = gather_lists(comm, std::vector<Index>(comm.rank(), comm.rank() + 10));
        std::vector<Index> expected;
        for (Index r = 0; r < ranks; ++r) expected.insert(expected.end(), r, r + 10);
        const std::vector<std::string> texts = gather_texts(comm, std::string(comm.rank(), 'x'));
        bool good = all == expected && texts.size() == ranks;
        for (Index r = 0; good && r < ranks; ++r) good = texts[r] == std::string(r, 'x');
        if (good) ++right;
      }
    });
    CHECK(right == 50 * ranks);
  }
}

TEST_CASE("each rank receives what each other one sends it, also in place") {
  constexpr Index ranks = 3;
  std::vector<std::vector<int>> received(ranks);
  run_ranks(ranks, [&](Comm& comm) {
    std::vector<int> send(ranks), receive(ranks, -1);
    std::vector<std::span<const std::byte>> out;
    std::vector<std::span<std::byte>> in;
    for (Index r = 0; r < ranks; ++r) send[r] = static_cast<int>(10 * comm.rank() + r);
    receive[comm.rank()] = send[comm.rank()];
    for (Index r = 0; r < ranks; ++r) {
      const bool own = r == comm.rank();
      out.push_back(std::as_bytes(std::span<const int>((own ? receive : send).data() + r, 1)));
      in.push_back(std::as_writable_bytes(std::span<int>(receive.data() + r, 1)));
    }
    comm.exchange(out, in);
    received[comm.rank()] = receive;
  });
  for (Index to = 0; to < ranks; ++to)
    for (Index from = 0; from < ranks; ++from) CHECK(received[to][from] == static_cast<int>(10 * from + to));
}

TEST_CASE("where one rank fails all end, and its error is the one that is told") {
  for (const Index failing : {Index{0}, Index{2}}) {
    std::atomic<Index> ended = 0;
    std::string told;
    const std::string error = error_of<DataError>([&] {
      run_ranks(3, [&](Comm& comm) {
        gather_values(comm, 1);
        if (comm.rank() == failing) throw DataError("line 7 is none");
        try {
          for (;;) gather_values(comm, 1);
        } catch (const CommError& other) {
          if (ended++ == 0) told = other.what();
          throw;
        }
      });
    });
    CHECK(error == "line 7 is none");
    CHECK(ended == 2);
    CHECK(told == concat("rank ", failing, " has ended: line 7 is none"));
  }
  CHECK_THROWS_WITH_AS(run_ranks(2, [](Comm&) { throw std::runtime_error("other"); }), "other",
                       std::runtime_error);
  CHECK(error_of<ConfigError>([] { run_ranks(0, [](Comm&) {}); }) == "ranks: found 0, expected at least 1");
}

TEST_CASE("a rank that ends early ends the others") {
  CHECK(contains(error_of<CommError>([&] {
                   run_ranks(2, [](Comm& comm) {
                     if (comm.rank() == 1) comm.abandon("no more", 1);
                     if (comm.rank() == 0) gather_values(comm, 1);
                   });
                 }),
                 "rank 1 has ended: no more"));
}

TEST_CASE("a rank that makes fewer or other calls than the others ends all") {
  CHECK(contains(error_of<CommError>([&] {
                   run_ranks(3, [](Comm& comm) {
                     gather_values(comm, 1);
                     if (comm.rank() != 2) gather_values(comm, 1);
                   });
                 }),
                 "rank 2 has ended: it has returned"));
  CHECK(contains(error_of<UsageError>([&] {
                   run_ranks(2, [](Comm& comm) {
                     if (comm.rank() == 0) gather_values(comm, 'x');
                     if (comm.rank() == 1) gather_values(comm, 1.0);
                   });
                 }),
                 "they have not made the same calls"));
  // What one sends stays until all have read it, also where one of them refuses it.
  std::atomic<int> refused = 0;
  CHECK_THROWS_AS(run_ranks(2,
                            [&](Comm& comm) {
                              const std::vector<std::byte> sent(comm.rank() + 1);
                              std::vector<std::byte> received(1);
                              try {
                                comm.exchange(std::vector<std::span<const std::byte>>(2, sent),
                                              std::vector<std::span<std::byte>>(2, received));
                              } catch (const UsageError&) {
                                ++refused;
                                throw;
                              }
                            }),
                  UsageError);
  CHECK(refused == 2);
}

TEST_CASE("what fails on some ranks is the first one's error on all") {
  std::atomic<int> caught = 0;
  run_ranks(3, [&](Comm& comm) {
    const std::string error = error_of<DataError>([&] {
      fail_together(comm, [&] {
        if (comm.rank() != 0) throw DataError(concat("record ", comm.rank()));
      });
    });
    if (error == "record 1") ++caught;
    fail_together(comm, [] {});
  });
  CHECK(caught == 3);
}

TEST_CASE("ranks that have not the same say what differs, on all of them") {
  using List = std::vector<std::pair<std::string, std::string>>;
  const auto facts_of = [](const List& list) {
    RankFacts facts;
    for (const auto& [name, value] : list) facts.add(name, value);
    return facts;
  };
  const auto disagree = [&](const List& first, const List& second) {
    std::atomic<int> refused = 0;
    const std::string error = error_of<ConfigError>([&] {
      run_ranks(3, [&](Comm& comm) {
        try {
          require_same_facts(comm, facts_of(comm.rank() == 2 ? second : first));
        } catch (const ConfigError&) {
          ++refused;
          throw;
        }
      });
    });
    CHECK(refused == 3);
    return error;
  };
  CHECK(
      disagree({{"seed", "1"}, {"epochs", "2"}, {"rate", "x"}},
               {{"seed", "7"}, {"epochs", "2"}, {"decay", "y"}}) ==
      "ranks: rank 2 differs from rank 0: seed is 7 and not 1, rate is nothing and not x, decay is y and not nothing; "
      "expected the same data and options on all");
  run_ranks(3, [&](Comm& comm) { require_same_facts(comm, facts_of({{"seed", "1"}})); });
}

}  // namespace thread_comm_test
