// The public calls that answer a request, as sinks of gRPC: each translates, and keeps itself alive until gRPC is done
// with it.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>

#include "gateway/answer_sink.h"
#include "gateway/request_runner.h"
#include "gateway/whole_answer.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// Server side of Gateway.Generate and Gateway.Embed; messages are serialized by hand (service.h says why).
template <typename Response>
class StreamCall : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                   public PieceSink<Response>,
                   public std::enable_shared_from_this<StreamCall<Response>> {
 public:
  using Taken = typename PieceSink<Response>::Taken;

  // gRPC's share of the ownership ends in OnDone.
  static std::shared_ptr<StreamCall> Create(grpc::CallbackServerContext* context);
  // Before the call is given to gRPC.
  void Follow(RequestRunner::Handle handle) { handle_ = std::move(handle); }

  void Granted() override {}
  void Piece(const Response& piece, Taken taken) override;
  void Disconnect() override { context_->TryCancel(); }
  void End(const absl::Status& status) override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override { handle_.Cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  explicit StreamCall(grpc::CallbackServerContext* context) : context_(context) {}

  grpc::CallbackServerContext* const context_;
  RequestRunner::Handle handle_;
  std::shared_ptr<StreamCall> self_;
  grpc::ByteBuffer current_;  // of the one write that may be on its way
  Taken taken_;
};
using GenerateCall = StreamCall<v1::GenerateResponse>;
using EmbedCall = StreamCall<v1::EmbedResponse>;

// Server side of Gateway.Complete: the answer in one message.
class CompleteCall : public grpc::ServerUnaryReactor,
                     public AnswerSink,
                     public std::enable_shared_from_this<CompleteCall> {
 public:
  // `response`: gRPC's, until the call has ended.
  static std::shared_ptr<CompleteCall> Create(grpc::CallbackServerContext* context, grpc::ByteBuffer* response);
  void Follow(RequestRunner::Handle handle) { handle_ = std::move(handle); }

  void Granted() override {}
  void Piece(const v1::GenerateResponse& piece, Taken taken) override;
  void Disconnect() override { context_->TryCancel(); }
  void End(const absl::Status& status) override;

  void OnCancel() override { handle_.Cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  CompleteCall(grpc::CallbackServerContext* context, grpc::ByteBuffer* response)
      : context_(context), response_bytes_(response) {}

  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_bytes_;
  RequestRunner::Handle handle_;
  std::shared_ptr<CompleteCall> self_;
  WholeAnswer answer_;
};

}  // namespace headroom::gateway
