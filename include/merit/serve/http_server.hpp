// A ScoringApi over HTTP/1.1. Needs cpp-httplib (merit::serve).
#pragma once

#include <dirent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <httplib.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/serve/scoring_api.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 8000;                        // 0: any that is free
  std::string api_key = {};               // empty: none is asked for. /health needs none
  Index connections = 64;                 // answered side by side, a thread each
  Index max_body = Index{16} << 20;       // bytes of a request's body
  std::chrono::seconds request_time{30};  // for a request to arrive whole
};

namespace detail {

/// The HTTP library's threads, which count the connections that are open.
class ConnectionThreads final : public httplib::ThreadPool {
 public:
  ConnectionThreads(Index count, std::atomic<Index>& open) : httplib::ThreadPool(count), open_(&open) {}

  void enqueue(std::function<void()> connection) override {
    ++*open_;
    httplib::ThreadPool::enqueue([open = open_, connection = std::move(connection)] {
      connection();
      --*open;
    });
  }

 private:
  std::atomic<Index>* open_;
};

/// Closes connections that are too slow to say what they want, or say too much before it; and where there are more than
/// threads, those that were answered and have been idle since, the longest idle first, as many as wait for a thread. When the
/// server ends, all that are idle, and soon those that have said a part of a request.
///
/// The HTTP library limits each read and each line but not a whole request, so that a byte now and then would keep a thread
/// for hours, and headers without end take all memory: this looks at the process's own sockets some times a second.
class SlowConnections {
 public:
  /// `open`: how many connections there are, for `threads`.
  SlowConnections(int port, std::chrono::seconds limit, const std::atomic<Index>& open, Index threads)
      : port_(port), limit_(limit), open_(&open), threads_(threads), watcher_([this] { watch(); }) {}
  ~SlowConnections() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    watcher_.join();
  }
  SlowConnections(const SlowConnections&) = delete;
  SlowConnections& operator=(const SlowConnections&) = delete;

  /// All headers of this peer's request are here, and its body is read.
  void begins_body(const std::string& host, int port) {
    const std::lock_guard lock(mutex_);
    since_[{host, port}].in_body = true;
  }
  /// The request of this peer has arrived, and its answer is made until made().
  void arrived(const std::string& host, int port) {
    const std::lock_guard lock(mutex_);
    since_.erase({host, port});
    answered_.insert({host, port});
  }
  /// The answer is written from here on, until written().
  void made(const std::string& host, int port) {
    const std::lock_guard lock(mutex_);
    Since& one = since_[{host, port}];
    if (!one.dropped) one = {.is_written = true};
    answered_.erase({host, port});
  }
  /// This peer has its answer, and may say more.
  void written(const std::string& host, int port) {
    const std::lock_guard lock(mutex_);
    Since& one = since_[{host, port}];
    if (!one.dropped) one = {.has_answer = true};
  }
  /// The server takes no more. The HTTP library would wait for who is silent as long as ever.
  void end() {
    const std::lock_guard lock(mutex_);
    ends_since_ = Clock::now();
  }
  /// What this peer still sends is not read as another request: nothing more of its connection is.
  void drop(const std::string& host, int port) {
    const std::lock_guard lock(mutex_);
    since_[{host, port}] = {.dropped = true};  // the next look closes it
  }

 private:
  using Peer = std::pair<std::string, int>;
  using Clock = std::chrono::steady_clock;
  struct Since {
    std::optional<Clock::time_point> time = {};  // nothing: it was not looked at yet
    int unread = 0;                              // bytes, when it was looked at
    std::uint64_t received = 0;                  // bytes of the connection, when it was first looked at
    bool in_body = false;
    bool is_written = false;  // its answer is
    bool has_answer = false;  // to all that it has said, as far as that was looked at
    bool dropped = false;
  };
  static constexpr std::uint64_t most_of_headers = 1 << 20;  // bytes
  /// Longer than a packet that was lost takes to be sent again.
  static constexpr std::chrono::milliseconds idle{1500};
  /// The same when the server ends: for who is silent, and for who has begun to say something.
  static constexpr std::chrono::milliseconds idle_at_end{200}, rest_of_request{1500};

