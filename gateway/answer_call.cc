#include "gateway/answer_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "common/rpc/status.h"

namespace headroom::gateway {

template <typename Response>
std::shared_ptr<StreamCall<Response>> StreamCall<Response>::Create(grpc::CallbackServerContext* context) {
  std::shared_ptr<StreamCall> call(new StreamCall(context));
  call->self_ = call;
  return call;
}

template <typename Response>
void StreamCall<Response>::Piece(const Response& piece, Taken taken) {
  taken_ = std::move(taken);
  current_.Clear();
  bool owned = false;
  grpc::SerializationTraits<Response>::Serialize(piece, &current_, &owned);
  StartWrite(&current_);
}

template <typename Response>
void StreamCall<Response>::OnWriteDone(bool ok) {
  // The next piece may come while this one is being called.
  const Taken taken = std::move(taken_);
  taken(ok);
}

template <typename Response>
void StreamCall<Response>::End(const absl::Status& status) {
  Finish(rpc::ToGrpc(status));
}

template class StreamCall<v1::GenerateResponse>;
template class StreamCall<v1::EmbedResponse>;

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
