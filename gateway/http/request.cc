#include "gateway/http/exchange.h"

namespace headroom::gateway::http {

std::optional<std::string_view> Request::Header(std::string_view name) const {
  for (const auto& [given, value] : headers) {
    if (given == name) return value;
  }
  return std::nullopt;
}

}  // namespace headroom::gateway::http
