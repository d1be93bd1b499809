#include "worker/worker_device.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/device_catalogue.h"
#include "common/log.h"
#include "memory/host_memory.h"
#include "model/fingerprint.h"
#include "model/tensor_spec.h"

namespace headroom::worker {

using memory::Component;

absl::StatusOr<DType> ComputeTypeFrom(const ModelSection& section) {
  if (section.dtype == "bf16") return DType::kBF16;
  if (section.dtype == "fp32") return DType::kF32;
  return absl::InvalidArgumentError("model.dtype is '" + section.dtype + "': bf16 or fp32");
}

absl::StatusOr<memory::Knobs> KnobsFrom(const KnobsSection& section) {
  memory::Knobs knobs;
  knobs.max_num_seqs = section.max_num_seqs;
  knobs.max_model_len = section.max_model_len;
  knobs.max_num_batched_tokens = section.max_num_batched_tokens;
  knobs.gpu_memory_utilization = section.gpu_memory_utilization;
  knobs.block_size = section.block_size;
  knobs.max_patches_per_step = section.max_patches_per_step;
  knobs.decode_graphs = section.decode_graphs;
  knobs.embedding_store_pages = section.embedding_store_pages;
  if (section.kv_cache_dtype == "bf16") knobs.kv_cache_dtype = DType::kBF16;
  if (section.kv_cache_dtype == "fp32") knobs.kv_cache_dtype = DType::kF32;
  if (!knobs.kv_cache_dtype.has_value() && section.kv_cache_dtype != "auto") {
    return absl::InvalidArgumentError("knobs.kv_cache_dtype is '" + section.kv_cache_dtype + "': auto, bf16 or fp32");
  }
  return knobs;
}

namespace {

// What a card lacks of the declared memory: others hold it, or its driver keeps it.
absl::StatusOr<int64_t> CardLacks(runtime::DeviceMonitor* monitor, int64_t memory_bytes) {
  if (monitor == nullptr) return 0;
  HEADROOM_ASSIGN_OR_RETURN(const runtime::DeviceUse use, monitor->Use());
  const int64_t ours = use.total_bytes - use.other_bytes;
  const int64_t lacking = std::max<int64_t>(0, memory_bytes - ours);
  if (lacking > 0) {
    Log(LogLevel::kWarning, "worker", "the card lacks a part of device.memory; the KV pool yields")
        .With("device_bytes", memory_bytes)
        .With("card_bytes", use.total_bytes)
        .With("bytes_of_others", use.other_bytes)
        .With("other_processes_bytes", lacking);
  }
  return lacking;
}

int64_t MachineLacks(const memory::HostFit& host, int64_t memory_bytes) {
  const int64_t lacking = host.LackingBytes(memory_bytes);
  if (lacking > 0) {
    Log(LogLevel::kWarning, "worker", "the machine lacks a part of device.memory and host budgets; the KV pool yields")
        .With("device_bytes", memory_bytes)
        .With("host_budget_bytes", host.budget_bytes())
        .With("available_bytes", host.machine.available)
        .With("other_processes_bytes", lacking);
  }
  return lacking;
}

// What the process itself takes, from the catalogue; and what of the declared memory is not the device's to take: as
// much as the machine lacks of it and of the host budgets.
absl::Status MeasureDevice(const ClusterConfig& config, const memory::HostFit& host, const SharedDevice& shared,
                           memory::DeviceSpec& device) {
  HEADROOM_ASSIGN_OR_RETURN(const CatalogueDevice known,
                            DeviceCatalogue().Find(absl::StrCat(config.device.kind, ":", shared.memory_bytes)));
  int64_t lacking = 0;
  if (config.device.kind == "cpu") {
    lacking = MachineLacks(host, shared.memory_bytes);
  } else {
    HEADROOM_ASSIGN_OR_RETURN(lacking, CardLacks(shared.device->monitor(), shared.memory_bytes));
  }
  const auto or_known = [](int64_t given, int64_t bytes) { return given > 0 ? given : bytes; };
  device.context_floor_bytes = or_known(config.device.context_floor, known.context_floor);
  device.library_bytes = or_known(config.device.libraries, known.libraries);
  device.other_processes_bytes = lacking;
  device = PartOf(std::move(device), config.device.memory, shared.memory_bytes);
  return absl::OkStatus();
}

// Why a plan has a line of other processes, for who reads that it does not fit.
std::string WhatIsLacking(const ClusterConfig& config, const memory::HostFit& host, int64_t memory_bytes) {
  if (config.device.kind != "cpu") {
    return absl::StrCat("Here other processes are what the card lacks of device.memory (", memory_bytes,
                        " bytes): others hold it, or its driver keeps it");
  }
  return absl::StrCat(
      "Here other processes are what the machine lacks of device.memory and host budgets; raising device.memory adds "
      "to it. ",
      host.Account(memory_bytes));
}

}  // namespace

memory::DeviceSpec PartOf(memory::DeviceSpec device, int64_t share_bytes, int64_t all_bytes) {
  const double part = static_cast<double>(share_bytes) / static_cast<double>(all_bytes);
  device.memory_bytes = share_bytes;
  for (int64_t* bytes : {&device.context_floor_bytes, &device.library_bytes, &device.other_processes_bytes}) {
    *bytes = static_cast<int64_t>(std::ceil(static_cast<double>(*bytes) * part));
  }
  return device;
}

absl::StatusOr<std::shared_ptr<runtime::Device>> OpenDevice(const DeviceSection& section,
                                                            const runtime::CreateDevice& create_device) {
  runtime::DeviceOptions options;
  options.kind = section.kind;
  options.isa = section.isa;
  options.threads = static_cast<int>(section.threads);
  return create_device(options);
}

absl::StatusOr<std::unique_ptr<WorkerDevice>> WorkerDevice::Create(const ClusterConfig& config, memory::Roles roles,
                                                                   const AddNeeds& add_needs,
                                                                   const memory::HostFit& host,
                                                                   const std::stop_token& stop,
                                                                   const runtime::CreateDevice& create_device) {
  SharedDevice whole;
  whole.memory_bytes = config.device.memory;
  HEADROOM_ASSIGN_OR_RETURN(whole.device, OpenDevice(config.device, create_device));
  return CreateOn(config, config.device.kind, roles, add_needs, host, whole, stop);
}

absl::StatusOr<std::unique_ptr<WorkerDevice>> WorkerDevice::CreatePart(const ClusterConfig& config, memory::Roles roles,
                                                                       const AddNeeds& add_needs,
                                                                       const memory::HostFit& host,
                                                                       const SharedDevice& shared,
                                                                       const std::stop_token& stop) {
  return CreateOn(config, config.device.kind + "/" + config.model.Name(), roles, add_needs, host, shared, stop);
}

absl::StatusOr<std::unique_ptr<WorkerDevice>> WorkerDevice::CreateOn(
    const ClusterConfig& config, const std::string& name, memory::Roles roles, const AddNeeds& add_needs,
    const memory::HostFit& host, const SharedDevice& shared, const std::stop_token& stop) {
  if (config.model.path.empty()) return absl::InvalidArgumentError("model.path is not set");
  std::unique_ptr<WorkerDevice> worker(new WorkerDevice());
  memory::PlanRequest request;
  HEADROOM_ASSIGN_OR_RETURN(request.compute, ComputeTypeFrom(config.model));
  HEADROOM_ASSIGN_OR_RETURN(request.knobs, KnobsFrom(config.knobs));
  HEADROOM_ASSIGN_OR_RETURN(worker->model_, model::LoadServedModel(config.model.path));
  HEADROOM_ASSIGN_OR_RETURN(worker->checkpoint_, model::Checkpoint::Open(config.model.path));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t unused, model::CheckTensors(worker->model_.tensors, *worker->checkpoint_));
  if (unused > 0) Log(LogLevel::kInfo, "worker", "tensors of the checkpoint are not used").With("tensors", unused);
  HEADROOM_ASSIGN_OR_RETURN(worker->fingerprint_, model::ModelFingerprint(config.model.path, *worker->checkpoint_,
                                                                          config.model.chat_template));

