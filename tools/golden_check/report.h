// The table that golden_check prints.
#pragma once

#include <string>
#include <vector>

#include "common/dtype.h"
#include "tools/golden_check/case_check.h"

namespace headroom::tools {

// Column heads; `compute` decides how wide numbers are (bf16 shows each limit behind its error).
std::string ReportHeader(DType compute, size_t name_width);

// One line for the case, and one indented line for each complaint. In bf16 also the own ids where they differ.
std::string ReportLine(const CaseResult& result, DType compute, size_t name_width);

}  // namespace headroom::tools
