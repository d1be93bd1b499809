// What is decided on a request's head alone, before its body is read: whether the request is let in, and what is
// answered where it is not. Without sockets.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "gateway/http/exchange.h"
#include "gateway/http/message.h"
#include "gateway/http/origin.h"
#include "gateway/http/routes.h"

namespace headroom::gateway::http {

// Thread-safe.
class Door {
 public:
  // `ready`: whether the cluster takes requests, for the routes that say so. Both of the others must outlive this.
  Door(OriginRules origins, Handler& handler, RequestRunner& runner, std::function<absl::Status()> ready);

  struct Decision {
    const Route* route = nullptr;  // null: of no route
    // What is answered at once; nothing: the body is read, then the handler is asked.
    std::optional<Answer> answer = {};
    std::optional<RequestRunner::Place> place = {};  // of a route with a body
  };
  Decision Decide(const Head& head) const;

  // What lets a page of another origin read the answer, if it may.
  Headers OriginHeaders(const Head& head) const;

  const std::vector<Route>& routes() const { return routes_.all(); }

 private:
  std::optional<Answer> Stranger(const Head& head) const;
  std::optional<Answer> Preflight(const Head& head) const;
  std::optional<Answer> UnreadableBody(const Head& head, const Route& route) const;
  std::optional<Answer> Health(const Route& route) const;

  const OriginRules origins_;
  Handler& handler_;
  RequestRunner& runner_;
  const std::function<absl::Status()> ready_;
  const RouteTable routes_;
};

}  // namespace headroom::gateway::http
