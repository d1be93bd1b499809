// What `headroom plan` writes, one file of this folder each.
#pragma once

#include <string>

#include "cli/plan/figure.h"
#include "cli/plan/plans.h"

namespace headroom::cli {

// Tables for people: one device in full, several side by side; refusals with what would fit; host memory.
std::string PlanText(const Plans& plans);
// Several models: one after the other, then what each has of the devices that they share, and the sum.
std::string PlanText(const std::vector<Plans>& all);
// What vLLM of 2024 would have asked of each device, line by line. Errors: EstimateVllm's.
absl::StatusOr<std::string> VllmText(const Plans& plans);

std::string PlanJson(const Plans& plans);
// {"models": [{"name", …of one…}], "fits"} where there are several.
std::string PlanJson(const std::vector<Plans>& all);

// A values file for the Helm chart, of one role (helm/headroom/README.md). The plan must fit.
std::string PlanHelmValues(const Plans& plans, const std::string& pool, const std::string& command_line);

// Bars as shares of the device: the end of its memory is one line through the bars of a group, what a bar asks beyond
// it is marked, and a bar of more than three devices is cut. Both are well-formed XML without scripts or outside
// references, and carry a light and a dark scheme. The page has the picture and, below it, each bar as a table.
std::string PlanPicture(const Figure& figure);
std::string PlanPage(const Figure& figure);

}  // namespace headroom::cli
