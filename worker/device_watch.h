// Watches a device that others may use or that may break: shows who uses its memory (headroom_card_… metrics), whether
// this process came to hold more of it than when it was ready (headroom_card_growth_bytes, a line in the log), and ends
// the process when nothing can be relied on that the device computes. The end of the process frees its legs: another
// incarnation comes, or the scheduler forgets this one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/metrics.h"
#include "common/service_main.h"
#include "runtime/device_monitor.h"

namespace headroom::worker {

class DeviceWatch {
 public:
  // Why nothing works on the device any more in this process; OK while it does (runtime::Device::Lost).
  using Lost = std::function<absl::Status()>;
  // What this process is known to hold of the device; absent: nobody knows (DeviceFloor::SettledBytes).
  using Settled = std::function<std::optional<int64_t>()>;

  // Null where the device has no monitor. What is passed by reference must outlive the result. `device`: its name.
  static std::unique_ptr<DeviceWatch> Start(runtime::DeviceMonitor* monitor, const std::string& device, Lost lost,
                                            Settled settled, Metrics& metrics, ProcessEnd& process);
  // Waits for a look at the device, a second at most.
  ~DeviceWatch() = default;

 private:
  DeviceWatch(runtime::DeviceMonitor& monitor, std::string device, Lost lost, Settled settled, Metrics& metrics,
              ProcessEnd& process);
  std::vector<MetricSample> Samples();
  void Run(const std::stop_token& stop);
  void Look();

  runtime::DeviceMonitor& monitor_;
  const std::string device_;
  const Lost lost_;
  const Settled settled_;
  ProcessEnd& process_;
  std::mutex mutex_;
  absl::StatusOr<runtime::DeviceUse> use_;
  std::optional<int64_t> growth_;  // of this process since it was settled; absent: nobody can tell
  std::shared_ptr<void> metrics_token_;
  std::jthread thread_;  // Held for: what Run() does on it
};

}  // namespace headroom::worker
