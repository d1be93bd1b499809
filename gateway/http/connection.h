// One client's connection: reads requests one after the other, hands them on, and writes what comes back.
#pragma once

#include <atomic>
#include <memory>

#include "gateway/host_budget.h"
#include "gateway/http/door.h"
#include "gateway/http/http_metrics.h"
#include "gateway/http/limits.h"

namespace boost::asio {
class io_context;
}

namespace headroom::gateway::http {

// What the connections of a server have in common. Outlives them.
struct Surroundings {
  const Door& door;
  Handler& handler;
  const Limits limits;
  HostBudget& budget;
  HttpMetrics& metrics;
  std::atomic<bool> draining = false;
};

// Used on the thread of its io_context alone.
class Connection {
 public:
  virtual ~Connection() = default;

  // Begins to read, until the client, a limit or Close() ends it.
  virtual void Start() = 0;
  // Ends now if no request is open, else after that.
  virtual void Drain() = 0;
  // Ends now, whatever is open.
  virtual void Close(ConnectionEnd end) = 0;
};

// Who keeps the connections of one thread.
class ConnectionKeeper {
 public:
  virtual ~ConnectionKeeper() = default;

  // No request is open on it: it may be let go of to make room.
  virtual void Idle(Connection& connection) = 0;
  virtual void Busy(Connection& connection) = 0;
  // Its last word.
  virtual void Ended(Connection& connection) = 0;
};

// `socket`: an open descriptor of TCP over IPv6 or IPv4, which the connection owns from now on. `bytes`: what it is
// charged for, kConnectionBytes.
std::shared_ptr<Connection> MakeConnection(boost::asio::io_context& context, int socket, bool ipv6,
                                           Surroundings& surroundings, ConnectionKeeper& keeper,
                                           HostBudget::Share bytes);

}  // namespace headroom::gateway::http
