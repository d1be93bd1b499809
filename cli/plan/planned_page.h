// The picture of what `headroom plan` computed: for `--html FILE` and `--svg FILE`.
#pragma once

#include <string>
#include <vector>

#include "cli/plan/page.h"
#include "cli/plan/plans.h"

namespace headroom::cli {

// Every device's plan (equal ranks once), beside it on CUDA cards what vLLM of 2024 would have asked for with the same
// knobs, where it knew the model. A device on which the plan does not fit has an empty bar with the reason as its note.
std::vector<PageColumn> PlannedColumns(const Planned& planned);

std::string PlannedHtml(const Planned& planned);
std::string PlannedSvg(const Planned& planned);

}  // namespace headroom::cli
