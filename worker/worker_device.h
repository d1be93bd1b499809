// What the roles of one process share on a device: the model's numbers, one plan, one ledger, one arena, one compute
// lane.
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
#include "model/config.h"
#include "runtime/device.h"
#include "runtime/kernel_sizes.h"
#include "worker/device_floor.h"

namespace headroom::worker {

// Fills in what the plan must know about the kernels of a role: AddDecoderNeeds, AddEncoderNeeds, or both.
using AddNeeds = std::function<void(runtime::KernelSizes& sizes, const model::ModelConfig& config, DType compute,
                                    memory::KernelNeeds& needs)>;

class WorkerDevice {
 public:
  // `host`: what the machine has, and the host budgets that it must have room for beside the device.
  // Errors of configuration, checkpoint, plan (FAILED_PRECONDITION with the line that binds) and machine
  // (RESOURCE_EXHAUSTED). CANCELLED when `stop` fires while memory is touched.
  static absl::StatusOr<std::unique_ptr<WorkerDevice>> Create(
      const ClusterConfig& config, memory::Roles roles, const AddNeeds& add_needs, const memory::HostFit& host,
      const std::stop_token& stop = {}, const runtime::CreateDevice& create_device = runtime::Device::Create);

  runtime::Device& device() { return *device_; }
  memory::Arena& arena() { return *arena_; }
  memory::Ledger& ledger() { return *ledger_; }
  const memory::Plan& plan() const { return plan_; }
  const model::ModelConfig& model() const { return model_; }
  const model::Checkpoint& checkpoint() const { return *checkpoint_; }
  const std::string& fingerprint() const { return fingerprint_; }
  DType compute() const { return plan_.compute; }
  // Embeddings of one piece as requests are priced and as they travel: rows · columns · element, without alignment. 0
  // for a model without images.
  int64_t EmbeddingPieceBytes() const {
    return model_.vision ? model_.resampler.query_num * model_.llm.hidden_size * SizeOf(compute()) : 0;
  }

  // What this process takes of the device beside the arena.
  DeviceFloor& floor() { return *floor_; }

  // The ledger as workers report it to schedulers. Thread-safe.
  v1::DeviceLedger Ledger() const;
  // headroom_memory_… gauges, all of one scrape from one snapshot. The token must be dropped before this object.
  [[nodiscard]] std::shared_ptr<void> ExportLedger(Metrics& metrics) const;

 private:
  WorkerDevice() = default;

  model::ModelConfig model_;
  std::optional<model::Checkpoint> checkpoint_;
  std::string fingerprint_;
  memory::Plan plan_;
  std::unique_ptr<runtime::Device> device_;
  std::unique_ptr<memory::Ledger> ledger_;
  std::unique_ptr<DeviceFloor> floor_;
  std::unique_ptr<memory::Arena> arena_;
};

// The knobs of the configuration as the plan takes them. INVALID_ARGUMENT for an unknown dtype.
absl::StatusOr<memory::Knobs> KnobsFrom(const KnobsSection& section);
absl::StatusOr<DType> ComputeTypeFrom(const ModelSection& section);

}  // namespace headroom::worker
