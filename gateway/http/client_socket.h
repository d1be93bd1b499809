// The socket of one client with its deadlines, for the coroutines of its connection. Included by connection.cc alone:
// Asio's headers take seconds to compile.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "gateway/http/http_metrics.h"

namespace headroom::gateway::http {

template <typename T>
using Async = boost::asio::awaitable<T>;

// Used on the thread of its io_context, but for Wake().
class ClientSocket : public std::enable_shared_from_this<ClientSocket> {
 public:
  // `descriptor`: of an open socket, owned from now on.
  ClientSocket(boost::asio::io_context& context, int descriptor, bool ipv6, HttpMetrics& metrics);

  // What is waited for may take so long from now on, Duration::max() for ever. Begins a new account: timed_out() is
  // false again.
  void Expire(Duration time);
  bool timed_out() const { return timed_out_; }
  // The client has closed its side, or the connection broke.
  bool left() const { return left_; }
  bool broken() const { return broken_; }

  // What has come and was not taken yet.
  std::string& input() { return input_; }

  // Each is false or 0 when nothing comes, or can be written, any more: left(), timed_out() and broken() say why.
  Async<bool> Readable();
  Async<size_t> Read(char* bytes, size_t room);
  Async<bool> ReadInput(size_t room);  // appends to input()
  Async<bool> Write(std::vector<std::string> parts);

  // While others work for the client: sees it leave, which wakes, and keeps what it sends, up to `input_max` bytes of
  // input(). Until EndWatch().
  void Watch(size_t input_max);
  void EndWatch();

  // Waits for Wake(), or until `time` has passed: true. A Wake() that comes while nobody waits is lost: look first.
  Async<bool> Signal(Duration time);
  // From any thread.
  void Wake();

  // Whatever is waited for ends now, and Close() will reset the connection: half an answer must not look like a whole
  // one.
  void Break();
  // Says that no more is written, and reads what still comes for a moment: a socket that is closed with unread bytes
  // resets the connection, and takes an answer with it that the client has not read.
  Async<void> Linger();
  void Close();

 private:
  void Arm();
  void Ring();
  void SeeClient(size_t input_max);

  boost::asio::io_context& context_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer signal_;
  HttpMetrics& metrics_;
  std::string input_;
  TimePoint deadline_at_ = TimePoint::max();
  TimePoint armed_at_ = TimePoint::max();
  int64_t watch_ = 0;  // counts: what an ended one sees says nothing
  bool timed_out_ = false;
  bool left_ = false;
  bool broken_ = false;
};

}  // namespace headroom::gateway::http
