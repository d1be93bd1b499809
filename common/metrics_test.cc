#include "common/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace headroom {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<MetricDefinition>& TestCatalogue() {
  static const std::vector<MetricDefinition> catalogue = {
      {"headroom_test_requests_total",
       MetricType::kCounter,
       "requests",
       "gateway",
       {{"outcome", "ok|error"}},
       MetricBuckets::kNone,
       "Requests."},
      {"headroom_test_total", MetricType::kCounter, "test", "gateway", {}, MetricBuckets::kNone, "Test."},
      {"headroom_test_read_total", MetricType::kCounter, "read", "gateway", {}, MetricBuckets::kNone, "Read."},
      {"headroom_test_depth", MetricType::kGauge, "depth", "gateway", {}, MetricBuckets::kNone, "Depth."},
      {"headroom_test_bytes",
       MetricType::kGauge,
       "bytes",
       "gateway",
       {{"component", "kv"}},
       MetricBuckets::kNone,
       "Bytes."},
      {"headroom_test_wait_seconds",
       MetricType::kHistogram,
       "seconds",
       "gateway",
       {},
       MetricBuckets::kLatency,
       "Wait."}};
  return catalogue;
}

TEST(MetricsTest, RendersWhatWasCounted) {
  auto metrics = Metrics::Create("", TestCatalogue());
  ASSERT_TRUE(metrics.ok());
  Counter requests = (*metrics)->AddCounter("headroom_test_requests_total", {{"outcome", "ok"}});
  Counter failures = (*metrics)->AddCounter("headroom_test_requests_total", {{"outcome", "error"}});
  Gauge depth = (*metrics)->AddGauge("headroom_test_depth");
  Histogram wait = (*metrics)->AddHistogram("headroom_test_wait_seconds");
  requests.Increment(2);
  failures.Increment();
  depth.Set(5);
  depth.Add(-2);
  wait.Observe(0.5);
  const std::string text = (*metrics)->Render();
  EXPECT_THAT(text, HasSubstr("headroom_test_requests_total{outcome=\"ok\"} 2"));
  EXPECT_THAT(text, HasSubstr("headroom_test_requests_total{outcome=\"error\"} 1"));
  EXPECT_THAT(text, HasSubstr("headroom_test_depth 3"));
  EXPECT_THAT(text, HasSubstr("headroom_test_wait_seconds_bucket{le=\"1\"} 1"));
}

TEST(MetricsTest, CollectorsRunPerScrapeUntilDropped) {
  auto metrics = Metrics::Create("", TestCatalogue());
  ASSERT_TRUE(metrics.ok());
  int scrapes = 0;
  auto token = (*metrics)->AddCollector([&] {
    ++scrapes;
    return std::vector<MetricSample>{{"headroom_test_bytes", {{"component", "kv"}}, double(scrapes)}};
  });
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_test_bytes{component=\"kv\"} 1"));
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_test_bytes{component=\"kv\"} 2"));
  token.reset();
  EXPECT_THAT((*metrics)->Render(), Not(HasSubstr("headroom_test_bytes")));
}

TEST(MetricsTest, CollectedCountersAreCounters) {
  auto metrics = Metrics::Create("", TestCatalogue());
  ASSERT_TRUE(metrics.ok());
  const auto token = (*metrics)->AddCollector([] {
    return std::vector<MetricSample>{{"headroom_test_read_total", {}, 7}};
  });
  EXPECT_THAT((*metrics)->Render(), HasSubstr("# TYPE headroom_test_read_total counter"));
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_test_read_total 7"));
}

