// One gRPC server with what every service of ours needs: bounds on message size, memory and streams, the standard
// health service, reflection as a switch, and shutdown with a deadline. The health service knows two names: "" follows
// SetServing; kHealthLive serves as long as the server answers at all, whatever its peers do.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/support/config.h>

#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/status.h"

namespace grpc {
class Service;
}

namespace headroom::rpc {

inline constexpr char kHealthLive[] = "live";

// Of a server whose callers are trusted. All calls of one gateway share a connection: one above the limit would wait,
// with every later one, until another ends, and those of requests that wait for room end only when others get through.
inline constexpr int kTrustedCallsMax = 1 << 17;

struct ServerHostOptions {
  std::string listen;                             // host:port, port 0 takes a free one; empty: in-process calls only
  int64_t receive_bytes_max = int64_t{4} << 20;   // one message
  int64_t memory_bytes_max = int64_t{256} << 20;  // gRPC's own buffers (ResourceQuota)
  int calls_max = 1024;                           // at once, of one connection
  bool reflection = false;                        // also for servers of this process that start later
  Metrics* metrics = nullptr;                     // counts calls there; outlives the server
};

// Start and Shutdown are called from one thread; the rest is thread-safe after Start.
class ServerHost {
 public:
  explicit ServerHost(ServerHostOptions options) : options_(std::move(options)) {}
  ~ServerHost();
  ServerHost(const ServerHost&) = delete;
  ServerHost& operator=(const ServerHost&) = delete;

  // `services` must outlive this object. UNAVAILABLE when the address cannot be bound;
  // FAILED_PRECONDITION when reflection is wanted and not installed.
  absl::Status Start(const std::vector<grpc::Service*>& services);

  // host:port with the real port; empty without a port.
  const std::string& address() const { return address_; }
  grpc::Server* server() { return server_.get(); }

  // What the health service answers for the whole server ("") from now on. NOT_SERVING after Start until told
  // otherwise.
  void SetServing(bool serving);

  // Refuses new calls, waits for running ones until the deadline, then cancels them. Idempotent.
  void Shutdown(Duration deadline);

 private:
  ServerHostOptions options_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace headroom::rpc
