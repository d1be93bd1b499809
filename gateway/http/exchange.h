// Between the HTTP transport and those who understand requests: what comes in, the way back,
// and who is asked. The transport knows sockets, limits and time; a handler knows paths, bodies and answers. No type of
// the library that speaks HTTP shows here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"
#include "gateway/request_runner.h"

namespace headroom::gateway::http {

// In their order. The transport adds what frames a message (content-length, transfer-encoding, connection), date and
// x-request-id; a handler gives content-type and what else is its own.
using Headers = std::vector<std::pair<std::string, std::string>>;

struct Answer {
  int status = 200;
  Headers headers = {};
  std::string body = {};
};

// Waits for: the API that reads it
struct Request {
  std::string method;  // "GET" for HEAD too: the transport leaves the body out
  std::string path;    // of the target, as it came: percent signs are not decoded
  std::string query;   // behind its '?', as it came; empty: none
  Headers headers;     // names in lower case
  std::string body;    // all of it
  std::string id;      // of x-request-id if that is fit, else made here; every answer carries it

  // The first of this name (lower case); nothing when there is none.
  std::optional<std::string_view> Header(std::string_view name) const;
};

// What is served under one path by one method.
struct Route {
  std::string method;  // upper case; GET serves HEAD
  std::string path;    // whole; or "/v1/models/{model}", whose last part takes the rest of a path, slashes included
  // Of the body. 0: a body is refused, and no place is taken.
  int64_t body_bytes_max = 0;
  // Memory that a request takes for each byte of its body while it lies here: the body itself, the document read from
  // it, what is decoded of it. At least 1; charged to the host budget before the body is read.
  int bytes_per_body_byte = 1;
  std::string media_type = "application/json";  // that a body must have; another one is refused (415)
};

// The way back of one request. Thread-safe; calls are taken in their order and none of them blocks. Either Respond(),
// or BeginStream(), Chunk() any number of times and EndStream(). Whoever lets go of it before that breaks the
// connection. Waits for: the API that answers
class Exchange {
 public:
  virtual ~Exchange() = default;

  // Called once: true when the client's system has taken the bytes, false when it never will. From any thread, also
  // before the function that got it returns. May be empty.
  using Taken = AnswerSink::Taken;

  // The whole answer.
  virtual void Respond(Answer answer, Taken taken = {}) = 0;

  // An answer whose end is not known yet; its head goes out at once. A stream of text/event-stream gets a comment
  // (": ping") whenever nothing has gone out for 15 s.
  virtual void BeginStream(int status, Headers headers) = 0;
  // Not empty. The next one only when this one was taken.
  virtual void Chunk(std::string bytes, Taken taken) = 0;
  // complete = false: closes the connection without the mark of an end, by which clients know that something is
  // missing.
  virtual void EndStream(bool complete) = 0;

  // Breaks the connection now; what was not taken comes back as such. Any number of times.
  virtual void Disconnect() = 0;

  // `gone` is called once, from any thread, when the connection ends before the answer did: the client left, reads no
  // more, or the server stops. At once if it is so already. To be set once, by Handle().
  virtual void OnGone(std::function<void()> gone) = 0;
};

// Who understands requests. Called on the transport's threads, several at once, and must not block: what takes more
// than microseconds happens elsewhere.
class Handler {
 public:
  virtual ~Handler() = default;

  // All of them; asked once.
  virtual std::vector<Route> Routes() const = 0;

  // A request of a route. `place`: for a route with a body, charged with the body and kRequestBytes; it is kept, or
  // given to RequestRunner::Submit(), until the request is over.
  virtual void Handle(const Route& route, std::shared_ptr<Request> request, std::optional<RequestRunner::Place> place,
                      std::shared_ptr<Exchange> exchange) = 0;

  // What a client reads that the transport refuses by itself: no such path (404) or method (405), a head or body
  // that is none (400), too large (413, 431), too slow (408), of a kind that is not read (415), of another host or
  // origin (421, 403). `message` is for people.
  virtual Answer Refusal(int status, const std::string& message) const = 0;
  // The same for a request that RequestRunner::Enter() refused, with its details (common/error_details.h).
  virtual Answer Refusal(const absl::Status& refused) const = 0;
};

}  // namespace headroom::gateway::http
