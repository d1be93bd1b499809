// The life of a request, read top to bottom: check ▸ price ▸ reserve ▸ encode ▸ generate ▸ answer. ARCHITECTURE.md,
// "Life of a request".
//
// Run() blocks; the gateway's own pool calls it, never a gRPC thread. Any number of calls may run at once.
#pragma once

#include <functional>
#include <optional>

#include "common/clock.h"
#include "common/config.h"
#include "common/rpc/channel_directory.h"
#include "gateway/cluster_view.h"
#include "gateway/grant_keeper.h"
#include "gateway/host_budget.h"
#include "gateway/prepare.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

struct PipelineParts {
  const GatewaySection& config;
  const ServedModel& model;
  rpc::ChannelDirectory& channels;
  SchedulerClient& scheduler;
  GrantKeeper& grants;
  ClusterView& cluster;
  HostBudget& host_budget;
  Clock& clock;
};

// What a request took, for metrics; times count from the start of Run().
struct RequestTimes {
  std::optional<double> queued_seconds;
  std::optional<double> first_token_seconds;
  std::optional<double> last_token_seconds;  // as far as tokens came
};

class Pipeline {
 public:
  explicit Pipeline(const PipelineParts& parts) : parts_(parts) {}

  // Gives text to the client as it comes; false when the client takes no more, which ends the request.
  using TextSink = std::function<bool(const std::string&)>;

  // The caller holds the request's own bytes of the host budget. Errors are those of Gateway.Generate (gateway.proto).
  // Whatever the way out, nothing of the request is left behind: no grant, no embeddings, no host memory.
  absl::StatusOr<v1::Finish> Run(const v1::GenerateRequest& request, const std::string& request_id,
                                 const CallScope& scope, const TextSink& sink, RequestTimes* times);

 private:
  struct Attempt;

  absl::StatusOr<PreparedRequest> PrepareInBudget(const v1::GenerateRequest& request, const ClusterLimits& limits);
  absl::StatusOr<std::unique_ptr<HeldGrant>> Reserve(const PreparedRequest& prepared, Attempt& attempt);
  absl::StatusOr<v1::ReserveResponse> AskScheduler(v1::ReserveRequest& reserve, const Attempt& attempt);
  // One Reserve call. Where it leaves open whether the scheduler made a grant, that is voided.
  absl::StatusOr<v1::ReserveResponse> AskOnce(v1::ReserveRequest& reserve, const CallScope& scope);
  absl::StatusOr<std::unique_ptr<VisionEncoding>> Encode(const PreparedRequest& prepared, HeldGrant& grant,
                                                         Attempt& attempt);
  absl::Status Generate(const PreparedRequest& prepared, HeldGrant& grant, VisionEncoding* encoding, Attempt& attempt);

  PipelineParts parts_;
};

}  // namespace headroom::gateway