TEST(MetricsTest, EveryProcessShowsItsBuildAndMemory) {
  auto metrics = Metrics::Create("");
  ASSERT_TRUE(metrics.ok());
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_build_info{build="));
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_process_resident_bytes "));
}

TEST(MetricsDeathTest, WhatTheCatalogueDoesNotNameIsRefused) {
  auto metrics = Metrics::Create("", TestCatalogue());
  ASSERT_TRUE(metrics.ok());
  EXPECT_DEATH((*metrics)->AddCounter("headroom_test_other_total"), "not in the catalogue");
  EXPECT_DEATH((*metrics)->AddGauge("headroom_test_total"), "another type");
  EXPECT_DEATH((*metrics)->AddCounter("headroom_test_requests_total"), "labels");
  EXPECT_DEATH((*metrics)->AddCounter("headroom_test_requests_total", {{"outcome", "maybe"}}), "not declared");
  EXPECT_DEATH((*metrics)->AddCounter("headroom_test_requests_total", {{"result", "ok"}}), "not declared");
}

// Names, units and labels as Prometheus and our own rules want them.
TEST(MetricCatalogueTest, KeepsTheConventions) {
  const std::set<std::string> base_units = {"seconds", "bytes", "ratio"};
  std::set<std::string> names;
  for (const MetricDefinition& metric : MetricCatalogue()) {
    const std::string name = metric.name;
    SCOPED_TRACE(name);
    EXPECT_TRUE(names.insert(name).second) << "twice";
    EXPECT_EQ(name.rfind("headroom_", 0), 0U);
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos);
    const bool counter = metric.type == MetricType::kCounter;
    EXPECT_EQ(absl::EndsWith(name, "_total"), counter);
    const std::string stem = counter ? name.substr(0, name.size() - 6) : name;
    const std::string unit = metric.unit;
    EXPECT_EQ(absl::EndsWith(stem, "_ratio"), unit == "ratio");
    EXPECT_EQ(absl::EndsWith(stem, "_info"), unit == "info");
    for (const std::string& base : base_units) {
      EXPECT_EQ(absl::EndsWith(stem, "_" + base), unit == base);
    }
    if (unit != "state" && unit != "number") {
      EXPECT_NE(stem.find(unit), std::string::npos) << unit;
    }
    for (const char* scaled : {"_ms", "_milliseconds", "_kb", "_mb", "_mib", "_gib", "_percent", "_perc"}) {
      EXPECT_FALSE(absl::EndsWith(stem, scaled));
    }
    EXPECT_EQ(metric.type == MetricType::kHistogram, !BucketsOf(metric.buckets).empty());
    EXPECT_TRUE(std::is_sorted(BucketsOf(metric.buckets).begin(), BucketsOf(metric.buckets).end()));
    EXPECT_THAT(std::string(metric.help), testing::EndsWith("."));
    for (const std::string& service : absl::StrSplit(metric.services, '|').operator std::vector<std::string>()) {
      EXPECT_THAT(service, testing::AnyOf("gateway", "scheduler", "vision-worker", "llm-worker"));
    }
    for (const MetricLabel& label : metric.labels) {
      EXPECT_NE(*label.values != '\0', *label.open != '\0') << label.name << " is closed or open";
      EXPECT_THAT(std::string(label.name), testing::Not(testing::AnyOf("le", "quantile", "instance", "job")));
    }
    EXPECT_GT(metric.SeriesMax(), 0);
  }
}

// Every series that the labels allow; what a process really shows is less (a test of real scrapes bounds that).
TEST(MetricCatalogueTest, SeriesAreBounded) {
  int64_t series = 0, without_codes = 0;
  for (const MetricDefinition& metric : MetricCatalogue()) {
    series += metric.SeriesMax();
    if (std::string(metric.name).find("grpc") == std::string::npos) without_codes += metric.SeriesMax();
    EXPECT_LE(metric.SeriesMax(), 1600) << metric.name;
  }
  EXPECT_LE(series, 4500);
  EXPECT_LE(without_codes, 1500);
}

