// What the HTTP transport counts.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/metrics.h"

namespace headroom::gateway::http {

// Why a connection ended.
enum class ConnectionEnd : uint8_t {
  kDone,        // an answer that said so: the client's wish, a refusal, HTTP/1.0
  kLeft,        // the client closed it
  kIdle,        // idle_max
  kSlowHead,    // head_max
  kSlowBody,    // body_max
  kUnread,      // unread_max
  kCut,         // by the handler: an answer that failed in the middle
  kMadeRoom,    // idle for longest when another one came
  kTurnedAway,  // came when there was no room
  kDrained,     // the server stops
};

// Thread-safe.
class HttpMetrics {
 public:
  explicit HttpMetrics(Metrics& metrics);

  // `route`: of a route's path; empty: none. Statuses that the catalogue does not name count as "other".
  void Answered(std::string_view route, int status);
  void Ended(ConnectionEnd end);

  Gauge connections, open_requests;
  Counter received_bytes, sent_bytes;

 private:
  Metrics& metrics_;
  std::map<ConnectionEnd, Counter> ends_;
};

}  // namespace headroom::gateway::http
