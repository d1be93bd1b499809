#include "gateway/http/limits.h"

namespace headroom::gateway::http {

using std::chrono::milliseconds;

Limits::Limits(const GatewaySection& config)
    : connections_max(config.http.connections_max),
      head_bytes_max(config.http.head_bytes_max),
      head_max(milliseconds(config.http.head_ms_max)),
      body_max(milliseconds(config.http.body_ms_max)),
      idle_max(milliseconds(config.http.idle_ms_max)),
      unread_max(milliseconds(config.unread_ms_max)) {}

}  // namespace headroom::gateway::http
