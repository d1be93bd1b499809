// A line of a plan, explained: the formula in symbols, the same with this plan's numbers, and the bytes. The numbers
// evaluate to the line exactly (the test does so), because they come from the layouts that workers place buffers with.
#pragma once

#include <optional>
#include <string>

#include "memory/plan.h"

namespace headroom::memory {

// Title or label of a component, whatever the case; spaces, dashes and underscores are the same.
std::optional<Component> FindComponent(const std::string& name);

// `plan` must be what MakePlan or MakeRankPlans made of `spec` and `request` (whose rank is plan.rank). Text of several
// lines for people. In its arithmetic align(n) is n rounded up to a multiple of 64, ceil and floor of a division are
// its whole part up and down.
std::string ExplainLine(const Plan& plan, const model::ModelSpec& spec, const PlanRequest& request,
                        Component component);

}  // namespace headroom::memory
