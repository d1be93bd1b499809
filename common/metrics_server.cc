#include "common/metrics_server.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <list>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/listener.h"
#include "common/status.h"

namespace headroom {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

// A scraper that stops in the middle of its request, or of reading its answer, holds a connection for so long only.
constexpr std::chrono::seconds kExchangeMax(5);
constexpr std::chrono::minutes kIdleMax(2);
constexpr std::chrono::milliseconds kAcceptPause(100);
constexpr size_t kConnectionsMax = 64;  // beyond them, the oldest one goes
constexpr size_t kHeaderBytesMax = 8192;

// As an operation ends: its error in `error`.
auto Into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

http::message_generator AnswerTo(const http::request<http::empty_body>& request, const std::string& text) {
  const bool head = request.method() == http::verb::head;
  const bool known = request.target() == "/metrics";
  const bool allowed = head || request.method() == http::verb::get;
  http::response<http::string_body> response(!known    ? http::status::not_found
                                             : allowed ? http::status::ok
                                                       : http::status::method_not_allowed,
                                             request.version());
  response.keep_alive(request.keep_alive());
  response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
  if (!allowed) response.set(http::field::allow, "GET, HEAD");
  if (known && allowed) response.body() = text;
  response.prepare_payload();
  if (!head) return response;
  // The length of what GET would bring, and nothing of it.
  http::response<http::empty_body> headers(std::move(response.base()));
  return headers;
}

}  // namespace

class MetricsServer::Impl {
 public:
  explicit Impl(std::function<std::string()> render) : render_(std::move(render)) {}
  ~Impl() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  absl::Status Bind(const HostPort& address) {
    HEADROOM_ASSIGN_OR_RETURN(Listener listener, Listener::Open(address));
    port_ = listener.port();
    acceptor_.assign(listener.ipv6() ? tcp::v6() : tcp::v4(), listener.Release());
    return absl::OkStatus();
  }

  void Run() {
    asio::co_spawn(context_, Accept(), asio::detached);
    thread_ = std::thread([this] { context_.run(); });
  }

  int port() const { return port_; }

 private:
  using Connections = std::list<beast::tcp_stream>;

  asio::awaitable<void> Accept() {
    while (true) {
      error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(Into(error));
      if (error) {  // no descriptor is left: give others the time to close theirs
        co_await asio::steady_timer(context_, kAcceptPause).async_wait(Into(error));
        continue;
      }
      if (connections_.size() >= kConnectionsMax) connections_.front().close();
      connections_.emplace_back(std::move(socket));
      asio::co_spawn(context_, Serve(std::prev(connections_.end())), asio::detached);
    }
  }

  asio::awaitable<void> Serve(Connections::iterator connection) {
    beast::tcp_stream& stream = *connection;
    beast::flat_buffer buffer(kHeaderBytesMax);
    error_code error;
    for (bool more = true, first = true; more && !error; first = false) {
      stream.expires_after(first ? std::chrono::seconds(kExchangeMax) : std::chrono::seconds(kIdleMax));
      http::request_parser<http::empty_body> parser;
      parser.header_limit(kHeaderBytesMax);
      co_await http::async_read(stream, buffer, parser, Into(error));
      if (error) break;
      stream.expires_after(kExchangeMax);
      http::message_generator answer = AnswerTo(parser.get(), render_());
      more = answer.keep_alive();
      co_await beast::async_write(stream, std::move(answer), Into(error));
    }
    stream.socket().shutdown(tcp::socket::shutdown_send, error);
    connections_.erase(connection);
  }

  const std::function<std::string()> render_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_{context_};
  Connections connections_;  // used on the thread alone
  int port_ = 0;
  std::thread thread_;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& listen,
                                                                    std::function<std::string()> render) {
  const absl::StatusOr<HostPort> address = SplitAddress(listen);
  if (!address.ok()) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics on ", listen, ": wanted ", address.status().message()));
  }
  auto impl = std::make_unique<Impl>(std::move(render));
  if (const absl::Status bound = impl->Bind(*address); !bound.ok()) {
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", listen, ": ", bound.message()));
  }
  impl->Run();
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

int MetricsServer::port() const { return impl_->port(); }

}  // namespace headroom
