// From a public request to numbers: everything that can be known before any work is done. Image headers are read here,
// pixels never.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "admission/price.h"
#include "common/config.h"
#include "common/status.h"
#include "gateway/cluster_view.h"
#include "headroom/v1/gateway.pb.h"
#include "headroom/v1/llm.pb.h"
#include "headroom/v1/vision.pb.h"
#include "model/config.h"
#include "model/text/chat_template.h"
#include "model/text/prompt.h"
#include "model/text/tokenizer.h"

namespace headroom::gateway {

// What the gateway knows of the model: no weights. Immutable after loading, so every method is thread-safe.
class ServedModel {
 public:
  // Reads config, tokenizer and checkpoint headers of `directory`. `embedding_element_bytes`: 2 for bf16, 4 for fp32.
  static absl::StatusOr<std::unique_ptr<ServedModel>> Load(const std::string& directory,
                                                           int64_t embedding_element_bytes);

  std::string name;  // last part of the directory
  std::string fingerprint;
  model::ModelConfig config;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::unique_ptr<model::PromptBuilder> prompts;
  std::vector<int32_t> stop_ids;
  int64_t embedding_bytes_per_piece = 0;  // where workers do not say
};

struct PreparedRequest {
  std::vector<int32_t> prompt_ids;
  std::vector<v1::EmbeddingSpan> spans;
  std::vector<v1::PricedImage> images;
  std::vector<const std::string*> image_bytes;  // point into the request
  admission::Price price;
  v1::TokenSampling sampling;
  std::vector<std::string> stop_strings;
  int64_t max_tokens = 0;
  v1::Usage usage;  // what is known before: prompt_tokens, image_tokens, images, pieces
};

// Checks every field of the request. INVALID_ARGUMENT with the value and the limit.
absl::StatusOr<PreparedRequest> Prepare(const v1::GenerateRequest& request, const ServedModel& model,
                                        const GatewaySection& config, const ClusterLimits& limits);

// Host memory that Prepare takes at most beside the request and its result, bytes: tokenizing costs many times the
// text.
int64_t PrepareBytes(const v1::GenerateRequest& request, const ServedModel& model, const ClusterLimits& limits);

}  // namespace headroom::gateway
