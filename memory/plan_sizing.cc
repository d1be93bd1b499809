#include "memory/plan_sizing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/arith.h"
#include "common/embedding_pages.h"
#include "common/range.h"
#include "common/status.h"
#include "memory/alignment.h"
#include "memory/rank_share.h"
#include "model/request_limits.h"

namespace headroom::memory {
namespace {

constexpr int64_t kDeviceBytesMax = int64_t{1} << 46;
constexpr int64_t kSequencesMax = 1 << 16;
constexpr int64_t kStepTokensMax = 1 << 22;
constexpr int64_t kStepPatchesMax = 1 << 22;
constexpr int64_t kStorePagesMax = 1 << 22;
constexpr int64_t kRanksMax = 1024;
constexpr int64_t kQuantizationGroupMax = 1 << 16;

absl::Status CheckKnobs(const model::ModelSpec& spec, const Knobs& knobs) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("max_num_seqs", knobs.max_num_seqs, 1, kSequencesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("max_model_len", knobs.max_model_len, 1, spec.llm.max_position_embeddings));
  HEADROOM_RETURN_IF_ERROR(CheckRange("max_num_batched_tokens", knobs.max_num_batched_tokens, 1, kStepTokensMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("max_patches_per_step", knobs.max_patches_per_step, 1, kStepPatchesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("embedding_store_pages", knobs.embedding_store_pages, 1, kStorePagesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("min_full_length_seqs", knobs.min_full_length_seqs, 1, kSequencesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("block_size", knobs.block_size, 8, 256));
  if (knobs.block_size && !std::has_single_bit(static_cast<uint64_t>(*knobs.block_size))) {
    return absl::InvalidArgumentError(absl::StrCat("block_size: ", *knobs.block_size, " is not a power of two"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckRange("tensor_parallel_size", knobs.tensor_parallel_size, 1, kRanksMax));
  HEADROOM_RETURN_IF_ERROR(CheckRanks(spec, knobs.tensor_parallel_size.value_or(1)));
  if (knobs.quantization) {
    HEADROOM_RETURN_IF_ERROR(
        CheckRange("quantization: group", knobs.quantization->scale_cols, 0, kQuantizationGroupMax));
  }
  const double utilization = knobs.gpu_memory_utilization.value_or(1);
  if (!(utilization > 0 && utilization <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("gpu_memory_utilization: ", utilization, " is not above 0 and at most 1"));
  }
  const int64_t tokens = knobs.max_num_batched_tokens.value_or(kStepTokensMax);
  if (knobs.max_num_seqs.value_or(1) > tokens) {
    return absl::InvalidArgumentError(absl::StrCat("max_num_seqs: ", *knobs.max_num_seqs,
                                                   " is above max_num_batched_tokens ", tokens,
                                                   ", and each sequence takes a token of the step"));
  }
  return absl::OkStatus();
}

absl::Status CheckDevice(const DeviceSpec& device, const KernelNeeds& kernels) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("device memory", device.memory_bytes, 1, kDeviceBytesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("context floor", device.context_floor_bytes, 0, kDeviceBytesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("other processes", device.other_processes_bytes, 0, kDeviceBytesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("libraries", kernels.library_bytes, 0, kDeviceBytesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("libraries of the device", device.library_bytes, 0, kDeviceBytesMax));
  HEADROOM_RETURN_IF_ERROR(
      CheckRange("libraries of tensor parallelism", device.parallel_library_bytes, 0, kDeviceBytesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("communication", kernels.communication_bytes, 0, kDeviceBytesMax));
  if (kernels.rows == nullptr) return absl::InvalidArgumentError("kernels: no row bucket function");
  return absl::OkStatus();
}

// Pages lie side by side without padding, and runs of them are matrices.
static_assert(kEmbeddingPageRows * SizeOf(DType::kBF16) % kArenaAlignment == 0);

using ScratchFunction = std::function<absl::StatusOr<int64_t>(int64_t, int64_t)>;

// Null becomes 0 bytes; answers are kept, because the runtime builds primitives to find them.
ScratchFunction Remembering(const ScratchFunction& function) {
  if (!function) return [](int64_t, int64_t) { return int64_t{0}; };
  auto known = std::make_shared<std::map<std::pair<int64_t, int64_t>, absl::StatusOr<int64_t>>>();
  return [function, known](int64_t first, int64_t second) {
    const auto found = known->find({first, second});
    if (found != known->end()) return found->second;
    return known->emplace(std::pair(first, second), function(first, second)).first->second;
  };
}

absl::Status SizeVision(const PlanBasis& basis, Sizing& sizing) {
  const KernelNeeds& kernels = basis.kernels;
  VisionStepLayout::Limits limits{.patches = sizing.knobs.max_patches_per_step,
                                  .pieces = sizing.knobs.max_pieces_per_step,
                                  .compute = basis.request.compute,
                                  .rows = kernels.rows,
                                  .linear_scratch_bytes = 0,
                                  .attention_scratch_bytes = 0};
  HEADROOM_ASSIGN_OR_RETURN(limits.linear_scratch_bytes, kernels.vision_linear_scratch(limits.patches, limits.pieces));
  HEADROOM_ASSIGN_OR_RETURN(limits.attention_scratch_bytes,
                            kernels.vision_attention_scratch(limits.patches, limits.pieces));
  HEADROOM_ASSIGN_OR_RETURN(sizing.vision_step, VisionStepLayout::Make(*basis.spec.encoder, limits));
  sizing.bytes[static_cast<int>(Component::kVisionWorkspace)] = sizing.vision_step.buffers.bytes;
  HEADROOM_ASSIGN_OR_RETURN(const int64_t library, kernels.vision_library(limits.patches, limits.pieces));
  sizing.bytes[static_cast<int>(Component::kLibraries)] += library;
  return absl::OkStatus();
}

// Ids whose logits one request changes at most: those of its answer, of its bias and its stop ids.
int64_t ChangesMax(int64_t max_model_len) { return max_model_len + model::kLogitBiasMax + model::kStopIdsMax; }

absl::Status SizeLlm(const PlanBasis& basis, Sizing& sizing) {
  const KernelNeeds& kernels = basis.kernels;
  LlmStepLayout::Limits limits{
      .tokens = sizing.knobs.max_num_batched_tokens,
      .sequences = sizing.knobs.max_num_seqs,
      .blocks_per_sequence = basis.kv.BlocksFor(sizing.knobs.max_model_len),
      .changes_per_sequence = std::min(basis.decoder.vocab, ChangesMax(sizing.knobs.max_model_len)),
      .compute = basis.request.compute,
      .rows = kernels.rows,
      .linear_scratch_bytes = 0,
      .attention_scratch_bytes = 0};
  HEADROOM_ASSIGN_OR_RETURN(limits.linear_scratch_bytes, kernels.llm_linear_scratch(limits.tokens, limits.sequences));
  HEADROOM_ASSIGN_OR_RETURN(limits.attention_scratch_bytes,
                            kernels.llm_attention_scratch(limits.tokens, limits.sequences));
  HEADROOM_ASSIGN_OR_RETURN(sizing.llm_step, LlmStepLayout::Make(basis.decoder, limits));
  sizing.bytes[static_cast<int>(Component::kLlmWorkspace)] = sizing.llm_step.buffers.bytes;
  HEADROOM_ASSIGN_OR_RETURN(const int64_t library, kernels.llm_library(limits.tokens, limits.sequences));
  sizing.bytes[static_cast<int>(Component::kLibraries)] += library;
  if (basis.request.knobs.decode_graphs) {
    HEADROOM_ASSIGN_OR_RETURN(sizing.bytes[static_cast<int>(Component::kGraphs)],
                              kernels.llm_graphs(limits.tokens, limits.sequences));
  }
  return absl::OkStatus();
}

// Largest number of bytes ≤ memory that the utilization leaves.
int64_t UsableBytes(int64_t memory, double utilization) {
  return std::min(memory, static_cast<int64_t>(std::floor(static_cast<double>(memory) * utilization)));
}

}  // namespace

absl::StatusOr<PlanBasis> MakeBasis(const model::ModelSpec& spec, const PlanRequest& request) {
  const Knobs& knobs = request.knobs;
  HEADROOM_RETURN_IF_ERROR(CheckKnobs(spec, knobs));
  HEADROOM_RETURN_IF_ERROR(CheckDevice(request.device, request.kernels));
  HEADROOM_RETURN_IF_ERROR(CheckRange("rank", request.rank, 0, knobs.tensor_parallel_size.value_or(1) - 1));
  if (request.compute != DType::kF32 && request.compute != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights: not supported: ", DTypeName(request.compute), " (only fp32, bf16)"));
  }
  if (!request.roles.vision && !request.roles.llm) return absl::InvalidArgumentError("roles: neither vision nor llm");
  if (!request.roles.llm && !spec.encoder) return absl::InvalidArgumentError("roles: the model has no vision tower");
  if (!request.roles.llm && request.rank > 0)
    return absl::InvalidArgumentError("roles: a vision worker has rank 0 only");
  PlanBasis basis{.spec = spec, .request = request, .kernels = request.kernels, .decoder = {}, .kv = {}};
  for (auto* function : {&basis.kernels.vision_linear_scratch, &basis.kernels.vision_attention_scratch,
                         &basis.kernels.vision_library, &basis.kernels.llm_linear_scratch,
                         &basis.kernels.llm_attention_scratch, &basis.kernels.llm_library, &basis.kernels.llm_graphs}) {
    *function = Remembering(*function);
  }
  basis.ranks = knobs.tensor_parallel_size.value_or(1);
  basis.sees = request.roles.vision && spec.encoder.has_value() && request.rank == 0;
  basis.reads = request.roles.llm;
  // An llm-worker keeps what it pulls in host memory, which the price of a request covers.
  basis.stores = basis.sees ? 1 : 0;
  HEADROOM_ASSIGN_OR_RETURN(basis.weight_bytes,
                            RankWeightBytes(spec, request.compute, knobs.quantization, basis.ranks));
  basis.decoder = RankDecoder(spec, basis.ranks);
  HEADROOM_ASSIGN_OR_RETURN(basis.kv, RankKv(spec, basis.ranks, knobs.block_size.value_or(16),
                                             knobs.kv_cache_dtype.value_or(request.compute)));
  if (spec.encoder) {
    const model::EncoderShape& encoder = *spec.encoder;
    if (__builtin_mul_overflow(kEmbeddingPageRows, encoder.out * SizeOf(request.compute), &basis.page_bytes) ||
        basis.page_bytes > kDeviceBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("embedding store: ", kEmbeddingPageRows, " rows of ", encoder.out,
                                                     " values a page are more than ", kDeviceBytesMax, " bytes"));
    }
  }
  basis.usable_bytes = UsableBytes(request.device.memory_bytes, knobs.gpu_memory_utilization.value_or(1));
  return basis;
}

absl::StatusOr<Sizing> Size(const PlanBasis& basis, const ResolvedKnobs& knobs) {
  Sizing sizing;
  sizing.knobs = knobs;
  auto& bytes = sizing.bytes;
  const auto set = [&](Component component, int64_t value) { bytes[static_cast<int>(component)] = value; };
  const auto weight = [&](model::WeightPart part) { return basis.weight_bytes[static_cast<int>(part)]; };
  if (basis.sees) {
    set(Component::kVisionWeights, weight(model::WeightPart::kVision));
    set(Component::kResamplerWeights, weight(model::WeightPart::kResampler));
    HEADROOM_RETURN_IF_ERROR(SizeVision(basis, sizing));
  }
  if (basis.reads) {
    set(Component::kLlmWeights, weight(model::WeightPart::kLlm));
    set(Component::kHeadWeights, weight(model::WeightPart::kHead));
    HEADROOM_RETURN_IF_ERROR(SizeLlm(basis, sizing));
    const int64_t blocks = basis.kv.BlocksFor(knobs.max_model_len);
    if (__builtin_mul_overflow(basis.request.knobs.min_full_length_seqs * blocks, basis.kv.BlockBytes(),
                               &sizing.kv_bytes_min)) {
      sizing.kv_bytes_min = std::numeric_limits<int64_t>::max();
    }
  }
  int64_t store_bytes = 0;
  if (__builtin_mul_overflow(basis.stores * knobs.embedding_store_pages, basis.page_bytes, &store_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("embedding_store_pages: ", knobs.embedding_store_pages, " is too large"));
  }
  const DeviceSpec& device = basis.request.device;
  int64_t communication = basis.request.kernels.communication_bytes;
  int64_t libraries = basis.request.kernels.library_bytes + device.library_bytes;
  if (basis.ranks > 1) {
    // Sums across ranks go from one fp32 buffer of a step's rows into another.
    communication += 2 * sizing.llm_step.token_rows * basis.decoder.hidden * SizeOf(DType::kF32);
    libraries += device.parallel_library_bytes;
  }
  set(Component::kEmbeddingStore, store_bytes);
  set(Component::kCommunication, communication);
  set(Component::kAlignment, AlignUp(communication) - communication);  // every other line is a multiple already
  bytes[static_cast<int>(Component::kLibraries)] += libraries;
  set(Component::kContextFloor, device.context_floor_bytes);
  set(Component::kOtherProcesses, device.other_processes_bytes);

  sizing.fixed_bytes = kPageBytes - 1;
  for (const int64_t value : bytes) {
    if (__builtin_add_overflow(sizing.fixed_bytes, value, &sizing.fixed_bytes)) {
      return absl::InvalidArgumentError("plan: the lines together leave 64 bits");
    }
  }
  const int64_t rest = basis.usable_bytes - sizing.fixed_bytes;
  sizing.fits = rest >= 0 && rest >= sizing.kv_bytes_min;
  if (sizing.fits && basis.reads) {
    // Block ids are 32 bits wide.
    sizing.kv_blocks = std::min<int64_t>(rest / basis.kv.BlockBytes(), std::numeric_limits<int32_t>::max());
  }
  return sizing;
}

}  // namespace headroom::memory
