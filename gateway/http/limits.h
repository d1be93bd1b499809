// What the transport bounds, and what a connection is charged for.
#pragma once

#include <cstdint>

#include "common/clock.h"
#include "common/config.h"

namespace headroom::gateway::http {

// Of the host budget, as long as a connection lives: its coroutine, its socket, and a head of usual size as bytes and
// as read. tools/bench/http_load.py measures it (docs/memory.md).
inline constexpr int64_t kConnectionBytes = int64_t{8} << 10;
// Bytes of a head that kConnectionBytes covers; a longer one is charged for as it grows, twice.
inline constexpr int64_t kUsualHeadBytes = 2048;

struct Limits {
  explicit Limits(const GatewaySection& config);

  int64_t connections_max;
  int64_t head_bytes_max;
  Duration head_max;    // from the first byte of a head to its last
  Duration body_max;    // from the head to the body's last byte
  Duration idle_max;    // between requests
  Duration unread_max;  // for a client to take one write
  // After this much silence in a stream of events, proxies would take it for dead: a comment goes out.
  Duration ping_after = std::chrono::seconds(15);
};

}  // namespace headroom::gateway::http
