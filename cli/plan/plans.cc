#include "cli/plan/plans.h"

#include <algorithm>

#include "common/status.h"
#include "common/units.h"
#include "llm-worker/server.h"
#include "runtime/cuda/card_sizes.h"
#include "runtime/device.h"
#include "vision-worker/server.h"
#include "worker/worker_device.h"

namespace headroom::cli {
namespace {

absl::StatusOr<memory::Roles> ParseRole(const std::string& role, const model::ModelSpec& spec) {
  if (role == "vision") return memory::Roles{.vision = true, .llm = false};
  if (role == "llm") return memory::Roles{.vision = false, .llm = true};
  if (role == "all") return memory::Roles{.vision = spec.encoder.has_value(), .llm = true};
  return absl::InvalidArgumentError("--role wants all, vision or llm, got '" + role + "'");
}

absl::StatusOr<std::optional<model::WeightFormat>> ParseQuantization(const std::string& text) {
  using Kind = model::WeightFormat::Kind;
  if (text.empty() || text == "none") return std::optional<model::WeightFormat>();
  if (text == "int8") return model::WeightFormat{.kind = Kind::kInt8};
  if (text == "fp8") return model::WeightFormat{.kind = Kind::kFp8};
  for (const int64_t group : {32, 64, 128}) {
    if (text == absl::StrCat("int4-g", group)) return model::WeightFormat{.kind = Kind::kInt4, .scale_cols = group};
  }
  return absl::InvalidArgumentError("--quantization wants none, int8, fp8, int4-g32, int4-g64 or int4-g128, got '" +
                                    text + "'");
}

template <typename T>
void Prefer(const std::optional<T>& given, std::optional<T>& knob) {
  if (given) knob = given;
}

absl::StatusOr<memory::Knobs> MergeKnobs(const ClusterConfig& config, const PlanOptions& options) {
  HEADROOM_ASSIGN_OR_RETURN(memory::Knobs knobs, worker::KnobsFrom(config.knobs));
  const memory::Knobs& given = options.knobs;
  Prefer(given.max_num_seqs, knobs.max_num_seqs);
  Prefer(given.max_model_len, knobs.max_model_len);
  Prefer(given.max_num_batched_tokens, knobs.max_num_batched_tokens);
  Prefer(given.gpu_memory_utilization, knobs.gpu_memory_utilization);
  Prefer(given.block_size, knobs.block_size);
  Prefer(given.max_patches_per_step, knobs.max_patches_per_step);
  Prefer(given.embedding_store_pages, knobs.embedding_store_pages);
  Prefer(given.tensor_parallel_size, knobs.tensor_parallel_size);
  knobs.min_full_length_seqs = given.min_full_length_seqs;
  HEADROOM_ASSIGN_OR_RETURN(knobs.quantization, ParseQuantization(options.quantization));
  if (options.kv_cache_dtype == "fp8") {
    knobs.kv_cache_dtype = DType::kF8;
  } else if (!options.kv_cache_dtype.empty()) {
    KnobsSection section;
    section.kv_cache_dtype = options.kv_cache_dtype;
    HEADROOM_ASSIGN_OR_RETURN(const memory::Knobs parsed, worker::KnobsFrom(section));
    knobs.kv_cache_dtype = parsed.kv_cache_dtype;
  }
  return knobs;
}

// Whole ones, before several models share them.
absl::StatusOr<std::vector<CatalogueDevice>> ChosenDevices(const DeviceSection& section, const PlanOptions& options) {
  DeviceCatalogue catalogue;
  if (!options.devices_file.empty()) HEADROOM_RETURN_IF_ERROR(catalogue.AddFile(options.devices_file));
  std::vector<CatalogueDevice> devices;
  for (const std::string& name : options.devices) {
    HEADROOM_ASSIGN_OR_RETURN(CatalogueDevice device, catalogue.Find(name));
    devices.push_back(std::move(device));
  }
  if (!devices.empty()) return devices;
  HEADROOM_ASSIGN_OR_RETURN(CatalogueDevice own, catalogue.Find(absl::StrCat(section.kind, ":", section.memory)));
  own.name = section.kind;
  if (section.context_floor > 0) own.context_floor = section.context_floor;
  if (section.libraries > 0) own.libraries = section.libraries;
  devices.push_back(std::move(own));
  return devices;
}

// What a model has of a device, by the name that the ledger gives it; `sharers`: the models that stand on it, itself
// among them.
memory::DeviceSpec SpecOf(const CatalogueDevice& device, const ModelSection& model,
                          const std::vector<ModelSection>& sharers) {
  memory::DeviceSpec spec{.name = device.name,
                          .memory_bytes = device.memory,
                          .context_floor_bytes = device.context_floor,
                          .library_bytes = device.libraries,
                          .parallel_library_bytes = device.parallel_libraries,
                          .other_processes_bytes = 0};
  if (sharers.size() < 2) {
    spec.memory_bytes = model.ShareOf(device.memory);
    return spec;
  }
  int64_t all_bytes = 0;
  for (const ModelSection& sharer : sharers) all_bytes += sharer.ShareOf(device.memory);
  spec.name += "/" + model.Name();
  return worker::PartOf(std::move(spec), model.ShareOf(device.memory), all_bytes);
}

// Who answers what kernels take: the CPU itself, as a worker asks it; for a card, which need not be at hand, what is
// known of it.
class DeviceSizes {
 public:
  static absl::StatusOr<DeviceSizes> Of(const CatalogueDevice& device, const Plans& plans, const PlanOptions& options) {
    DeviceSizes made;
    if (device.kind == "cuda") {
      made.card_ = std::make_unique<runtime::cuda::CardSizes>(
          runtime::cuda::CardProperties{.capability = static_cast<int>(device.capability),
                                        .multiprocessors = static_cast<int>(device.multiprocessors)});
      return made;
    }
    runtime::DeviceOptions device_options;
    device_options.isa = options.isa.empty() ? plans.config.device.isa : options.isa;
    device_options.threads = static_cast<int>(plans.config.device.threads);
    HEADROOM_ASSIGN_OR_RETURN(made.cpu_, runtime::Device::Create(device_options));
    return made;
  }
  runtime::KernelSizes& get() { return card_ != nullptr ? *card_ : cpu_->sizes(); }

