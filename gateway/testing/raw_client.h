// A client that writes bytes to a port as they are, and reads what comes back: for tests of what no proper client
// sends.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"

namespace headroom::gateway {

struct RawAnswer {
  int status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

class RawClient {
 public:
  // `receive_buffer`: of the kernel, 0 for as much as it likes.
  explicit RawClient(int port, int receive_buffer = 0) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  RawClient(RawClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), connected_(other.connected_), read_(std::move(other.read_)) {}
  RawClient& operator=(RawClient&&) = delete;
  ~RawClient() { Close(); }

  bool connected() const { return connected_; }
  void Close() {
    if (socket_ >= 0) close(std::exchange(socket_, -1));
  }

  // Not all of it where the server has closed.
  void Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  // One answer, of whatever framing. Status 0: the connection ended before its head did.
  RawAnswer Read(bool without_body = false) {
    RawAnswer answer;
    while (read_.find("\r\n\r\n") == std::string::npos) {
      if (!More()) return answer;
    }
    const size_t end = read_.find("\r\n\r\n");
    ParseHead(read_.substr(0, end + 2), answer);
    read_.erase(0, end + 4);
    if (without_body || answer.status == 100 || answer.status == 204) return answer;
    if (answer.Header("transfer-encoding") == "chunked") {
      ReadChunks(answer);
    } else if (const std::string length = answer.Header("content-length"); !length.empty()) {
      while (read_.size() < std::stoul(length) && More()) {
      }
      answer.body = read_.substr(0, std::stoul(length));
      read_.erase(0, answer.body.size());
    } else {
      while (More()) {
      }
      answer.body = std::exchange(read_, {});
    }
    return answer;
  }

  // Reads until `text` has come. False: it never will.
  bool ReadUntil(const std::string& text) {
    while (read_.find(text) == std::string::npos) {
      if (!More()) return false;
    }
    return true;
  }
  // Whether the server ends the connection, with nothing more on it.
  bool AwaitEnd() {
    while (More()) {
    }
    return read_.empty();
  }
  // The answer to its head was complete, with the last chunk.
  bool complete() const { return complete_; }
  bool reset() const { return reset_; }
  const std::string& unread() const { return read_; }

 private:
  // False when nothing more comes; a server that says nothing for a minute has failed.
  bool More() {
    pollfd waiting{.fd = socket_, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, 60'000) <= 0) {
      ADD_FAILURE() << "the server neither answers nor closes; read so far: " << read_;
      return false;
    }
    char bytes[16384];
    const ssize_t got = recv(socket_, bytes, sizeof(bytes), 0);
    if (got < 0) reset_ = true;
    if (got > 0) read_.append(bytes, static_cast<size_t>(got));
    return got > 0;
  }

  static void ParseHead(const std::string& head, RawAnswer& answer) {
    answer.status = std::atoi(head.c_str() + std::string_view("HTTP/1.1 ").size());
    for (size_t begin = head.find("\r\n") + 2; begin < head.size();) {
      const size_t end = head.find("\r\n", begin);
      const size_t colon = head.find(": ", begin);
      answer.headers.emplace(absl::AsciiStrToLower(head.substr(begin, colon - begin)),
                             head.substr(colon + 2, end - colon - 2));
      begin = end + 2;
    }
  }

  void ReadChunks(RawAnswer& answer) {
    complete_ = false;
    while (true) {
      while (read_.find("\r\n") == std::string::npos) {
        if (!More()) return;
      }
      const size_t size = std::stoul(read_, nullptr, 16);
      const size_t begin = read_.find("\r\n") + 2;
      while (read_.size() < begin + size + 2) {
        if (!More()) return;
      }
      answer.body += read_.substr(begin, size);
      read_.erase(0, begin + size + 2);
      if (size == 0) {
        complete_ = true;
        return;
      }
    }
  }

  int socket_;
  bool connected_ = false;
  bool complete_ = false;
  bool reset_ = false;
  std::string read_;
};

}  // namespace headroom::gateway
