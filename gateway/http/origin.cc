#include "gateway/http/origin.h"

#include <algorithm>

#include "gateway/http/text.h"

namespace headroom::gateway::http {
namespace {

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (size_t end = 0; end != std::string_view::npos; text.remove_prefix(end == std::string_view::npos ? 0 : end + 1)) {
    end = text.find(at);
    parts.push_back(text.substr(0, end));
  }
  return parts;
}

// Four numbers up to 255, the first of them 127: not a name such as 127.0.0.1.example.
bool IsLoopbackV4(std::string_view host) {
  const std::vector<std::string_view> parts = Split(host, '.');
  return parts.size() == 4 && parts[0] == "127" && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
           return !part.empty() && part.size() <= 3 && part.find_first_not_of("0123456789") == std::string_view::npos;
         });
}

// "name:80" and "[::1]:80" without the port, and without brackets.
std::string_view WithoutPort(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  return host.substr(0, host.rfind(':'));
}

}  // namespace

bool IsLoopback(std::string_view host) { return host == "localhost" || host == "::1" || IsLoopbackV4(host); }

bool OriginRules::HostAllowed(std::string_view host) const {
  if (!check_host || host.empty()) return true;
  const std::string_view name = WithoutPort(host);
  return IsLoopback(name) || name.ends_with(".localhost") || std::find(hosts.begin(), hosts.end(), name) != hosts.end();
}

bool OriginRules::OriginAllowed(std::string_view origin, std::string_view host) const {
  const size_t scheme = origin.find("://");
  const bool own = scheme != std::string_view::npos && SameWord(origin.substr(scheme + 3), host);
  return own || Listed(origin);
}

bool OriginRules::Listed(std::string_view origin) const {
  return std::any_of(origins.begin(), origins.end(),
                     [origin](const std::string& listed) { return SameWord(listed, origin); });
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> parts;
  for (const std::string_view part : Split(text, ',')) {
    const std::string_view trimmed = Trimmed(part);
    if (!trimmed.empty()) parts.push_back(Lower(trimmed));
  }
  return parts;
}

}  // namespace headroom::gateway::http
