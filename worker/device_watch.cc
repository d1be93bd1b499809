#include "worker/device_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "common/log.h"

namespace headroom::worker {
namespace {

constexpr std::chrono::seconds kPeriod(1);

}  // namespace

std::unique_ptr<DeviceWatch> DeviceWatch::Start(runtime::DeviceMonitor* monitor, const std::string& device, Lost lost,
                                                Settled settled, Metrics& metrics, ProcessEnd& process) {
  if (monitor == nullptr) return nullptr;
  return std::unique_ptr<DeviceWatch>(
      new DeviceWatch(*monitor, device, std::move(lost), std::move(settled), metrics, process));
}

DeviceWatch::DeviceWatch(runtime::DeviceMonitor& monitor, std::string device, Lost lost, Settled settled,
                         Metrics& metrics, ProcessEnd& process)
    : monitor_(monitor),
      device_(std::move(device)),
      lost_(std::move(lost)),
      settled_(std::move(settled)),
      process_(process),
      use_(monitor.Use()) {
  metrics_token_ = metrics.AddCollector([this] { return Samples(); });
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void DeviceWatch::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::string fault = monitor_.WaitForFault(kPeriod);
    // What a kernel of ours did is no fault of the card, and ends this process alone.
    if (const absl::Status lost = lost_(); fault.empty() && !lost.ok()) fault = std::string(lost.message());
    if (!fault.empty()) {
      Log(LogLevel::kError, "worker", "the device is broken").With("device", device_).With("reason", fault);
      process_.Fail(absl::InternalError("device " + device_ + ": " + fault));
      return;
    }
    Look();
  }
}

// A device that does not answer shows nothing: a gap says more than the last figure.
std::vector<MetricSample> DeviceWatch::Samples() {
  const std::lock_guard lock(mutex_);
  if (!use_.ok()) return {};
  const MetricLabels labels = {{"device", device_}};
  std::vector<MetricSample> samples = {{"headroom_card_total_bytes", labels, static_cast<double>(use_->total_bytes)},
                                       {"headroom_card_free_bytes", labels, static_cast<double>(use_->free_bytes)},
                                       {"headroom_card_own_bytes", labels, static_cast<double>(use_->own_bytes)},
                                       {"headroom_card_other_bytes", labels, static_cast<double>(use_->other_bytes)}};
  if (growth_) samples.push_back({"headroom_card_growth_bytes", labels, static_cast<double>(*growth_)});
  return samples;
}

void DeviceWatch::Look() {
  // Before the look at the card: what is settled later may be more.
  const std::optional<int64_t> settled = settled_();
  absl::StatusOr<runtime::DeviceUse> use = monitor_.Use();
  const bool told = settled && use.ok() && use->own_is_told && settled_() == settled;
  const std::optional<int64_t> growth =
      told ? std::optional(std::max<int64_t>(0, use->own_bytes - *settled)) : std::nullopt;
  const std::lock_guard lock(mutex_);
  if (growth.value_or(0) > growth_.value_or(0)) {
    Log(LogLevel::kWarning, "worker", "this process takes more of the device than when it was ready")
        .With("device", device_)
        .With("growth_bytes", *growth)
        .With("ready_bytes", *settled);
  }
  growth_ = growth;
  if (!use.ok() && use_.ok()) {
    Log(LogLevel::kWarning, "worker", "the device does not tell who uses it")
        .With("device", device_)
        .With("error", std::string(use.status().message()));
  }
  use_ = std::move(use);
}

}  // namespace headroom::worker
