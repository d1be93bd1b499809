// What the roles of a model share on a device: the model's numbers, one plan, one ledger, one arena. Where a process
// serves several models, each has a part of the device, with a plan and a ledger of its own, and all share its lane.
//
// Create() plans, then reserves and touches the whole plan before a weight is read. Weights are loaded by the roles.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/config.h"
#include "common/metrics.h"
#include "common/status.h"
#include "headroom/v1/common.pb.h"
#include "memory/arena.h"
#include "memory/host_budgets.h"
#include "memory/ledger.h"
#include "memory/plan.h"
#include "model/checkpoint.h"
#include "model/spec.h"
#include "runtime/device.h"
#include "runtime/kernel_sizes.h"
#include "worker/device_floor.h"

namespace headroom::worker {

// Fills in what the plan must know about the kernels of a role: AddDecoderNeeds, AddEncoderNeeds, or both.
using AddNeeds = std::function<void(runtime::KernelSizes& sizes, const model::ModelSpec& config, DType compute,
                                    memory::KernelNeeds& needs)>;

// A device that several models of a process stand on, each with the share that its configuration has as device.memory.
struct SharedDevice {
  std::shared_ptr<runtime::Device> device;
  int64_t memory_bytes = 0;  // of all shares
};
// INVALID_ARGUMENT and what else runtime::Device::Create returns.
absl::StatusOr<std::shared_ptr<runtime::Device>> OpenDevice(
    const DeviceSection& section, const runtime::CreateDevice& create_device = runtime::Device::Create);

class WorkerDevice {
 public:
  // `host`: what the machine has, and the host budgets that it must have room for beside the device.
  // Errors of configuration, checkpoint, plan (FAILED_PRECONDITION with the line that binds) and machine
  // (RESOURCE_EXHAUSTED). CANCELLED when `stop` fires while memory is touched.
  static absl::StatusOr<std::unique_ptr<WorkerDevice>> Create(
      const ClusterConfig& config, memory::Roles roles, const AddNeeds& add_needs, const memory::HostFit& host,
      const std::stop_token& stop = {}, const runtime::CreateDevice& create_device = runtime::Device::Create);
  // The same on a part of a device: its ledger calls it KIND/MODEL, and it bears as much of what the process takes and
  // the machine lacks as its share is of all. `host`: for the whole device.
  static absl::StatusOr<std::unique_ptr<WorkerDevice>> CreatePart(const ClusterConfig& config, memory::Roles roles,
                                                                  const AddNeeds& add_needs,
                                                                  const memory::HostFit& host,
                                                                  const SharedDevice& shared,
                                                                  const std::stop_token& stop = {});

  runtime::Device& device() { return *device_; }
  memory::Arena& arena() { return *arena_; }
  memory::Ledger& ledger() { return *ledger_; }
  const memory::Plan& plan() const { return plan_; }
  const model::ModelSpec& model() const { return model_; }
  const model::Checkpoint& checkpoint() const { return *checkpoint_; }
  const std::string& fingerprint() const { return fingerprint_; }
  DType compute() const { return plan_.compute; }
  // One row of embeddings as requests are priced, as it is kept and as it travels. 0 for a model without images.
  int64_t EmbeddingRowBytes() const { return model_.Sees() ? model_.llm.hidden_size * SizeOf(compute()) : 0; }

  // What this process takes of the device beside the arena.
  DeviceFloor& floor() { return *floor_; }

  // The ledger as workers report it to schedulers. Thread-safe.
  v1::DeviceLedger Ledger() const;
  // headroom_memory_… gauges, all of one scrape from one snapshot. The token must be dropped before this object.
  [[nodiscard]] std::shared_ptr<void> ExportLedger(Metrics& metrics) const;

 private:
  WorkerDevice() = default;
  static absl::StatusOr<std::unique_ptr<WorkerDevice>> CreateOn(const ClusterConfig& config, const std::string& name,
                                                                memory::Roles roles, const AddNeeds& add_needs,
                                                                const memory::HostFit& host, const SharedDevice& shared,
                                                                const std::stop_token& stop);

  model::ModelSpec model_;
  std::optional<model::Checkpoint> checkpoint_;
  std::string fingerprint_;
  memory::Plan plan_;
  std::shared_ptr<runtime::Device> device_;
  std::unique_ptr<memory::Ledger> ledger_;
  std::unique_ptr<DeviceFloor> floor_;
  std::unique_ptr<memory::Arena> arena_;
};

// A part of `device`, share_bytes of all_bytes: it bears as much of what the process takes and of what is lacking.
memory::DeviceSpec PartOf(memory::DeviceSpec device, int64_t share_bytes, int64_t all_bytes);

// headroom_host_available_bytes: once per process. The token is dropped before `metrics`.
[[nodiscard]] std::shared_ptr<void> ExportHostMemory(Metrics& metrics);

// The knobs of the configuration as the plan takes them. INVALID_ARGUMENT for an unknown dtype.
absl::StatusOr<memory::Knobs> KnobsFrom(const KnobsSection& section);
absl::StatusOr<DType> ComputeTypeFrom(const ModelSection& section);

}  // namespace headroom::worker
