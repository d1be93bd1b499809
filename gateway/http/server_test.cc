// The HTTP server over real sockets, before a real runner of requests.
#include "gateway/http/server.h"

#include <gmock/gmock.h>

#include "common/address.h"
#include "gateway/http/limits.h"
#include "gateway/testing/raw_client.h"
#include "gateway/testing/said.h"
#include "gateway/testing/scripted_cluster.h"

namespace headroom::gateway::http {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What a handler was given, kept until the test answers.
struct Asked {
  std::shared_ptr<Request> request;
  std::shared_ptr<RequestRunner::Place> place;
  std::shared_ptr<Exchange> exchange;
};

class KeepingHandler : public Handler {
 public:
  std::vector<Route> Routes() const override {
    return {{.method = "GET", .path = "/thing/{name}"},
            {.method = "GET", .path = "/wait"},
            {.method = "POST", .path = "/echo", .body_bytes_max = 100'000, .bytes_per_body_byte = 2},
            {.method = "POST", .path = "/wait", .body_bytes_max = 100'000, .bytes_per_body_byte = 2}};
  }
  // /echo and /thing are answered at once; /wait when the test likes.
  void Handle(const Route& route, std::shared_ptr<Request> request, std::optional<RequestRunner::Place> place,
              std::shared_ptr<Exchange> exchange) override {
    EXPECT_EQ(place.has_value(), route.body_bytes_max > 0);
    if (route.path == "/echo") return exchange->Respond({.headers = {{"x-id", request->id}}, .body = request->body});
    if (route.path != "/wait") return exchange->Respond({.body = request->path});
    std::lock_guard lock(mutex_);
    asked_.push_back({std::move(request), place ? std::make_shared<RequestRunner::Place>(*std::move(place)) : nullptr,
                      std::move(exchange)});
    changed_.notify_all();
  }
  Answer Refusal(int status, const std::string& message) const override {
    return {.status = status, .headers = {{"content-type", "text/plain"}}, .body = message};
  }
  Answer Refusal(const absl::Status& refused) const override { return Refusal(503, std::string(refused.message())); }

  Asked Next() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return !asked_.empty(); }));
    Asked first = std::move(asked_.front());
    asked_.erase(asked_.begin());
    return first;
  }
  bool AskedNothing() {
    std::lock_guard lock(mutex_);
    return asked_.empty();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Asked> asked_;
};

class HttpServerTest : public ScriptedCluster {
 protected:
  void SetUp() override {
    ScriptedCluster::SetUp();
    config_.http.listen = "127.0.0.1:0";
    StartServer();
  }
  void TearDown() override {
    server_.reset();
    EXPECT_EQ(budget_.used_bytes(), 0);
    EXPECT_EQ(runner_->running(), 0);
    ScriptedCluster::TearDown();
  }

