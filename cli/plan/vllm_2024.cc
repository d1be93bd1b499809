#include "cli/plan/vllm_2024.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "common/arith.h"
#include "common/range.h"
#include "common/status.h"
#include "common/units.h"
#include "model/tensor_spec.h"

namespace headroom::cli {
namespace {

constexpr int64_t kKnobMax = int64_t{1} << 31;
constexpr int64_t kSequencesDefault = 256;
constexpr double kUtilizationDefault = 0.9;
constexpr int64_t kStepTokensDefaultMin = 2048;
constexpr int64_t kBlockTokens = 16;
constexpr int64_t kHalf = 2, kFull = 4;        // bytes of bf16 and fp32
constexpr int64_t kContextBytes = 512 * kMiB;  // driver, CUDA context, libraries: an assumption

struct Name {
  const char* title;
  const char* key;
};
// In the order of VllmItem.
constexpr std::array<Name, 13> kNames = {{{"vision weights", "vision_weights"},
                                          {"resampler weights", "resampler_weights"},
                                          {"llm weights", "llm_weights"},
                                          {"head weights", "head_weights"},
                                          {"context", "context_floor"},
                                          {"image inputs", "vision_inputs"},
                                          {"tower buffers", "vision_activations"},
                                          {"scores, raw", "scores"},
                                          {"scores, scaled", "scores_scaled"},
                                          {"scores, fp32", "scores_fp32"},
                                          {"softmax, fp32", "softmax_fp32"},
                                          {"llm buffers", "llm_activations"},
                                          {"logits", "logits"}}};
static_assert(kNames.size() == static_cast<size_t>(VllmItem::kLogits) + 1);

// Products and sums that remember whether one of them left int64.
class Checked {
 public:
  int64_t Product(std::initializer_list<int64_t> factors) {
    int64_t product = 1;
    for (const int64_t factor : factors) {
      if (__builtin_mul_overflow(product, factor, &product)) return Overflow();
    }
    return product;
  }
  int64_t Sum(int64_t a, int64_t b) {
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? Overflow() : sum;
  }
  bool overflow() const { return overflow_; }

 private:
  int64_t Overflow() {
    overflow_ = true;
    return 0;
  }

  bool overflow_ = false;
};

absl::Status CheckRequest(const VllmRequest& request) {
  const VllmKnobs& knobs = request.knobs;
  HEADROOM_RETURN_IF_ERROR(CheckRange("vLLM estimate: max_num_seqs", knobs.max_num_seqs, 1, kKnobMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("vLLM estimate: max_model_len", knobs.max_model_len, 1, kKnobMax));
  HEADROOM_RETURN_IF_ERROR(
      CheckRange("vLLM estimate: max_num_batched_tokens", knobs.max_num_batched_tokens, 1, kKnobMax));
  const double utilization = knobs.gpu_memory_utilization.value_or(kUtilizationDefault);
  if (!(utilization > 0 && utilization <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("vLLM estimate: gpu_memory_utilization is ", utilization, ", must be above 0 and at most 1"));
  }
  if (request.device_bytes < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("vLLM estimate: the device has ", request.device_bytes, " bytes, must have at least 1"));
  }
  return absl::OkStatus();
}

class Estimator {
 public:
  Estimator(const model::ModelSpec& config, const VllmRequest& request) : config_(config) {
    estimate_.knobs = request.knobs;
    estimate_.device = request.device;
    estimate_.device_bytes = request.device_bytes;
  }

  absl::StatusOr<VllmEstimate> Run() {
    ResolveKnobs();
    SizeProfileRun();
    AddWeights();
    if (config_.vision) AddTower(*config_.vision);
    AddDecoder();
    AddUp();
    if (checked_.overflow()) {
      return absl::InvalidArgumentError("vLLM estimate: sizes too large, bytes would not fit 64 bits");
    }
    Judge();
    return std::move(estimate_);
  }

