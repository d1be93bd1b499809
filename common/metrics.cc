#include "common/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <list>
#include <mutex>

#include "common/check.h"
#include "common/metrics_server.h"
#include "common/version.h"

namespace headroom {
namespace {

using CollectFunction = std::function<std::vector<MetricSample>()>;

#ifdef __OPTIMIZE__
constexpr char kBuild[] = "release";
#else
constexpr char kBuild[] = "debug";
#endif

bool Matches(const MetricLabel& label, const MetricLabels& given) {
  const auto value = given.find(label.name);
  if (value == given.end()) return false;
  const std::vector<std::string> closed = ClosedValues(label);
  return closed.empty() || std::find(closed.begin(), closed.end(), value->second) != closed.end();
}

const MetricDefinition& Declared(const std::vector<MetricDefinition>& catalogue, const std::string& name,
                                 const MetricLabels& labels) {
  const MetricDefinition* metric = FindMetric(catalogue, name);
  HEADROOM_CHECK(metric != nullptr) << name << " is not in the catalogue of metrics";
  HEADROOM_CHECK(metric->labels.size() == labels.size()) << name << " has " << metric->labels.size() << " labels";
  for (const MetricLabel& label : metric->labels) {
    HEADROOM_CHECK(Matches(label, labels)) << name << ": label " << label.name << " or its value is not declared";
  }
  return *metric;
}

const MetricDefinition& Declared(const std::vector<MetricDefinition>& catalogue, const std::string& name,
                                 const MetricLabels& labels, MetricType type) {
  const MetricDefinition& metric = Declared(catalogue, name, labels);
  HEADROOM_CHECK(metric.type == type) << name << " is of another type";
  return metric;
}

// RssAnon + RssShmem of /proc/self/status, there in KiB; 0 where that cannot be read.
double ResidentBytes() {
  std::ifstream status("/proc/self/status");
  double bytes = 0;
  for (std::string word; status >> word;) {
    double kibibytes = 0;
    if ((word == "RssAnon:" || word == "RssShmem:") && status >> kibibytes) bytes += kibibytes * 1024;
  }
  return bytes;
}

// All collector callbacks of a process, as one prometheus::Collectable.
class SnapshotCollectors : public prometheus::Collectable {
 public:
  explicit SnapshotCollectors(const std::vector<MetricDefinition>& catalogue) : catalogue_(catalogue) {}

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
        const MetricDefinition& declared = Declared(catalogue_, sample.name, sample.labels);
        HEADROOM_CHECK(declared.type != MetricType::kHistogram) << sample.name << " is a histogram";
        const bool counts = declared.type == MetricType::kCounter;
        prometheus::MetricFamily& family = families[sample.name];
        family.name = sample.name;
        family.help = declared.help;
        family.type = counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
        prometheus::ClientMetric metric;
        for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
        (counts ? metric.counter.value : metric.gauge.value) = sample.value;
        family.metric.push_back(std::move(metric));
      }
    }
    std::vector<prometheus::MetricFamily> result;
    for (auto& [name, family] : families) result.push_back(std::move(family));
    return result;
  }

 private:
  const std::vector<MetricDefinition>& catalogue_;
  mutable std::mutex mutex_;
  std::list<CollectFunction> collectors_;
};

}  // namespace

struct Metrics::Impl {
  explicit Impl(const std::vector<MetricDefinition>& declared) : catalogue(declared) {}

  const std::vector<MetricDefinition>& catalogue;
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::shared_ptr<SnapshotCollectors> snapshots = std::make_shared<SnapshotCollectors>(catalogue);
  std::shared_ptr<void> process;
  std::unique_ptr<MetricsServer> server;  // gone before what it shows

  std::string Render() const {
    std::vector<prometheus::MetricFamily> families = registry->Collect();
    for (prometheus::MetricFamily& family : snapshots->Collect()) families.push_back(std::move(family));
    return prometheus::TextSerializer().Serialize(families);
  }
};

void Counter::Increment(double by) { counter_->Increment(by); }
void Gauge::Set(double value) { gauge_->Set(value); }
void Gauge::Add(double by) { gauge_->Increment(by); }
void Histogram::Observe(double value) { histogram_->Observe(value); }

Metrics::Metrics(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Metrics::~Metrics() = default;

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Create(const std::string& listen,
                                                         const std::vector<MetricDefinition>& catalogue) {
  auto impl = std::make_unique<Impl>(catalogue);
  if (!listen.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(impl->server, MetricsServer::Start(listen, [raw = impl.get()] { return raw->Render(); }));
  }
  std::unique_ptr<Metrics> metrics(new Metrics(std::move(impl)));
  if (FindMetric(catalogue, "headroom_build_info") == nullptr) return metrics;
  metrics->AddGauge("headroom_build_info", {{"version", kVersion}, {"build", kBuild}}).Set(1);
  metrics->AddGauge("headroom_process_start_time_seconds").Set(static_cast<double>(time(nullptr)));
  metrics->impl_->process = metrics->AddCollector([] {
    return std::vector<MetricSample>{{"headroom_process_resident_bytes", {}, ResidentBytes()}};
  });
  return metrics;
}

Counter Metrics::AddCounter(const std::string& name, const MetricLabels& labels) {
  const MetricDefinition& metric = Declared(impl_->catalogue, name, labels, MetricType::kCounter);
  return Counter(&prometheus::BuildCounter().Name(name).Help(metric.help).Register(*impl_->registry).Add(labels));
}

Gauge Metrics::AddGauge(const std::string& name, const MetricLabels& labels) {
  const MetricDefinition& metric = Declared(impl_->catalogue, name, labels, MetricType::kGauge);
  return Gauge(&prometheus::BuildGauge().Name(name).Help(metric.help).Register(*impl_->registry).Add(labels));
}

Histogram Metrics::AddHistogram(const std::string& name, const MetricLabels& labels) {
  const MetricDefinition& metric = Declared(impl_->catalogue, name, labels, MetricType::kHistogram);
  return Histogram(&prometheus::BuildHistogram()
                        .Name(name)
                        .Help(metric.help)
                        .Register(*impl_->registry)
                        .Add(labels, BucketsOf(metric.buckets)));
}

std::shared_ptr<void> Metrics::AddCollector(std::function<std::vector<MetricSample>()> collect) {
  std::shared_ptr<SnapshotCollectors> snapshots = impl_->snapshots;
  auto position = snapshots->Add(std::move(collect));
  return std::shared_ptr<void>(nullptr, [snapshots, position](void*) { snapshots->Remove(position); });
}

std::string Metrics::Render() const { return impl_->Render(); }

int Metrics::port() const { return impl_->server == nullptr ? 0 : impl_->server->port(); }

}  // namespace headroom
