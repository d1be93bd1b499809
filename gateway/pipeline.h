// The life of a request, read top to bottom: check ▸ price ▸ reserve ▸ encode ▸ generate ▸ answer. ARCHITECTURE.md,
// "Life of a request".
//
// Run() is a coroutine: between two steps the request is an object in memory and holds no thread. Any number may be on
// their way at once.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/async/executor.h"
#include "common/async/task.h"
#include "common/async/timers.h"
#include "common/clock.h"
#include "common/config.h"
#include "gateway/answer.h"
#include "gateway/cluster_view.h"
#include "gateway/grant_keeper.h"
#include "gateway/host_budget.h"
#include "gateway/peers.h"
#include "gateway/prepare.h"
#include "gateway/served_model.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

struct PipelineParts {
  const GatewaySection& config;
  const ServedModels& models;
  Peers& peers;
  GrantKeeper& grants;
  ClusterView& cluster;
  HostBudget& host_budget;
  Clock& clock;
  Executor& executor;  // steps between waits: short
  Timers& timers;
};

// What a request took, for metrics; times count from its first question to the scheduler.
struct RequestTimes {
  std::optional<double> queued_seconds;
  std::optional<double> first_token_seconds;
  std::optional<double> last_token_seconds;  // as far as tokens came
};

class Pipeline {
 public:
  explicit Pipeline(const PipelineParts& parts) : parts_(parts) {}

  // Begins in the thread of its caller with what is heavy (reading images' headers, tokenizing) and goes on in the
  // executor. The caller holds the message's own bytes of the host budget. Errors are those of Gateway.Generate
  // (gateway.proto). Whatever the way out, nothing of the request is left behind: no grant, no embeddings, no host
  // memory. Returns the last piece of the answer, the one with the usage, which the caller hands on.
  Task<absl::StatusOr<v1::GenerateResponse>> Run(const v1::GenerateRequest& request, const std::string& request_id,
                                                 const CallScope& scope, Answer& answer, RequestTimes& times) const;

 private:
  struct Progress;

  absl::StatusOr<PreparedRequest> PrepareInBudget(const v1::GenerateRequest& request, const ServedModel& model,
                                                  const ClusterLimits& limits) const;
  Task<absl::StatusOr<std::unique_ptr<HeldGrant>>> Reserve(Progress& progress) const;
  Task<absl::StatusOr<v1::ReserveResponse>> AskScheduler(v1::ReserveRequest& reserve, const Progress& progress) const;
  // One Reserve call. Where it leaves open whether the scheduler made a grant, that is voided.
  Task<absl::StatusOr<v1::ReserveResponse>> AskOnce(v1::ReserveRequest& reserve, const CallScope& scope) const;
  // From the grant to the end of the answer, or of the workers that should have given it.
  Task<absl::Status> Work(HeldGrant& grant, Progress& progress) const;
  Task<absl::StatusOr<std::unique_ptr<VisionEncoding>>> Encode(HeldGrant& grant, Progress& progress) const;
  Task<absl::Status> Generate(HeldGrant& grant, VisionEncoding* encoding, Progress& progress) const;
  static void AddChoices(const Progress& progress, v1::LlmGenerateRequest* generate);
  absl::StatusOr<v1::LlmGenerateRequest> GenerateMessage(HeldGrant& grant, const VisionEncoding* encoding,
                                                         const Progress& progress) const;

  const PipelineParts parts_;
};

}  // namespace headroom::gateway
