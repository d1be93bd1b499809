// Addresses as people write them in files and flags: HOST:PORT with a port from 0 to 65535, unix:PATH, or gRPC's
// dns:///HOST:PORT. An IPv6 address stands in brackets, [::1]:7700. Whether the host exists is another question.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace headroom {

// The address as the rest of the program knows it: brackets around a host that is no IPv6 address are taken off, so
// that a script may put them around whatever it is given. INVALID_ARGUMENT says what was wanted.
absl::StatusOr<std::string> NormalAddress(const std::string& text);

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};
// Of plain HOST:PORT. INVALID_ARGUMENT otherwise.
absl::StatusOr<HostPort> SplitAddress(const std::string& address);

}  // namespace headroom