 private:
  void ResolveKnobs() {
    VllmKnobs& knobs = estimate_.knobs;
    knobs.max_num_seqs = knobs.max_num_seqs.value_or(kSequencesDefault);
    knobs.max_model_len = knobs.max_model_len.value_or(config_.llm.max_position_embeddings);
    knobs.gpu_memory_utilization = knobs.gpu_memory_utilization.value_or(kUtilizationDefault);
    if (!knobs.max_num_batched_tokens) {
      knobs.max_num_batched_tokens = std::max(*knobs.max_model_len, kStepTokensDefaultMin);
    } else if (*knobs.max_num_batched_tokens < *knobs.max_model_len) {
      estimate_.notes.push_back(absl::StrCat("that vLLM refused max_num_batched_tokens (",
                                             *knobs.max_num_batched_tokens, ") below max_model_len (",
                                             *knobs.max_model_len, "), which is taken for it"));
      knobs.max_num_batched_tokens = knobs.max_model_len;
    }
  }

  // As many dummy sequences as the token budget holds when each brings an image as its few tokens.
  void SizeProfileRun() {
    const VllmKnobs& knobs = estimate_.knobs;
    estimate_.sequences = *knobs.max_num_seqs;
    if (!config_.vision) return;
    estimate_.sequences = std::max<int64_t>(
        1, std::min(*knobs.max_num_seqs, *knobs.max_num_batched_tokens / config_.resampler.query_num));
    estimate_.images = estimate_.sequences;
    // config.json's image_size, a square of which is one piece; equal to scale_resolution in all published models.
    const int64_t side = config_.slice.scale_resolution / config_.vision->patch_size;
    estimate_.patches_per_image = side * side;
  }

  void Add(VllmItem item, VllmStage stage, int64_t bytes, std::string formula) {
    if (bytes > 0) estimate_.lines.push_back({item, stage, bytes, std::move(formula)});
  }

  void AddWeights() {
    std::array<int64_t, model::kWeightParts> parameters{};
    for (int part = 0; part < model::kWeightParts; ++part) {
      parameters[static_cast<size_t>(part)] =
          model::ParameterCount(config_.tensors, static_cast<model::WeightPart>(part));
    }
    constexpr std::pair<VllmItem, model::WeightPart> kWeights[] = {
        {VllmItem::kLlmWeights, model::WeightPart::kLlm},
        {VllmItem::kHeadWeights, model::WeightPart::kHead},
        {VllmItem::kVisionWeights, model::WeightPart::kVision},
        {VllmItem::kResamplerWeights, model::WeightPart::kResampler}};
    for (const auto& [item, part] : kWeights) {
      const int64_t count = parameters[static_cast<size_t>(part)];
      Add(item, VllmStage::kAlways, checked_.Product({count, kHalf}),
          absl::StrCat(GroupedDigits(count), " parameters · 2 B"));
    }
    Add(VllmItem::kContext, VllmStage::kAlways, kContextBytes, "CUDA context and libraries, assumed");
  }

  void AddTower(const model::VisionConfig& vision) {
    const int64_t images = estimate_.images, patches = estimate_.patches_per_image;
    const int64_t pixels = checked_.Product({patches, vision.patch_values()});
    const std::string each = absl::StrCat(GroupedDigits(images), " images · ");
    Add(VllmItem::kInputs, VllmStage::kTower, checked_.Product({images, pixels, kFull + kFull + kHalf}),
        absl::StrCat(each, GroupedDigits(pixels), " values · (4 + 4 + 2) B"));
    Add(VllmItem::kTower, VllmStage::kTower, checked_.Product({5, images, patches, vision.hidden_size, kHalf}),
        absl::StrCat("5 · ", each, GroupedDigits(patches), " patches · ", GroupedDigits(vision.hidden_size), " · 2 B"));
    AddScores(vision.heads);
  }

