// The HTTP server of one process's metrics, on a thread of its own. Knows nothing of what it serves.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/status.h"

namespace headroom {

class MetricsServer {
 public:
  // Answers GET and HEAD of /metrics on `listen` (common/address.h; port 0 takes a free one; [::] is every address of
  // both families) with what `render` returns, which is called on the server's thread, one call at a time.
  // UNAVAILABLE when it cannot bind, with the reason.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& listen,
                                                              std::function<std::string()> render);
  // Waits for a call of `render` that runs.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  int port() const;

 private:
  class Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace headroom
