#include "tests/emulation/nccl/connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>

namespace emulation {
namespace {

constexpr int kWaiting = 128;  // connections that are not accepted yet

sockaddr_un AddressOf(const std::string& name, socklen_t* bytes) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
  *bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

bool TryAgain() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

Connection::Connection(int fd) : fd_(fd) { fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK); }

Connection::~Connection() { Close(); }

void Connection::Close() {
  if (open_) close(fd_);
  open_ = false;
}

int Connection::Dial(const std::string& name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t bytes = 0;
  const sockaddr_un address = AddressOf(name, &bytes);
  if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), bytes) == 0) return fd;
  close(fd);
  return -1;
}

int Connection::Listen(const std::string& name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  socklen_t bytes = 0;
  const sockaddr_un address = AddressOf(name, &bytes);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), bytes) != 0 || listen(fd, kWaiting) != 0)
    throw std::runtime_error("emulated NCCL: cannot listen as " + name);
  return fd;
}

void Connection::Send(MessageKind kind, int32_t rank, uint64_t number, const std::string& payload) {
  const Header header{kind, rank, number, payload.size()};
  std::string bytes(sizeof header + payload.size(), 0);
  memcpy(bytes.data(), &header, sizeof header);
  memcpy(bytes.data() + sizeof header, payload.data(), payload.size());
  out_.push_back(std::move(bytes));
}

bool Connection::Flush() {
  if (!open_) return false;
  while (!out_.empty()) {
    const std::string& first = out_.front();
    const ssize_t n = send(fd_, first.data() + sent_, first.size() - sent_, MSG_NOSIGNAL);
    if (n < 0) return TryAgain();
    sent_ += n;
    if (sent_ < first.size()) continue;
    out_.pop_front();
    sent_ = 0;
  }
  return true;
}

bool Connection::Receive(std::vector<Message>* messages) {
  if (!open_) return false;
  while (true) {
    const bool in_header = received_ < sizeof(Header);
    char* to = in_header ? reinterpret_cast<char*>(&in_.header) + received_
                         : in_.payload.data() + (received_ - sizeof(Header));
    const size_t wanted = in_header ? sizeof(Header) - received_ : sizeof(Header) + in_.payload.size() - received_;
    const ssize_t n = recv(fd_, to, wanted, 0);
    if (n == 0) return false;
    if (n < 0) return TryAgain();
    received_ += n;
    if (received_ == sizeof(Header)) in_.payload.resize(in_.header.bytes);
    if (received_ < sizeof(Header) || received_ < sizeof(Header) + in_.payload.size()) continue;
    messages->push_back(std::move(in_));
    in_ = {};
    received_ = 0;
  }
}

}  // namespace emulation
