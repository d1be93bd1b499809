#include "tools/golden_check/checked_model.h"

#include <algorithm>

#include "model/checkpoint.h"
#include "model/tensor_spec.h"
#include "vision-worker/encoder.h"

namespace headroom::tools {
namespace {

// Sequences of a step. The tool computes one at a time; more rows of logits save it some calls.
constexpr int64_t kLogitRows = 64;
constexpr int64_t kPlanBytes = int64_t{1} << 46;
// Whatever it pads the arena with in the end, a plan keeps a page back for it: more than the blocks of a small model.
constexpr int64_t kPageBytes = 4096;

// The plan gives everything that other lines leave to the KV pool; here one sequence is enough. So a first plan for a
// huge device tells how much the other lines need.
absl::StatusOr<memory::Plan> SmallestPlan(const model::ModelSpec& config, memory::PlanRequest request) {
  request.device.memory_bytes = kPlanBytes;
  HEADROOM_ASSIGN_OR_RETURN(const memory::Plan huge, memory::MakePlan(config, request));
  const int64_t pool = (huge.kv.BlocksFor(huge.knobs.max_model_len) + 1) * huge.kv.BlockBytes();
  int64_t others = 0;
  for (const memory::Component component : memory::AllComponents()) {
    if (component != memory::Component::kKvPool && component != memory::Component::kHeadroom) {
      others += huge.Bytes(component);
    }
  }
  request.device.memory_bytes = others + pool + kPageBytes;
  return memory::MakePlan(config, request);
}

}  // namespace

absl::StatusOr<CheckedModel> LoadCheckedModel(const model::ModelSpec& config, const ModelOptions& options) {
  const bool sees = config.vision.has_value() || config.merging.has_value();
  CheckedModel m;
  m.config = config;
  HEADROOM_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::Checkpoint::Open(options.directory));
  HEADROOM_RETURN_IF_ERROR(model::CheckTensors(config.tensors, checkpoint).status());
  HEADROOM_ASSIGN_OR_RETURN(m.device, options.create_device(options.device));

  memory::PlanRequest request;
  request.compute = options.compute;
  request.roles = {.vision = sees, .llm = true};
  request.knobs.max_num_seqs = std::min(kLogitRows, options.max_num_batched_tokens);
  request.knobs.max_model_len = options.max_model_len;
  request.knobs.max_num_batched_tokens = options.max_num_batched_tokens;
  request.knobs.block_size = options.block_size;
  if (sees) request.knobs.max_patches_per_step = options.max_patches_per_step;
  if (sees) request.knobs.embedding_store_pages = 1;
  vision_worker::AddEncoderNeeds(m.device->sizes(), config, options.compute, request.kernels);
  llm_worker::AddDecoderNeeds(m.device->sizes(), config, options.compute, request.kernels);
  HEADROOM_ASSIGN_OR_RETURN(m.plan, SmallestPlan(config, request));

  m.ledger = std::make_unique<memory::Ledger>(m.plan.device_bytes);
  m.plan.Register(*m.ledger);
  HEADROOM_ASSIGN_OR_RETURN(m.arena, memory::Arena::Create(m.plan.arena_bytes, m.device->memory(), *m.ledger));
  if (sees) {
    HEADROOM_ASSIGN_OR_RETURN(m.encoder, vision_worker::CreateEncoder(*m.device, config, m.plan, *m.arena));
    HEADROOM_RETURN_IF_ERROR(m.encoder->Load(checkpoint));
  }
  HEADROOM_ASSIGN_OR_RETURN(m.decoder, llm_worker::Decoder::Create(*m.device, config, m.plan, *m.arena));
  HEADROOM_RETURN_IF_ERROR(m.decoder->Load(checkpoint));
  return m;
}

}  // namespace headroom::tools
