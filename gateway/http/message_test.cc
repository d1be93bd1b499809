// What a head and a body in chunks may be, and what they may not.
#include "gateway/http/message.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"

namespace headroom::gateway::http {
namespace {

using ::testing::HasSubstr;

// The head of `bytes`, or why there is none; Refused of status 0 when its end has not come.
std::variant<Head, Refused> Read(const std::string& bytes) {
  HeadScan scan;
  // As it comes from a slow client.
  for (size_t size = 1; size <= bytes.size(); ++size) {
    auto scanned = scan.Go(std::string_view(bytes).substr(0, size));
    if (const auto* refused = std::get_if<Refused>(&scanned)) return *refused;
    if (const auto length = std::get<std::optional<size_t>>(scanned)) {
      EXPECT_EQ(*length, size);
      return ReadHead(std::string_view(bytes).substr(0, *length));
    }
  }
  return Refused{0, "no end"};
}

Head Good(const std::string& bytes) {
  auto read = Read(bytes);
  if (const auto* refused = std::get_if<Refused>(&read)) {
    ADD_FAILURE() << bytes << ": " << refused->status << " " << refused->message;
    return {};
  }
  return std::get<Head>(std::move(read));
}

int StatusOf(const std::string& bytes) {
  auto read = Read(bytes);
  const auto* refused = std::get_if<Refused>(&read);
  return refused == nullptr ? 200 : refused->status;
}

TEST(HttpMessageTest, ReadsAHead) {
  const Head head =
      Good("POST /v1/chat?a=b?c HTTP/1.1\r\nHost: Example:80\r\nContent-Length: 12\r\nX-Two:\t a b \r\n\r\n");
  EXPECT_EQ(head.request.method, "POST");
  EXPECT_EQ(head.request.path, "/v1/chat");
  EXPECT_EQ(head.request.query, "a=b?c");
  EXPECT_EQ(head.request.Header("x-two"), "a b");
  EXPECT_EQ(head.request.Header("x-three"), std::nullopt);
  EXPECT_EQ(head.host, "example:80");
  EXPECT_EQ(head.content_length, 12);
  EXPECT_FALSE(head.chunked);
  EXPECT_TRUE(head.http_1_1 && head.keep_alive);
}

TEST(HttpMessageTest, KnowsWhenAConnectionEnds) {
  EXPECT_FALSE(Good("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").keep_alive);
  EXPECT_FALSE(Good("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_FALSE(Good("GET / HTTP/1.0\r\n\r\n").http_1_1);
  EXPECT_TRUE(Good("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

TEST(HttpMessageTest, TargetsAreAPathOrAUrl) {
  const Head head = Good("GET http://Other.Example:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(head.host, "other.example:1") << "the target's host counts, whatever Host says";
  EXPECT_EQ(head.request.path, "/x");
  EXPECT_EQ(head.request.query, "y");
  EXPECT_EQ(Good("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "/");
  EXPECT_EQ(Good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "*");
  EXPECT_EQ(StatusOf("GET x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(HttpMessageTest, HeadIsGetWithoutABody) {
  const Head head = Good("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(head.request.method, "GET");
  EXPECT_TRUE(head.without_body);
}

TEST(HttpMessageTest, ExpectationsAreOfBodies) {
  EXPECT_TRUE(Good("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n").expects_continue);
  EXPECT_FALSE(Good("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").expects_continue);
  EXPECT_EQ(StatusOf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: more\r\n\r\n"), 417);
}

// Each could be read in two ways, and so carry a second request past a proxy that reads it in the other one.
TEST(HttpMessageTest, AmbiguousHeadsAreRefused) {
  const std::string start = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (const std::string& fields : std::vector<std::string>{
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5, 5\r\n",
           "Content-Length: +5\r\n",
           "Content-Length: -5\r\n",
           "Content-Length: 0x5\r\n",
           "Content-Length: 5 5\r\n",
           "Content-Length: \r\n",
           "Content-Length: 18446744073709551616\r\n",
           "Content-Length : 5\r\n",
           "Content-Length\r\n",
           ": 5\r\n",
           "Transfer-Encoding : chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
           "X: a\r\n Transfer-Encoding: chunked\r\n",
           "X: a\r\n\tb\r\n",
           " X: a\r\n",
           "X: a\n",
           "X: a\nTransfer-Encoding: chunked\r\n",
           "X: a\rY: b\r\n",
           std::string("X: a\0b\r\n", 8),
           "X: a\x01\r\n",
           "X\x7f: a\r\n",
           "X(: a\r\n",
           "Host: b\r\n",
           "Host: a\r\n",
       }) {
    EXPECT_EQ(StatusOf(start + fields + "\r\n"), 400) << fields;
  }
  for (const char* coding :
       {"gzip, chunked", "chunked, chunked", "xchunked", "identity", "\"chunked\"", "chunked;q=1"}) {
    EXPECT_THAT(StatusOf(absl::StrCat(start, "Transfer-Encoding: ", coding, "\r\n\r\n")), ::testing::AnyOf(400, 501))
        << coding;
  }
  for (const char* begin :
       {"POST / HTTP/1.1\nHost: a\r\n\r\n", "\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n", " POST / HTTP/1.1\r\n\r\n",
        "POST  / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1 \r\nHost: a\r\n\r\n", "POST /\r\n\r\n",
        "POST / a HTTP/1.1\r\nHost: a\r\n\r\n", "P(ST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / http/1.1\r\nHost: a\r\n\r\n"}) {
    EXPECT_THAT(StatusOf(begin), ::testing::AnyOf(400, 505)) << begin;
  }
  EXPECT_EQ(StatusOf("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n\r\n"), 400) << "no host";
  EXPECT_EQ(StatusOf("PRI * HTTP/2.0\r\n\r\n"), 505);
}

struct Chunks {
  std::string body;
  bool complete = false;
  int status = 200;
  std::string rest;
};

Chunks Decode(const std::string& bytes, size_t step) {
  Chunks result;
  ChunkedBody body;
  std::string waiting;
  for (size_t begin = 0; begin < bytes.size() || !waiting.empty(); begin += step) {
    if (begin < bytes.size()) waiting += bytes.substr(begin, step);
    size_t used = 0;
    const auto state = body.Go(waiting, result.body, used);
    EXPECT_LE(result.body.size(), begin + step);
    waiting.erase(0, used);
    if (const auto* refused = std::get_if<Refused>(&state)) {
      result.status = refused->status;
      return result;
    }
    result.complete = std::get<bool>(state);
    if (result.complete || begin >= bytes.size()) break;
  }
  result.rest = waiting;
  return result;
}

TEST(HttpMessageTest, ChunksHoweverTheyCome) {
  const std::string bytes = "5\r\nhello\r\n6;ext=\"v\"\r\n world\r\n0\r\nTrailer: x\r\n\r\nGET /next";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    const Chunks read = Decode(bytes, step);
    EXPECT_EQ(read.status, 200);
    EXPECT_TRUE(read.complete) << step;
    EXPECT_EQ(read.body, "hello world");
    EXPECT_EQ(std::string("GET /next").rfind(read.rest, 0), 0) << "what follows is the next request: " << read.rest;
  }
  EXPECT_FALSE(Decode("5\r\nhel", 1).complete);
}

TEST(HttpMessageTest, BrokenChunksAreRefused) {
  for (const std::string bytes :
       {"5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n", "5 5\r\nhello\r\n0\r\n\r\n", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n", "5\r\nhello\r\n0\r\n X: folded\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n"}) {
    EXPECT_EQ(Decode(bytes, bytes.size()).status, 400) << bytes;
  }
}

}  // namespace
}  // namespace headroom::gateway::http
