// headroom explain plan: how a line of a plan comes about.
#include <algorithm>
#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/plan/flags.h"
#include "memory/explain.h"

namespace headroom::cli {
namespace {

constexpr char kName[] = "headroom explain plan";

std::string LineNames() {
  std::string names;
  for (const memory::Component component : memory::AllComponents()) {
    names += std::string(names.empty() ? "" : ", ") + memory::ComponentLabel(component);
  }
  return names;
}

std::string ExplainDevice(const Plans& plans, const DevicePlans& device, const std::vector<memory::Component>& lines) {
  std::string text;
  // Ranks after the second are equal to it.
  for (size_t i = 0; i < std::min<size_t>(device.ranks.size(), 2); ++i) {
    const memory::Plan& plan = device.ranks[i];
    memory::PlanRequest request = device.request;
    request.rank = plan.rank;
    for (const memory::Component line : lines) {
      if (lines.size() > 1 && plan.Bytes(line) == 0) continue;
      if (!text.empty()) text += "\n";
      if (device.ranks.size() > 1) text += absl::StrCat("rank ", plan.rank, " of ", device.ranks.size(), "\n");
      text += memory::ExplainLine(plan, plans.spec, request, line);
    }
  }
  return text;
}

}  // namespace

int ExplainPlan(const std::vector<std::string>& arguments) {
  PlanFlags inputs;
  Flags flags(
      "headroom explain plan LINE [flags] [MODEL]",
      "Shows how a line of a plan comes about: the formula, the same with its numbers, and the bytes. LINE: all,\n"
      "or one of " +
          LineNames() + ".\nMODEL and flags are those of headroom plan.");
  inputs.Declare(flags);
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) return fputs(flags.Help().c_str(), stdout), 0;
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (rest->empty()) return Fail(kName, "which line? all, or one of " + LineNames(), 2);
  if (rest->size() > 2) return Fail(kName, "unexpected argument '" + rest->at(2) + "'", 2);
  const auto all = memory::AllComponents();
  std::vector<memory::Component> lines(all.begin(), all.end());
  if (rest->front() != "all") {
    const auto line = memory::FindComponent(rest->front());
    if (!line) return Fail(kName, "no line '" + rest->front() + "'; there are " + LineNames(), 2);
    lines = {*line};
  }
  if (rest->size() == 2) inputs.options.model = rest->at(1);
  const auto plans = inputs.MakeOne();
  if (!plans.ok()) return Fail(kName, std::string(plans.status().message()), 2);
  bool first = true;
  for (const DevicePlans& device : plans->devices) {
    if (!device.fits()) {
      Fail(kName, std::string(device.refusal.message()), 1);
      continue;
    }
    if (!first) fputs("\n", stdout);
    first = false;
    fputs(ExplainDevice(*plans, device, lines).c_str(), stdout);
  }
  if (!first) fputs("\nalign(n): n rounded up to a multiple of 64\n", stdout);
  return plans->fits() ? 0 : 1;
}

}  // namespace headroom::cli
