// Plans for programs.
#include <nlohmann/json.hpp>

#include "cli/plan/outputs.h"
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
    json["embedding_store_pages"] = knobs.embedding_store_pages;
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

Json DeviceJson(const DevicePlans& device) {
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

Json ModelJson(const Plans& plans) {
  Json host = Json::array();
  for (const HostLine& line : plans.host) {
    host.push_back(
        {{"service", line.service}, {"what", line.what}, {"bytes", line.bytes}, {"bytes_min", line.bytes_min}});
  }
  Json devices = Json::array();
  for (const DevicePlans& device : plans.devices) devices.push_back(DeviceJson(device));
  return {{"model",
           {{"family", plans.spec.family},
            {"architecture", plans.spec.architecture},
            {"parameters", model::ParameterCount(plans.spec.tensors)},
            {"served", plans.served},
            {"assumed", plans.spec.assumed}}},
          {"dtype", DTypeName(plans.compute)},
          {"fits", plans.fits()},
          {"devices", std::move(devices)},
          {"host", std::move(host)}};
}

std::string Dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

std::string PlanJson(const Plans& plans) { return Dump(ModelJson(plans)); }

std::string PlanJson(const std::vector<Plans>& all) {
  if (all.size() == 1) return PlanJson(all.front());
  Json models = Json::array();
  bool fits = true;
  for (const Plans& plans : all) {
    Json model = {{"name", plans.name}};
    model.update(ModelJson(plans));
    models.push_back(std::move(model));
    fits = fits && plans.fits();
  }
  return Dump({{"models", std::move(models)}, {"fits", fits}});
}

}  // namespace headroom::cli
