#include <algorithm>

#include "common/status.h"
#include "memory/plan.h"
#include "memory/plan_sizing.h"

namespace headroom::memory {
namespace {

constexpr int64_t kLengthMin = 256;

// The knobs of a plan as if they had all been asked for.
Knobs Fixed(const Knobs& asked, const Plan& plan) {
  Knobs knobs = asked;
  knobs.max_num_seqs = plan.knobs.max_num_seqs;
  knobs.max_model_len = plan.knobs.max_model_len;
  knobs.max_num_batched_tokens = plan.knobs.max_num_batched_tokens;
  return knobs;
}

// KV bytes of the pool when exactly `blocks` are wanted; what is over becomes headroom.
void KeepBlocks(Plan& plan, int64_t blocks) {
  const int64_t freed = (plan.kv_blocks - blocks) * plan.kv.BlockBytes();
  // Whole pages only, so that the arena stays a whole number of them.
  const int64_t pages = freed / kPageBytes * kPageBytes;
  plan.lines[static_cast<int>(Component::kKvPool)].bytes -= freed;
  plan.lines[static_cast<int>(Component::kAlignment)].bytes += freed - pages;
  plan.lines[static_cast<int>(Component::kHeadroom)].bytes += pages;
  plan.arena_bytes -= pages;
  plan.kv_blocks = blocks;
  plan.full_length_seqs = blocks / plan.kv.BlocksFor(std::max<int64_t>(1, plan.knobs.max_model_len));
}

}  // namespace

absl::StatusOr<std::vector<Plan>> MakeRankPlans(const model::ModelSpec& spec, const PlanRequest& request) {
  std::vector<Plan> plans;
  PlanRequest rank_request = request;
  const int64_t ranks = request.knobs.tensor_parallel_size.value_or(1);
  int64_t blocks = INT64_MAX;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    rank_request.rank = rank;
    rank_request.roles.vision = request.roles.vision && rank == 0;
    HEADROOM_ASSIGN_OR_RETURN(Plan plan, MakePlan(spec, rank_request));
    // Rank 0 has every line that another has, so what it found fits on the others.
    if (rank == 0) rank_request.knobs = Fixed(request.knobs, plan);
    blocks = std::min(blocks, plan.kv_blocks);
    plans.push_back(std::move(plan));
  }
  for (Plan& plan : plans) KeepBlocks(plan, blocks);
  return plans;
}

absl::StatusOr<std::vector<FrontierPoint>> PlanFrontier(const model::ModelSpec& spec, const PlanRequest& request) {
  std::vector<FrontierPoint> points;
  if (!request.roles.llm) return points;
  PlanRequest changed = request;
  changed.knobs.min_full_length_seqs = 1;
  const int64_t longest = request.knobs.max_model_len.value_or(spec.llm.max_position_embeddings);
  for (int64_t length = longest; length >= std::min(kLengthMin, longest); length /= 2) {
    changed.knobs.max_model_len = length;
    const absl::StatusOr<Plan> plan = MakePlan(spec, changed);
    if (absl::IsInvalidArgument(plan.status())) return plan.status();
    if (plan.ok()) points.push_back({length, plan->full_length_seqs});
    if (length == 1) break;
  }
  return points;
}

}  // namespace headroom::memory
