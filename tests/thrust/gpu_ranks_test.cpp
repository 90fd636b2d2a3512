// Ranks on the GPUs of a machine, over NCCL: compiled with merit::device alone, and run where there are two GPUs.
#ifdef MERIT_TEST_DEVICE
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "../model/small_examples.hpp"
#include "../train/fixtures.hpp"
#include "merit/backend/thrust/nccl_comm.hpp"
#include "merit/comm/thread_comm.hpp"

namespace gpu_ranks_test {

using namespace merit;

template <class Precision>
std::vector<float> trained(Index ranks, bool over_nccl) {
  using Model = training::Llama<ThrustBackend<Precision, CudaSystem>>;
  const auto examples = training::sorted_pairs(14);
  TrainOptions options = training::few_steps(AdamW{});
  options.batch_size = 5;
  options.micro_batch_tokens = 24;
  std::vector<std::vector<float>> values(ranks);
  run_ranks(ranks, [&](Comm& host) {
    Model model({.backbone = training::small_llama(), .backend = {.device = static_cast<int>(host.rank())}});
    std::optional<NcclComm> nccl;
    if (over_nccl) nccl.emplace(host, model.handle());
    Trainer trainer(model, examples, options, over_nccl ? static_cast<Comm&>(*nccl) : host);
    while (!trainer.finished()) trainer.step();
    values[host.rank()] = training::values_of(model);
  });
  for (const auto& of_rank : values) CHECK(of_rank == values[0]);
  return values[0];
}

TEST_CASE("ranks over NCCL have the bits of those that go through the host's memory") {
  const Index gpus = static_cast<Index>(gpu_count());
  if (gpus < 2 || !NcclComm::is_available()) {
    MESSAGE("thrust: needs two GPUs and NCCL");
    return;
  }
  for (Index ranks = 2; ranks <= std::min<Index>(gpus, 4); ++ranks) {
    CHECK(trained<Single>(ranks, true) == trained<Single>(ranks, false));
    CHECK(trained<BFloat16>(ranks, true) == trained<BFloat16>(ranks, false));
  }
}

TEST_CASE("one GPU sends itself what it keeps") {
  if (gpu_count() == 0 || !NcclComm::is_available()) {
    MESSAGE("thrust: needs a GPU and NCCL");
    return;
  }
  using Backend = ThrustBackend<Single, CudaSystem>;
  Backend::Handle handle{Backend{}};
  SoloComm alone;
  NcclComm comm(alone, handle);
  const std::vector<float> sent{1, 2, 3};
  std::vector<float> received(3);
  float* const block = Backend::allocate<float>(handle, 6);
  Backend::from_host(handle, sent.data(), block, 3);
  const std::span<const std::byte> out = std::as_bytes(std::span<const float>(block, 3));
  const std::span<std::byte> in = std::as_writable_bytes(std::span<float>(block + 3, 3));
  comm.devices()->begin(&handle, {&out, 1}, {&in, 1});
  comm.devices()->end();
  Backend::to_host(handle, block + 3, received.data(), 3);
  Backend::wait(handle);
  Backend::release(handle, block, 6);
  CHECK(received == sent);
}

}  // namespace gpu_ranks_test
#endif
