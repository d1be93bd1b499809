#include "common/address.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace headroom {
namespace {

constexpr std::string_view kUnix = "unix:";
// Of names that gRPC resolves itself; what follows is its affair, but for the port at the end.
constexpr std::string_view kSchemes[] = {"dns:", "ipv4:", "ipv6:"};

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || stop != end) return std::nullopt;
  return port;
}

}  // namespace

absl::StatusOr<HostPort> SplitAddress(const std::string& address) {
  const absl::Status wanted = absl::InvalidArgumentError("HOST:PORT with a port up to 65535");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return wanted;
  std::string host = address.substr(0, colon);
  const std::optional<uint16_t> port = ParsePort(std::string_view(address).substr(colon + 1));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return absl::InvalidArgumentError("HOST:PORT, an IPv6 address in brackets as in [::1]:7700");
  }
  if (host.empty() || !port) return wanted;
  return HostPort{host, *port};
}

absl::StatusOr<std::string> NormalAddress(const std::string& text) {
  if (text.starts_with(kUnix) && text.size() > kUnix.size()) return text;
  for (const std::string_view scheme : kSchemes) {
    if (text.starts_with(scheme) && ParsePort(std::string_view(text).substr(text.rfind(':') + 1))) return text;
  }
  HEADROOM_ASSIGN_OR_RETURN(const HostPort parts, SplitAddress(text));
  const bool ipv6 = parts.host.find(':') != std::string::npos;
  return ipv6 ? absl::StrCat("[", parts.host, "]:", parts.port) : absl::StrCat(parts.host, ":", parts.port);
}

}  // namespace headroom