  void watch() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(ends_since_ ? 50 : 200),
                              [this] { return ended_; }))
      look();
  }

  /// Called with the mutex held.
  void look() {
    const Clock::time_point now = Clock::now();
    std::map<Peer, Since> still;
    std::vector<std::pair<int, Peer>> slow;
    std::vector<std::pair<Clock::time_point, std::pair<int, Peer>>> idle_ones;
    DIR* folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) return;
    while (const dirent* entry = ::readdir(folder)) {
      const int descriptor = std::atoi(entry->d_name);
      const Peer peer = peer_of(descriptor);
      if (peer.second == 0) continue;
      const auto known = since_.find(peer);
      if (answered_.contains(peer)) {
        if (known != since_.end()) still.insert(*known);
        continue;
      }
      const std::uint64_t received = received_by(descriptor);
      Since one = known == since_.end() ? Since{} : known->second;
      if (!one.time) one.received = received;
      int unread = 0;
      if (::ioctl(descriptor, FIONREAD, &unread) != 0) unread = 0;
      // Where nobody reads what has arrived, it waits for a thread, and is not to blame.
      if (!one.time || (unread > 0 && unread == one.unread)) one.time = now;
      one.unread = unread;
      const bool is_over = ends_since_ && !one.is_written && now - *ends_since_ > rest_of_request;
      if (is_over || one.dropped || now - *one.time > limit_ ||
          (!one.in_body && received > one.received + most_of_headers)) {
        slow.emplace_back(descriptor, peer);
      } else {
        still[peer] = one;
        const bool is_idle = ends_since_ ? !one.in_body && !one.is_written && unread == 0 : one.has_answer;
        if (is_idle && received == one.received && now - *one.time >= (ends_since_ ? idle_at_end : idle))
          idle_ones.push_back({*one.time, {descriptor, peer}});
      }
    }
    ::closedir(folder);
    const Index open = open_->load(), waiting = open > threads_ ? open - threads_ : 0;
    std::sort(idle_ones.begin(), idle_ones.end());
    // One that waited at the last look, too, does not just wait for a thread to wake up.
    if (!ends_since_) idle_ones.resize(std::min({idle_ones.size(), waiting, waited_}));
    waited_ = waiting;
    for (const auto& [since, connection] : idle_ones) slow.push_back(connection);
    // After all were looked at: a thread that becomes free takes the next connection at once.
    for (const auto& [descriptor, peer] : slow) {
      if (peer_of(descriptor) == peer) ::shutdown(descriptor, SHUT_RDWR);
    }
    since_ = std::move(still);
  }

  /// The other end of a connection to our port; port 0 for all else.
  Peer peer_of(int descriptor) const {
    sockaddr_storage own{}, other{};
    socklen_t own_size = sizeof(own), other_size = sizeof(other);
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&own), &own_size) != 0) return {};
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&other), &other_size) != 0) return {};
    if (port_in(own) != port_) return {};
    char host[NI_MAXHOST] = {};  // as the HTTP library writes it
    if (::getnameinfo(reinterpret_cast<const sockaddr*>(&other), other_size, host, sizeof(host), nullptr, 0,
                      NI_NUMERICHOST) != 0)
      return {};
    return {host, port_in(other)};
  }
  /// Bytes that a connection has brought so far; 0 where the system does not say.
  static std::uint64_t received_by(int descriptor) {
    constexpr std::size_t place =
        128;  // of tcpi_bytes_received in Linux' tcp_info, which the C library's does not have
    unsigned char info[256] = {};
    socklen_t size = sizeof(info);
    std::uint64_t received = 0;
    if (::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, info, &size) == 0 && size >= place + sizeof(received))
      std::memcpy(&received, info + place, sizeof(received));
    return received;
  }
  static int port_in(const sockaddr_storage& address) {
    std::uint16_t port = 0;  // it stands at the same place for IPv4 and IPv6
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return -1;
    std::memcpy(&port, reinterpret_cast<const char*>(&address) + offsetof(sockaddr_in, sin_port),
                sizeof(port));
    return ntohs(port);
  }

  const int port_;
  const std::chrono::seconds limit_;
  const std::atomic<Index>* const open_;
  const Index threads_;
  Index waited_ = 0;  // connections, at the last look
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Peer, Since> since_;  // of connections that have said nothing whole
  std::set<Peer> answered_;
  std::optional<Clock::time_point> ends_since_ = {};
  bool ended_ = false;
  std::thread watcher_;  // last: it uses the above
};

}  // namespace detail

