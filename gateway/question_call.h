// Server side of the public calls that ask a question and get one message.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <string>
#include <utility>

#include "common/async/executor.h"
#include "common/async/task.h"
#include "common/rpc/status.h"
#include "gateway/request_runner.h"

namespace headroom::gateway {

// INVALID_ARGUMENT for bytes that are none, and for text that is not UTF-8.
template <typename Message>
absl::Status ReadMessage(const grpc::ByteBuffer& bytes, Message* message) {
  grpc::ByteBuffer readable(bytes);
  if (grpc::SerializationTraits<Message>::Deserialize(&readable, message).ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the message is not a valid ", Message::descriptor()->name(), ", or its text is not UTF-8"));
}

// Answers in a thread of `prepare` and finishes `reactor`, after which nothing here is touched. `place` pays for the
// message. The buffers are gRPC's until then.
template <typename Request, typename Response>
Detached AnswerQuestion(Executor& prepare, RequestRunner::Place place, const grpc::ByteBuffer* request_bytes,
                        grpc::ByteBuffer* response_bytes, grpc::ServerUnaryReactor* reactor,
                        std::function<absl::StatusOr<Response>(Request&)> answer) {
  co_await prepare.Switch();
  absl::Status status;
  {
    // Whoever sees the answer finds the place free.
    const RequestRunner::Place held = std::move(place);
    Request request;
    status = ReadMessage(*request_bytes, &request);
    if (status.ok()) {
      const absl::StatusOr<Response> response = answer(request);
      status = response.status();
      bool owned = false;
      if (response.ok()) grpc::SerializationTraits<Response>::Serialize(*response, response_bytes, &owned);
    }
  }
  reactor->Finish(rpc::ToGrpc(status));
}

}  // namespace headroom::gateway
