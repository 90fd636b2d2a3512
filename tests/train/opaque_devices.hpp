// Ranks on the opaque backend whose memories reach each other, as GPUs' do over NCCL: what is moved is moved late.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <utility>
#include <vector>

#include "../backend/opaque_backend.hpp"
#include "merit/comm/thread_comm.hpp"

namespace merit_test {

/// When what begins on a device is done: at the earliest moment that it may be, or at the latest.
enum class Moved { at_once, when_waited_for };

/// A rank's way to the others' memory beside its own machine's queue.
class OpaqueDevices final : public DeviceExchange {
 public:
  using Handle = OpaqueBackend<double>::Handle;

  OpaqueDevices(Comm& way, Handle& handle, Moved moved) : way_(&way), handle_(&handle), moved_(moved) {}

  void begin(const void* handle, std::span<const std::span<const std::byte>> out,
             std::span<const std::span<std::byte>> in) override {
    REQUIRE(handle == handle_);
    ++begun_;
    std::vector<std::span<const std::byte>> from;
    std::vector<std::span<std::byte>> to;
    for (const auto& part : out) from.emplace_back(opaque::disguised(part.data()), part.size());
    for (const auto& part : in) to.emplace_back(opaque::disguised(part.data()), part.size());
    const auto move = [this, from = std::move(from), to = std::move(to)] { way_->exchange(from, to); };
    if (moved_ == Moved::at_once) {
      handle_->issue(move);
    } else {
      waiting_.emplace_back(move);
    }
  }
  void end() override {
    handle_->issue([moves = std::exchange(waiting_, {})] {
      for (const auto& move : moves) move();
    });
  }

  Index begun() const { return begun_; }

 private:
  Comm* way_;
  Handle* handle_;
  Moved moved_;
  std::vector<std::function<void()>> waiting_;
  Index begun_ = 0;
};

class CommWithDevices final : public Comm {
 public:
  /// Devices: null where they do not reach each other.
  CommWithDevices(Comm& host, OpaqueDevices* devices, OpaqueDevices::Handle& handle)
      : Comm(host.rank(), host.size()), host_(&host), devices_(devices), handle_(&handle) {}

  void exchange(std::span<const std::span<const std::byte>> out,
                std::span<const std::span<std::byte>> in) override {
    handle_->wait();  // a device goes on by itself; this one's queue does not, and others may wait for it
    host_->exchange(out, in);
  }
  DeviceExchange* devices() override { return devices_; }
  void abandon(std::string_view why, int status) noexcept override { host_->abandon(why, status); }

 private:
  Comm* host_;
  OpaqueDevices* devices_;
  OpaqueDevices::Handle* handle_;
};

}  // namespace merit_test
