// Which route a request is for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/exchange.h"

namespace headroom::gateway::http {

class RouteTable {
 public:
  explicit RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {}

  struct Found {
    const Route* route = nullptr;
    std::string allow;  // methods of the path, where it has others only; empty: there is no such path
  };
  Found Find(std::string_view method, std::string_view path) const;
  const std::vector<Route>& all() const { return routes_; }

 private:
  const std::vector<Route> routes_;
};

}  // namespace headroom::gateway::http
