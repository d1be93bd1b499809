#include "common/metrics.h"

#include <CivetServer.h>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>
#include <list>
#include <mutex>

#include "common/check.h"
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

// prometheus-cpp answers GET only, and civetweb everything else with 404. HEAD gets the headers of GET without
// Content-Length, which only a scrape could tell (RFC 9110, 9.3.2). 0: not ours, civetweb goes on.
int AnswerHead(mg_connection* connection) {
  const mg_request_info* request = mg_get_request_info(connection);
  if (strcmp(request->request_method, "HEAD") != 0 || strcmp(request->local_uri, "/metrics") != 0) return 0;
  mg_printf(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n");
  return 200;
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
  std::unique_ptr<prometheus::Exposer> exposer;
  std::shared_ptr<void> process;
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
    try {
      CivetCallbacks callbacks;
      callbacks.begin_request = AnswerHead;
      // A scraper that stops in the middle of its request holds a thread for so long only.
      impl->exposer = std::make_unique<prometheus::Exposer>(
          std::vector<std::string>{"listening_ports", listen, "num_threads", "4", "request_timeout_ms", "1000"},
          &callbacks);
    } catch (const std::exception&) {
      return absl::UnavailableError("cannot serve metrics on " + listen + ": address in use or not valid");
    }
    impl->exposer->RegisterCollectable(impl->registry);
    impl->exposer->RegisterCollectable(impl->snapshots);
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

}  // namespace headroom
