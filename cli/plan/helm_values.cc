// A plan as values of the chart: a part of its JSON, as YAML.
#include <nlohmann/json.hpp>

#include "cli/plan/outputs.h"
#include "common/status.h"

namespace headroom::cli {

std::string PlanHelmValues(const Plans& plans, const std::string& pool, const std::string& command_line) {
  const auto json = nlohmann::ordered_json::parse(PlanJson(plans));
  const auto& device = json["devices"][0];
  const auto& rank = device["ranks"][0];
  const bool llm = plans.roles.llm;
  std::string yaml = "# Written by `" + command_line + "`; pass it to helm with -f.\nplans:\n  " + pool + ":\n";
  absl::StrAppend(&yaml, "    role: ", llm ? "llm" : "vision", "\n    backend: ", device["kind"].get<std::string>(),
                  "\n    deviceBytes: ", device["memory_bytes"].get<int64_t>(),
                  "\n    hostBytes: ", plans.HostBytes(llm ? "llm-worker" : "vision-worker"), "\n    knobs:\n");
  for (const auto& [name, value] : rank["knobs"].items()) {
    absl::StrAppend(&yaml, "      ", name, ": ", value.is_string() ? value.get<std::string>() : value.dump(), "\n");
  }
  yaml += "    components:\n";
  for (const auto& line : rank["lines"]) {
    absl::StrAppend(&yaml, "      ", line["component"].get<std::string>(), ": ", line["bytes"].get<int64_t>(), "\n");
  }
  return yaml;
}

}  // namespace headroom::cli
