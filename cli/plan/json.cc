// Plans for programs: JSON, and a values file for the Helm chart.
#include <nlohmann/json.hpp>

#include "cli/plan/plans.h"
#include "common/status.h"

namespace headroom::cli {
namespace {

using Json = nlohmann::ordered_json;
using memory::Plan;

Json KnobsJson(const Plan& plan) {
  const memory::ResolvedKnobs& knobs = plan.knobs;
  Json json;
  if (plan.roles.llm) {
    json["max_num_seqs"] = knobs.max_num_seqs;
    json["max_model_len"] = knobs.max_model_len;
    json["max_num_batched_tokens"] = knobs.max_num_batched_tokens;
    json["block_size"] = knobs.block_size;
    json["kv_cache_dtype"] = DTypeName(knobs.kv_cache_dtype);
  }
  json["gpu_memory_utilization"] = knobs.gpu_memory_utilization;
  if (plan.roles.vision) {
    json["max_patches_per_step"] = knobs.max_patches_per_step;
    json["embedding_store_pieces"] = knobs.embedding_store_pieces;
  }
  return json;
}

Json RankJson(const Plan& plan) {
  Json lines = Json::array();
  for (const memory::PlanLine& line : plan.lines) {
    lines.push_back(
        {{"component", memory::ComponentLabel(line.component)}, {"bytes", line.bytes}, {"detail", line.detail}});
  }
  Json json = {
      {"rank", plan.rank}, {"arena_bytes", plan.arena_bytes}, {"lines", std::move(lines)}, {"knobs", KnobsJson(plan)}};
  if (plan.roles.llm) {
    json["kv_blocks"] = plan.kv_blocks;
    json["kv_block_bytes"] = plan.kv.BlockBytes();
    json["full_length_seqs"] = plan.full_length_seqs;
  }
  json["notes"] = plan.notes;
  json["plan_only"] = plan.plan_only;
  return json;
}

Json DeviceJson(const PlannedDevice& device) {
  Json json = {{"device", device.device.name},
               {"title", device.device.title},
               {"kind", device.device.kind},
               {"memory_bytes", device.device.memory},
               {"fits", device.fits()}};
  if (!device.fits()) json["refusal"] = std::string(device.refusal.message());
  Json ranks = Json::array();
  for (const Plan& plan : device.ranks) ranks.push_back(RankJson(plan));
  json["ranks"] = std::move(ranks);
  Json frontier = Json::array();
  for (const memory::FrontierPoint& point : device.frontier) {
    frontier.push_back({{"max_model_len", point.max_model_len}, {"full_length_seqs", point.full_length_seqs}});
  }
  json["frontier"] = std::move(frontier);
  return json;
}

}  // namespace

std::string PlanJson(const Planned& planned) {
  Json host = Json::array();
  for (const HostLine& line : planned.host) {
    host.push_back(
        {{"service", line.service}, {"what", line.what}, {"bytes", line.bytes}, {"bytes_min", line.bytes_min}});
  }
  Json devices = Json::array();
  for (const PlannedDevice& device : planned.devices) devices.push_back(DeviceJson(device));
  const Json json = {{"model",
                      {{"family", planned.card.family},
                       {"architecture", planned.card.architecture},
                       {"parameters", model::ParameterCount(planned.card)},
                       {"served", planned.card.served.has_value()},
                       {"assumed", planned.card.assumed}}},
                     {"dtype", DTypeName(planned.compute)},
                     {"fits", planned.fits()},
                     {"devices", std::move(devices)},
                     {"host", std::move(host)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string PlanHelmValues(const Planned& planned, const std::string& pool, const std::string& command_line) {
  const PlannedDevice& device = planned.devices.front();
  const Plan& plan = device.ranks.front();
  const bool llm = planned.roles.llm;
  std::string yaml = "# Written by `" + command_line + "`; pass it to helm with -f.\nplans:\n  " + pool + ":\n";
  absl::StrAppend(&yaml, "    role: ", llm ? "llm" : "vision", "\n    backend: ", device.device.kind,
                  "\n    deviceBytes: ", plan.device_bytes,
                  "\n    hostBytes: ", planned.HostBytes(llm ? "llm-worker" : "vision-worker"), "\n    knobs:\n");
  const Json knobs = KnobsJson(plan);
  for (const auto& [name, value] : knobs.items()) {
    absl::StrAppend(&yaml, "      ", name, ": ", value.is_string() ? value.get<std::string>() : value.dump(), "\n");
  }
  yaml += "    components:\n";
  for (const memory::PlanLine& line : plan.lines) {
    absl::StrAppend(&yaml, "      ", memory::ComponentLabel(line.component), ": ", line.bytes, "\n");
  }
  return yaml;
}

}  // namespace headroom::cli
