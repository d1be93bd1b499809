#include "gateway/http/door.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gateway/http/text.h"

namespace headroom::gateway::http {
namespace {

// /live: the process answers. /ready and /health: requests would be taken.
constexpr const char* kLive = "/live";
constexpr const char* kReady[] = {"/ready", "/health"};

std::vector<Route> WithHealth(std::vector<Route> routes) {
  routes.push_back({.method = "GET", .path = kLive});
  for (const char* path : kReady) routes.push_back({.method = "GET", .path = path});
  return routes;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (!absl::ascii_iscntrl(static_cast<unsigned char>(c))) quoted += c;
  }
  return quoted + "\"";
}

Answer HealthAnswer(int status, std::string_view state, std::string_view why) {
  std::string body = absl::StrCat("{\"status\":", Quoted(state));
  if (!why.empty()) absl::StrAppend(&body, ",\"reason\":", Quoted(why));
  return {status, {{"content-type", "application/json"}, {"cache-control", "no-store"}}, body + "}\n"};
}

// What a client sent, for the text that it gets back: its bytes may be of any kind and number.
std::string Shown(std::string_view given) {
  constexpr size_t kShownMax = 100;
  std::string shown(given.substr(0, kShownMax));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); }, '?');
  return shown;
}

// "application/json; charset=utf-8" without what follows the type.
std::string_view MediaType(std::string_view value) { return Trimmed(value.substr(0, value.find(';'))); }

}  // namespace

Door::Door(OriginRules origins, Handler& handler, RequestRunner& runner, std::function<absl::Status()> ready)
    : origins_(std::move(origins)),
      handler_(handler),
      runner_(runner),
      ready_(std::move(ready)),
      routes_(WithHealth(handler.Routes())) {}

Door::Decision Door::Decide(const Head& head) const {
  if (auto answer = Stranger(head)) return {.answer = std::move(answer)};
  if (auto answer = Preflight(head)) return {.answer = std::move(answer)};
  const Request& request = head.request;
  const RouteTable::Found found = routes_.Find(request.method, request.path);
  if (found.route == nullptr && found.allow.empty()) {
    return {.answer = handler_.Refusal(404, absl::StrCat("nothing is served under ", Shown(request.path)))};
  }
  if (found.route == nullptr) {
    Answer refusal = handler_.Refusal(
        405, absl::StrCat(Shown(request.path), " does not take ", Shown(request.method), "; it takes ", found.allow));
    refusal.headers.emplace_back("allow", found.allow);
    return {.answer = std::move(refusal)};
  }
  const Route& route = *found.route;
  if (auto answer = UnreadableBody(head, route)) return {.route = &route, .answer = std::move(answer)};
  if (auto answer = Health(route)) return {.route = &route, .answer = std::move(answer)};
  if (route.body_bytes_max == 0) return {.route = &route};
  const auto body_bytes = static_cast<int64_t>(head.content_length.value_or(0));
  auto place = runner_.Enter(body_bytes * route.bytes_per_body_byte);
  if (!place.ok()) return {.route = &route, .answer = handler_.Refusal(place.status())};
  return {.route = &route, .place = *std::move(place)};
}

// Who reaches this server by a name that is not its own, or from a page of somebody else.
std::optional<Answer> Door::Stranger(const Head& head) const {
  if (!origins_.HostAllowed(head.host)) {
    return handler_.Refusal(421, "this server is not known by the name in Host (gateway.http_hosts)");
  }
  const auto origin = head.request.Header("origin");
  if (origin && !origins_.OriginAllowed(*origin, head.host)) {
    return handler_.Refusal(403, "pages of this origin may not ask this server (gateway.http_origins)");
  }
  return std::nullopt;
}

// A browser asks before it sends what a form could not send.
std::optional<Answer> Door::Preflight(const Head& head) const {
  const Request& request = head.request;
  const auto method = request.Header("access-control-request-method");
  if (request.method != "OPTIONS" || !method || OriginHeaders(head).empty()) return std::nullopt;
  Answer answer;
  answer.status = 204;
  answer.headers.emplace_back("access-control-allow-methods", *method);
  if (const auto headers = request.Header("access-control-request-headers")) {
    answer.headers.emplace_back("access-control-allow-headers", *headers);
  }
  answer.headers.emplace_back("access-control-max-age", "600");
  return answer;
}

Headers Door::OriginHeaders(const Head& head) const {
  const auto origin = head.request.Header("origin");
  if (!origin || !origins_.Listed(*origin)) return {};
  return {{"access-control-allow-origin", std::string(*origin)},
          {"access-control-expose-headers", "x-request-id, x-should-retry, retry-after, retry-after-ms"},
          {"vary", "origin"}};
}

std::optional<Answer> Door::UnreadableBody(const Head& head, const Route& route) const {
  const uint64_t length = head.content_length.value_or(0);
  if (length == 0 && !head.chunked) return std::nullopt;
  if (route.body_bytes_max == 0) return handler_.Refusal(400, absl::StrCat(route.path, " takes no body"));
  const auto encoding = head.request.Header("content-encoding");
  if (encoding && !SameWord(*encoding, "identity")) {
    return handler_.Refusal(415, "the body is compressed (content-encoding); send it as it is");
  }
  const std::string_view given = MediaType(head.request.Header("content-type").value_or(""));
  if (!SameWord(given, route.media_type)) {
    return handler_.Refusal(415, absl::StrCat("content-type must be ", route.media_type,
                                              given.empty() ? "; there is none" : "; it is ", Shown(given)));
  }
  if (length > static_cast<uint64_t>(route.body_bytes_max)) {
    return handler_.Refusal(413, absl::StrCat("the body has ", length, " bytes; the limit of ", route.path, " is ",
                                              route.body_bytes_max, " (gateway.http_body_bytes_max)"));
  }
  return std::nullopt;
}

std::optional<Answer> Door::Health(const Route& route) const {
  if (route.path == kLive) return HealthAnswer(200, "live", "");
  for (const char* path : kReady) {
    if (route.path != path) continue;
    if (runner_.draining()) return HealthAnswer(503, "draining", "");
    const absl::Status ready = ready_();
    return ready.ok() ? HealthAnswer(200, "ready", "") : HealthAnswer(503, "not ready", std::string(ready.message()));
  }
  return std::nullopt;
}

}  // namespace headroom::gateway::http
