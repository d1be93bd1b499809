#include "gateway/http/http_metrics.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace headroom::gateway::http {
namespace {

constexpr char kOther[] = "other";

// As in the catalogue (common/metric_catalogue.cc).
constexpr int kStatuses[] = {200, 204, 400, 401, 403, 404, 405, 408, 413, 415,
                             417, 421, 422, 429, 431, 499, 500, 501, 503, 504};

constexpr std::pair<ConnectionEnd, const char*> kEnds[] = {
    {ConnectionEnd::kDone, "done"},
    {ConnectionEnd::kLeft, "left"},
    {ConnectionEnd::kIdle, "idle"},
    {ConnectionEnd::kSlowHead, "slow_head"},
    {ConnectionEnd::kSlowBody, "slow_body"},
    {ConnectionEnd::kUnread, "unread"},
    {ConnectionEnd::kCut, "cut"},
    {ConnectionEnd::kMadeRoom, "made_room"},
    {ConnectionEnd::kTurnedAway, "turned_away"},
    {ConnectionEnd::kDrained, "drained"},
};

}  // namespace

HttpMetrics::HttpMetrics(Metrics& metrics)
    : connections(metrics.AddGauge("headroom_gateway_http_connections")),
      open_requests(metrics.AddGauge("headroom_gateway_http_open_requests")),
      received_bytes(metrics.AddCounter("headroom_gateway_http_received_bytes_total")),
      sent_bytes(metrics.AddCounter("headroom_gateway_http_sent_bytes_total")),
      metrics_(metrics) {
  for (const auto& [end, name] : kEnds) {
    ends_.emplace(end, metrics.AddCounter("headroom_gateway_http_connections_ended_total", {{"cause", name}}));
  }
}

void HttpMetrics::Answered(std::string_view route, int status) {
  const bool known = std::find(std::begin(kStatuses), std::end(kStatuses), status) != std::end(kStatuses);
  // The same name and labels are the same metric: made when they first count, since most pairs never do.
  metrics_
      .AddCounter("headroom_gateway_http_requests_total", {{"route", route.empty() ? kOther : std::string(route)},
                                                           {"status", known ? absl::StrCat(status) : kOther}})
      .Increment();
}

void HttpMetrics::Ended(ConnectionEnd end) { ends_.at(end).Increment(); }

}  // namespace headroom::gateway::http
