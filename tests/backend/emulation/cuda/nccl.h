// As much of NCCL as sends memory from one device to another, between streams of cuda_runtime_api.h beside it.
#pragma once

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda_runtime_api.h"

enum ncclResult_t {
  ncclSuccess = 0,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6
};
enum ncclDataType_t { ncclUint8 = 1 };
struct ncclUniqueId {
  char internal[128];
};

namespace emulated_nccl {

/// A message that waits for its receiver: sender and receiver go on when it has been copied.
struct Message {
  const void* from;
  std::size_t bytes;
  bool taken = false;
};

/// What the ranks of one communicator share.
class Meeting {
 public:
  explicit Meeting(int ranks) : ranks_(ranks) {}

  void join() { meet(joined_); }
  /// NCCL's communicators end together, too.
  void leave() { meet(left_); }
  std::shared_ptr<Message> send(int from, int to, const void* data, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    auto message = std::make_shared<Message>(Message{data, bytes});
    mail_[{from, to}].push_back(message);
    changed_.notify_all();
    return message;
  }
  void receive(int from, int to, void* data, std::size_t bytes) {
    std::unique_lock lock(mutex_);
    auto& mail = mail_[{from, to}];
    changed_.wait(lock, [&] { return !mail.empty(); });
    std::memcpy(data, mail.front()->from, std::min(bytes, mail.front()->bytes));
    mail.front()->taken = true;
    mail.pop_front();
    changed_.notify_all();
  }
  void wait_for(const Message& message) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return message.taken; });
  }

 private:
  void meet(int& here) {
    std::unique_lock lock(mutex_);
    ++here;
    changed_.notify_all();
    changed_.wait(lock, [&] { return here == ranks_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const int ranks_;
  int joined_ = 0, left_ = 0;
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Message>>> mail_;
};

struct Communicator {
  std::shared_ptr<Meeting> meeting;
  int rank;
};
struct Call {
  Communicator* comm;
  cudaStream_t stream;
  bool sends;
  void* data;
  std::size_t bytes;
  int other;
};

inline std::mutex meetings_mutex;
inline std::map<int, std::shared_ptr<Meeting>> meetings;  // by the number in an id
inline int last_id = 0;
inline thread_local std::vector<Call> group;
inline thread_local bool in_group = false;
/// What the next calls of this thread's rank answer.
inline thread_local ncclResult_t send_answer = ncclSuccess, async_answer = ncclSuccess;

}  // namespace emulated_nccl

using ncclComm_t = emulated_nccl::Communicator*;

inline const char* ncclGetErrorString(ncclResult_t answer) {
  return answer == ncclRemoteError ? "remote process exited or there was a network error"
                                   : "unhandled system error";
}
inline const char* ncclGetLastError(ncclComm_t comm) {
  return comm == nullptr ? nullptr : "the cable is out";
}
inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::scoped_lock lock(emulated_nccl::meetings_mutex);
  const int number = ++emulated_nccl::last_id;
  *id = {};
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}
inline ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  int number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  std::shared_ptr<emulated_nccl::Meeting> meeting;
  {
    const std::scoped_lock lock(emulated_nccl::meetings_mutex);
    auto& shared = emulated_nccl::meetings[number];
    if (shared == nullptr) shared = std::make_shared<emulated_nccl::Meeting>(ranks);
    meeting = shared;
  }
  meeting->join();
  *comm = new emulated_nccl::Communicator{meeting, rank};
  return ncclSuccess;
}
inline ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  comm->meeting->leave();
  delete comm;
  return ncclSuccess;
}
inline ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* answer) {
  *answer = emulated_nccl::async_answer;
  return ncclSuccess;
}
inline ncclResult_t ncclGroupStart() {
  emulated_nccl::group.clear();
  emulated_nccl::in_group = true;
  return ncclSuccess;
}
inline ncclResult_t ncclSend(const void* data, std::size_t bytes, ncclDataType_t, int other, ncclComm_t comm,
                             cudaStream_t stream) {
  emulated_nccl::group.push_back({comm, stream, true, const_cast<void*>(data), bytes, other});
  // Alone, each would wait for the other end before the next is begun.
  return emulated_nccl::in_group ? emulated_nccl::send_answer : ncclInvalidUsage;
}
inline ncclResult_t ncclRecv(void* data, std::size_t bytes, ncclDataType_t, int other, ncclComm_t comm,
                             cudaStream_t stream) {
  emulated_nccl::group.push_back({comm, stream, false, data, bytes, other});
  return ncclSuccess;
}
/// One piece of work of the stream, as one kernel does it.
inline ncclResult_t ncclGroupEnd() {
  const std::vector<emulated_nccl::Call> calls = std::exchange(emulated_nccl::group, {});
  emulated_nccl::in_group = false;
  if (calls.empty() || emulated_nccl::send_answer != ncclSuccess) return ncclSuccess;
  calls[0].stream->ask([calls, meeting = calls[0].comm->meeting, rank = calls[0].comm->rank] {
    std::vector<std::shared_ptr<emulated_nccl::Message>> sent;
    for (const auto& call : calls)
      if (call.sends) sent.push_back(meeting->send(rank, call.other, call.data, call.bytes));
    for (const auto& call : calls)
      if (!call.sends) meeting->receive(call.other, rank, call.data, call.bytes);
    for (const auto& message : sent) meeting->wait_for(*message);
  });
  return ncclSuccess;
}
