#include "gateway/http/client_socket.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace headroom::gateway::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kSmallReadBytes = 2048;
constexpr size_t kLingerReadBytes = size_t{16} << 10;
// What the kernel may hold of an answer that its client does not read.
constexpr int kSendBufferBytes = 64 << 10;
constexpr std::chrono::seconds kLingerMax(2);

// As an operation ends: its error in `error`.
auto Into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

}  // namespace

ClientSocket::ClientSocket(asio::io_context& context, int descriptor, bool ipv6, HttpMetrics& metrics)
    : context_(context),
      socket_(context, ipv6 ? tcp::v6() : tcp::v4(), descriptor),
      deadline_(context),
      signal_(context),
      metrics_(metrics) {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ignored);
}

// The timer is only moved forward: most deadlines are replaced by later ones long before they come.
void ClientSocket::Expire(Duration time) {
  timed_out_ = false;
  deadline_at_ = time == Duration::max() ? TimePoint::max() : std::chrono::steady_clock::now() + time;
  if (deadline_at_ < armed_at_) Arm();
}

void ClientSocket::Arm() {
  armed_at_ = deadline_at_;
  deadline_.expires_at(armed_at_);
  deadline_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (!error && self != nullptr) self->Ring();
  });
}

void ClientSocket::Ring() {
  armed_at_ = TimePoint::max();
  if (deadline_at_ == TimePoint::max()) return;
  if (std::chrono::steady_clock::now() < deadline_at_) return Arm();
  timed_out_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

Async<bool> ClientSocket::Readable() {
  if (broken_) co_return false;
  error_code error;
  co_await socket_.async_wait(tcp::socket::wait_read, Into(error));
  co_return !error;
}

Async<size_t> ClientSocket::Read(char* bytes, size_t room) {
  if (timed_out_ || broken_) co_return 0;
  error_code error;
  const size_t got = co_await socket_.async_read_some(asio::buffer(bytes, room), Into(error));
  metrics_.received_bytes.Increment(static_cast<double>(got));
  if (error && !timed_out_) left_ = true;
  co_return got;
}

Async<bool> ClientSocket::ReadInput(size_t room) {
  const size_t held = input_.size();
  input_.resize(held + room);
  const size_t got = co_await Read(input_.data() + held, room);
  input_.resize(held + got);
  co_return got > 0;
}

Async<bool> ClientSocket::Write(std::vector<std::string> parts) {
  if (timed_out_ || broken_) co_return false;
  std::vector<asio::const_buffer> buffers;
  buffers.reserve(parts.size());
  for (const std::string& part : parts) buffers.emplace_back(part.data(), part.size());
  error_code error;
  const size_t sent = co_await asio::async_write(socket_, buffers, Into(error));
  metrics_.sent_bytes.Increment(static_cast<double>(sent));
  if (error && !timed_out_) left_ = true;
  if (error) broken_ = true;
  co_return !error;
}

void ClientSocket::Watch(size_t input_max) {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this(), input_max, watch = watch_](error_code error) {
    if (!error && watch == self->watch_) self->SeeClient(input_max);
  });
}

void ClientSocket::SeeClient(size_t input_max) {
  const size_t held = input_.size();
  // It has sent more than belongs here: what comes after that shows when it is read.
  if (held >= input_max) return;
  input_.resize(held + std::min(kSmallReadBytes, input_max - held));
  error_code error;
  const size_t got = socket_.read_some(asio::buffer(input_.data() + held, input_.size() - held), error);
  input_.resize(held + got);
  metrics_.received_bytes.Increment(static_cast<double>(got));
  if (!error || error == asio::error::would_block) return Watch(input_max);
  left_ = true;
  signal_.cancel();
}

void ClientSocket::EndWatch() {
  ++watch_;
  error_code ignored;
  socket_.cancel(ignored);
}

Async<bool> ClientSocket::Signal(Duration time) {
  if (time == Duration::max()) {
    signal_.expires_at(TimePoint::max());
  } else {
    signal_.expires_after(time);
  }
  error_code error;
  co_await signal_.async_wait(Into(error));
  co_return !error;
}

void ClientSocket::Wake() {
  asio::post(context_, [self = shared_from_this()] { self->signal_.cancel(); });
}

void ClientSocket::Break() {
  broken_ = true;
  error_code ignored;
  socket_.cancel(ignored);
  signal_.cancel();
}

Async<void> ClientSocket::Linger() {
  if (broken_ || left_) co_return;
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  Expire(kLingerMax);
  std::string unread(kLingerReadBytes, '\0');
  size_t got = 1;
  while (got > 0) got = co_await Read(unread.data(), unread.size());
}

void ClientSocket::Close() {
  deadline_.cancel();
  signal_.cancel();
  error_code ignored;
  if (broken_) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

}  // namespace headroom::gateway::http
