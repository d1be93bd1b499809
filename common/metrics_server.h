// The HTTP server of one process's metrics: prometheus-cpp's exposer on civetweb, with what the two lack. Knows nothing
// of what it serves.
#pragma once

#include <memory>
#include <string>

#include "common/status.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace headroom {

// Thread-safe after Start.
class MetricsServer {
 public:
  // Answers GET and HEAD of /metrics on `listen` (host:port, port 0 takes a free one). UNAVAILABLE when it cannot bind.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& listen);
  ~MetricsServer();

  // Shown from here on for as long as it lives.
  void Show(const std::weak_ptr<prometheus::Collectable>& collectable);
  int port() const;

 private:
  MetricsServer(std::string host, std::unique_ptr<prometheus::Exposer> exposer);

  const std::string host_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace headroom
