// Against pages of the web that reach for a server on the reader's own machine. A browser sends what a page asks for,
// and says truly which host the page believes to talk to (Host: a name that was made to point here, DNS rebinding) and
// where the page is from (Origin). Neither is a password: whoever is no browser writes what he likes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace headroom::gateway::http {

struct OriginRules {
  // Only the names of this machine, and `hosts`, may stand in Host. For listeners on loopback, and for any that were
  // given names.
  bool check_host = true;
  std::vector<std::string> hosts;    // lower case, without port
  std::vector<std::string> origins;  // of other pages that may ask and read: "https://app.example"

  // `host`: of the request, lower case, with or without port; empty: it has none.
  bool HostAllowed(std::string_view host) const;
  // A page of the server itself, or one of `origins`.
  bool OriginAllowed(std::string_view origin, std::string_view host) const;
  bool Listed(std::string_view origin) const;
};

// "a, b ,c" as three.
std::vector<std::string> SplitList(std::string_view text);

// Whether `host`, of an address to listen on, is reached from this machine alone.
bool IsLoopback(std::string_view host);

}  // namespace headroom::gateway::http
