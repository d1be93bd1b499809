#include "worker/device_watch.h"

#include <chrono>
#include <utility>
#include <vector>

#include "common/log.h"

namespace headroom::worker {
namespace {

constexpr std::chrono::seconds kPeriod(1);

std::vector<MetricSample> Samples(const std::string& device, const runtime::DeviceUse& use) {
  const MetricLabels labels = {{"device", device}};
  return {{"headroom_card_total_bytes", labels, static_cast<double>(use.total_bytes)},
          {"headroom_card_free_bytes", labels, static_cast<double>(use.free_bytes)},
          {"headroom_card_own_bytes", labels, static_cast<double>(use.own_bytes)},
          {"headroom_card_other_bytes", labels, static_cast<double>(use.other_bytes)}};
}

}  // namespace

std::unique_ptr<DeviceWatch> DeviceWatch::Start(runtime::DeviceMonitor* monitor, const std::string& device,
                                                Metrics& metrics, ProcessEnd& process) {
  if (monitor == nullptr) return nullptr;
  return std::unique_ptr<DeviceWatch>(new DeviceWatch(*monitor, device, metrics, process));
}

DeviceWatch::DeviceWatch(runtime::DeviceMonitor& monitor, std::string device, Metrics& metrics, ProcessEnd& process)
    : monitor_(monitor), device_(std::move(device)), process_(process), use_(monitor.Use()) {
  // A device that does not answer shows nothing: a gap says more than the last figure.
  metrics_token_ = metrics.AddCollector([this] {
    const std::lock_guard lock(mutex_);
    return use_.ok() ? Samples(device_, *use_) : std::vector<MetricSample>();
  });
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void DeviceWatch::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const std::string fault = monitor_.WaitForFault(kPeriod);
    if (!fault.empty()) {
      Log(LogLevel::kError, "worker", "the device is broken").With("device", device_).With("reason", fault);
      process_.Fail(absl::InternalError("device " + device_ + ": " + fault));
      return;
    }
    Look();
  }
}

void DeviceWatch::Look() {
  absl::StatusOr<runtime::DeviceUse> use = monitor_.Use();
  const std::lock_guard lock(mutex_);
  if (!use.ok() && use_.ok()) {
    Log(LogLevel::kWarning, "worker", "the device does not tell who uses it")
        .With("device", device_)
        .With("error", std::string(use.status().message()));
  }
  use_ = std::move(use);
}

}  // namespace headroom::worker
