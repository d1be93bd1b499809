// Heads and chunked bodies of HTTP requests, as they come from anybody.
#include <algorithm>

#include "common/check.h"
#include "gateway/http/message.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

using gateway::http::ChunkedBody;
using gateway::http::Head;
using gateway::http::HeadScan;
using gateway::http::Refused;

struct Scanned {
  std::optional<size_t> length;
  int status = 0;
  bool operator==(const Scanned&) const = default;
};

Scanned Scan(const std::string& input, size_t step) {
  HeadScan scan;
  for (size_t size = std::min(step, input.size());; size = std::min(size + step, input.size())) {
    const auto result = scan.Go(std::string_view(input).substr(0, size));
    if (const auto* refused = std::get_if<Refused>(&result)) return {std::nullopt, refused->status};
    if (const auto length = std::get<std::optional<size_t>>(result)) return {length, 0};
    if (size == input.size()) return {};
  }
}

struct Decoded {
  std::string body;
  bool complete = false;
  bool refused = false;
  size_t used = 0;
};

Decoded Decode(const std::string& input, size_t step) {
  Decoded decoded;
  ChunkedBody chunks;
  for (size_t size = std::min(step, input.size());; size = std::min(size + step, input.size())) {
    size_t used = 0;
    const auto state = chunks.Go(std::string_view(input).substr(decoded.used, size - decoded.used), decoded.body, used);
    decoded.used += used;
    HEADROOM_CHECK(decoded.used <= size && decoded.body.size() <= decoded.used);
    if (std::holds_alternative<Refused>(state)) {
      decoded.refused = true;
      return decoded;
    }
    decoded.complete = std::get<bool>(state);
    if (decoded.complete || size == input.size()) return decoded;
  }
}

// However the bytes are cut: the same head, the same body.
void Run(const std::string& input) {
  if (input.size() > 4096) return;
  const Scanned whole = Scan(input, std::max<size_t>(input.size(), 1));
  for (const size_t step : {1, 7}) HEADROOM_CHECK(Scan(input, step) == whole) << step;
  if (whole.length) {
    const std::string bytes = input.substr(0, *whole.length);
    HEADROOM_CHECK(bytes.ends_with("\r\n\r\n"));
    const auto read = gateway::http::ReadHead(bytes);
    if (const auto* head = std::get_if<Head>(&read)) {
      HEADROOM_CHECK(!(head->chunked && head->content_length));
      HEADROOM_CHECK(!head->request.method.empty() && !head->request.path.empty());
      HEADROOM_CHECK(head->http_1_1 ? !head->host.empty() || head->request.Header("host") : true);
      for (const auto& [name, value] : head->request.headers) {
        HEADROOM_CHECK((name + value).find_first_of("\r\n") == std::string::npos);
      }
    }
  }
  const Decoded at_once = Decode(input, std::max<size_t>(input.size(), 1));
  for (const size_t step : {1, 7}) {
    const Decoded piecewise = Decode(input, step);
    HEADROOM_CHECK(piecewise.complete == at_once.complete && piecewise.refused == at_once.refused) << step;
    if (!at_once.refused) HEADROOM_CHECK(piecewise.body == at_once.body) << step;
    if (at_once.complete) HEADROOM_CHECK(piecewise.used == at_once.used) << step;
  }
}

std::vector<std::string> Seeds() {
  return {"POST /v1/chat/completions HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
          "GET http://a/b?c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
          "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
          "a\r\n0123456789\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n"};
}

const Registration registration({"http_message", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
