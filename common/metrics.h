// Prometheus metrics of one process. Every name, its type, help, labels and their values stand in the catalogue
// (common/metric_catalogue.h); a name, type or label that does not is a programmer error. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/metric_catalogue.h"
#include "common/status.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace headroom {

using MetricLabels = std::map<std::string, std::string>;

// Handles are small and copyable; they are good as long as their Metrics lives.
class Counter {
 public:
  explicit Counter(prometheus::Counter* counter) : counter_(counter) {}
  void Increment(double by = 1);

 private:
  prometheus::Counter* counter_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge* gauge) : gauge_(gauge) {}
  void Set(double value);
  void Add(double by);

 private:
  prometheus::Gauge* gauge_;
};

class Histogram {
 public:
  explicit Histogram(prometheus::Histogram* histogram) : histogram_(histogram) {}
  void Observe(double value);

 private:
  prometheus::Histogram* histogram_;
};

// A value of a gauge or counter that is read at scrape time.
struct MetricSample {
  std::string name;
  MetricLabels labels;
  double value = 0;
};

class Metrics {
 public:
  // Serves /metrics on `listen` (host:port, port 0 takes a free one); empty: no port, Render() only. UNAVAILABLE when
  // it cannot bind. What every process shows is there from the start: build, resident memory, start time.
  static absl::StatusOr<std::unique_ptr<Metrics>> Create(
      const std::string& listen, const std::vector<MetricDefinition>& catalogue = MetricCatalogue());
  ~Metrics();

  // The same name may be added again; with the same labels it is the same metric.
  Counter AddCounter(const std::string& name, const MetricLabels& labels = {});
  Gauge AddGauge(const std::string& name, const MetricLabels& labels = {});
  Histogram AddHistogram(const std::string& name, const MetricLabels& labels = {});

  // `collect` runs once per scrape, so that numbers which belong together come from one snapshot. It must not block for
  // long, and no two collectors may show the same series. The returned token must be dropped before anything that
  // `collect` reads dies; dropping waits for a scrape that is running it.
  [[nodiscard]] std::shared_ptr<void> AddCollector(std::function<std::vector<MetricSample>()> collect);

  // The exposition text, as a scrape would get it. For tests: without a port.
  std::string Render() const;
  // 0 without a port.
  int port() const;

 private:
  struct Impl;
  explicit Metrics(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace headroom