  // Attention of the time: every head's patches × patches scores as whole tensors, four of them alive or cached.
  void AddScores(int64_t heads) {
    const int64_t patches = estimate_.patches_per_image;
    const int64_t scores = checked_.Product({estimate_.images, heads, patches, patches});
    const std::string each = absl::StrCat(GroupedDigits(estimate_.images), " images · ", heads, " heads · ",
                                          GroupedDigits(patches), "² patches · ");
    estimate_.score_tensor_bytes = checked_.Product({scores, kFull});
    Add(VllmItem::kScores, VllmStage::kTower, checked_.Product({scores, kHalf}), each + "2 B");
    Add(VllmItem::kScaledScores, VllmStage::kTower, checked_.Product({scores, kHalf}), each + "2 B");
    Add(VllmItem::kScoresF32, VllmStage::kTower, estimate_.score_tensor_bytes, each + "4 B");
    Add(VllmItem::kSoftmaxF32, VllmStage::kTower, estimate_.score_tensor_bytes, each + "4 B");
  }

  void AddDecoder() {
    const model::DecoderSpec& llm = config_.llm;
    const int64_t tokens = *estimate_.knobs.max_num_batched_tokens;
    const int64_t qkv = checked_.Product({llm.heads + 2 * llm.kv_heads, llm.head_dim});
    const int64_t columns = 3 * llm.intermediate_size + 3 * llm.hidden_size + qkv;
    Add(VllmItem::kLlmStep, VllmStage::kDecoder, checked_.Product({tokens, columns, kHalf}),
        absl::StrCat(GroupedDigits(tokens), " tokens · (gate, up and product 3 · ",
                     GroupedDigits(llm.intermediate_size), " + residual, input and attention 3 · ",
                     GroupedDigits(llm.hidden_size), " + q, k, v ", GroupedDigits(qkv), ") · 2 B"));
    Add(VllmItem::kLogits, VllmStage::kDecoder,
        checked_.Product({estimate_.sequences, llm.vocab_size, kHalf + 3 * kFull}),
        absl::StrCat(GroupedDigits(estimate_.sequences), " sequences · ", GroupedDigits(llm.vocab_size),
                     " · (2 + fp32 copy, probabilities and their logarithms 3 · 4) B"));
  }

  void AddUp() {
    std::array<int64_t, 3> stages{};
    for (const VllmLine& line : estimate_.lines) {
      int64_t& stage = stages[static_cast<size_t>(line.stage)];
      stage = checked_.Sum(stage, line.bytes);
    }
    const auto [always, tower, decoder] = stages;
    estimate_.peak_stage = tower > decoder ? VllmStage::kTower : VllmStage::kDecoder;
    estimate_.total_bytes = checked_.Sum(always, std::max(tower, decoder));
  }

  void Judge() {
    const model::DecoderSpec& llm = config_.llm;
    const VllmKnobs& knobs = estimate_.knobs;
    estimate_.over_bytes = std::max<int64_t>(0, estimate_.total_bytes - estimate_.device_bytes);
    if (estimate_.over_bytes > 0) {
      estimate_.outcome = VllmOutcome::kOutOfMemory;
      return;
    }
    // At most 2^10 layers, 2^12 heads of 2^12: no overflow.
    const int64_t block_bytes = 2 * llm.layers * llm.kv_heads * llm.head_dim * kHalf * kBlockTokens;
    const auto usable = static_cast<int64_t>(
        std::floor(static_cast<long double>(estimate_.device_bytes) * *knobs.gpu_memory_utilization));
    const int64_t blocks = std::max<int64_t>(0, usable - estimate_.total_bytes) / block_bytes;
    estimate_.full_length_seqs = blocks / CeilDiv(*knobs.max_model_len, kBlockTokens);
    if (estimate_.full_length_seqs < 1) {
      estimate_.outcome = VllmOutcome::kNoKvCache;
      return;
    }
    estimate_.kv_bytes = blocks * block_bytes;
  }

  const model::ModelSpec& config_;
  VllmEstimate estimate_;
  Checked checked_;
};

}  // namespace

const char* VllmTitle(VllmItem item) { return kNames[static_cast<size_t>(item)].title; }
const char* VllmKey(VllmItem item) { return kNames[static_cast<size_t>(item)].key; }

absl::StatusOr<VllmEstimate> Vllm2024(const model::ModelSpec& config, const VllmRequest& request) {
  HEADROOM_RETURN_IF_ERROR(CheckRequest(request));
  return Estimator(config, request).Run();
}

}  // namespace headroom::cli
