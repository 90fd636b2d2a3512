// Ranks whose models are on GPUs, one each, which send each other gradients and weights over NCCL.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "merit/backend/thrust/system.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/comm/comm.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A rank's way to the others for a model on a GPU. What lies on the host goes the way of another Comm, by which the ranks
/// have found each other: MpiComm, or that of run_ranks() with a thread for each GPU. From GPU to GPU, on a stream beside the
/// one that computes, go gradients (a reduce-scatter: who receives adds, so that the bits are those of going through the host)
/// and moved weights (an all-gather).
///
///   merit::MpiComm host;
///   Model model({.backend = {.device = static_cast<int>(host.local_rank())}});
///   merit::NcclComm comm(host, model.handle());
///   merit::Trainer trainer(model, examples, options, comm);
class NcclComm final : public Comm {
 public:
  /// Of the model that has this handle. All ranks make theirs together; `host` and `handle` must outlive it. Throws
  /// ConfigError where two ranks have the same GPU, or where merit::device was built without NCCL.
  NcclComm(Comm& host, ThrustHandle<CudaSystem>& handle);

  /// Whether merit::device was built with NCCL.
  static bool is_available();

  void exchange(std::span<const std::span<const std::byte>> out,
                std::span<const std::span<std::byte>> in) override {
    host_->exchange(out, in);
  }
  DeviceExchange* devices() override { return devices_.get(); }
  void abandon(std::string_view why, int status) noexcept override { host_->abandon(why, status); }

 private:
  Comm* host_;
  std::unique_ptr<DeviceExchange> devices_;
};

}  // namespace MERIT_ABI
}  // namespace merit
