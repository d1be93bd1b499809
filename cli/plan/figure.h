// Columns of the plan page from plans and from estimates of vLLM, and the figure of the README.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/plan/page.h"
#include "cli/plan/vllm_2024.h"
#include "memory/plan.h"

namespace headroom::cli {

PageColumn PlanColumn(const memory::Plan& plan, const std::string& group);
PageColumn VllmColumn(const VllmEstimate& estimate, const std::string& group);

// One device and one set of knobs: what Headroom plans beside what vLLM would have asked for.
struct ComparedPlan {
  std::string group;  // "24 GB, 32 sequences of 4,096 tokens"
  memory::Plan plan;
  VllmEstimate vllm;
};
std::vector<PageColumn> ComparedColumns(std::span<const ComparedPlan> cases);
// Title, subtitle and footnotes that say what is computed and what is an estimate.
PageText ComparedText(const std::string& model);

// MiniCPM-V 2.6 on a card of 24 GB with 32 sequences of 4,096 tokens, on 48 GB and on 80 GB with default knobs.
absl::StatusOr<std::vector<ComparedPlan>> ReferenceCases(const model::ModelConfig& config);
// docs/reference-case.svg, of these cases.
std::string ReferenceFigure(std::span<const ComparedPlan> cases);

}  // namespace headroom::cli