  worker->device_ = shared.device;
  request.device.name = name;
  HEADROOM_RETURN_IF_ERROR(MeasureDevice(config, host, shared, request.device));
  request.roles = roles;
  add_needs(worker->device_->sizes(), worker->model_, request.compute, request.kernels);
  absl::StatusOr<memory::Plan> plan = memory::MakePlan(worker->model_, request);
  if (absl::IsFailedPrecondition(plan.status()) && request.device.other_processes_bytes > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(plan.status().message(), ". ", WhatIsLacking(config, host, shared.memory_bytes)));
  }
  HEADROOM_RETURN_IF_ERROR(plan.status());
  worker->plan_ = *std::move(plan);
  if (!worker->plan_.plan_only.empty()) {
    return absl::FailedPreconditionError("this can be planned but not served: " + worker->plan_.plan_only.front());
  }
  for (const std::string& note : worker->plan_.notes) Log(LogLevel::kInfo, "worker", "plan").With("note", note);

  worker->ledger_ = std::make_unique<memory::Ledger>(worker->plan_.device_bytes);
  worker->plan_.Register(*worker->ledger_);
  // Beside the arena, and taken for good.
  for (const Component component :
       {Component::kLibraries, Component::kGraphs, Component::kContextFloor, Component::kOtherProcesses}) {
    worker->ledger_->AddReserved(component, worker->plan_.Bytes(component));
  }
  worker->floor_ = std::make_unique<DeviceFloor>(*worker->device_, worker->plan_, *worker->ledger_);
  HEADROOM_RETURN_IF_ERROR(worker->floor_->CheckOpening());
  HEADROOM_RETURN_IF_ERROR(worker->floor_->ReserveArena([&]() -> absl::Status {
    HEADROOM_ASSIGN_OR_RETURN(worker->arena_, memory::Arena::Create(worker->plan_.arena_bytes,
                                                                    worker->device_->memory(), *worker->ledger_, stop));
    return absl::OkStatus();
  }));
  Log(LogLevel::kInfo, "worker", "device memory reserved")
      .With("device", request.device.name)
      .With("computes_with", worker->device_->Describe())
      .With("arena_bytes", worker->plan_.arena_bytes)
      .With("device_bytes", worker->plan_.device_bytes)
      .With("kv_blocks", worker->plan_.kv_blocks);
  return worker;
}

