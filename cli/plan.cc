// headroom plan: where the memory of a device would go, without the device and without reading a weight. Exit status: 0
// it fits, 1 it does not, 2 wrong arguments or an unusable model.
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_format.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/plan/flags.h"
#include "cli/plan/outputs.h"
#include "common/status.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

constexpr char kName[] = "headroom plan";

struct Outputs {
  bool json = false;
  std::string helm_values, pool;
  std::string host_memory;
  bool vllm = false;
  std::string html, svg;
};

absl::Status WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  return file ? absl::OkStatus() : absl::UnavailableError(path + ": cannot be written");
}

// What a pod has beside the device must cover what its worker may use.
absl::Status CheckHost(const std::vector<Plans>& all, const std::string& host_memory) {
  if (host_memory.empty()) return absl::OkStatus();
  HEADROOM_ASSIGN_OR_RETURN(const int64_t given, ParseBytes(host_memory));
  int64_t needed = 0;
  for (const Plans& plans : all) {
    for (const HostLine& line : plans.host) needed += line.bytes;
  }
  if (needed <= given) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("host memory: needs ", needed, " bytes, ", given, " are given, ", needed - given, " short"));
}

absl::Status WriteHelmValues(const Plans& plans, const Outputs& outputs, const std::string& command_line) {
  if (outputs.helm_values.empty()) return absl::OkStatus();
  if (plans.devices.size() != 1 || plans.roles.llm == plans.roles.vision) {
    return absl::InvalidArgumentError("--helm-values wants one device and --role vision or --role llm");
  }
  if (!plans.fits())
    return absl::FailedPreconditionError("--helm-values: nothing is written for a plan that does not fit");
  const std::string pool = outputs.pool.empty() ? (plans.roles.llm ? "llm" : "vision") : outputs.pool;
  return WriteFile(outputs.helm_values, PlanHelmValues(plans, pool, command_line));
}

std::string DeviceList() {
  const DeviceCatalogue catalogue;
  std::string text;
  for (const CatalogueDevice& device : catalogue.devices()) {
    text += absl::StrFormat("%-10s %-40s %12s  floor %s, libraries %s  (%s)\n", device.name, device.title,
                            device.memory > 0 ? FormatBytes(device.memory) : ":SIZE", FormatBytes(device.context_floor),
                            FormatBytes(device.libraries), device.source);
  }
  return text;
}

absl::Status PrintVllm(const Plans& plans) {
  HEADROOM_ASSIGN_OR_RETURN(const std::string text, VllmText(plans));
  fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

absl::Status WritePictures(const Plans& plans, const Outputs& outputs) {
  const Figure figure = PlanFigure(plans);
  if (!outputs.html.empty()) HEADROOM_RETURN_IF_ERROR(WriteFile(outputs.html, PlanPage(figure)));
  if (!outputs.svg.empty()) HEADROOM_RETURN_IF_ERROR(WriteFile(outputs.svg, PlanPicture(figure)));
  return absl::OkStatus();
}

// Files and estimates are of one model.
absl::Status CheckOne(const std::vector<Plans>& all, const Outputs& outputs) {
  const bool wants_one = outputs.vllm || !outputs.helm_values.empty() || !outputs.html.empty() || !outputs.svg.empty();
  if (all.size() == 1 || !wants_one) return absl::OkStatus();
  std::string names;
  for (const Plans& plans : all) absl::StrAppend(&names, names.empty() ? "" : ", ", plans.name);
  return absl::InvalidArgumentError(
      "--helm-values, --html, --svg and --vllm-2024 are of one model: name it as MODEL, one of " + names);
}

int Report(const std::vector<Plans>& all, const Outputs& outputs, const std::string& command_line) {
  if (const absl::Status one = CheckOne(all, outputs); !one.ok()) return Fail(kName, std::string(one.message()), 2);
  fputs((outputs.json ? PlanJson(all) : PlanText(all)).c_str(), stdout);
  const Plans& plans = all.front();
  for (const absl::Status& status :
       {outputs.vllm && !outputs.json ? PrintVllm(plans) : absl::OkStatus(), CheckHost(all, outputs.host_memory),
        WriteHelmValues(plans, outputs, command_line), WritePictures(plans, outputs)}) {
    if (!status.ok()) return Fail(kName, std::string(status.message()), absl::IsInvalidArgument(status) ? 2 : 1);
  }
  return std::all_of(all.begin(), all.end(), [](const Plans& one) { return one.fits(); }) ? 0 : 1;
}

}  // namespace

int Plan(const std::vector<std::string>& arguments) {
  PlanFlags inputs;
  Outputs outputs;
  bool list = false;
  Flags flags(
      "headroom plan [flags] [MODEL]",
      "Shows where the memory of a device would go for a model, without the device and without reading weights.\n"
      "MODEL is a directory, a config.json or a model of the configuration; without it all models of the\n"
      "configuration are planned, each on its share of the device. Knobs that are not given are found. Exit status 0: "
      "it fits, 1: it\n"
      "does not, 2: wrong arguments or an unusable model.");
  flags.Switch("list-devices", &list, "prints the known devices");
  inputs.Declare(flags);
  flags.Text("host-memory", &outputs.host_memory,
             "refuses when the services, with the budgets as configured, may need more beside the device");
  flags.Switch("vllm-2024", &outputs.vllm,
               "prints what vLLM of 2024 would have asked for with these knobs, an estimate");
  flags.Text("html", &outputs.html, "file for a page that draws the devices, beside that estimate");
  flags.Text("svg", &outputs.svg, "file for the drawing alone");
  flags.Switch("json", &outputs.json, "prints JSON");
  flags.Text("helm-values", &outputs.helm_values, "file for the chart's values; wants --role vision or llm");
  flags.Text("pool", &outputs.pool, "name of the chart's pool (default: the role)");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (list) return fputs(DeviceList().c_str(), stdout), 0;
  if (rest->size() > 1) return Fail(kName, "unexpected argument '" + rest->at(1) + "'", 2);
  if (!rest->empty()) inputs.options.model = rest->front();
  const absl::StatusOr<std::vector<Plans>> plans = inputs.Make();
  if (!plans.ok()) return Fail(kName, std::string(plans.status().message()), 2);
  std::string command_line = kName;
  for (const std::string& argument : arguments) command_line += " " + argument;
  return Report(*plans, outputs, command_line);
}

}  // namespace headroom::cli
