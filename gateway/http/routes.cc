#include "gateway/http/routes.h"

#include "absl/strings/str_cat.h"

namespace headroom::gateway::http {
namespace {

bool Matches(const Route& route, std::string_view path) {
  if (!route.path.ends_with('}')) return path == route.path;
  const std::string_view stem = std::string_view(route.path).substr(0, route.path.rfind('{'));
  return path.size() > stem.size() && path.starts_with(stem);
}

}  // namespace

RouteTable::Found RouteTable::Find(std::string_view method, std::string_view path) const {
  Found found;
  for (const Route& route : routes_) {
    if (!Matches(route, path)) continue;
    if (route.method == method) return {&route, {}};
    absl::StrAppend(&found.allow, found.allow.empty() ? "" : ", ", route.method, route.method == "GET" ? ", HEAD" : "");
  }
  return found;
}

}  // namespace headroom::gateway::http
