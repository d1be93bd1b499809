// What `headroom plan` computes: the plans of models on one or several devices, what the host must have beside them,
// and what would fit where they do not. Built from the same configuration that the services read.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/plan/vllm_2024.h"
#include "common/config.h"
#include "common/device_catalogue.h"
#include "memory/host_budgets.h"
#include "memory/plan.h"
#include "model/spec.h"

namespace headroom::cli {

// What people ask for on the command line, over the configuration.
struct PlanOptions {
  // A model of the configuration by name or alias, a directory or a config.json; empty: all of the configuration.
  std::string model = {};
  std::vector<std::string> devices = {};  // names of the catalogue; empty: the device of the configuration
  std::string devices_file = {};
  std::string role = "all";  // all, vision, llm
  std::string dtype = {};    // empty: model.dtype
  std::string isa = {};      // empty: device.isa; CPU only
  std::string kv_cache_dtype = {};
  std::string quantization = {};
  memory::Knobs knobs = {};  // what is set here wins over the configuration
  std::string other_processes = {};
};

using memory::HostLine;

struct DevicePlans {
  CatalogueDevice device;
  memory::PlanRequest request;
  std::vector<memory::Plan> ranks;  // empty when it does not fit
  absl::Status refusal;             // why
  std::vector<memory::FrontierPoint> frontier;

  bool fits() const { return !ranks.empty(); }
};

// The plans of one model.
struct Plans {
  std::string name;  // in the configuration; empty where it is not the configuration's
  model::ModelSpec spec;
  bool served = false;  // the engine runs it
  ClusterConfig config;
  DType compute = DType::kBF16;
  memory::Roles roles;
  std::vector<DevicePlans> devices;
  std::vector<HostLine> host;

  bool fits() const;
  int64_t HostBytes(const std::string& service) const;
};

// Of every model that the options choose, one at least. With role `all`, several of a configuration share each device
// by their shares, as in `headroom up`; with a role, each has its share for a worker of its own. INVALID_ARGUMENT: bad
// option, model or knob, shares above the device. A plan that does not fit is no error: DevicePlans::refusal says so.
absl::StatusOr<std::vector<Plans>> MakePlans(const ClusterConfig& config, const PlanOptions& options);
// Where there is room for one alone: INVALID_ARGUMENT with the names where there are several.
absl::StatusOr<Plans> MakeOnePlan(const ClusterConfig& config, const PlanOptions& options);

// What vLLM of 2024 would have asked of the device with the same knobs: an estimate of another program.
// INVALID_ARGUMENT: not a model that the engine serves, or Vllm2024's.
absl::StatusOr<VllmEstimate> EstimateVllm(const Plans& plans, const DevicePlans& device);

}  // namespace headroom::cli