v1::DeviceLedger WorkerDevice::Ledger() const {
  const memory::LedgerSnapshot snapshot = ledger_->Snapshot();
  v1::DeviceLedger report;
  report.set_device(plan_.device);
  report.set_total_bytes(snapshot.device_bytes);
  report.set_high_water_bytes(snapshot.total.high_water);
  for (const Component component : memory::AllComponents()) {
    const memory::LedgerLine& line = snapshot[component];
    v1::LedgerLine& out = *report.add_lines();
    out.set_component(memory::ComponentLabel(component));
    out.set_planned_bytes(line.planned);
    out.set_reserved_bytes(line.reserved);
    out.set_used_bytes(line.used);
    out.set_high_water_bytes(line.high_water);
  }
  return report;
}

std::shared_ptr<void> WorkerDevice::ExportLedger(Metrics& metrics) const {
  return metrics.AddCollector([this] {
    const memory::LedgerSnapshot snapshot = ledger_->Snapshot();
    std::vector<MetricSample> samples;
    auto add = [&](const char* name, int64_t value, MetricLabels labels = {}) {
      labels["device"] = plan_.device;
      samples.push_back({name, std::move(labels), static_cast<double>(value)});
    };
    int64_t in_process = 0;
    int64_t promised_unseen = 0;  // reserved by what reports no use of its own: libraries, the context, others
    for (const Component component : memory::AllComponents()) {
      const memory::LedgerLine& line = snapshot[component];
      const MetricLabels labels = {{"component", memory::ComponentLabel(component)}};
      add("headroom_memory_planned_bytes", line.planned, labels);
      add("headroom_memory_reserved_bytes", line.reserved, labels);
      add("headroom_memory_used_bytes", line.used, labels);
      add("headroom_memory_high_water_bytes", line.high_water, labels);
      if (!memory::InArena(component)) promised_unseen += line.reserved - line.used;
      if (component != Component::kHeadroom && component != Component::kOtherProcesses) in_process += line.planned;
    }
    add("headroom_memory_device_bytes", snapshot.device_bytes);
    add("headroom_memory_device_used_bytes", snapshot.total.used);
    add("headroom_memory_device_high_water_bytes", snapshot.total.high_water);
    add("headroom_memory_headroom_bytes", snapshot.device_bytes - promised_unseen - snapshot.total.used);
    add("headroom_memory_headroom_low_water_bytes",
        snapshot.device_bytes - promised_unseen - snapshot.total.high_water);
    add("headroom_memory_process_planned_bytes", in_process);
    const memory::ResolvedKnobs& knobs = plan_.knobs;
    const auto knob = [&](const char* name, double value) {
      samples.push_back({"headroom_plan_knob_value", {{"device", plan_.device}, {"knob", name}}, value});
    };
    knob("max_num_seqs", static_cast<double>(knobs.max_num_seqs));
    knob("max_model_len", static_cast<double>(knobs.max_model_len));
    knob("max_num_batched_tokens", static_cast<double>(knobs.max_num_batched_tokens));
    knob("block_size", static_cast<double>(knobs.block_size));
    knob("max_patches_per_step", static_cast<double>(knobs.max_patches_per_step));
    knob("embedding_store_pages", static_cast<double>(knobs.embedding_store_pages));
    knob("gpu_memory_utilization", knobs.gpu_memory_utilization);
    return samples;
  });
}

std::shared_ptr<void> ExportHostMemory(Metrics& metrics) {
  return metrics.AddCollector([] {
    std::vector<MetricSample> samples;
    const int64_t available = memory::AvailableHostBytes();
    if (available != std::numeric_limits<int64_t>::max()) {
      samples.push_back({"headroom_host_available_bytes", {}, static_cast<double>(available)});
    }
    return samples;
  });
}

}  // namespace headroom::worker