  void StartServer() {
    server_.reset();
    metrics_ = *Metrics::Create("");
    Serve(*peers_);
    auto server = Server::Start(
        {config_, handler_, *runner_, budget_, *metrics_, [this] { return cluster_->Ready(); }, ping_after_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    port_ = SplitAddress(server_->address())->port;
  }
  RawClient Connect(int receive_buffer = 0) const {
    RawClient client(port_, receive_buffer);
    EXPECT_TRUE(client.connected());
    return client;
  }
  // One request on a connection of its own.
  RawAnswer Ask(const std::string& bytes) const {
    RawClient client = Connect();
    client.Send(bytes);
    return client.Read();
  }
  static std::string Get(const std::string& path, const std::string& fields = "") {
    return absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\n", fields, "\r\n");
  }
  static std::string Post(const std::string& path, const std::string& body, const std::string& fields = "") {
    return absl::StrCat("POST ", path,
                        " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ",
                        body.size(), "\r\n", fields, "\r\n", body);
  }
  // Waits until the metrics show this line.
  void AwaitMetric(const std::string& line) const {
    const auto limit = std::chrono::steady_clock::now() + kPatience;
    while (metrics_->Render().find(line + "\n") == std::string::npos) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << line << " never came:\n" << metrics_->Render();
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  void AwaitEnded(const std::string& cause) const {
    AwaitMetric(absl::StrCat("headroom_gateway_http_connections_ended_total{cause=\"", cause, "\"} 1"));
  }
  void AwaitBudget(int64_t used_bytes) const {
    const auto limit = std::chrono::steady_clock::now() + kPatience;
    while (budget_.used_bytes() != used_bytes) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << budget_.used_bytes() << " instead of " << used_bytes;
      std::this_thread::yield();
    }
  }

  Duration ping_after_ = std::chrono::hours(1);
  KeepingHandler handler_;
  std::unique_ptr<Server> server_;
  int port_ = 0;
};

TEST_F(HttpServerTest, AnswersOneAfterTheOtherOnOneConnection) {
  RawClient client = Connect();
  client.Send(Get("/thing/a"));
  RawAnswer answer = client.Read();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "/thing/a");
  EXPECT_EQ(answer.Header("connection"), "");
  EXPECT_EQ(answer.Header("date").size(), std::string("Sun, 06 Nov 1994 08:49:37 GMT").size());
  // Several at once, cut anywhere.
  const std::string many = Post("/echo", "one") + Get("/thing/b/c") + Post("/echo", "two", "Connection: close\r\n");
  client.Send(many.substr(0, 70));
  client.Send(many.substr(70));
  EXPECT_EQ(client.Read().body, "one");
  EXPECT_EQ(client.Read().body, "/thing/b/c");
  answer = client.Read();
  EXPECT_EQ(answer.body, "two");
  EXPECT_EQ(answer.Header("connection"), "close");
  EXPECT_TRUE(client.AwaitEnd());
  AwaitEnded("done");
  AwaitMetric("headroom_gateway_http_requests_total{route=\"/echo\",status=\"200\"} 2");
  AwaitMetric("headroom_gateway_http_connections 0");
}

TEST_F(HttpServerTest, HeadHasTheLengthAndNoBody) {
  RawClient client = Connect();
  client.Send("HEAD /thing/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.Read(/*without_body=*/true).Header("content-length"), "8");
  client.Send("HEAD /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.Read(/*without_body=*/true).status, 404);
  client.Send(Get("/thing/b"));
  EXPECT_EQ(client.Read().body, "/thing/b");
}

TEST_F(HttpServerTest, BodiesInChunks) {
  RawClient client = Connect();
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=utf-8\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  client.Send(head + "3\r\nabc\r\n");
  client.Send("2\r\nde\r\n0\r\n\r\n" + Get("/thing/next"));
  EXPECT_EQ(client.Read().body, "abcde");
  EXPECT_EQ(client.Read().body, "/thing/next");
  client.Send(head + "fffff0\r\n");
  const std::string part(50'000, 'x');
  for (int i = 0; i < 3; ++i) client.Send(part);
  EXPECT_EQ(client.Read().status, 413);
  EXPECT_TRUE(client.AwaitEnd());
}

TEST_F(HttpServerTest, PathsAndMethods) {
  EXPECT_EQ(Ask(Get("/nothing")).status, 404);
  EXPECT_EQ(Ask(Get("/thing/")).status, 404);
  const RawAnswer refused = Ask(Get("/echo"));
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.Header("allow"), "POST");
  EXPECT_EQ(Ask("DELETE /wait HTTP/1.1\r\nHost: localhost\r\n\r\n").Header("allow"), "GET, HEAD, POST");
  EXPECT_THAT(Ask(Get("/\xff\xfe" + std::string(500, 'y'))).body, HasSubstr("/??yyy"));
}

TEST_F(HttpServerTest, EveryAnswerHasARequestId) {
  EXPECT_EQ(Ask(Get("/thing/a", "X-Request-Id: mine-7\r\n")).Header("x-request-id"), "mine-7");
  const RawAnswer made = Ask(Post("/echo", "{}"));
  EXPECT_EQ(made.Header("x-request-id").size(), 32);
  EXPECT_EQ(made.Header("x-request-id"), made.Header("x-id")) << "the handler knows it by the same";
  EXPECT_EQ(Ask(Get("/nothing", "X-Request-Id: with space\r\n")).Header("x-request-id").size(), 32);
}

TEST_F(HttpServerTest, HealthFollowsTheClusterAndTheDrain) {
  EXPECT_EQ(Ask(Get("/live")).status, 200);
  EXPECT_EQ(Ask(Get("/ready")).status, 200);
  EXPECT_EQ(Ask(Get("/health")).body, "{\"status\":\"ready\"}\n");
  EXPECT_EQ(Ask(Post("/health", "x")).status, 405);
  runner_->Drain();
  EXPECT_EQ(Ask(Get("/health")).status, 503);
  EXPECT_EQ(Ask(Get("/live")).status, 200);
}

// What follows a head that can be read in two ways may be anybody's: it is not read at all.
TEST_F(HttpServerTest, NothingIsSmuggledBehindARefusal) {
  const std::string smuggled = Get("/wait");
  for (const std::string& fields : std::vector<std::string>{
           "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 4\r\nContent-Length: 4\r\n",
           "Transfer-Encoding: gzip, chunked\r\n", "X: a\r\n b\r\n", "X: a\n", "Transfer-Encoding : chunked\r\n"}) {
    RawClient client = Connect();
    client.Send(absl::StrCat("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n", fields,
                             "\r\n0\r\n\r\n", smuggled));
    const RawAnswer answer = client.Read();
    EXPECT_THAT(answer.status, ::testing::AnyOf(400, 501)) << fields;
    EXPECT_EQ(answer.Header("connection"), "close");
    EXPECT_TRUE(client.AwaitEnd()) << fields;
  }
  RawClient client = Connect();
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nabc\r\n0\r\n\r\n" +
      smuggled);
  EXPECT_EQ(client.Read().status, 400);
  EXPECT_TRUE(client.AwaitEnd());
  EXPECT_TRUE(handler_.AskedNothing());
}

TEST_F(HttpServerTest, RefusesOnTheHeadAlone) {
  // No body follows: the answer cannot have waited for it.
  EXPECT_EQ(
      Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100001\r\n\r\n")
          .status,
      413);
  const std::string zipped = "Content-Encoding: gzip\r\n";
  EXPECT_EQ(Ask(Post("/echo", "", zipped)).status, 200) << "there is nothing to unpack";
  EXPECT_EQ(Ask(Post("/echo", "x", zipped)).status, 415);
  EXPECT_EQ(Ask(Post("/echo", "x", "Content-Encoding: identity\r\n")).status, 200);
  EXPECT_EQ(
      Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx").status,
      415);
  EXPECT_EQ(Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx").status, 415);
  EXPECT_EQ(Ask("GET /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx").status, 400);
  EXPECT_EQ(Ask(Get("/thing/a", "X: " + std::string(20'000, 'x') + "\r\n")).status, 431);
  EXPECT_EQ(Ask(Get("/thing/a", "X: " + std::string(15'000, 'x') + "\r\n")).status, 200);
}

TEST_F(HttpServerTest, ExpectationIsAnsweredOnceTheBodyIsWanted) {
  const auto head = [](size_t bytes) {
    return absl::StrCat("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ",
                        bytes, "\r\nExpect: 100-continue\r\n\r\n");
  };
  RawClient client = Connect();
  client.Send(head(5));
  EXPECT_EQ(client.Read().status, 100);
  client.Send("hello");
  EXPECT_EQ(client.Read().body, "hello");
  client.Send(head(100'001));
  EXPECT_EQ(client.Read().status, 413) << "and no 100 before it";
  EXPECT_TRUE(client.AwaitEnd());
}

TEST_F(HttpServerTest, OnlyItsOwnNamesAndPages) {
  const auto with_host = [this](const std::string& host, const std::string& fields = "") {
    return Ask(absl::StrCat("GET /thing/a HTTP/1.1\r\nHost: ", host, "\r\n", fields, "\r\n"));
  };
  for (const char* own : {"localhost", "LOCALHOST:80", "127.0.0.1:7720", "127.9.9.9", "[::1]:1", "a.localhost"}) {
    EXPECT_EQ(with_host(own).status, 200) << own;
  }
  for (const char* other : {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.1",
                            "evil.example:7720", "[::2]", "[::1", "127.0.0", "", "0.0.0.0"}) {
    EXPECT_EQ(with_host(other).status, *other == '\0' ? 200 : 421) << other;
  }
  EXPECT_EQ(with_host("localhost:80", "Origin: http://localhost:80\r\n").status, 200) << "its own page";
  EXPECT_EQ(with_host("localhost:80", "Origin: http://evil.example\r\n").status, 403);
  EXPECT_EQ(with_host("localhost:80", "Origin: null\r\n").status, 403);

  config_.http.hosts = "gpu.example, other.example";
  config_.http.origins = "https://app.example";
  StartServer();
  EXPECT_EQ(with_host("gpu.example:7720").status, 200);
  EXPECT_EQ(with_host("third.example").status, 421);
  const RawAnswer page = with_host("localhost", "Origin: https://app.example\r\n");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.Header("access-control-allow-origin"), "https://app.example");
  EXPECT_EQ(with_host("localhost").Header("access-control-allow-origin"), "");
  const RawAnswer preflight =
      Ask("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: "
          "POST\r\n"
          "Access-Control-Request-Headers: content-type,x-y\r\n\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.Header("access-control-allow-headers"), "content-type,x-y");
  EXPECT_EQ(preflight.Header("access-control-allow-methods"), "POST");
}

TEST_F(HttpServerTest, MemoryIsTakenBeforeTheBodyIsRead) {
  RawClient client = Connect();
  client.Send(
      "POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n");
  AwaitBudget(kConnectionBytes + kRequestBytes + 20'000);
  client.Send(std::string(10'000, 'x'));
  Asked asked = handler_.Next();
  EXPECT_EQ(asked.request->body.size(), 10'000);
  EXPECT_EQ(runner_->running(), 1);
  // Nobody else has room for as much.
  const auto rest =
      budget_.Take(budget_.capacity_bytes() - budget_.used_bytes() - kRequestBytes - 2 * kConnectionBytes);
  ASSERT_TRUE(rest.ok());
  const RawAnswer full = Ask(Post("/wait", std::string(20'000, 'x')));
  EXPECT_EQ(full.status, 503);
  EXPECT_EQ(full.Header("connection"), "close");
  asked.exchange->Respond({.body = "done"});
  EXPECT_EQ(client.Read().body, "done");
}

TEST_F(HttpServerTest, MemoryOfChunksGrowsWithThem) {
  RawClient client = Connect();
  client.Send(
      "POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  AwaitBudget(kConnectionBytes + kRequestBytes);
  const std::string chunk = "2710\r\n" + std::string(10'000, 'x') + "\r\n";
  client.Send(chunk);
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  while (budget_.used_bytes() < kConnectionBytes + kRequestBytes + 2 * 9'900) {
    ASSERT_LT(std::chrono::steady_clock::now(), limit);
  }
  const auto rest = budget_.Take(budget_.capacity_bytes() - budget_.used_bytes());
  ASSERT_TRUE(rest.ok());
  for (int i = 0; i < 8; ++i) client.Send(chunk);
  EXPECT_EQ(client.Read().status, 503);
  EXPECT_TRUE(handler_.AskedNothing());
}

TEST_F(HttpServerTest, ClientThatLeavesIsSeenWhileItWaits) {
  RawClient client = Connect();
  client.Send(Post("/wait", "{}"));
  Asked asked = handler_.Next();
  Said<bool> gone;
  asked.exchange->OnGone([say = gone.Say()] { say(true); });
  // It may send its next request early: that is kept, and no reason to think that it left.
  client.Send(Get("/thing/early"));
  EXPECT_EQ(gone.count(), 0);
  asked.exchange->Respond({.body = "first"});
  EXPECT_EQ(client.Read().body, "first");
  EXPECT_EQ(client.Read().body, "/thing/early");

  client.Send(Post("/wait", "{}"));
  asked = handler_.Next();
  Said<bool> gone_then, taken;
  asked.exchange->OnGone([say = gone_then.Say()] { say(true); });
  client.Close();
  EXPECT_TRUE(gone_then.Await());
  asked.exchange->Respond({.body = "late"}, taken.Say());
  EXPECT_FALSE(taken.Await());
  EXPECT_EQ(gone.count(), 0);
  Said<bool> gone_before;
  asked.exchange->OnGone([say = gone_before.Say()] { say(true); });
  EXPECT_EQ(gone_before.count(), 1) << "who asks late hears at once";
  AwaitEnded("left");
}

TEST_F(HttpServerTest, StreamsPieceByPiece) {
  RawClient client = Connect();
  client.Send(Get("/wait"));
  Asked asked = handler_.Next();
  asked.exchange->BeginStream(200, {{"content-type", "text/event-stream"}, {"x-bad", "a\r\nb: c"}});
  ASSERT_TRUE(client.ReadUntil("\r\n\r\n")) << "the head goes out before there is a piece";
  for (const char* piece : {"data: 1\n\n", "data: 2\n\n"}) {
    Said<bool> taken;
    asked.exchange->Chunk(piece, taken.Say());
    EXPECT_TRUE(taken.Await());
    EXPECT_TRUE(client.ReadUntil(piece));
  }
  asked.exchange->EndStream(true);
  const RawAnswer answer = client.Read();
  EXPECT_EQ(answer.body, "data: 1\n\ndata: 2\n\n");
  EXPECT_TRUE(client.complete());
  EXPECT_EQ(answer.Header("x-bad"), "a  b: c") << "no header of a client's making";
  client.Send(Get("/thing/after"));
  EXPECT_EQ(client.Read().body, "/thing/after");
}

TEST_F(HttpServerTest, SilenceInAStreamOfEventsIsFilled) {
  ping_after_ = milliseconds(20);
  StartServer();
  RawClient client = Connect();
  client.Send(Get("/wait"));
  Asked asked = handler_.Next();
  std::this_thread::sleep_for(milliseconds(60));
  asked.exchange->BeginStream(200, {{"content-type", "text/event-stream"}});
  EXPECT_TRUE(client.ReadUntil(": ping\n\n"));
  EXPECT_EQ(client.unread().rfind("HTTP/1.1 200", 0), 0) << "nothing before the head";
  asked.exchange->EndStream(true);
  EXPECT_EQ(client.Read().body.substr(0, 8), ": ping\n\n");

  client.Send(Get("/wait"));
  asked = handler_.Next();
  asked.exchange->BeginStream(200, {{"content-type", "application/octet-stream"}});
  std::this_thread::sleep_for(milliseconds(60));
  asked.exchange->EndStream(true);
  EXPECT_EQ(client.Read().body, "") << "no comments in what is no stream of events";
}

TEST_F(HttpServerTest, HalfAnAnswerNeverLooksWhole) {
  RawClient cut = Connect();
  cut.Send(Get("/wait"));
  Asked asked = handler_.Next();
  asked.exchange->BeginStream(200, {});
  asked.exchange->Chunk("half", {});
  asked.exchange->EndStream(false);
  EXPECT_EQ(cut.Read().body, "half");
  EXPECT_FALSE(cut.complete());
  AwaitEnded("cut");

  // HTTP/1.0 knows no chunks: the end of the connection is that of the answer, and a reset that of half of one.
  for (const bool complete : {true, false}) {
    RawClient old = Connect();
    old.Send("GET /wait HTTP/1.0\r\n\r\n");
    asked = handler_.Next();
    asked.exchange->BeginStream(200, {});
    Said<bool> taken;
    asked.exchange->Chunk("text", taken.Say());
    EXPECT_TRUE(taken.Await());
    EXPECT_TRUE(old.ReadUntil("text"));
    asked.exchange->EndStream(complete);
    EXPECT_EQ(old.Read().body, "text");
    EXPECT_EQ(old.reset(), !complete);
  }

  // A handler that forgets its client.
  RawClient forgotten = Connect();
  forgotten.Send(Get("/wait"));
  handler_.Next();
  EXPECT_EQ(forgotten.Read().status, 0);
}

TEST_F(HttpServerTest, ReaderThatStopsIsLetGoOf) {
  config_.unread_ms_max = 100;
  StartServer();
  RawClient client = Connect(/*receive_buffer=*/4096);
  client.Send(Post("/wait", "{}"));
  Asked asked = handler_.Next();
  Said<bool> gone, taken;
  asked.exchange->OnGone([say = gone.Say()] { say(true); });
  asked.exchange->BeginStream(200, {});
  asked.exchange->Chunk(std::string(8 << 20, 'x'), taken.Say());
  EXPECT_FALSE(taken.Await());
  EXPECT_TRUE(gone.Await());
  AwaitEnded("unread");
}

TEST_F(HttpServerTest, SlowClientsAreCut) {
  config_.http.head_ms_max = config_.http.body_ms_max = config_.http.idle_ms_max = 100;
  StartServer();
  RawClient idle = Connect();
  RawClient slow_head = Connect();
  slow_head.Send("GET /thing/a HT");
  RawClient slow_body = Connect();
  slow_body.Send(Post("/echo", "x").substr(0, Post("/echo", "x").size() - 1));
  EXPECT_EQ(slow_head.Read().status, 408);
  EXPECT_EQ(slow_body.Read().status, 408);
  EXPECT_TRUE(idle.AwaitEnd());
  for (const char* cause : {"idle", "slow_head", "slow_body"}) AwaitEnded(cause);
  EXPECT_TRUE(slow_head.AwaitEnd() && slow_body.AwaitEnd());
  // One that is waited for is not slow.
  RawClient waits = Connect();
  waits.Send(Get("/wait"));
  Asked asked = handler_.Next();
  std::this_thread::sleep_for(milliseconds(300));
  asked.exchange->Respond({.body = "at last"});
  EXPECT_EQ(waits.Read().body, "at last");
}

TEST_F(HttpServerTest, WhoIsIdleMakesRoom) {
  config_.http.connections_max = 2;
  StartServer();
  RawClient first = Connect();
  first.Send(Get("/thing/a"));
  EXPECT_EQ(first.Read().status, 200);
  RawClient second = Connect();
  second.Send(Get("/wait"));
  Asked asked = handler_.Next();
  RawClient third = Connect();
  third.Send(Get("/wait"));
  Asked asked_too = handler_.Next();
  EXPECT_TRUE(first.AwaitEnd());
  AwaitEnded("made_room");
  AwaitMetric("headroom_gateway_http_connections 2");
  // All are busy now.
  RawClient fourth = Connect();
  const RawAnswer refused = fourth.Read();
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("http_connections_max"));
  AwaitEnded("turned_away");
  asked.exchange->Respond({.body = "2"});
  asked_too.exchange->Respond({.body = "3"});
  EXPECT_EQ(second.Read().body, "2");
  EXPECT_EQ(third.Read().body, "3");
}

TEST_F(HttpServerTest, DrainLetsAnswersEnd) {
  RawClient idle = Connect();
  idle.Send(Get("/thing/a"));
  EXPECT_EQ(idle.Read().status, 200);
  RawClient busy = Connect();
  busy.Send(Get("/wait"));
  Asked asked = handler_.Next();
  RawClient stuck = Connect();
  stuck.Send(Get("/wait"));
  Asked never_answered = handler_.Next();
  Said<bool> gone;
  never_answered.exchange->OnGone([say = gone.Say()] { say(true); });
  std::thread stop([this] { server_->Stop(std::chrono::seconds(1)); });
  EXPECT_TRUE(idle.AwaitEnd());
  asked.exchange->Respond({.body = "last"});
  const RawAnswer answer = busy.Read();
  EXPECT_EQ(answer.body, "last");
  EXPECT_EQ(answer.Header("connection"), "close");
  EXPECT_TRUE(gone.Await()) << "patience has an end";
  stop.join();
  EXPECT_FALSE(RawClient(port_).connected());
  Said<bool> taken;
  never_answered.exchange->Respond({.body = "too late"}, taken.Say());
  EXPECT_FALSE(taken.Await()) << "after the server has gone";
}

TEST_F(HttpServerTest, HundredsWaitAndNothingStays) {
  constexpr int kMany = 300;
  config_.http.connections_max = 1'000;
  HostBudget budget(64 << 20);
  server_.reset();
  auto server = Server::Start({config_, handler_, *runner_, budget, *metrics_, [] { return absl::OkStatus(); }});
  ASSERT_TRUE(server.ok()) << server.status();
  port_ = SplitAddress((*server)->address())->port;
  std::vector<RawClient> clients;
  std::vector<Asked> waiting;
  for (int i = 0; i < kMany; ++i) {
    clients.push_back(Connect());
    clients.back().Send(i % 2 == 0 ? Get("/wait") : Get("/thing/x"));
    if (i % 2 == 0) waiting.push_back(handler_.Next());
  }
  for (int i = 1; i < kMany; i += 2) EXPECT_EQ(clients[static_cast<size_t>(i)].Read().status, 200);
  EXPECT_EQ(budget.used_bytes(), kMany * kConnectionBytes);
  for (Asked& asked : waiting) {
    asked.exchange->BeginStream(200, {});
    asked.exchange->Chunk("x", {});
    asked.exchange->EndStream(true);
  }
  for (int i = 0; i < kMany; i += 2) EXPECT_EQ(clients[static_cast<size_t>(i)].Read().body, "x");
  clients.clear();
  AwaitMetric("headroom_gateway_http_connections 0");
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST_F(HttpServerTest, AddressesThatCannotBeServed) {
  config_.http.listen = server_->address();
  const auto start = [this] {
    return Server::Start({config_, handler_, *runner_, budget_, *metrics_, [] { return absl::OkStatus(); }}).status();
  };
  EXPECT_EQ(start().code(), absl::StatusCode::kUnavailable);
  config_.http.listen = "unix:/x";
  EXPECT_EQ(start().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace headroom::gateway::http
