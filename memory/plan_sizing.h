// The arithmetic of the plan for one complete set of knobs; the solver (plan.cc) searches over it. Internal to memory/.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "memory/plan.h"

namespace headroom::memory {

// What does not change during the search.
struct PlanBasis {
  const model::ModelSpec& spec;
  const PlanRequest& request;
  KernelNeeds kernels;                                      // the request's; each function is asked once for a size
  bool sees = false;                                        // the model has a tower and the vision role is here
  bool reads = false;                                       // the llm role is here
  int stores = 0;                                           // embedding stores: one where the tower runs
  std::array<int64_t, model::kWeightParts> weight_bytes{};  // of this rank
  model::DecoderShape decoder;                              // of this rank
  int64_t ranks = 1;
  KvLayout kv;
  int64_t page_bytes = 0;    // of the embedding store
  int64_t usable_bytes = 0;  // of the device, after gpu_memory_utilization
};

// INVALID_ARGUMENT when a value is out of range or not supported.
absl::StatusOr<PlanBasis> MakeBasis(const model::ModelSpec& spec, const PlanRequest& request);

struct Sizing {
  ResolvedKnobs knobs;
  VisionStepLayout vision_step;
  LlmStepLayout llm_step;
  // All lines but KV pool, headroom and the rounding of the arena to whole pages.
  std::array<int64_t, kComponents> bytes{};
  int64_t fixed_bytes = 0;   // their sum, and the most that page rounding can add
  int64_t kv_bytes_min = 0;  // min_full_length_seqs sequences of max_model_len
  bool fits = false;         // both fit in usable_bytes
  int64_t kv_blocks = 0;     // that the pool gets; 0 when it does not fit
};

// The knobs must be complete. A size that leaves int64 is INVALID_ARGUMENT.
absl::StatusOr<Sizing> Size(const PlanBasis& basis, const ResolvedKnobs& knobs);

// The arena is whole pages.
inline constexpr int64_t kPageBytes = 4096;

}  // namespace headroom::memory
