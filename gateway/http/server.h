// The HTTP/1.1 server of the gateway: a port, a few threads, and the connections on them. Knows no path but those of
// health; what requests mean is the handler's (gateway/http/exchange.h).
//
// Every connection belongs to one thread, which reads, writes and waits for all of its connections at once: thousands
// that wait cost memory alone. What each may hold is charged to the host budget (gateway/http/limits.h).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/clock.h"
#include "common/config.h"
#include "common/metrics.h"
#include "gateway/host_budget.h"
#include "gateway/http/exchange.h"

namespace headroom::gateway::http {

class Server {
 public:
  // All of it outlives the server, and the handler whatever it is asked for. `ready`: whether the cluster takes
  // requests, for /health and /ready; called on the server's threads.
  struct Parts {
    const GatewaySection& config;
    Handler& handler;
    RequestRunner& runner;
    HostBudget& host_budget;
    Metrics& metrics;
    std::function<absl::Status()> ready;
    Duration ping_after = std::chrono::seconds(15);  // silence in a stream of events; for tests
  };
  // Serves on config.http.listen. INVALID_ARGUMENT, UNAVAILABLE when that cannot be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Parts& parts);
  // Stop(0).
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // host:port with the real port.
  const std::string& address() const;

  // Takes no more connections, ends idle ones, and the others with the answer they wait for, at the latest after
  // `patience`. Idempotent.
  void Stop(Duration patience);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace headroom::gateway::http
