// Questions that need no worker and no grant: the tokens of a text, the text of tokens, the price of a request. Edges
// translate; here is what they mean.
#pragma once

#include "common/config.h"
#include "gateway/cluster_view.h"
#include "gateway/host_budget.h"
#include "gateway/prepare.h"
#include "gateway/served_model.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// Ids of one DetokenizeRequest.
inline constexpr int kDetokenizeIdsMax = 131'072;

// Thread-safe. Every answer is heavy work, done in the thread that asks; what it takes is in the host budget meanwhile.
// Errors are those of the method of the same name (gateway.proto).
class Questions {
 public:
  // Must outlive this.
  struct Parts {
    const GatewaySection& config;
    const ServedModels& models;
    const ClusterView& cluster;
    HostBudget& host_budget;
  };
  explicit Questions(const Parts& parts) : parts_(parts) {}

  absl::StatusOr<v1::TokenizeResponse> Tokenize(v1::TokenizeRequest& request) const;
  absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request) const;
  absl::StatusOr<v1::PriceResponse> Price(const v1::GenerateRequest& request) const;

 private:
  absl::StatusOr<PreparedRequest> PrepareInBudget(const v1::GenerateRequest& request, const ServedModel& model,
                                                  const ClusterLimits& limits, Pictures pictures) const;
  absl::StatusOr<std::vector<int32_t>> TextIds(const ServedModel& model, const std::string& text,
                                               int64_t tokens_max) const;

  const Parts parts_;
};

}  // namespace headroom::gateway
