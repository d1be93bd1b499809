#include "gateway/clients.h"

#include <algorithm>

#include "common/rpc/acceptance.h"
#include "common/rpc/status.h"

namespace headroom::gateway {
namespace {

// proto/README.md: images travel in chunks of at most 1 MiB.
constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr std::chrono::milliseconds kReserveSlack(1'000);

// How a call ended, as its caller must see it: a server that goes cancels what is left of its calls, and that is no
// wish of ours.
absl::Status OfPeer(const grpc::Status& ended, const std::stop_token& stop) {
  absl::Status status = rpc::FromGrpc(ended);
  if (!absl::IsCancelled(status) || stop.stop_requested()) return status;
  return absl::UnavailableError("the service ended the call");
}

}  // namespace

absl::StatusOr<std::unique_ptr<v1::Scheduler::Stub>> SchedulerClient::Stub() {
  HEADROOM_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, channels_.Get(endpoint_));
  return v1::Scheduler::NewStub(channel);
}

absl::StatusOr<v1::ReserveResponse> SchedulerClient::Reserve(const v1::ReserveRequest& request,
                                                             const CallScope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  // A client may name the end of time.
  const auto latest = std::chrono::system_clock::time_point::max() - kReserveSlack;
  context.set_deadline(std::min(scope.deadline, latest) + kReserveSlack);
  const std::stop_callback on_stop(scope.stop, [&context] { context.TryCancel(); });
  v1::ReserveResponse response;
  HEADROOM_RETURN_IF_ERROR(OfPeer(stub->Reserve(&context, request, &response), scope.stop));
  return response;
}

absl::StatusOr<v1::ClusterState> SchedulerClient::GetClusterState(std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::ClusterState response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetClusterState(&context, v1::GetClusterStateRequest(), &response)));
  return response;
}

absl::StatusOr<v1::GetHistoryResponse> SchedulerClient::GetHistory(const v1::GetHistoryRequest& request,
                                                                   std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::GetHistoryResponse response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetHistory(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::GetRefusalsResponse> SchedulerClient::GetRefusals(const v1::GetRefusalsRequest& request,
                                                                     std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::GetRefusalsResponse response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetRefusals(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::RenewResponse> SchedulerClient::Renew(const v1::RenewRequest& request,
                                                         std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::RenewResponse response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->Renew(&context, request, &response)));
  return response;
}

absl::Status SchedulerClient::Void(const v1::VoidRequest& request, std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::VoidResponse response;
  return rpc::FromGrpc(stub->Void(&context, request, &response));
}

VisionEncoding::VisionEncoding(std::unique_ptr<v1::Vision::Stub> stub, const CallScope& scope)
    : stub_(std::move(stub)), stop_(scope.stop), on_stop_(scope.stop, [this] { context_.TryCancel(); }) {
  context_.set_deadline(scope.deadline);
  stream_ = stub_->Encode(&context_);
}

absl::StatusOr<std::unique_ptr<VisionEncoding>> VisionEncoding::Open(rpc::ChannelDirectory& channels,
                                                                     const std::string& endpoint,
                                                                     const v1::EncodeStart& start,
                                                                     const CallScope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, channels.GetConnected(endpoint, scope.stop));
  std::unique_ptr<VisionEncoding> encoding(new VisionEncoding(v1::Vision::NewStub(channel), scope));
  v1::EncodeRequest request;
  *request.mutable_start() = start;
  // A stream that is broken already says so to Encode().
  encoding->stream_->Write(request);
  return encoding;
}

VisionEncoding::~VisionEncoding() {
  if (closed_) return;
  context_.TryCancel();
  stream_->Finish();
}

// The stream broke: its status, which is never OK here.
absl::Status VisionEncoding::End() {
  closed_ = true;
  v1::EncodeResponse rest;
  while (stream_->Read(&rest)) {
  }
  accepted_ = rpc::WasAccepted(context_);
  const absl::Status status = OfPeer(stream_->Finish(), stop_);
  return status.ok() ? absl::InternalError("the vision-worker ended the stream early") : status;
}

absl::Status VisionEncoding::Encode(const std::vector<const std::string*>& images) {
  for (size_t i = 0; i < images.size(); ++i) {
    for (size_t begin = 0; begin < images[i]->size(); begin += kChunkBytes) {
      v1::EncodeRequest request;
      request.mutable_chunk()->set_image(static_cast<int32_t>(i));
      request.mutable_chunk()->set_data(images[i]->substr(begin, kChunkBytes));
      if (!stream_->Write(request)) return End();
    }
  }
  v1::EncodeResponse response;
  while (encoded_.size() < images.size()) {
    if (!stream_->Read(&response)) return End();
    if (response.encoded().image() != static_cast<int32_t>(encoded_.size())) {
      return absl::InternalError("the vision-worker answered for another image");
    }
    encoded_.push_back(response.encoded());
  }
  return absl::OkStatus();
}

void VisionEncoding::Close() {
  if (closed_) return;
  closed_ = true;
  stream_->WritesDone();
  v1::EncodeResponse rest;
  while (stream_->Read(&rest)) {
  }
  stream_->Finish();
}

LlmGeneration::LlmGeneration(std::unique_ptr<v1::Llm::Stub> stub, const v1::LlmGenerateRequest& request,
                             const CallScope& scope)
    : stub_(std::move(stub)), stop_(scope.stop), on_stop_(scope.stop, [this] { context_.TryCancel(); }) {
  context_.set_deadline(scope.deadline);
  reader_ = stub_->Generate(&context_, request);
}

absl::StatusOr<std::unique_ptr<LlmGeneration>> LlmGeneration::Open(rpc::ChannelDirectory& channels,
                                                                   const std::string& endpoint,
                                                                   const v1::LlmGenerateRequest& request,
                                                                   const CallScope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, channels.GetConnected(endpoint, scope.stop));
  return std::unique_ptr<LlmGeneration>(new LlmGeneration(v1::Llm::NewStub(channel), request, scope));
}

LlmGeneration::~LlmGeneration() {
  if (finished_) return;
  context_.TryCancel();
  // Nobody waits for how a stream ended that was let go of.
  Finish().IgnoreError();
}

absl::Status LlmGeneration::Finish() {
  finished_ = true;
  v1::TokenEvent rest;
  while (reader_->Read(&rest)) {
  }
  accepted_ = rpc::WasAccepted(context_);
  return OfPeer(reader_->Finish(), stop_);
}

}  // namespace headroom::gateway