TEST(MetricsTest, ServesOnAFreePort) {
  auto metrics = Metrics::Create("127.0.0.1:0");
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_GT((*metrics)->port(), 0);
  auto second = Metrics::Create(absl::StrCat("127.0.0.1:", (*metrics)->port()));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

// A connection to a metrics server that `text` has been sent on.
class Connection {
 public:
  Connection(int port, const std::string& text) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval patience = {.tv_sec = 30, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(write(socket_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  ~Connection() { close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // All that comes before the server closes the connection.
  std::string Answer() {
    std::string answer;
    char part[4096];
    for (ssize_t count = 0; (count = read(socket_, part, sizeof part)) > 0;) {
      answer.append(part, static_cast<size_t>(count));
    }
    return answer;
  }

 private:
  const int socket_;
};

std::string Ask(int port, const std::string& method, const std::string& path) {
  return Connection(port, method + " " + path + " HTTP/1.0\r\n\r\n").Answer();
}

// More halves of requests than the server keeps connections; what comes after them is answered all the same.
TEST(MetricsTest, HalfRequestsDoNotBlockScrapes) {
  auto metrics = Metrics::Create("127.0.0.1:0", TestCatalogue());
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  const int port = (*metrics)->port();
  std::list<Connection> halves;
  for (int i = 0; i < 100; ++i) halves.emplace_back(port, i % 2 == 0 ? "GET /metr" : "HEAD /metr");
  EXPECT_THAT(Ask(port, "GET", "/metrics").substr(0, 12), HasSubstr("200"));
}

TEST(MetricsTest, HeadIsGetWithoutTheBody) {
  auto metrics = Metrics::Create("127.0.0.1:0", TestCatalogue());
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  (*metrics)->AddCounter("headroom_test_total").Increment();
  const int port = (*metrics)->port();
  const std::string get = Ask(port, "GET", "/metrics"), head = Ask(port, "HEAD", "/metrics");
  for (const char* line : {"200 OK\r\n", "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"}) {
    EXPECT_THAT(get, HasSubstr(line));
    EXPECT_THAT(head, HasSubstr(line));
  }
  EXPECT_THAT(get, HasSubstr("# TYPE "));
  EXPECT_THAT(head, testing::EndsWith("\r\n\r\n")) << "nothing follows the headers";
  EXPECT_EQ(head.find("\r\n\r\n"), head.size() - 4);
  for (const char* method : {"GET", "HEAD"})
    EXPECT_THAT(Ask(port, method, "/elsewhere").substr(0, 12), HasSubstr("404"));
}

TEST(MetricsTest, OneConnectionServesManyScrapes) {
  auto metrics = Metrics::Create("127.0.0.1:0", TestCatalogue());
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  const std::string get = "GET /metrics HTTP/1.1\r\nHost: h\r\n";
  const std::string answers = Connection((*metrics)->port(), get + "\r\n" + get + "Connection: close\r\n\r\n").Answer();
  EXPECT_THAT(answers.substr(answers.find("\r\n\r\n")), HasSubstr("HTTP/1.1 200 OK"));
}

TEST(MetricsTest, RefusesWhatNoScrapeIs) {
  auto metrics = Metrics::Create("127.0.0.1:0", TestCatalogue());
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  const int port = (*metrics)->port();
  EXPECT_THAT(Ask(port, "POST", "/metrics"), HasSubstr("405"));
  EXPECT_EQ(Ask(port, "GET", "/" + std::string(100'000, 'x')), "");
  EXPECT_EQ(Ask(port, "\x16\x03\x01", "?"), "");
  EXPECT_THAT(Ask(port, "GET", "/metrics"), HasSubstr("200 OK"));
}

bool MachineHasIpv6() {
  const int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool has = probe >= 0 && bind(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (probe >= 0) close(probe);
  return has;
}

std::string AskIpv6(int port) {
  const int connection = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(connection, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer(12, ' ');
  EXPECT_EQ(recv(connection, answer.data(), answer.size(), MSG_WAITALL), static_cast<ssize_t>(answer.size()));
  close(connection);
  return answer;
}

// [::] is every address of both families, also where the machine has but one.
TEST(MetricsTest, EveryFamily) {
  auto metrics = Metrics::Create("[::]:0", TestCatalogue());
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_THAT(Ask((*metrics)->port(), "GET", "/metrics"), HasSubstr("200 OK"));
  if (!MachineHasIpv6()) GTEST_SKIP() << "no IPv6 here";
  EXPECT_EQ(AskIpv6((*metrics)->port()), "HTTP/1.0 200");
  auto loopback = Metrics::Create("[::1]:0", TestCatalogue());
  ASSERT_TRUE(loopback.ok()) << loopback.status();
  EXPECT_EQ(AskIpv6((*loopback)->port()), "HTTP/1.0 200");
}

TEST(MetricsTest, CountsFromManyThreads) {
  auto metrics = Metrics::Create("", TestCatalogue());
  ASSERT_TRUE(metrics.ok());
  Counter counter = (*metrics)->AddCounter("headroom_test_total");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) counter.Increment();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_test_total 4000"));
}

}  // namespace
}  // namespace headroom
