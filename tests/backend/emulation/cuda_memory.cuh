// Memory of a GPU, for machine.hpp, and its way to run a kernel.
#pragma once

#include <doctest/doctest.h>

#include <cuda_runtime.h>

#include <vector>

#include "merit/backend/thrust/kernels/launch.cuh"
#include "merit/core/view.hpp"

namespace merit_test {

/// It holds NaNs at first. Bytes around the arrays have a mark of their own, which must stay.
class MachineMemory {
 public:
  explicit MachineMemory(merit::Index bytes) : bytes_(bytes) {
    REQUIRE(cudaMalloc(&data_, bytes_ + 1) == cudaSuccess);
    REQUIRE(cudaMemset(data_, 0xFF, bytes_ + 1) == cudaSuccess);
  }
  MachineMemory(const MachineMemory&) = delete;
  MachineMemory& operator=(const MachineMemory&) = delete;
  ~MachineMemory() { (void)cudaFree(data_); }

  void* data() { return data_; }
  const void* data() const { return data_; }

  void forbid(merit::Index begin, merit::Index bytes) {
    REQUIRE(cudaMemset(static_cast<char*>(data_) + begin, mark, bytes) == cudaSuccess);
    fences_.push_back({begin, bytes});
  }
  void set(merit::Index begin, const void* from, merit::Index bytes) {
    REQUIRE(cudaMemcpy(static_cast<char*>(data_) + begin, from, bytes, cudaMemcpyHostToDevice) ==
            cudaSuccess);
  }
  void get(merit::Index begin, void* to, merit::Index bytes) const {
    REQUIRE(cudaMemcpy(to, static_cast<const char*>(data_) + begin, bytes, cudaMemcpyDeviceToHost) ==
            cudaSuccess);
  }
  bool fence_is_whole() const {
    for (const auto& [begin, bytes] : fences_) {
      std::vector<unsigned char> held(bytes);
      get(begin, held.data(), bytes);
      for (const unsigned char byte : held)
        if (byte != mark) return false;
    }
    return true;
  }

 private:
  struct Fence {
    merit::Index begin, bytes;
  };
  static constexpr unsigned char mark = 0x5A;

  void* data_ = nullptr;
  merit::Index bytes_;
  std::vector<Fence> fences_;
};

template <class Kernel>
void run(const Kernel& kernel) {
  REQUIRE(merit::kernels::launch(kernel, cudaStreamPerThread) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(cudaStreamPerThread) == cudaSuccess);
}

}  // namespace merit_test
