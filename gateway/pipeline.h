// The life of a request, read top to bottom: check ▸ price ▸ reserve ▸ encode ▸ generate ▸ answer. ARCHITECTURE.md,
// "Life of a request".
//
// Run() is a coroutine: between two steps the request is an object in memory and holds no thread. Any number may be on
// their way at once.
#pragma once

#include <memory>
#include <string>

#include "common/async/task.h"
#include "gateway/answer.h"
#include "gateway/pipeline_parts.h"
#include "gateway/prepare.h"
#include "gateway/reservation.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

class Pipeline {
 public:
  explicit Pipeline(const PipelineParts& parts) : parts_(parts), reservations_(parts) {}

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
  // From the grant to the end of the answer, or of the workers that should have given it.
  Task<absl::Status> Work(HeldGrant& grant, Progress& progress) const;
  Task<absl::StatusOr<std::unique_ptr<VisionEncoding>>> Encode(HeldGrant& grant, Progress& progress) const;
  Task<absl::Status> Generate(HeldGrant& grant, VisionEncoding* encoding, Progress& progress) const;
  static void AddChoices(const Progress& progress, v1::LlmGenerateRequest* generate);
  absl::StatusOr<v1::LlmGenerateRequest> GenerateMessage(HeldGrant& grant, const VisionEncoding* encoding,
                                                         const Progress& progress) const;

  const PipelineParts parts_;
  const Reservations reservations_;
};

}  // namespace headroom::gateway
