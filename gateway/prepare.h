// From a public request to numbers: everything that can be known before any work is done. Image headers are read here,
// pixels never.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "admission/price.h"
#include "common/config.h"
#include "common/status.h"
#include "gateway/cluster_view.h"
#include "gateway/image_pricer.h"
#include "gateway/served_model.h"
#include "headroom/v1/gateway.pb.h"
#include "headroom/v1/llm.pb.h"
#include "headroom/v1/vision.pb.h"

namespace headroom::gateway {

struct PreparedRequest {
  std::vector<int32_t> prompt_ids;
  std::vector<v1::EmbeddingSpan> spans;
  std::vector<v1::PricedImage> images;
  std::vector<const std::string*> image_bytes;  // point into the request
  admission::Price price;
  v1::TokenSampling sampling;
  std::vector<std::string> stop_strings;
  std::vector<int32_t> stop_ids;
  int32_t choices = 1;
  int64_t max_tokens = 0;
  int64_t min_tokens = 0;
  bool thinks = false;  // the prompt ends inside of a reasoning
  std::optional<v1::Grammar> constraint;
  v1::Usage usage;  // what is known before: prompt_tokens, image_tokens, images, pieces
};

// Checks every field of the request but the name of the model, which chose `model`. INVALID_ARGUMENT with the value and
// the limit.
absl::StatusOr<PreparedRequest> Prepare(const v1::GenerateRequest& request, const ServedModel& model,
                                        const GatewaySection& config, const ClusterLimits& limits,
                                        Pictures pictures = Pictures::kInBytes);

// Host memory that Prepare takes at most beside the request and its result, bytes: tokenizing costs many times the
// text.
int64_t PrepareBytes(const v1::GenerateRequest& request, const ServedModel& model, const ClusterLimits& limits);

}  // namespace headroom::gateway