/// Answers by a ScoringApi what arrives by HTTP. Made, then serve()d, then stop()ped from any other thread.
class HttpServer {
 public:
  /// Takes the port, so that port() is known and clients may connect. Throws IoError.
  HttpServer(ScoringApi& api, HttpOptions options) : api_(api), options_(std::move(options)) {
    server_.new_task_queue = [this] { return new detail::ConnectionThreads(options_.connections, open_); };
    server_.set_payload_max_length(options_.max_body);
    server_.set_read_timeout(options_.request_time);
    server_.set_tcp_nodelay(true);
    server_.Get(".*", [this](const httplib::Request& request, httplib::Response& response) {
      const Answered until_it_ends(*slow_, request);
      answer(request, request.body, response);
    });
    server_.Post(
        ".*", [this](const httplib::Request& request, httplib::Response& response,
                     const httplib::ContentReader& reader) { read_and_answer(request, reader, response); });
    server_.set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
      if (response.body.empty()) refuse(request, response);
    });
    // Called when an answer has been written.
    server_.set_logger([this](const httplib::Request& request, const httplib::Response&) {
      slow_->written(request.remote_addr, request.remote_port);
    });
    server_.set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, std::exception_ptr error) {
          try {
            std::rethrow_exception(error);
          } catch (const std::exception& what) {
            put(ScoringApi::failure(500, what.what()), response);
          }
        });
    const bool bound = options_.port == 0 ? (options_.port = server_.bind_to_any_port(options_.host)) > 0
                                          : server_.bind_to_port(options_.host, options_.port);
    if (!bound) {
      throw IoError(concat("cannot listen on ", options_.host, ":", options_.port, ": ",
                           errno == 0 ? "the name or the port is not this machine's" : std::strerror(errno)));
    }
    slow_.emplace(options_.port, options_.request_time, open_, options_.connections);
  }

  int port() const { return options_.port; }

  /// Answers until stop(); what is being answered then is finished, connections that say nothing are closed at once, and
  /// those that are in the middle of a request a second and a half later.
  void serve() {
    server_.listen_after_bind();
    served_ = true;
  }
  /// Called before serve() has begun it waits until it has: the library would forget it.
  void stop() {
    while (!server_.is_running() && !served_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    server_.stop();
    slow_->end();
  }

 private:
  /// Tells the watcher that a request is being answered, however that ends.
  class Answered {
   public:
    Answered(detail::SlowConnections& slow, const httplib::Request& request)
        : slow_(slow), request_(request) {
      slow_.arrived(request_.remote_addr, request_.remote_port);
    }
    ~Answered() { slow_.made(request_.remote_addr, request_.remote_port); }
    Answered(const Answered&) = delete;
    Answered& operator=(const Answered&) = delete;

   private:
    detail::SlowConnections& slow_;
    const httplib::Request& request_;
  };

  /// The body is counted here, as it is when it is unpacked: the library's own limit is of what a header says.
  void read_and_answer(const httplib::Request& request, const httplib::ContentReader& reader,
                       httplib::Response& response) {
    slow_->begins_body(request.remote_addr, request.remote_port);
    const auto until = end_of(options_.request_time);
    std::string body;
    bool too_large = request.is_multipart_form_data();  // no JSON: nothing of it is kept
    const auto take = [&](const char* data, std::size_t size) {
      too_large = too_large || size > options_.max_body - body.size();
      if (too_large) {
        std::string().swap(body);  // the rest is read, so that an answer can be given, and dropped
      } else {
        body.append(data, size);
      }
      return std::chrono::steady_clock::now() < until;
    };
    const bool whole = request.is_multipart_form_data()
                           ? reader([](const httplib::MultipartFormData&) { return true; }, take)
                           : reader(take);
    const Answered until_it_ends(*slow_, request);
    if (request.is_multipart_form_data()) {
      put(ScoringApi::failure(400, "the request: found a form of several parts, expected JSON"), response);
    } else if (too_large) {
      put(ScoringApi::failure(413, too_large_sentence()), response);
    } else if (!whole) {
      if (response.status < 400) response.status = 400;
      refuse(request, response);
    } else {
      answer(request, body, response);
    }
    if (!whole) slow_->drop(request.remote_addr, request.remote_port);
  }

  void answer(const httplib::Request& request, const std::string& body, httplib::Response& response) {
    // An answer is whole: the library would cut it as a header Range says, and mark it as if nothing was. The request is
    // no constant where it is made.
    const_cast<httplib::Request&>(request).ranges.clear();
    if (!may_ask(request)) {
      put(ScoringApi::failure(401,
                              "the request has no right key, expected the header Authorization: Bearer KEY"),
          response);
    } else {
      put(api_.answer(request.method == "HEAD" ? "GET" : request.method, request.path, body), response);
    }
  }
  std::string too_large_sentence() const {
    return concat("the request has more than ", options_.max_body, " bytes, which is as many as may be");
  }

  bool may_ask(const httplib::Request& request) const {
    if (options_.api_key.empty() || request.path == "/health") return true;
    const std::string expected = "Bearer " + options_.api_key;
    const std::string found = request.get_header_value("Authorization");
    // In a time that tells nothing of where they differ.
    unsigned differs = expected.size() == found.size() ? 0 : 1;
    for (Index i = 0; i < expected.size(); ++i)
      differs |= static_cast<unsigned char>(expected[i]) ^
                 static_cast<unsigned char>(i < found.size() ? found[i] : 0);
    return differs == 0;
  }

  /// What the HTTP library refused by itself.
  void refuse(const httplib::Request& request, httplib::Response& response) const {
    const int status = response.status;
    put(ScoringApi::failure(
            status, status == 413 ? too_large_sentence()
                    : status == 404
                        ? concat("there is no ", visible(request.method), " of ",
                                 visible(request.path.substr(0, 100)))
                        : concat("the request is no HTTP that is understood here (status ", status, ")")),
        response);
  }

  static void put(const ServeReply& reply, httplib::Response& response) {
    response.status = reply.status;
    if (reply.retry_after > 0)
      response.set_header("Retry-After", std::to_string(static_cast<int>(std::ceil(reply.retry_after))));
    response.set_content(reply.body, reply.content_type);
  }

  ScoringApi& api_;
  HttpOptions options_;
  std::atomic<Index> open_ = 0;  // connections, also those that no thread has taken up
  httplib::Server server_;
  std::atomic<bool> served_ = false;
  std::optional<detail::SlowConnections> slow_;  // once the port is known
};

}  // namespace MERIT_ABI
}  // namespace merit
