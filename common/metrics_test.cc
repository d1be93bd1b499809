#include "common/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace headroom {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, RendersWhatWasCounted) {
  auto metrics = Metrics::Create("");
  ASSERT_TRUE(metrics.ok());
  Counter requests = (*metrics)->AddCounter("headroom_test_requests_total", "Requests.", {{"outcome", "ok"}});
  Counter failures = (*metrics)->AddCounter("headroom_test_requests_total", "Requests.", {{"outcome", "error"}});
  Gauge depth = (*metrics)->AddGauge("headroom_test_depth", "Depth.");
  Histogram wait = (*metrics)->AddHistogram("headroom_test_wait_seconds", "Wait.", {0.1, 1});
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
  auto metrics = Metrics::Create("");
  ASSERT_TRUE(metrics.ok());
  int scrapes = 0;
  auto token = (*metrics)->AddCollector([&] {
    ++scrapes;
    return std::vector<MetricSample>{{"headroom_test_bytes", "Bytes.", {{"component", "kv"}}, double(scrapes)}};
  });
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_test_bytes{component=\"kv\"} 1"));
  EXPECT_THAT((*metrics)->Render(), HasSubstr("headroom_test_bytes{component=\"kv\"} 2"));
  token.reset();
  EXPECT_THAT((*metrics)->Render(), Not(HasSubstr("headroom_test_bytes")));
}

TEST(MetricsTest, ServesOnAFreePort) {
  auto metrics = Metrics::Create("127.0.0.1:0");
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_GT((*metrics)->port(), 0);
  auto second = Metrics::Create(absl::StrCat("127.0.0.1:", (*metrics)->port()));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

TEST(MetricsTest, CountsFromManyThreads) {
  auto metrics = Metrics::Create("");
  ASSERT_TRUE(metrics.ok());
  Counter counter = (*metrics)->AddCounter("headroom_test_total", "Test.");
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
