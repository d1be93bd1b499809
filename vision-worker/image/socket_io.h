// Blocking socket calls with a deadline, and file descriptors that close themselves: what the sandbox and its decoder
// process share.
#pragma once

#include <chrono>
#include <cstddef>
#include <utility>

namespace headroom::vision_worker {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

using SteadyTime = std::chrono::steady_clock::time_point;

enum class IoResult { kOk, kClosed, kTimeout, kError };

// All bytes or a reason. kClosed: the other end is gone. Signals do not interrupt; SIGPIPE is never raised.
IoResult ReadAll(int fd, void* data, size_t size, SteadyTime deadline);
IoResult WriteAll(int fd, const void* data, size_t size, SteadyTime deadline);

// One message with a file descriptor attached (fd_to_send −1: none). `size` is small enough to go in one piece.
IoResult SendWithFd(int fd, const void* data, size_t size, int fd_to_send, SteadyTime deadline);

// Receives exactly `size` bytes sent by SendWithFd and the descriptor, if one came (close-on-exec). A short message is
// kError.
IoResult ReceiveWithFd(int fd, void* data, size_t size, UniqueFd* received, SteadyTime deadline);

}  // namespace headroom::vision_worker
