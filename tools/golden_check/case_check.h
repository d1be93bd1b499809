// Runs one golden case and compares every number that the reference gives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "tools/golden_check/checked_model.h"
#include "tools/golden_check/golden_case.h"
#include "tools/golden_check/prompt_ids.h"

namespace headroom::tools {

// A relative L2 error and what it may be.
struct Measured {
  double error = 0;
  double limit = 0;

  // NaN is not within any limit.
  bool ok() const { return error <= limit; }
};

struct CaseResult {
  std::string name;
  // Empty where the case has nothing to compare with.
  std::optional<bool> pixels_equal, prompt_equal;
  std::optional<Measured> vision, resampler, logits_prompt, logits_steps, prompt_logprobs;
  // Own greedy ids: how many of the first `ids_judged` (up to the first small gap) agree, and how many there are.
  int64_t ids_agree = 0, ids_judged = 0, ids_total = 0;
  bool judge_ids = true;
  std::vector<int32_t> own_ids;
  std::vector<std::string> complaints;  // what is past its tolerance, for people

  bool passed() const { return complaints.empty(); }
};

// fp32: 1e-4. bf16: 1.5 times the reference's own error, 0.02 where the case gives none.
double ErrorLimit(const GoldenCase& golden, const std::string& tensor, DType compute);

// An error is about the case itself (a picture that cannot be read, shapes that do not fit the model); numbers that are
// off are in the result.
absl::StatusOr<CaseResult> CheckCase(const std::string& directory, const GoldenCase& golden, CheckedModel& model,
                                     const PromptIds& prompt_ids);

}  // namespace headroom::tools
