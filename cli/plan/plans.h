// What `headroom plan` computes: the plans of a model on one or several devices, what the host must have beside them,
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
#include "model/card.h"

namespace headroom::cli {

// What people ask for on the command line, over the configuration.
struct PlanOptions {
  std::string model;                 // directory or config.json; empty: model.path of the configuration
  std::vector<std::string> devices;  // names of the catalogue; empty: the device of the configuration
  std::string devices_file;
  std::string role = "all";  // all, vision, llm
  std::string dtype;         // empty: model.dtype
  std::string isa;           // empty: device.isa; CPU only
  std::string kv_cache_dtype;
  std::string quantization;
  memory::Knobs knobs;  // what is set here wins over the configuration
  std::string other_processes;
};

using memory::HostLine;

struct PlannedDevice {
  CatalogueDevice device;
  memory::PlanRequest request;
  std::vector<memory::Plan> ranks;  // empty when it does not fit
  absl::Status refusal;             // why
  std::vector<memory::FrontierPoint> frontier;

  bool fits() const { return !ranks.empty(); }
};

struct Planned {
  model::ModelCard card;
  ClusterConfig config;
  DType compute = DType::kBF16;
  memory::Roles roles;
  std::vector<PlannedDevice> devices;
  std::vector<HostLine> host;

  bool fits() const;
  int64_t HostBytes(const std::string& service) const;
};

// INVALID_ARGUMENT: bad option, model or knob. A plan that does not fit is no error: PlannedDevice::refusal says so.
absl::StatusOr<Planned> MakePlans(const ClusterConfig& config, const PlanOptions& options);

std::string PlanText(const Planned& planned);
std::string PlanJson(const Planned& planned);
// What vLLM of 2024 would have asked of each device with the same knobs: an estimate of another program. Empty for
// models that the engine does not serve.
absl::StatusOr<std::vector<VllmEstimate>> VllmEstimates(const Planned& planned);
std::string VllmText(const std::vector<VllmEstimate>& estimates);
// A values file for the Helm chart, of one role (helm/headroom/README.md). The plan must fit.
std::string PlanHelmValues(const Planned& planned, const std::string& pool, const std::string& command_line);

}  // namespace headroom::cli
