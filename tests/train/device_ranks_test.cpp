// Ranks whose devices reach each other: the gradients and weights of those that go through the host's memory.
#include <doctest/doctest.h>

#include <atomic>
#include <optional>

#include "../model/small_examples.hpp"
#include "fixtures.hpp"
#include "merit/comm/thread_comm.hpp"
#include "merit/train/gradient_exchange.hpp"
#include "opaque_devices.hpp"

namespace device_ranks_test {

using namespace merit;
using merit_test::Moved;
using Backend = merit_test::OpaqueBackend<double>;
using Model = training::Llama<Backend>;

/// Calls run(model, comm) on each rank; `moved`: none where devices do not reach each other.
template <class Run>
void on_ranks(Index ranks, const Llama& backbone, std::optional<Moved> moved, const Run& run,
              bool fixed_tree = false) {
  detail::ThreadMeeting meeting(ranks);
  run_ranks(ranks, [&](Comm& host) {
    Model model({.backbone = backbone});
    detail::ThreadComm way(meeting, host.rank(), ranks);
    merit_test::OpaqueDevices devices(way, model.handle(), moved.value_or(Moved::at_once));
    merit_test::CommWithDevices comm(host, moved ? &devices : nullptr, model.handle());
    run(model, comm);
    CHECK((devices.begun() != 0) == (moved && !fixed_tree));
  });
}

TEST_CASE("devices that reach each other train as those that go through the host's memory, to the bit") {
  const auto examples = training::sorted_pairs(14);
  TrainOptions options = training::few_steps(AdamW{});
  options.batch_size = 5;
  options.micro_batch_tokens = 24;
  for (const Index number : {Index{0}, Index{1}, Index{2}}) {
    const bool fixed_tree = number == 2;  // goes through the host's memory in any case
    CAPTURE(number);
    options.fixed_tree = fixed_tree;
    Llama backbone = training::small_llama();
    backbone.recompute = number == 1 ? 1 : 0;
    const auto trained = [&](Index ranks, std::optional<Moved> moved) {
      std::vector<std::vector<double>> values(ranks);
      on_ranks(
          ranks, backbone, moved,
          [&](Model& model, Comm& comm) {
            Trainer trainer(model, examples, options, comm);
            while (!trainer.finished()) trainer.step();
            values[comm.rank()] = training::values_of(model);
          },
          fixed_tree);
      for (const auto& of_rank : values) CHECK(of_rank == values[0]);
      return values[0];
    };
    for (const Index ranks : {Index{2}, Index{3}, Index{7}}) {  // the last has ranks without a record
      CAPTURE(ranks);
      const std::vector<double> expected = trained(ranks, std::nullopt);
      CHECK(trained(ranks, Moved::at_once) == expected);
      CHECK(trained(ranks, Moved::when_waited_for) == expected);
    }
  }
}

TEST_CASE("a device's gradients, in many buckets and pieces, are summed where they belong") {
  constexpr Index ranks = 3;
  const auto examples = training::sorted_pairs(6);
  const auto summed = [&](Index bucket, Index piece, std::optional<Moved> moved) {
    std::vector<double> found;
    on_ranks(ranks, training::small_llama(), moved, [&](Model& model, Comm& comm) {
      detail::GradientExchange<Backend> exchange(model.parameters(), comm, false, bucket, piece);
      for (int step = 0; step < 2; ++step) {
        model.begin_step();
        exchange.begin();
        for (Index i = 0; i < 2; ++i) {
          BatchBuilder<Model> batch(model, Sharing::yes);
          batch.add(examples[2 * comm.rank() + i]);
          batch.finish();
          exchange.before_batch(i == 0, i == 1);
          model.accumulate(batch.forest(), batch.targets(), 6);
          exchange.after_batch(2 * comm.rank() + i);
        }
        model.end_step();
        exchange.finish();
      }
      const std::vector<double> own = training::gradients_of(model);
      std::vector<double> of_shard(own.size());
      for (const auto& [begin, end] : exchange.shard().runs())
        std::copy(own.begin() + static_cast<std::ptrdiff_t>(begin),
                  own.begin() + static_cast<std::ptrdiff_t>(end),
                  of_shard.begin() + static_cast<std::ptrdiff_t>(begin));
      const std::vector<double> all = gather_lists(comm, of_shard);
      if (comm.rank() != 0) return;
      found.assign(own.size(), 0);  // each element is of one rank
      for (Index i = 0; i < all.size(); ++i) found[i % own.size()] += all[i];
    });
    return found;
  };
  const std::vector<double> expected = summed(Index{1} << 22, Index{1} << 20, std::nullopt);
  CHECK(training::largest_difference(expected, std::vector<double>(expected.size())) > 0);
  for (const Index bucket : {Index{1}, Index{300}, Index{1} << 22})
    for (const Index piece : {Index{7}, Index{1} << 20})
      for (const Moved moved : {Moved::at_once, Moved::when_waited_for}) {
        CAPTURE(bucket);
        CAPTURE(piece);
        CHECK(summed(bucket, piece, moved) == expected);
      }
}

}  // namespace device_ranks_test