 private:
  std::unique_ptr<runtime::KernelSizes> card_;
  std::unique_ptr<runtime::Device> cpu_;
};

// `request` asks `sizes` from now on.
void AddNeeds(const Plans& plans, runtime::KernelSizes& sizes, memory::PlanRequest& request) {
  const model::ModelSpec& model = plans.spec;
  if (plans.roles.llm) llm_worker::AddDecoderNeeds(sizes, model, plans.compute, request.kernels);
  if (plans.roles.vision) vision_worker::AddEncoderNeeds(sizes, model, plans.compute, request.kernels);
}

absl::StatusOr<DevicePlans> PlanDevice(const Plans& plans, const PlanOptions& options, const memory::Knobs& knobs,
                                       const CatalogueDevice& device, const std::vector<ModelSection>& sharers) {
  DevicePlans result;
  memory::PlanRequest& request = result.request;
  request.device = SpecOf(device, plans.config.model, sharers);
  result.device = device;
  result.device.name = request.device.name;
  result.device.memory = request.device.memory_bytes;
  if (!options.other_processes.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(request.device.other_processes_bytes, ParseBytes(options.other_processes));
  }
  request.knobs = knobs;
  request.roles = plans.roles;
  request.compute = plans.compute;
  const bool engine_runs =
      plans.served && !request.knobs.quantization && request.knobs.tensor_parallel_size.value_or(1) == 1;
  std::optional<DeviceSizes> sizes;
  if (engine_runs) {
    HEADROOM_ASSIGN_OR_RETURN(sizes, DeviceSizes::Of(device, plans, options));
    AddNeeds(plans, sizes->get(), request);
  }
  absl::StatusOr<std::vector<memory::Plan>> ranks = memory::MakeRankPlans(plans.spec, request);
  if (ranks.ok()) {
    result.ranks = *std::move(ranks);
  } else if (absl::IsFailedPrecondition(ranks.status())) {
    result.refusal = ranks.status();
  } else {
    return ranks.status();
  }
  HEADROOM_ASSIGN_OR_RETURN(result.frontier, memory::PlanFrontier(plans.spec, request));
  result.request.kernels = {};  // it asks `sizes`, which goes now
  return result;
}

std::vector<HostLine> HostLinesOf(const Plans& plans) {
  const bool whole_cluster = plans.roles.llm && plans.roles.vision;
  // With a card among them, what a card takes.
  ClusterConfig config = plans.config;
  if (std::any_of(plans.devices.begin(), plans.devices.end(),
                  [](const DevicePlans& device) { return device.device.kind == "cuda"; })) {
    config.device.kind = "cuda";
  }
  return memory::HostLines(config, {.gateway = whole_cluster,
                                    .scheduler = whole_cluster,
                                    .vision = plans.roles.vision && plans.spec.encoder ? 1 : 0,
                                    .llm = plans.roles.llm ? 1 : 0,
                                    .decoder_bytes = vision_worker::DecoderBytesMax(plans.config)});
}

}  // namespace

bool Plans::fits() const {
  return std::all_of(devices.begin(), devices.end(), [](const DevicePlans& device) { return device.fits(); });
}

int64_t Plans::HostBytes(const std::string& service) const {
  int64_t bytes = 0;
  for (const HostLine& line : host) bytes += line.service == service ? line.bytes : 0;
  return bytes;
}

namespace {

// `config`: of this model alone. `devices`: whole.
absl::StatusOr<Plans> PlanModel(const ClusterConfig& config, const PlanOptions& options,
                                const std::vector<CatalogueDevice>& devices, const std::vector<ModelSection>& sharers) {
  Plans plans;
  plans.config = config;
  ModelSection& model = plans.config.model;
  if (model.path.empty()) return absl::InvalidArgumentError("which model? Name its directory or its config.json");
  HEADROOM_ASSIGN_OR_RETURN(plans.spec, model::LoadModelSpec(model.path));
  plans.served = model::WhyNotServed(plans.spec).empty();
  HEADROOM_ASSIGN_OR_RETURN(plans.roles, ParseRole(options.role, plans.spec));
  if (!options.dtype.empty()) model.dtype = options.dtype;
  HEADROOM_ASSIGN_OR_RETURN(plans.compute, worker::ComputeTypeFrom(model));
  HEADROOM_ASSIGN_OR_RETURN(const memory::Knobs knobs, MergeKnobs(config, options));
  for (const CatalogueDevice& device : devices) {
    HEADROOM_ASSIGN_OR_RETURN(DevicePlans plan, PlanDevice(plans, options, knobs, device, sharers));
    plans.devices.push_back(std::move(plan));
  }
  plans.host = HostLinesOf(plans);
  return plans;
}

// Gateway and scheduler are there once.
void LeaveSharedServicesToTheFirst(std::vector<Plans>& all) {
  for (size_t i = 1; i < all.size(); ++i) {
    std::erase_if(all[i].host,
                  [](const HostLine& line) { return line.service == "gateway" || line.service == "scheduler"; });
  }
}

}  // namespace

absl::StatusOr<std::vector<Plans>> MakePlans(const ClusterConfig& config, const PlanOptions& options) {
  const std::vector<ModelSection> models = config.Models();
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<CatalogueDevice> devices, ChosenDevices(config.device, options));
  std::vector<Plans> all;
  const bool configured = options.model.empty() || std::any_of(models.begin(), models.end(), [&](const auto& model) {
                            return model.IsCalled(options.model);
                          });
  if (!configured) {
    ClusterConfig own = config;
    own.models.clear();
    own.model.path = options.model;
    HEADROOM_ASSIGN_OR_RETURN(all.emplace_back(), PlanModel(own, options, devices, {}));
    return all;
  }
  const bool one_process = options.role == "all";
  if (one_process) HEADROOM_RETURN_IF_ERROR(CheckShares(config));
  for (const ModelSection& model : models) {
    if (!options.model.empty() && !model.IsCalled(options.model)) continue;
    HEADROOM_ASSIGN_OR_RETURN(const ClusterConfig own, ConfigOfModel(config, model.Name(), "model"));
    HEADROOM_ASSIGN_OR_RETURN(all.emplace_back(),
                              PlanModel(own, options, devices, one_process ? models : std::vector<ModelSection>()));
    all.back().name = model.Name();
  }
  LeaveSharedServicesToTheFirst(all);
  return all;
}

absl::StatusOr<Plans> MakeOnePlan(const ClusterConfig& config, const PlanOptions& options) {
  if (!options.model.empty() || config.models.size() < 2) {
    HEADROOM_ASSIGN_OR_RETURN(std::vector<Plans> plans, MakePlans(config, options));
    return std::move(plans.front());
  }
  std::string names;
  for (const ModelSection& model : config.models) absl::StrAppend(&names, names.empty() ? "" : ", ", model.Name());
  return absl::InvalidArgumentError("which model? Name one of " + names);
}

absl::StatusOr<VllmEstimate> EstimateVllm(const Plans& plans, const DevicePlans& device) {
  if (!plans.served) {
    return absl::InvalidArgumentError("vLLM of 2024 is estimated only for models that the engine serves");
  }
  const memory::Knobs& knobs = device.request.knobs;
  return Vllm2024(plans.spec, {.knobs = {.max_num_seqs = knobs.max_num_seqs,
                                         .max_model_len = knobs.max_model_len,
                                         .max_num_batched_tokens = knobs.max_num_batched_tokens,
                                         .gpu_memory_utilization = knobs.gpu_memory_utilization},
                               .device = device.device.name,
                               .device_bytes = device.device.memory});
}

}  // namespace headroom::cli
