#include "common/metrics_server.h"

#include <CivetServer.h>
#include <netdb.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace headroom {
namespace {

constexpr std::chrono::milliseconds kKnockPeriod(5);

// prometheus-cpp answers GET only, and civetweb everything else with 404. HEAD gets the headers of GET without
// Content-Length, which only a scrape could tell (RFC 9110, 9.3.2). 0: not ours, civetweb goes on.
int AnswerHead(mg_connection* connection) {
  const mg_request_info* request = mg_get_request_info(connection);
  if (strcmp(request->request_method, "HEAD") != 0 || strcmp(request->local_uri, "/metrics") != 0) return 0;
  mg_printf(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n");
  return 200;
}

// Connects and leaves again. `host`: as in "HOST:PORT", an IPv6 one in brackets.
void Knock(std::string host, int port) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return;
  const int connection = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (connection >= 0) {
    // The attempt is all that matters.
    [[maybe_unused]] const int connected = connect(connection, found->ai_addr, found->ai_addrlen);
    close(connection);
  }
  freeaddrinfo(found);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& listen) {
  CivetCallbacks callbacks;
  callbacks.begin_request = AnswerHead;
  try {
    // A scraper that stops in the middle of its request holds a thread for so long only.
    auto exposer = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", listen, "num_threads", "4", "request_timeout_ms", "1000"},
        &callbacks);
    return std::unique_ptr<MetricsServer>(new MetricsServer(listen.substr(0, listen.rfind(':')), std::move(exposer)));
  } catch (const std::exception&) {
    return absl::UnavailableError("cannot serve metrics on " + listen + ": address in use or not valid");
  }
}

MetricsServer::MetricsServer(std::string host, std::unique_ptr<prometheus::Exposer> exposer)
    : host_(std::move(host)), exposer_(std::move(exposer)) {}

// Civetweb's listener looks whether it shall stop when a connection comes, and else every 2 s: so one comes.
MetricsServer::~MetricsServer() {
  const std::jthread knocking([host = host_, port = port()](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      Knock(host, port);
      std::this_thread::sleep_for(kKnockPeriod);
    }
  });
  exposer_.reset();
}

void MetricsServer::Show(const std::weak_ptr<prometheus::Collectable>& collectable) {
  exposer_->RegisterCollectable(collectable);
}

int MetricsServer::port() const {
  const std::vector<int> ports = exposer_->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

}  // namespace headroom
