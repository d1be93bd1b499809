#include "common/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "common/status.h"

namespace headroom {
namespace {

absl::Status Failed() { return absl::UnavailableError(std::strerror(errno)); }

}  // namespace

Listener::~Listener() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<Listener> Listener::Open(const HostPort& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* result = nullptr;
  if (const int error = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &result)) {
    return absl::UnavailableError(gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> found(result, freeaddrinfo);
  Listener listener(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), found->ai_family == AF_INET6);
  // A kernel without IPv6 has all of its addresses in the other family.
  if (listener.descriptor_ < 0 && errno == EAFNOSUPPORT && address.host == "::") {
    return Open({.host = "0.0.0.0", .port = address.port});
  }
  if (listener.descriptor_ < 0) return Failed();
  HEADROOM_RETURN_IF_ERROR(listener.Bind(found->ai_addr, found->ai_addrlen));
  return listener;
}

absl::Status Listener::Bind(const void* address, unsigned length) {
  const int on = 1, off = 0;
  if (ipv6_) setsockopt(descriptor_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(descriptor_, static_cast<const sockaddr*>(address), length) != 0 || listen(descriptor_, SOMAXCONN) != 0) {
    return Failed();
  }
  sockaddr_storage bound{};
  socklen_t bound_length = sizeof(bound);
  getsockname(descriptor_, reinterpret_cast<sockaddr*>(&bound), &bound_length);
  // The port lies at the same place in both families.
  port_ = ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  return absl::OkStatus();
}

}  // namespace headroom
