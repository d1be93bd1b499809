#include "common/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <list>
#include <mutex>

namespace headroom {
namespace {

using CollectFunction = std::function<std::vector<MetricSample>()>;

// All collector callbacks of a process, as one prometheus::Collectable.
class SnapshotCollectors : public prometheus::Collectable {
 public:
  std::list<CollectFunction>::iterator Add(CollectFunction collect) {
    std::lock_guard lock(mutex_);
    return collectors_.insert(collectors_.end(), std::move(collect));
  }

  void Remove(std::list<CollectFunction>::iterator position) {
    std::lock_guard lock(mutex_);
    collectors_.erase(position);
  }

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::map<std::string, prometheus::MetricFamily> families;
    std::lock_guard lock(mutex_);
    for (const auto& collect : collectors_) {
      for (const MetricSample& sample : collect()) {
        prometheus::MetricFamily& family = families[sample.name];
        family.name = sample.name;
        family.help = sample.help;
        family.type = prometheus::MetricType::Gauge;
        prometheus::ClientMetric metric;
        for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
        metric.gauge.value = sample.value;
        family.metric.push_back(std::move(metric));
      }
    }
    std::vector<prometheus::MetricFamily> result;
    for (auto& [name, family] : families) result.push_back(std::move(family));
    return result;
  }

 private:
  mutable std::mutex mutex_;
  std::list<CollectFunction> collectors_;
};

}  // namespace

struct Metrics::Impl {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::shared_ptr<SnapshotCollectors> snapshots = std::make_shared<SnapshotCollectors>();
  std::unique_ptr<prometheus::Exposer> exposer;
};

void Counter::Increment(double by) { counter_->Increment(by); }
void Gauge::Set(double value) { gauge_->Set(value); }
void Gauge::Add(double by) { gauge_->Increment(by); }
void Histogram::Observe(double value) { histogram_->Observe(value); }

Metrics::Metrics(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Metrics::~Metrics() = default;

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Create(const std::string& listen) {
  auto impl = std::make_unique<Impl>();
  if (!listen.empty()) {
    try {
      impl->exposer = std::make_unique<prometheus::Exposer>(listen, /*num_threads=*/2);
    } catch (const std::exception&) {
      return absl::UnavailableError("cannot serve metrics on " + listen + ": address in use or not valid");
    }
    impl->exposer->RegisterCollectable(impl->registry);
    impl->exposer->RegisterCollectable(impl->snapshots);
  }
  return std::unique_ptr<Metrics>(new Metrics(std::move(impl)));
}

Counter Metrics::AddCounter(const std::string& name, const std::string& help, const MetricLabels& labels) {
  return Counter(&prometheus::BuildCounter().Name(name).Help(help).Register(*impl_->registry).Add(labels));
}

Gauge Metrics::AddGauge(const std::string& name, const std::string& help, const MetricLabels& labels) {
  return Gauge(&prometheus::BuildGauge().Name(name).Help(help).Register(*impl_->registry).Add(labels));
}

Histogram Metrics::AddHistogram(const std::string& name, const std::string& help, const std::vector<double>& buckets,
                                const MetricLabels& labels) {
  return Histogram(&prometheus::BuildHistogram().Name(name).Help(help).Register(*impl_->registry).Add(labels, buckets));
}

std::shared_ptr<void> Metrics::AddCollector(std::function<std::vector<MetricSample>()> collect) {
  std::shared_ptr<SnapshotCollectors> snapshots = impl_->snapshots;
  auto position = snapshots->Add(std::move(collect));
  return std::shared_ptr<void>(nullptr, [snapshots, position](void*) { snapshots->Remove(position); });
}

std::string Metrics::Render() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry->Collect();
  for (prometheus::MetricFamily& family : impl_->snapshots->Collect()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

int Metrics::port() const {
  if (impl_->exposer == nullptr) return 0;
  const std::vector<int> ports = impl_->exposer->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

const std::vector<double>& LatencyBuckets() {
  static const std::vector<double> buckets = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                              0.5,    1,     2,     5,     10,   30,   60,   120};
  return buckets;
}

}  // namespace headroom
