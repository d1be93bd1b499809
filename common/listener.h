// A listening TCP socket, before any library has it.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "common/address.h"

namespace headroom {

class Listener {
 public:
  // Binds and listens; port 0 takes a free one, [::] is every address of both families. UNAVAILABLE with the reason.
  static absl::StatusOr<Listener> Open(const HostPort& address);

  Listener(Listener&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), ipv6_(other.ipv6_), port_(other.port_) {}
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  bool ipv6() const { return ipv6_; }
  int port() const { return port_; }
  // The descriptor, which is the caller's from now on.
  int Release() { return std::exchange(descriptor_, -1); }

 private:
  Listener(int descriptor, bool ipv6) : descriptor_(descriptor), ipv6_(ipv6) {}
  absl::Status Bind(const void* address, unsigned length);

  int descriptor_;
  bool ipv6_;
  int port_ = 0;
};

}  // namespace headroom
