#include "vision-worker/image/socket_io.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>

namespace headroom::vision_worker {
namespace {

// Waits until `fd` is ready for `events`, has hung up, or the deadline is over.
IoResult WaitFor(int fd, short events, SteadyTime deadline) {  // NOLINT(runtime/int): poll's type
  for (;;) {
    int wait_ms = -1;
    if (deadline != SteadyTime::max()) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      if (left <= 0) return IoResult::kTimeout;
      wait_ms = static_cast<int>(std::min<int64_t>(left, INT_MAX));
    }
    pollfd entry{fd, events, 0};
    int ready = poll(&entry, 1, wait_ms);
    if (ready > 0) return IoResult::kOk;
    if (ready < 0 && errno != EINTR) return IoResult::kError;
  }
}

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

IoResult FromErrno(int error) { return error == EPIPE || error == ECONNRESET ? IoResult::kClosed : IoResult::kError; }

// Calls `transfer` until it moves bytes; `count` gets their number.
template <typename Transfer>
IoResult Retry(int fd, short events, SteadyTime deadline, ssize_t* count, Transfer transfer) {  // NOLINT(runtime/int)
  for (;;) {
    *count = transfer();
    if (*count >= 0) return IoResult::kOk;
    if (errno == EINTR) continue;
    if (!WouldBlock(errno)) return FromErrno(errno);
    IoResult ready = WaitFor(fd, events, deadline);
    if (ready != IoResult::kOk) return ready;
  }
}

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void UniqueFd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

IoResult ReadAll(int fd, void* data, size_t size, SteadyTime deadline) {
  auto* to = static_cast<uint8_t*>(data);
  while (size > 0) {
    ssize_t count = 0;
    IoResult result = Retry(fd, POLLIN, deadline, &count, [&] { return recv(fd, to, size, MSG_DONTWAIT); });
    if (result != IoResult::kOk) return result;
    if (count == 0) return IoResult::kClosed;
    to += count;
    size -= static_cast<size_t>(count);
  }
  return IoResult::kOk;
}

IoResult WriteAll(int fd, const void* data, size_t size, SteadyTime deadline) {
  auto* from = static_cast<const uint8_t*>(data);
  while (size > 0) {
    ssize_t count = 0;
    IoResult result =
        Retry(fd, POLLOUT, deadline, &count, [&] { return send(fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL); });
    if (result != IoResult::kOk) return result;
    from += count;
    size -= static_cast<size_t>(count);
  }
  return IoResult::kOk;
}

IoResult SendWithFd(int fd, const void* data, size_t size, int fd_to_send, SteadyTime deadline) {
  iovec part{const_cast<void*>(data), size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd_to_send >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd_to_send, sizeof(int));
  }
  ssize_t count = 0;
  IoResult result =
      Retry(fd, POLLOUT, deadline, &count, [&] { return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (result != IoResult::kOk) return result;
  return static_cast<size_t>(count) == size ? IoResult::kOk : IoResult::kError;
}

IoResult ReceiveWithFd(int fd, void* data, size_t size, UniqueFd* received, SteadyTime deadline) {
  iovec part{data, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t count = 0;
  IoResult result =
      Retry(fd, POLLIN, deadline, &count, [&] { return recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  if (result != IoResult::kOk) return result;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int)))
      continue;
    int value = -1;
    std::memcpy(&value, CMSG_DATA(header), sizeof(int));
    *received = UniqueFd(value);
  }
  if (count == 0) return IoResult::kClosed;
  return static_cast<size_t>(count) == size ? IoResult::kOk : IoResult::kError;
}

}  // namespace headroom::vision_worker
