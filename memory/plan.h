// The plan: bytes per component for a model on a device with given knobs, from the config alone. The one function that
// workers size everything with at start; `headroom plan` and `headroom up` print it before a weight is read. Its lines
// sum exactly to the device's memory.
//
// What the engine does not run yet (other families, tensor parallelism, quantized weights, an 8-bit KV cache) is
// planned all the same and marked "plan only": workers refuse such a plan.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/dtype.h"
#include "memory/component.h"
#include "memory/kv_layout.h"
#include "memory/ledger.h"
#include "memory/step_layout.h"
#include "memory/weight_layout.h"
#include "model/spec.h"

namespace headroom::memory {

// Everything is optional: what is absent is found by MakePlan. What is given is kept, or the plan fails.
struct Knobs {
  std::optional<int64_t> max_num_seqs;
  std::optional<int64_t> max_model_len;             // tokens of prompt and answer together
  std::optional<int64_t> max_num_batched_tokens;    // tokens of an llm step
  std::optional<double> gpu_memory_utilization;     // (0, 1]; the rest of the device becomes headroom
  std::optional<int64_t> block_size;                // power of two, 8 to 256
  std::optional<DType> kv_cache_dtype;              // kF32, kBF16, kF8 (plan only); absent = the compute type
  std::optional<model::WeightFormat> quantization;  // of the decoder's products: kInt8, kInt4, kFp8 (plan only)
  std::optional<int64_t> max_patches_per_step;
  std::optional<int64_t> embedding_store_pages;  // of a vision-worker; common/embedding_pages.h
  std::optional<int64_t> tensor_parallel_size;   // ranks that share the decoder; above 1 plan only
  bool decode_graphs = true;                     // keep decode steps, where a device can
  int64_t min_full_length_seqs = 1;              // sequences of max_model_len that the pool must hold
};

// The same with every value found.
struct ResolvedKnobs {
  int64_t max_num_seqs = 0;
  int64_t max_model_len = 0;
  int64_t max_num_batched_tokens = 0;
  double gpu_memory_utilization = 1;
  int64_t block_size = 16;
  DType kv_cache_dtype = DType::kBF16;
  int64_t max_patches_per_step = 0;
  int64_t max_pieces_per_step = 0;
  int64_t embedding_store_pages = 0;
};

// Bytes. The catalogue (common/device_catalogue.h) has known cards.
struct DeviceSpec {
  std::string name = "cpu";
  int64_t memory_bytes = 0;
  int64_t context_floor_bytes = 0;     // driver, context, the process itself
  int64_t library_bytes = 0;           // what libraries hold outside the arena, as far as the device tells
  int64_t parallel_library_bytes = 0;  // the same for what tensor parallelism adds (NCCL)
  int64_t other_processes_bytes = 0;
};

// What a worker of this plan does. A device may host both (headroom up).
struct Roles {
  bool vision = true;
  bool llm = true;
};

// What the runtime's operations need, asked for once at each size that the plan considers. A null function means 0
// bytes.
struct KernelNeeds {
  RowBucket rows = ExactRows;
  std::function<absl::StatusOr<int64_t>(int64_t patches, int64_t pieces)> vision_linear_scratch,
      vision_attention_scratch;
  std::function<absl::StatusOr<int64_t>(int64_t tokens, int64_t sequences)> llm_linear_scratch, llm_attention_scratch;
  // What libraries keep outside the arena for steps of that size: compiled primitives.
  std::function<absl::StatusOr<int64_t>(int64_t patches, int64_t pieces)> vision_library;
  std::function<absl::StatusOr<int64_t>(int64_t tokens, int64_t sequences)> llm_library;
  // What a device keeps outside the arena of decode steps that it launches as one.
  std::function<absl::StatusOr<int64_t>(int64_t tokens, int64_t sequences)> llm_graphs;
  int64_t library_bytes = 0;        // the same, whatever the size
  int64_t communication_bytes = 0;  // inside the arena
};

// One feasible choice: so many sequences of this length fit in full.
struct FrontierPoint {
  int64_t max_model_len = 0;
  int64_t full_length_seqs = 0;
};

struct PlanLine {
  Component component = Component::kHeadroom;
  int64_t bytes = 0;
  std::string detail;  // the sizes behind it, for people
};

struct Plan {
  std::string device;
  int64_t device_bytes = 0;
  Roles roles;
  DType compute = DType::kBF16;
  std::array<PlanLine, kComponents> lines;  // indexed by Component
  ResolvedKnobs knobs;
  std::vector<std::string> notes;      // what was reduced, and why
  std::vector<std::string> assumed;    // of the model: what its files did not say
  std::vector<std::string> plan_only;  // why no worker has run, or can run, this plan; empty: it can
  int64_t tensor_parallel_size = 1;
  int64_t rank = 0;

  int64_t arena_bytes = 0;       // all lines for which InArena holds
  WeightLayout weights;          // with plan_only empty
  VisionStepLayout vision_step;  // with roles.vision and a model that sees
  LlmStepLayout llm_step;        // with roles.llm
  KvLayout kv;
  int64_t kv_blocks = 0;
  int64_t full_length_seqs = 0;  // sequences of max_model_len that the pool can promise
  int64_t page_bytes = 0;        // of a page of the embedding store: kEmbeddingPageRows rows

  int64_t Bytes(Component component) const { return lines[static_cast<int>(component)].bytes; }
  // Sets every line of the ledger to its planned bytes.
  void Register(Ledger& ledger) const;
  // A table with components, bytes and GiB, then the knobs and notes.
  std::string ToTable() const;
};

struct PlanRequest {
  DeviceSpec device;
  Knobs knobs;
  Roles roles;
  DType compute = DType::kBF16;
  KernelNeeds kernels;
  // Of tensor_parallel_size. The vision role lies whole on rank 0: a tower gains little from being split.
  int64_t rank = 0;
};

// INVALID_ARGUMENT: a knob or device value out of range. FAILED_PRECONDITION: does not fit; the message names the line
// that binds, the bytes needed and available, and what would fit.
absl::StatusOr<Plan> MakePlan(const model::ModelSpec& spec, const PlanRequest& request);

// One plan for each rank, on equal devices: knobs and KV blocks are those of the rank with the least room.
absl::StatusOr<std::vector<Plan>> MakeRankPlans(const model::ModelSpec& spec, const PlanRequest& request);

// How many sequences of a length would fit in full, for lengths from the model's own (or the asked one) down by halves
// to 256: the other knobs as asked, or as small as the solver would make them. Lengths that no sequence fits are left
// out.
absl::StatusOr<std::vector<FrontierPoint>> PlanFrontier(const model::ModelSpec& spec, const PlanRequest& request);

}  // namespace headroom::memory
