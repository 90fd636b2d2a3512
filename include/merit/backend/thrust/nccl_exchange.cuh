// The memory of GPUs, sent from one to another over NCCL. Needs CUDA's runtime and NCCL, and none of nvcc.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backend/thrust/cuda_check.cuh"
#include "merit/comm/comm.hpp"
#include "merit/core/concat.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// Throws CommError with what NCCL says where it did not succeed.
inline void check(ncclResult_t answer, ncclComm_t comm, std::string_view what,
                  const CallSite& at = CallSite::current()) {
  if (answer == ncclSuccess) return;
  const char* const more = ncclGetLastError(comm);
  const std::string_view detail = more == nullptr ? "" : more;
  throw CommError(concat("NCCL: ", what, ": ", ncclGetErrorString(answer), detail.empty() ? "" : ": ", detail,
                         " (", at.file, ":", at.line, ")"));
}

/// On a stream of its own. An exchange is queued only when all ranks have come to it, which they tell each other on the
/// host: for one that a rank never joins GPUs would wait without end, and nobody could say why. (A rank whose GPU itself
/// fails between the two still leaves the others waiting.)
class NcclExchange final : public DeviceExchange {
 public:
  /// `compute` is the stream of the handle at `handle`, on GPU `device`.
  NcclExchange(Comm& host, int device, cudaStream_t compute, const void* handle)
      : host_(&host), device_(device), compute_(compute), handle_(handle) {
    use_device(device_);
    require_one_each();
    check(cudaStreamCreateWithFlags(stream_.out(), cudaStreamNonBlocking), "making a stream");
    for (Owned<cudaEvent_t, cudaEventDestroy>* event : {&asked_, &moved_})
      check(cudaEventCreateWithFlags(event->out(), cudaEventDisableTiming), "making an event");
    ncclUniqueId id{};
    if (host_->rank() == 0) check(ncclGetUniqueId(&id), nullptr, "naming the ranks");
    // As a text: nvcc 13.0 crashes on a std::vector of an unnamed struct.
    const std::string of_first = gather_texts(*host_, {id.internal, sizeof id.internal})[0];
    std::copy(of_first.begin(), of_first.end(), id.internal);
    check(ncclCommInitRank(comm_.out(), static_cast<int>(host_->size()), id, static_cast<int>(host_->rank())),
          nullptr, "joining the ranks");
  }
  /// The ranks end together. Where an exception ends this one, the others may not come: to wait for them would keep it from
  /// saying why, so that what it has is left to the end of the process.
  ~NcclExchange() override {
    if (std::uncaught_exceptions() > exceptions_) {
      comm_.leave();
      asked_.leave();
      moved_.leave();
      stream_.leave();
      return;
    }
    set_device(device_);
    cudaStreamSynchronize(stream_.get());
  }

  void begin(const void* handle, std::span<const std::span<const std::byte>> out,
             std::span<const std::span<std::byte>> in) override {
    if (handle != handle_)
      throw UsageError(
          "ranks: NCCL was begun for another model's handle, expected that of the model that is trained");
    agree(out, in);

    use_device(device_);
    check(cudaEventRecord(asked_.get(), compute_), "recording an event");
    check(cudaStreamWaitEvent(stream_.get(), asked_.get(), 0), "waiting for an event");
    const Index own = host_->rank();
    if (!in[own].empty() && in[own].data() != out[own].data()) {
      check(cudaMemcpyAsync(in[own].data(), out[own].data(), in[own].size(), cudaMemcpyDeviceToDevice,
                            stream_.get()),
            "copying on a GPU");
    }
    check(ncclGroupStart(), comm_.get(), "beginning a group");
    ncclResult_t first = ncclSuccess;
    for (Index r = 0; r < host_->size() && first == ncclSuccess; ++r) {
      const int other = static_cast<int>(r);
      if (r == own) continue;
      if (!out[r].empty())
        first = ncclSend(out[r].data(), out[r].size(), ncclUint8, other, comm_.get(), stream_.get());
      if (first == ncclSuccess && !in[r].empty())
        first = ncclRecv(in[r].data(), in[r].size(), ncclUint8, other, comm_.get(), stream_.get());
    }
    const ncclResult_t ended = ncclGroupEnd();
    check(first, comm_.get(), "sending memory to another GPU");
    check(ended, comm_.get(), "sending memory to another GPU");
  }

  void end() override {
    use_device(device_);
    check(cudaEventRecord(moved_.get(), stream_.get()), "recording an event");
    check(cudaStreamWaitEvent(compute_, moved_.get(), 0), "waiting for an event");
  }

 private:
  /// Waits for all ranks. Throws, on all of them, where NCCL has failed on one, or one would wait for what another does not
  /// send.
  void agree(std::span<const std::span<const std::byte>> out, std::span<const std::span<std::byte>> in) {
    const Index ranks = host_->size();
    ncclResult_t broken = ncclSuccess;
    if (ncclCommGetAsyncError(comm_.get(), &broken) != ncclSuccess) broken = ncclInternalError;
    std::vector<Index> own;  // how much goes to each rank, how much comes from each, and what NCCL says
    for (const auto& part : out) own.push_back(part.size());
    for (const auto& part : in) own.push_back(part.size());
    own.push_back(static_cast<Index>(broken));
    std::vector<Index> all(ranks * own.size());  // (ranks, 2 ranks + 1)
    std::vector<std::span<const std::byte>> tell(ranks, std::as_bytes(std::span<const Index>(own)));
    std::vector<std::span<std::byte>> hear(ranks);
    for (Index r = 0; r < ranks; ++r)
      hear[r] = std::as_writable_bytes(std::span(all).subspan(r * own.size(), own.size()));
    host_->exchange(tell, hear);
    check(broken, comm_.get(), "moving memory between GPUs");
    for (Index r = 0; r < ranks; ++r)
      if (const Index said = all[r * own.size() + 2 * ranks]; said != ncclSuccess)
        throw CommError(concat("NCCL: moving memory between GPUs: rank ", r, ": ",
                               ncclGetErrorString(static_cast<ncclResult_t>(said))));
    for (Index from = 0; from < ranks; ++from)
      for (Index to = 0; to < ranks; ++to) {
        const Index sent = all[from * own.size() + to], expected = all[to * own.size() + ranks + from];
        if (from == to || sent == expected) continue;
        throw UsageError(concat("ranks: rank ", from, " sends rank ", to, " ", sent,
                                " bytes of its GPU's memory, expected ", expected,
                                ": they have not made the same calls"));
      }
  }

  void require_one_each() {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device_), "asking for a GPU's properties");
    const std::vector<cudaUUID_t> all = gather_values(*host_, properties.uuid);
    for (Index r = 0; r < all.size(); ++r)
      for (Index earlier = 0; earlier < r; ++earlier) {
        if (!std::ranges::equal(all[r].bytes, all[earlier].bytes)) continue;
        throw ConfigError(
            concat("ranks: ranks ", earlier, " and ", r,
                   " compute on the same GPU, expected one each: start as many ranks on a machine as "
                   "it has GPUs"));
      }
  }

  Comm* host_;
  int device_;
  cudaStream_t compute_;
  const void* handle_;
  int exceptions_ = std::uncaught_exceptions();
  Owned<cudaStream_t, cudaStreamDestroy> stream_;
  Owned<cudaEvent_t, cudaEventDestroy> asked_, moved_;
  Owned<ncclComm_t, ncclCommDestroy> comm_;  // the last: it ends before its stream
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
