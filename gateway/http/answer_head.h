// The head of an answer as bytes.
#pragma once

#include <optional>
#include <string>

#include "gateway/http/exchange.h"

namespace headroom::gateway::http {

struct AnswerFraming {
  bool http_1_1 = true;
  bool close = false;  // the connection ends with this answer
  // Of the body; nothing: its end is not known, and it comes in chunks (HTTP/1.0: until the connection closes).
  std::optional<size_t> body_bytes;
};

// Status line, date, framing, `headers` and the empty line. What a header's value must not hold (CR, LF, control
// characters) becomes a space: it may be the client's own text.
std::string AnswerHead(int status, const Headers& headers, const AnswerFraming& framing);

}  // namespace headroom::gateway::http
