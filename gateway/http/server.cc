#include "gateway/http/server.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/listener.h"
#include "common/log.h"
#include "gateway/http/answer_head.h"
#include "gateway/http/connection.h"
#include "gateway/own_refusals.h"

namespace headroom::gateway::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kAcceptPause(100);
// Descriptors for all else: gRPC, models, logs.
constexpr int64_t kOtherDescriptors = 512;
constexpr int64_t kConnectionsMin = 16;

// Requests are small work here, and bytes of bodies what takes time: a quarter of the machine.
int ThreadCount() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 4, 1, 8); }

// What is wanted, or as many as the process may have descriptors for.
int64_t ConnectionsMax(int64_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const auto needed = static_cast<rlim_t>(wanted + kOtherDescriptors);
  if (limit.rlim_cur < needed && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = std::min(needed, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= needed) return wanted;
  const int64_t possible = std::max(static_cast<int64_t>(limit.rlim_cur) - kOtherDescriptors, kConnectionsMin);
  Log(LogLevel::kWarning, "gateway",
      "fewer HTTP connections than http_connections_max: descriptors are limited (ulimit -n)")
      .With("wanted", wanted)
      .With("connections_max", possible);
  return possible;
}

// An accepted socket on its way to its thread.
class Arrived {
 public:
  explicit Arrived(int descriptor) : descriptor_(descriptor) {}
  Arrived(Arrived&& other) noexcept : descriptor_(other.Release()) {}
  Arrived& operator=(Arrived&&) = delete;
  ~Arrived() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  int get() const { return descriptor_; }
  int Release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

// How many connections there are, on whatever thread.
class Census {
 public:
  explicit Census(Gauge gauge) : gauge_(gauge) {}

  void Add(int by) {
    gauge_.Add(by);
    std::lock_guard lock(mutex_);
    count_ += by;
    if (count_ == 0) none_.notify_all();
  }
  void WaitForNone(Duration patience) {
    std::unique_lock lock(mutex_);
    none_.wait_for(lock, patience, [this] { return count_ == 0; });
  }
  void WaitForNone() {
    std::unique_lock lock(mutex_);
    none_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  Gauge gauge_;
  std::mutex mutex_;
  std::condition_variable none_;
  int64_t count_ = 0;
};

// A thread and its connections. All but Start(), Do() and Join() happens on the thread.
class Loop : public ConnectionKeeper {
 public:
  Loop(Surroundings& surroundings, Census& census, int64_t connections_max)
      : around_(surroundings), census_(census), connections_max_(connections_max) {}

  void Start() {
    thread_ = std::thread([this] { context_.run(); });
  }
  void Do(std::function<void()> what) { asio::post(context_, std::move(what)); }
  // Nothing is left to do.
  void Join() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }
  asio::io_context& context() { return context_; }

  void Admit(Arrived arrived, bool ipv6) {
    if (around_.draining) return;
    if (static_cast<int64_t>(connections_.size()) >= connections_max_ && !MakeRoom()) {
      return TurnAway(std::move(arrived),
                      OwnRefusal(RefusalReason::kGatewayFull,
                                 absl::StrCat("the gateway has ", around_.limits.connections_max,
                                              " HTTP connections, its limit (http_connections_max)"),
                                 {}, std::chrono::seconds(1)));
    }
    auto bytes = around_.budget.Take(kConnectionBytes);
    if (!bytes.ok()) {
      MakeRoom();  // for the next one
      return TurnAway(std::move(arrived), bytes.status());
    }
    const auto connection = MakeConnection(context_, arrived.Release(), ipv6, around_, *this, *std::move(bytes));
    connections_.emplace(connection.get(), Kept{connection, idle_.end()});
    census_.Add(1);
    connection->Start();
  }

  void DrainAll() {
    for (auto& connection : Held()) connection->Drain();
  }
  void CloseAll() {
    for (auto& connection : Held()) connection->Close(ConnectionEnd::kDrained);
  }

  void Idle(Connection& connection) override {
    Kept& kept = connections_.at(&connection);
    kept.idle = idle_.insert(idle_.end(), &connection);
  }
  void Busy(Connection& connection) override {
    Kept& kept = connections_.at(&connection);
    if (kept.idle != idle_.end()) idle_.erase(kept.idle);
    kept.idle = idle_.end();
  }
  void Ended(Connection& connection) override {
    Busy(connection);
    connections_.erase(&connection);
    census_.Add(-1);
  }

 private:
  struct Kept {
    std::shared_ptr<Connection> connection;
    std::list<Connection*>::iterator idle;  // its place there, or the end
  };

  std::vector<std::shared_ptr<Connection>> Held() const {
    std::vector<std::shared_ptr<Connection>> held;
    held.reserve(connections_.size());
    for (const auto& [_, kept] : connections_) held.push_back(kept.connection);
    return held;
  }

  // Lets go of the connection that has been idle for longest. False: none is.
  bool MakeRoom() {
    if (idle_.empty()) return false;
    Connection& oldest = *idle_.front();
    Busy(oldest);
    oldest.Close(ConnectionEnd::kMadeRoom);
    return true;
  }

  // With as much of an answer as can be given without waiting.
  void TurnAway(Arrived arrived, const absl::Status& refused) {
    const Answer answer = around_.handler.Refusal(refused);
    const std::string bytes =
        AnswerHead(answer.status, answer.headers, {.close = true, .body_bytes = answer.body.size()}) + answer.body;
    std::string asked(4096, '\0');
    // A socket that is closed with unread bytes resets the connection, and takes the answer with it.
    recv(arrived.get(), asked.data(), asked.size(), MSG_DONTWAIT);
    send(arrived.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    around_.metrics.Answered("", answer.status);
    around_.metrics.Ended(ConnectionEnd::kTurnedAway);
  }

  Surroundings& around_;
  Census& census_;
  const int64_t connections_max_;
  asio::io_context context_{1};
  // Held for: run(), which would return when no connection is open.
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(context_);
  std::unordered_map<Connection*, Kept> connections_;
  std::list<Connection*> idle_;  // longest first
  std::thread thread_;
};

OriginRules RulesOf(const GatewaySection& config, const std::string& host) {
  OriginRules rules{.hosts = SplitList(config.http.hosts), .origins = SplitList(config.http.origins)};
  rules.check_host = IsLoopback(host) || !rules.hosts.empty();
  return rules;
}

Limits LimitsOf(const Server::Parts& parts) {
  Limits limits(parts.config);
  limits.ping_after = parts.ping_after;
  return limits;
}

}  // namespace

class Server::Impl {
 public:
  Impl(Parts parts, const std::string& host)
      : metrics_(parts.metrics),
        door_(RulesOf(parts.config, host), parts.handler, parts.runner, std::move(parts.ready)),
        around_{door_, parts.handler, LimitsOf(parts), parts.host_budget, metrics_},
        census_(metrics_.connections) {
    const int64_t connections_max = ConnectionsMax(around_.limits.connections_max);
    const int threads = static_cast<int>(std::min<int64_t>(ThreadCount(), connections_max));
    for (int i = 0; i < threads; ++i) {
      loops_.push_back(std::make_unique<Loop>(around_, census_, connections_max / threads));
    }
    acceptor_.emplace(loops_.front()->context());
  }
  ~Impl() { Stop(Duration::zero()); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  absl::Status Bind(const HostPort& address) {
    HEADROOM_ASSIGN_OR_RETURN(Listener listener, Listener::Open(address));
    HEADROOM_ASSIGN_OR_RETURN(address_, NormalAddress(absl::StrCat("[", address.host, "]:", listener.port())));
    ipv6_ = listener.ipv6();
    acceptor_->assign(ipv6_ ? tcp::v6() : tcp::v4(), listener.Release());
    return absl::OkStatus();
  }

  void Run() {
    asio::co_spawn(loops_.front()->context(), Accept(), asio::detached);
    for (const auto& loop : loops_) loop->Start();
  }

  void Stop(Duration patience) {
    if (around_.draining.exchange(true)) return;
    loops_.front()->Do([this] {
      error_code ignored;
      acceptor_->close(ignored);
    });
    for (const auto& loop : loops_) loop->Do([&loop] { loop->DrainAll(); });
    census_.WaitForNone(patience);
    for (const auto& loop : loops_) loop->Do([&loop] { loop->CloseAll(); });
    census_.WaitForNone();
    for (const auto& loop : loops_) loop->Join();
  }

  const std::string& address() const { return address_; }

 private:
  asio::awaitable<void> Accept() {
    size_t next = 0;
    while (!around_.draining) {
      error_code error;
      tcp::socket socket = co_await acceptor_->async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // no descriptor is left: give others the time to close theirs
        asio::steady_timer pause(loops_.front()->context(), kAcceptPause);
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      Loop& loop = *loops_[next];
      next = (next + 1) % loops_.size();
      auto arrived = std::make_shared<Arrived>(socket.release(error));
      loop.Do([this, &loop, arrived] { loop.Admit(std::move(*arrived), ipv6_); });
    }
  }

  HttpMetrics metrics_;
  const Door door_;
  Surroundings around_;
  Census census_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::optional<tcp::acceptor> acceptor_;  // of the first loop
  std::string address_;
  bool ipv6_ = false;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Parts& parts) {
  const std::string& listen = parts.config.http.listen;
  const absl::StatusOr<HostPort> address = SplitAddress(listen);
  if (!address.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("gateway.http_listen: wanted ", address.status().message()));
  }
  auto impl = std::make_unique<Impl>(parts, address->host);
  if (const absl::Status bound = impl->Bind(*address); !bound.ok()) {
    return absl::UnavailableError(absl::StrCat("cannot serve HTTP on ", listen, ": ", bound.message()));
  }
  impl->Run();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

const std::string& Server::address() const { return impl_->address(); }

void Server::Stop(Duration patience) { impl_->Stop(patience); }

}  // namespace headroom::gateway::http
