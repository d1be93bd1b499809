// Bytes of HTTP/1.x into requests. Strict where two readers of the same bytes might disagree (a proxy and this server):
// what is ambiguous is refused, never repaired. Plain functions over memory, without sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "gateway/http/exchange.h"

namespace headroom::gateway::http {

// What is answered instead; the connection closes after it.
struct Refused {
  int status = 400;
  std::string message;
};

// Finds the end of a request's head in bytes that come by and by, and what no head may contain: bare CR or LF, control
// characters, lines that go on in the next one (obs-fold), empty lines in front.
class HeadScan {
 public:
  // `bytes`: all since the head's begin, more with every call. The length of the head with its empty line, nothing
  // while that has not come, or why it is none.
  std::variant<std::optional<size_t>, Refused> Go(std::string_view bytes);

 private:
  size_t seen_ = 0;
  size_t line_begin_ = 0;
};

struct Head {
  Request request;  // without its body; id is empty
  bool http_1_1 = true;
  bool keep_alive = true;
  bool without_body = false;      // HEAD: the answer has no body
  bool expects_continue = false;  // the client waits for a word before it sends the body
  std::string host;               // of the target or of Host, lower case, with its port; empty: none (HTTP/1.0)
  // Of the body: a length, or chunks; neither: there is none.
  std::optional<uint64_t> content_length;
  bool chunked = false;
};

// `bytes`: a head as HeadScan found it.
std::variant<Head, Refused> ReadHead(std::string_view bytes);

// The body of a request that came in chunks. Trailers are read over.
class ChunkedBody {
 public:
  ChunkedBody();
  ~ChunkedBody();

  // Appends what `bytes` decode to, at most as many, and says how many of them it used: the rest must be there again in
  // the next call, with more behind it. True once the body is complete; what follows it is not used.
  std::variant<bool, Refused> Go(std::string_view bytes, std::string& body, size_t& used);

 private:
  class Reader;
  std::unique_ptr<Reader> reader_;
};

}  // namespace headroom::gateway::http
