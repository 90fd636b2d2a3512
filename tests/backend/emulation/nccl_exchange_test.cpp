// What is asked of a GPU's streams so that ranks send each other its memory, on emulated streams.
#include "merit/backend/thrust/nccl_exchange.cuh"

#include <doctest/doctest.h>

#include <atomic>

#include "../../io/temporary.hpp"
#include "merit/comm/thread_comm.hpp"

namespace nccl_exchange_test {

using namespace merit;
using merit::detail::device::NcclExchange;
using merit_test::contains;
using merit_test::error_of;

/// A GPU whose stream computes on numbers of this rank.
struct Gpu {
  explicit Gpu(int device) : number(device), stream(device) {}
  int number;
  emulated_cuda::Stream stream;
};

/// Calls run(exchange, host, gpu) on each rank.
template <class Run>
void on_gpus(Index ranks, const Run& run) {
  run_ranks(ranks, [&](Comm& host) {
    Gpu gpu(static_cast<int>(host.rank()));
    NcclExchange exchange(host, gpu.number, &gpu.stream, &gpu);
    run(exchange, host, gpu);
  });
}

std::vector<std::span<const std::byte>> parts_of(const std::vector<std::vector<int>>& lists) {
  std::vector<std::span<const std::byte>> parts;
  for (const auto& list : lists) parts.push_back(std::as_bytes(std::span(list)));
  return parts;
}
std::vector<std::span<std::byte>> parts_of(std::vector<std::vector<int>>& lists) {
  std::vector<std::span<std::byte>> parts;
  for (auto& list : lists) parts.push_back(std::as_writable_bytes(std::span(list)));
  return parts;
}

TEST_CASE("what is sent is what was computed before, and what is computed afterwards has what was received") {
  for (const Index ranks : {Index{1}, Index{2}, Index{4}}) {
    std::atomic<Index> right = 0;
    constexpr Index rounds = 40;
    std::vector<std::vector<std::vector<int>>> sent(ranks), received(ranks);  // until all streams end
    on_gpus(ranks, [&](NcclExchange& exchange, Comm& host, Gpu& gpu) {
      const Index own = host.rank();
      auto &out = sent[own], &in = received[own];
      out.resize(ranks);
      in.resize(ranks);
      for (Index r = 0; r < ranks; ++r) {  // unlike lengths; to some nothing
        out[r].assign((own + 2 * r) % 5, 0);
        in[r].assign((r + 2 * own) % 5, 0);
      }
      std::vector<std::vector<int>> found(rounds);
      for (Index round = 0; round < rounds; ++round) {
        gpu.stream.ask([&, round] {
          for (Index r = 0; r < ranks; ++r)
            for (int& number : out[r]) number = static_cast<int>(100 * own + r + 1000 * round);
        });
        exchange.begin(&gpu, parts_of(std::as_const(out)), parts_of(in));
        if (round % 2 == 0) exchange.begin(&gpu, parts_of(std::as_const(out)), parts_of(in));
        exchange.end();
        gpu.stream.ask([&, round] {
          for (const auto& list : in) found[round].insert(found[round].end(), list.begin(), list.end());
        });
      }
      gpu.stream.wait();
      for (Index round = 0; round < rounds; ++round) {
        std::vector<int> expected;
        for (Index r = 0; r < ranks; ++r)
          expected.insert(expected.end(), in[r].size(), static_cast<int>(100 * r + own + 1000 * round));
        if (found[round] == expected) ++right;
      }
    });
    CHECK(right == rounds * ranks);
  }
}

TEST_CASE("a rank that fails before an exchange ends the others, whose GPUs wait for nothing") {
  std::atomic<Index> ended = 0;
  CHECK(contains(error_of<DataError>([&] {
                   on_gpus(3, [&](NcclExchange& exchange, Comm& host, Gpu& gpu) {
                     std::vector<std::vector<int>> out(3, {1}), in(3, {0});
                     exchange.begin(&gpu, parts_of(std::as_const(out)), parts_of(in));
                     exchange.end();
                     gpu.stream.wait();
                     if (host.rank() == 1) throw DataError("record 7 is none");
                     try {
                       exchange.begin(&gpu, parts_of(std::as_const(out)), parts_of(in));
                     } catch (const CommError&) {
                       ++ended;
                       throw;
                     }
                   });
                 }),
                 "record 7 is none"));
  CHECK(ended == 2);
}

TEST_CASE("what cannot be exchanged is refused in a sentence") {
  SUBCASE("two ranks on one GPU") {
    CHECK(contains(error_of<ConfigError>([] {
                     run_ranks(3, [](Comm& host) {
                       Gpu gpu(host.rank() == 2 ? 0 : static_cast<int>(host.rank()));
                       NcclExchange(host, gpu.number, &gpu.stream, &gpu);
                     });
                   }),
                   "ranks 0 and 2 compute on the same GPU, expected one each"));
  }
  SUBCASE("another model's handle") {
    CHECK(contains(error_of<UsageError>([] {
                     on_gpus(1, [](NcclExchange& exchange, Comm&, Gpu&) {
                       std::vector<std::vector<int>> lists(1);
                       exchange.begin(nullptr, parts_of(std::as_const(lists)), parts_of(lists));
                     });
                   }),
                   "another model's handle"));
  }
  SUBCASE("unlike sizes") {
    const std::string error = error_of<UsageError>([] {
      on_gpus(2, [](NcclExchange& exchange, Comm& host, Gpu& gpu) {
        std::vector<std::vector<int>> out(2, std::vector<int>(host.rank() + 1)), in(2, std::vector<int>(1));
        exchange.begin(&gpu, parts_of(std::as_const(out)), parts_of(in));
      });
    });
    CHECK(contains(error, "rank 1 sends rank 0 8 bytes of its GPU's memory, expected 4"));
  }
}

TEST_CASE("NCCL's own errors are told with what it says") {
  const auto error_with = [](ncclResult_t to_send, ncclResult_t meanwhile_on_1) {
    // Left as the streams of ranks that fail are, which may still write there.
    auto& out = *new std::vector<std::vector<std::vector<int>>>(2, {{1}, {1}});
    auto& in = *new std::vector<std::vector<std::vector<int>>>(2, {{0}, {0}});
    return error_of<CommError>([&] {
      on_gpus(2, [&](NcclExchange& exchange, Comm& host, Gpu& gpu) {  // each on a thread of its own
        emulated_nccl::send_answer = to_send;
        if (host.rank() == 1) emulated_nccl::async_answer = meanwhile_on_1;
        exchange.begin(&gpu, parts_of(std::as_const(out[host.rank()])), parts_of(in[host.rank()]));
      });
    });
  };
  CHECK(contains(error_with(ncclSystemError, ncclSuccess),
                 "NCCL: sending memory to another GPU: unhandled system error: the cable is out"));
  // On all ranks, the first of which is told of.
  const std::string of_one = error_with(ncclSuccess, ncclRemoteError);
  CHECK(contains(of_one, "NCCL: moving memory between GPUs: "));
  CHECK(contains(of_one, "remote process exited"));
}

}  // namespace nccl_exchange_test
