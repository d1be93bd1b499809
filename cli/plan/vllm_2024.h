// What another engine would have asked of a device: vLLM of 2024, which found the size of its KV cache by running its
// largest batch once at start and reading off what was left. For a model with few tokens an image that batch holds one
// image for every such few tokens, all in one call of the vision tower: the run that was to find the free memory is
// what ran out of it.
//
// Everything here is an ESTIMATE of a program that is not ours, for comparison only: nothing in Headroom is sized by
// it. Sources: vLLM's profile run, MiniCPM-V model and worker (vllm-project/vllm 0.5.4, of August 2024, with its own
// copy of SigLIP, whose attention writes out all its scores); its issues #7721, #7856, #4087 and #7126, and #392 of
// OpenBMB/MiniCPM-V. What is known to hold: "around 70 GB" measured by a maintainer with default knobs on an 80 GB
// card, and "tried to allocate 5.31 GiB" in a report of the 2.5 model. The context is taken as 0.5 GiB; weights are two
// bytes a parameter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/spec.h"

namespace headroom::cli {

inline constexpr char kVllmName[] = "vLLM, August 2024";

// What is absent takes vLLM's default.
struct VllmKnobs {
  std::optional<int64_t> max_num_seqs = {};            // 256
  std::optional<int64_t> max_model_len = {};           // the model's max_position_embeddings
  std::optional<int64_t> max_num_batched_tokens = {};  // max(max_model_len, 2048)
  std::optional<double> gpu_memory_utilization = {};   // 0.9
};

enum class VllmItem : uint8_t {
  kVisionWeights,
  kResamplerWeights,
  kLlmWeights,
  kHeadWeights,
  kContext,
  kInputs,        // pixels of all dummy images
  kTower,         // residual, q, k, v of one layer
  kScores,        // raw, as the product leaves them
  kScaledScores,  // times 1/√head_dim, a new tensor
  kScoresF32,     // the fp32 copy that softmax works on
  kSoftmaxF32,    // and its result
  kLlmStep,       // activations of max_num_batched_tokens tokens
  kLogits,        // of one token a sequence, with what the sampler makes of them
};

// "llm weights", "scores, fp32".
const char* VllmTitle(VllmItem item);
// The same for programs: "llm_weights", "scores_fp32". What a plan has too bears the same key there.
const char* VllmKey(VllmItem item);

// vLLM runs the tower for all images, then the decoder for all tokens. The allocator keeps what it once took, so the
// process peaks at the larger of the two.
enum class VllmStage : uint8_t { kAlways, kTower, kDecoder };

struct VllmLine {
  VllmItem item = VllmItem::kContext;
  VllmStage stage = VllmStage::kAlways;
  int64_t bytes = 0;
  std::string formula;  // with the numbers filled in
};

enum class VllmOutcome : uint8_t {
  kStarts,
  kOutOfMemory,  // the profile run itself does not fit
  kNoKvCache,    // it does, but what it leaves holds no sequence of max_model_len
};

struct VllmEstimate {
  VllmKnobs knobs;  // all set
  std::string device;
  int64_t device_bytes = 0;

  int64_t sequences = 0;           // of the profile run
  int64_t images = 0;              // in its one call of the tower: one a sequence; 0 for a text model
  int64_t patches_per_image = 0;   // of a dummy image
  int64_t score_tensor_bytes = 0;  // one fp32 score tensor, the largest single allocation; 0 without scores

  std::vector<VllmLine> lines;  // of both stages, none of 0 bytes
  VllmStage peak_stage = VllmStage::kTower;
  int64_t total_bytes = 0;  // always + peak stage: what the process holds after its profile run

  VllmOutcome outcome = VllmOutcome::kStarts;
  int64_t over_bytes = 0;        // total_bytes above device_bytes
  int64_t kv_bytes = 0;          // device · utilization − total, in whole blocks; 0 when it does not start
  int64_t full_length_seqs = 0;  // sequences of max_model_len in them
  std::vector<std::string> notes;

  bool Peaks(const VllmLine& line) const { return line.stage == VllmStage::kAlways || line.stage == peak_stage; }
};

struct VllmRequest {
  VllmKnobs knobs = {};
  std::string device = "device";
  int64_t device_bytes = 0;
};

// Pure. INVALID_ARGUMENT: a knob out of range (counts 1 … 2^31, utilization (0, 1]), a device of no bytes, or sizes of
// which the bytes do not fit int64. max_num_batched_tokens below max_model_len, which that vLLM refused, is raised with
// a note.
absl::StatusOr<VllmEstimate> Vllm2024(const model::ModelSpec& config, const VllmRequest& request);

}  // namespace headroom::cli
