#include "gateway/answer_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "common/rpc/status.h"

namespace headroom::gateway {

std::shared_ptr<GenerateCall> GenerateCall::Create(grpc::CallbackServerContext* context) {
  std::shared_ptr<GenerateCall> call(new GenerateCall(context));
  call->self_ = call;
  return call;
}

void GenerateCall::Piece(const v1::GenerateResponse& piece, Taken taken) {
  taken_ = std::move(taken);
  current_.Clear();
  bool owned = false;
  grpc::SerializationTraits<v1::GenerateResponse>::Serialize(piece, &current_, &owned);
  StartWrite(&current_);
}

void GenerateCall::OnWriteDone(bool ok) {
  // The next piece may come while this one is being called.
  const Taken taken = std::move(taken_);
  taken(ok);
}

void GenerateCall::End(const absl::Status& status) { Finish(rpc::ToGrpc(status)); }

std::shared_ptr<CompleteCall> CompleteCall::Create(grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  std::shared_ptr<CompleteCall> call(new CompleteCall(context, response));
  call->self_ = call;
  return call;
}

void CompleteCall::Piece(const v1::GenerateResponse& piece, Taken taken) {
  answer_.Add(piece);
  taken(true);
}

void CompleteCall::End(const absl::Status& status) {
  bool owned = false;
  grpc::SerializationTraits<v1::CompleteResponse>::Serialize(answer_.Take(), response_bytes_, &owned);
  Finish(rpc::ToGrpc(status));
}

}  // namespace headroom::gateway
