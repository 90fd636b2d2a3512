// As much of CUDA's runtime as its streams and events are, in host memory: a stream is a thread that does what it is asked for
// in order, late. For tests of what is asked of several streams, on machines without a GPU.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidDevice = 101 };
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice = 3 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;

struct cudaUUID_t {
  char bytes[16];
};
struct cudaDeviceProp {
  char name[256];
  cudaUUID_t uuid;
};

namespace emulated_cuda {

/// Work in order, each piece some time after it was asked for.
class Stream {
 public:
  explicit Stream(int device) : device_(device), thread_([this] { run(); }) {}
  ~Stream() {
    ask([this] { ends_ = true; });
    thread_.join();
  }
  void ask(std::function<void()> work) {
    const std::scoped_lock lock(mutex_);
    queue_.push_back(std::move(work));
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return queue_.empty(); });
  }
  int device() const { return device_; }

 private:
  void run() {
    std::minstd_rand random(std::random_device{}());
    std::unique_lock lock(mutex_);
    while (!ends_) {
      changed_.wait(lock, [&] { return !queue_.empty(); });
      const auto& work = queue_.front();
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
      work();
      lock.lock();
      queue_.pop_front();
      changed_.notify_all();
    }
  }

  int device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool ends_ = false;
  std::thread thread_;  // the last, as it uses the others
};

/// Counts how often it was asked to be recorded and how often it was: who waits, waits for what was asked before.
class Event {
 public:
  void record(Stream& stream) {
    const std::scoped_lock lock(mutex_);
    ++asked_;
    stream.ask([this, number = asked_] {
      const std::scoped_lock inner(mutex_);
      recorded_ = number;
      changed_.notify_all();
    });
  }
  void hold(Stream& stream) {
    const std::scoped_lock lock(mutex_);
    stream.ask([this, number = asked_] {
      std::unique_lock inner(mutex_);
      changed_.wait(inner, [&] { return recorded_ >= number; });
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  long asked_ = 0, recorded_ = 0;
};

inline thread_local int current_device = 0;

}  // namespace emulated_cuda

using cudaStream_t = emulated_cuda::Stream*;
using cudaEvent_t = emulated_cuda::Event*;

inline const char* cudaGetErrorString(cudaError_t) {
  return "emulated error";
}
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = emulated_cuda::current_device;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int device) {
  emulated_cuda::current_device = device;
  return cudaSuccess;
}
/// Each device has a name of its own.
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  properties->uuid.bytes[15] = static_cast<char>(device + 1);
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new emulated_cuda::Stream(emulated_cuda::current_device);
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  stream->wait();
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new emulated_cuda::Event;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (stream->device() != emulated_cuda::current_device) return cudaErrorInvalidDevice;
  event->record(*stream);
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  event->hold(*stream);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                                   cudaStream_t stream) {
  stream->ask([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
