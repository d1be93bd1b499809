#include "gateway/answer_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "common/rpc/status.h"

namespace headroom::gateway {

std::shared_ptr<GenerateCall> GenerateCall::Create(grpc::CallbackServerContext* context) {
  std::shared_ptr<GenerateCall> call(new GenerateCall(context));
  call->self_ = call;
  return call;
}

void GenerateCall::Text(const std::string& text, Taken taken) {
  v1::GenerateResponse response;
  response.set_text_delta(text);
  Send(response, std::move(taken));
}

void GenerateCall::Finish(const v1::Finish& finish, Taken taken) {
  v1::GenerateResponse response;
  *response.mutable_finish() = finish;
  Send(response, std::move(taken));
}

void GenerateCall::Send(const v1::GenerateResponse& response, Taken taken) {
  taken_ = std::move(taken);
  current_.Clear();
  bool owned = false;
  grpc::SerializationTraits<v1::GenerateResponse>::Serialize(response, &current_, &owned);
  StartWrite(&current_);
}

void GenerateCall::OnWriteDone(bool ok) {
  // The next piece may come while this one is being called.
  const Taken taken = std::move(taken_);
  taken(ok);
}

void GenerateCall::End(const absl::Status& status) {
  grpc::ServerWriteReactor<grpc::ByteBuffer>::Finish(rpc::ToGrpc(status));
}

std::shared_ptr<CompleteCall> CompleteCall::Create(grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  std::shared_ptr<CompleteCall> call(new CompleteCall(context, response));
  call->self_ = call;
  return call;
}

void CompleteCall::Text(const std::string& text, Taken taken) {
  response_.mutable_text()->append(text);
  taken(true);
}

void CompleteCall::Finish(const v1::Finish& finish, Taken taken) {
  *response_.mutable_finish() = finish;
  taken(true);
}

void CompleteCall::End(const absl::Status& status) {
  bool owned = false;
  grpc::SerializationTraits<v1::CompleteResponse>::Serialize(response_, response_bytes_, &owned);
  grpc::ServerUnaryReactor::Finish(rpc::ToGrpc(status));
}

}  // namespace headroom::gateway
