// Watches a device that others may use or that may break: shows who uses its memory (headroom_card_… metrics) and ends
// the process when nothing can be relied on that the device computes. The end of the process frees its legs: another
// incarnation comes, or the scheduler forgets this one.
#pragma once

#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "common/metrics.h"
#include "common/service_main.h"
#include "runtime/device_monitor.h"

namespace headroom::worker {

class DeviceWatch {
 public:
  // Null where the device has no monitor. What is passed by reference must outlive the result. `device`: its name.
  static std::unique_ptr<DeviceWatch> Start(runtime::DeviceMonitor* monitor, const std::string& device,
                                            Metrics& metrics, ProcessEnd& process);
  // Waits for a look at the device, a second at most.
  ~DeviceWatch() = default;

 private:
  DeviceWatch(runtime::DeviceMonitor& monitor, std::string device, Metrics& metrics, ProcessEnd& process);
  void Run(const std::stop_token& stop);
  void Look();

  runtime::DeviceMonitor& monitor_;
  const std::string device_;
  ProcessEnd& process_;
  std::mutex mutex_;
  absl::StatusOr<runtime::DeviceUse> use_;
  std::shared_ptr<void> metrics_token_;
  std::jthread thread_;  // Held for: what Run() does on it
};

}  // namespace headroom::worker
