// The life of a request for embeddings of pictures: check ▸ price ▸ reserve ▸ encode ▸ fetch ▸ hand on. No llm-worker
// has a part in it. gateway/pipeline.h is its counterpart for answers.
#pragma once

#include <string>

#include "common/async/task.h"
#include "gateway/delivery.h"
#include "gateway/pipeline_parts.h"
#include "gateway/reservation.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

class Embedder {
 public:
  explicit Embedder(const PipelineParts& parts) : parts_(parts), reservations_(parts) {}

  // As Pipeline::Run; rows go to `rows` one message at a time, and the last one, with the usage, is returned. Errors
  // are those of Gateway.Embed (gateway.proto). Beside its message a request takes of the host budget what one message
  // of rows takes on its way to the client.
  Task<absl::StatusOr<v1::EmbedResponse>> Run(const v1::EmbedRequest& request, const std::string& request_id,
                                              const CallScope& scope, Delivery<v1::EmbedResponse>& rows,
                                              RequestTimes& times) const;

 private:
  struct Progress;

  Task<absl::Status> Work(HeldGrant& grant, Progress& progress) const;
  Task<absl::Status> HandOn(const admission::Leg& leg, const v1::ImageEncoded& image, Progress& progress) const;

  const PipelineParts parts_;
  const Reservations reservations_;
};

}  // namespace headroom::gateway
